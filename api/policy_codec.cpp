#include "api/labels.h"
#include "api/resource_codec.h"
#include "api/rule_codec.h"

#include <fmt/format.h>

namespace margay::api {

namespace {

constexpr std::size_t kMaxRules = 1024;

// Whose rules they are; the namespace of a service is that of the policy if it has one.
enum class Scope : std::uint8_t { kNamespaced, kGlobal };

// Services stand where the peer is.
template <typename Visitor>
void check_services(Visitor& visit, const std::string& name, const Rule& rule, Scope scope) {
  const bool ingress = name.starts_with("ingress");
  const EntityRule& peer = ingress ? rule.source : rule.destination;
  const EntityRule& self = ingress ? rule.destination : rule.source;
  if (self.services) {
    visit.fail(name + (ingress ? ".destination.services" : ".source.services"),
               "allowed only in the source of ingress and the destination of egress rules");
  }
  if (peer.services && peer.services->ns.empty() && scope == Scope::kGlobal) {
    visit.fail_missing(
        name + (ingress ? ".source.services.namespace" : ".destination.services.namespace"),
        "required, as this kind has no namespace of its own");
  }
}

template <typename Visitor>
void describe_rules(Visitor& visit, const char* name, std::vector<Rule>& rules, Scope scope) {
  visit.field(name, rules);
  if (rules.size() > kMaxRules) {
    visit.fail(name, fmt::format("{} rules: at most {}", rules.size(), kMaxRules));
  }
  for (std::size_t i = 0; i < rules.size(); ++i) {
    check_services(visit, fmt::format("{}[{}]", name, i), rules[i], scope);
  }
}

// Absent types: Ingress without egress rules, else by the rules that are there (as Calico).
void default_types(PolicySpec& policy) {
  if (!policy.types.empty()) {
    return;
  }
  if (policy.egress.empty() || !policy.ingress.empty()) {
    policy.types.push_back(PolicyType::kIngress);
  }
  if (!policy.egress.empty()) {
    policy.types.push_back(PolicyType::kEgress);
  }
}

template <typename Visitor>
void check_hints(Visitor& visit, const std::vector<std::string>& hints) {
  for (const std::string& hint : hints) {
    if (hint != "AssumeNeededOnEveryNode") {
      visit.fail("performanceHints", "\"" + hint + "\": expected AssumeNeededOnEveryNode");
    }
  }
  if (hints.size() > 1) {
    visit.fail("performanceHints", "AssumeNeededOnEveryNode is given twice");
  }
}

template <typename Visitor>
void describe_policy(Visitor& visit, PolicySpec& policy, Scope scope) {
  visit.field("tier", policy.tier);
  visit.field("order", policy.order);
  visit.field("selector", policy.selector);
  visit.field("serviceAccountSelector", policy.service_account_selector);
  visit.field("types", policy.types);
  describe_rules(visit, "ingress", policy.ingress, scope);
  describe_rules(visit, "egress", policy.egress, scope);
  visit.field("performanceHints", policy.performance_hints);
  check_types(visit, "types", policy.types);
  check_hints(visit, policy.performance_hints);
  if (!is_dns_label(policy.tier)) {
    visit.fail("tier", "\"" + policy.tier + "\": expected the name of a tier");
  }
}

template <typename Visitor>
void describe_fields(Visitor& visit, NetworkPolicy& policy) {
  describe_policy(visit, policy, Scope::kNamespaced);
}

template <typename Visitor>
void describe_fields(Visitor& visit, GlobalNetworkPolicy& policy) {
  describe_policy(visit, policy, Scope::kGlobal);
  visit.field("namespaceSelector", policy.namespace_selector);
  visit.field("doNotTrack", policy.do_not_track);
  visit.field("preDNAT", policy.pre_dnat);
  visit.field("applyOnForward", policy.apply_on_forward);
  if (policy.do_not_track && policy.pre_dnat) {
    visit.fail("preDNAT", "cannot be combined with doNotTrack");
  }
  if (policy.pre_dnat && !policy.egress.empty()) {
    visit.fail("egress", "a preDNAT policy has ingress rules only");
  }
  if (policy.pre_dnat && std::ranges::count(policy.types, PolicyType::kEgress) > 0) {
    visit.fail("types", "a preDNAT policy has type Ingress only");
  }
  if ((policy.pre_dnat || policy.do_not_track) && !policy.apply_on_forward) {
    visit.fail("applyOnForward", "must be true with preDNAT or doNotTrack");
  }
}

template <typename Visitor, typename Staged>
void describe_staged(Visitor& visit, Staged& staged) {
  visit.required_or_default("stagedAction", staged.staged_action);
  describe_fields(visit, staged.policy);
  if (staged.staged_action != StagedAction::kDelete) {
    default_types(staged.policy);
    return;
  }
  decltype(staged.policy) empty;
  empty.tier = staged.policy.tier;
  if (!(staged.policy == empty)) {
    visit.fail("stagedAction", "Delete: no other field but tier may be set");
  }
}

}  // namespace

template <typename Visitor>
void describe(Visitor& visit, GlobalNetworkPolicy& policy) {
  describe_fields(visit, policy);
  default_types(policy);
}
template void describe(Reader& visit, GlobalNetworkPolicy& policy);
template void describe(Writer& visit, GlobalNetworkPolicy& policy);

template <typename Visitor>
void describe(Visitor& visit, NetworkPolicy& policy) {
  describe_fields(visit, policy);
  default_types(policy);
}
template void describe(Reader& visit, NetworkPolicy& policy);
template void describe(Writer& visit, NetworkPolicy& policy);

template <typename Visitor>
void describe(Visitor& visit, StagedGlobalNetworkPolicy& staged) {
  describe_staged(visit, staged);
}
template void describe(Reader& visit, StagedGlobalNetworkPolicy& staged);
template void describe(Writer& visit, StagedGlobalNetworkPolicy& staged);

template <typename Visitor>
void describe(Visitor& visit, StagedNetworkPolicy& staged) {
  describe_staged(visit, staged);
}
template void describe(Reader& visit, StagedNetworkPolicy& staged);
template void describe(Writer& visit, StagedNetworkPolicy& staged);

template <typename Visitor>
void describe(Visitor& visit, Tier& tier) {
  visit.field("order", tier.order);
  visit.field("defaultAction", tier.default_action);
  if (tier.default_action != Action::kDeny && tier.default_action != Action::kPass) {
    visit.fail("defaultAction", "expected Deny or Pass");
  }
}
template void describe(Reader& visit, Tier& tier);
template void describe(Writer& visit, Tier& tier);

template <typename Visitor>
void describe(Visitor& visit, Profile& profile) {
  describe_rules(visit, "ingress", profile.ingress, Scope::kGlobal);
  describe_rules(visit, "egress", profile.egress, Scope::kGlobal);
  visit.field("labelsToApply", profile.labels_to_apply);
  check_labels(visit, "labelsToApply", profile.labels_to_apply);
  for (const auto& [name, rules] :
       {std::pair{"ingress", &profile.ingress}, std::pair{"egress", &profile.egress}}) {
    const auto pass = std::ranges::find(*rules, Action::kPass, &Rule::action);
    if (pass != rules->end()) {
      visit.fail(fmt::format("{}[{}].action", name, pass - rules->begin()),
                 "Pass: nothing comes after a profile: expected Allow, Deny or Log");
    }
  }
}
template void describe(Reader& visit, Profile& profile);
template void describe(Writer& visit, Profile& profile);

}  // namespace margay::api
