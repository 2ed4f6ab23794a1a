// Calico policies to the rule model. Facts: namespaces and service accounts become label tests on
// the endpoints themselves ("pcns." and "pcsa." labels are inherited), so that one selector per
// side is all that is left.

#include "policy/compile.h"
#include "policy/model.h"

#include <algorithm>
#include <utility>

namespace margay::policy {

namespace {

constexpr std::string_view kServiceAccountPrefix = "pcsa.";

Result<Selector> parse_field(std::string_view field, const std::string& text) {
  auto selector = Selector::parse(text);
  if (!selector) {
    return fail(selector.error(), "{}: {}", field, shown(text));
  }
  return selector;
}

// Endpoints of namespaces that match: all() means every endpoint with a namespace, global() those
// without.
Selector namespace_term(const Selector& selector) {
  if (selector.is_all()) {
    return Selector::has(kNamespaceLabel);
  }
  if (selector.is_global()) {
    return Selector::has(kNamespaceLabel).negation();
  }
  return selector.with_key_prefix(kNamespacePrefix);
}

Result<std::vector<Selector>> service_account_terms(const api::ServiceAccountMatch& accounts) {
  std::vector<Selector> terms;
  if (!accounts.names.empty()) {
    terms.push_back(Selector::in(kServiceAccountLabel, accounts.names));
  }
  if (!accounts.selector.empty()) {
    auto selector = parse_field("serviceAccounts.selector", accounts.selector);
    if (!selector) {
      return fail(selector.error());
    }
    terms.push_back(selector->with_key_prefix(kServiceAccountPrefix));
  }
  return terms;
}

// Fills selector and not_selector of one side.
Result<void> compile_selectors(const api::EntityRule& side,
                               const std::string& ns,
                               EntityMatch& match) {
  const bool names_endpoints = !side.selector.empty() || !side.not_selector.empty() ||
                               !side.namespace_selector.empty() || side.service_accounts;
  if (!names_endpoints) {
    return {};
  }
  std::vector<Selector> terms;
  if (!side.namespace_selector.empty()) {
    auto selector = parse_field("namespaceSelector", side.namespace_selector);
    if (!selector) {
      return fail(selector.error());
    }
    terms.push_back(namespace_term(*selector));
  } else if (!ns.empty()) {
    terms.push_back(Selector::equals(kNamespaceLabel, ns));
  }
  if (side.service_accounts) {
    auto accounts = service_account_terms(*side.service_accounts);
    if (!accounts) {
      return fail(accounts.error());
    }
    std::ranges::move(*accounts, std::back_inserter(terms));
  }
  if (!side.selector.empty()) {
    auto selector = parse_field("selector", side.selector);
    if (!selector) {
      return fail(selector.error());
    }
    terms.push_back(std::move(*selector));
  }
  std::optional<Selector> excluded;
  if (!side.not_selector.empty()) {
    auto selector = parse_field("notSelector", side.not_selector);
    if (!selector) {
      return fail(selector.error());
    }
    excluded = std::move(*selector);
  }
  // Folded into the positive selector if there is one: only endpoints can match then.
  if (excluded && !terms.empty()) {
    terms.push_back(excluded->negation());
  } else if (excluded) {
    match.not_selector = std::move(excluded);
  }
  if (!terms.empty()) {
    match.selector = Selector::conjunction(terms);
  }
  return {};
}

Result<EntityMatch> compile_side(const api::EntityRule& side,
                                 const std::string& ns,
                                 std::string_view field) {
  EntityMatch match;
  match.nets = sorted_nets(side.nets);
  match.not_nets = sorted_nets(side.not_nets);
  split_ports(side.ports, match.ports, match.named_ports);
  split_ports(side.not_ports, match.not_ports, match.not_named_ports);
  if (auto compiled = compile_selectors(side, ns, match); !compiled) {
    return fail(Error{compiled.error().code, fmt::format("{}.{}", field, compiled.error().text)});
  }
  if (side.services) {
    match.service = fmt::format(
        "{}/{}", side.services->ns.empty() ? ns : side.services->ns, side.services->name);
  }
  return match;
}

Result<std::vector<Rule>> compile_rules(const std::vector<api::Rule>& written,
                                        const std::string& ns,
                                        std::string_view direction) {
  std::vector<Rule> rules;
  rules.reserve(written.size());
  for (const api::Rule& from : written) {
    Rule rule;
    rule.written_index = static_cast<unsigned>(rules.size());
    rule.action = from.action;
    rule.family = from.ip_version;
    rule.protocol = from.protocol;
    rule.not_protocol = from.not_protocol;
    rule.icmp = from.icmp;
    rule.not_icmp = from.not_icmp;
    const std::string field = fmt::format("spec.{}[{}]", direction, rules.size());
    auto source = compile_side(from.source, ns, field + ".source");
    if (!source) {
      return fail(source.error());
    }
    auto destination = compile_side(from.destination, ns, field + ".destination");
    if (!destination) {
      return fail(destination.error());
    }
    rule.source = std::move(*source);
    rule.destination = std::move(*destination);
    rules.push_back(std::move(rule));
  }
  return rules;
}

Result<Selector> compile_subject(const api::PolicySpec& spec,
                                 const std::string& namespace_selector,
                                 const std::string& ns) {
  std::vector<Selector> terms;
  if (!ns.empty()) {
    terms.push_back(Selector::equals(kNamespaceLabel, ns));
  }
  auto own = parse_field("spec.selector", spec.selector);
  if (!own) {
    return fail(own.error());
  }
  terms.push_back(std::move(*own));
  if (!namespace_selector.empty()) {
    auto selector = parse_field("spec.namespaceSelector", namespace_selector);
    if (!selector) {
      return fail(selector.error());
    }
    terms.push_back(namespace_term(*selector));
  }
  if (!spec.service_account_selector.empty()) {
    auto selector = parse_field("spec.serviceAccountSelector", spec.service_account_selector);
    if (!selector) {
      return fail(selector.error());
    }
    terms.push_back(selector->with_key_prefix(kServiceAccountPrefix));
  }
  return Selector::conjunction(terms);
}

Result<void> compile_spec(const api::PolicySpec& spec,
                          const std::string& namespace_selector,
                          Policy& policy) {
  auto subject = compile_subject(spec, namespace_selector, policy.key.ns);
  if (!subject) {
    return fail(subject.error());
  }
  policy.subject = std::move(*subject);
  policy.tier = spec.tier;
  policy.order = spec.order;
  policy.ingress_applies = std::ranges::count(spec.types, api::PolicyType::kIngress) > 0;
  policy.egress_applies = std::ranges::count(spec.types, api::PolicyType::kEgress) > 0;
  // Rules of a direction that types leave out are compiled for their errors, then dropped.
  auto ingress = compile_rules(spec.ingress, policy.key.ns, "ingress");
  if (!ingress) {
    return fail(ingress.error());
  }
  auto egress = compile_rules(spec.egress, policy.key.ns, "egress");
  if (!egress) {
    return fail(egress.error());
  }
  if (policy.ingress_applies) {
    policy.ingress = std::move(*ingress);
  }
  if (policy.egress_applies) {
    policy.egress = std::move(*egress);
  }
  return {};
}

}  // namespace

Result<Policy> compile_profile(const api::ResourceKey& key, const api::Profile& spec) {
  Policy policy;
  policy.key = key;
  policy.ingress_applies = true;
  policy.egress_applies = true;
  auto ingress = compile_rules(spec.ingress, {}, "ingress");
  if (!ingress) {
    return fail(ingress.error());
  }
  auto egress = compile_rules(spec.egress, {}, "egress");
  if (!egress) {
    return fail(egress.error());
  }
  policy.ingress = std::move(*ingress);
  policy.egress = std::move(*egress);
  return policy;
}

Result<Policy> compile_calico(const api::ResourceKey& key, const api::GlobalNetworkPolicy& spec) {
  Policy policy;
  policy.key = key;
  policy.do_not_track = spec.do_not_track;
  policy.pre_dnat = spec.pre_dnat;
  policy.apply_on_forward = spec.apply_on_forward;
  if (auto done = compile_spec(spec, spec.namespace_selector, policy); !done) {
    return fail(done.error());
  }
  return policy;
}

Result<Policy> compile_calico(const api::ResourceKey& key, const api::NetworkPolicy& spec) {
  Policy policy;
  policy.key = key;
  if (auto done = compile_spec(spec, {}, policy); !done) {
    return fail(done.error());
  }
  return policy;
}

}  // namespace margay::policy
