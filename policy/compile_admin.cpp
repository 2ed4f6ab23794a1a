// AdminNetworkPolicy, BaselineAdminNetworkPolicy and ClusterNetworkPolicy to the rule model: tiers
// of their own before and behind `default`, ordered by priority, whose end passes on. A direction
// without rules is untouched.
//
// Peers that cannot be told apart here (a newer API's) fail closed: Allow does without them, Deny
// and Pass match every peer. So do domain names in a rule that does not allow: nobody knows all
// addresses of a name.

#include "policy/compile.h"

#include <algorithm>
#include <map>
#include <utility>

namespace margay::policy {

namespace {

using api::Action;

Result<Selector> compile_pods(const api::LabelSelector& namespaces,
                              const api::LabelSelector* pods) {
  std::vector<Selector> terms{any_pod()};
  auto of_namespaces = compile_label_selector(namespaces, kNamespacePrefix);
  if (!of_namespaces) {
    return fail(of_namespaces.error(), "namespaces");
  }
  terms.push_back(std::move(*of_namespaces));
  if (pods != nullptr) {
    auto of_pods = compile_label_selector(*pods, {});
    if (!of_pods) {
      return fail(of_pods.error(), "pods");
    }
    terms.push_back(std::move(*of_pods));
  }
  return Selector::conjunction(terms);
}

// What a peer or subject matches; nothing when it cannot be enforced.
struct PeerCompiler {
  Result<std::optional<EntityMatch>> operator()(const api::NamespacesPeer& peer) const {
    return by_selector(compile_pods(peer.selector, nullptr));
  }
  Result<std::optional<EntityMatch>> operator()(const api::PodsPeer& peer) const {
    return by_selector(compile_pods(peer.namespace_selector, &peer.pod_selector));
  }
  Result<std::optional<EntityMatch>> operator()(const api::NetworksPeer& peer) const {
    EntityMatch match;
    match.nets = sorted_nets(peer.networks);
    return std::optional(std::move(match));
  }
  Result<std::optional<EntityMatch>> operator()(const api::NodesPeer& peer) const {
    auto selector = compile_label_selector(peer.selector, {});
    if (!selector) {
      return fail(selector.error(), "nodes");
    }
    EntityMatch match;
    match.nodes = std::move(*selector);
    return std::optional(std::move(match));
  }
  Result<std::optional<EntityMatch>> operator()(const api::DomainsPeer& peer) const {
    EntityMatch match;
    match.domains = peer.domains;
    std::ranges::sort(match.domains);
    match.domains.erase(std::unique(match.domains.begin(), match.domains.end()),
                        match.domains.end());
    return std::optional(std::move(match));
  }
  Result<std::optional<EntityMatch>> operator()(const api::UnsupportedPeer& /*peer*/) const {
    return std::optional<EntityMatch>();
  }

 private:
  static Result<std::optional<EntityMatch>> by_selector(Result<Selector> selector) {
    if (!selector) {
      return fail(selector.error());
    }
    EntityMatch match;
    match.selector = std::move(*selector);
    return std::optional(std::move(match));
  }
};

Result<std::vector<EntityMatch>> compile_peers(const api::AdminRule& rule) {
  std::vector<EntityMatch> out;
  for (const api::AdminPeer& peer : rule.peers) {
    auto match = std::visit(PeerCompiler{}, peer);
    if (!match) {
      return fail(match.error());
    }
    if (*match && !((*match)->has_domains() && rule.action != Action::kAllow)) {
      out.push_back(std::move(**match));
    } else if (rule.action != Action::kAllow) {
      return std::vector<EntityMatch>(1);  // any peer
    }
  }
  return out;
}

// One rule per protocol; names without a protocol stand in one of their own.
std::vector<Rule> compile_ports(const std::vector<api::AdminPort>& ports) {
  std::map<std::optional<api::Protocol>, std::vector<api::Port>> by_protocol;
  for (const api::AdminPort& port : ports) {
    by_protocol[port.protocol].push_back(port.port);
  }
  std::vector<Rule> rules;
  for (const auto& [protocol, listed] : by_protocol) {
    Rule rule;
    rule.protocol = protocol;
    split_ports(listed, rule.destination.ports, rule.destination.named_ports);
    rules.push_back(std::move(rule));
  }
  if (rules.empty()) {
    rules.emplace_back();
  }
  return rules;
}

Result<std::vector<Rule>> compile_rules(const std::vector<api::AdminRule>& written, bool ingress) {
  std::vector<Rule> rules;
  for (std::size_t i = 0; i < written.size(); ++i) {
    auto peers = compile_peers(written[i]);
    if (!peers) {
      return fail(peers.error(), "spec.{}[{}]", ingress ? "ingress" : "egress", i);
    }
    for (const EntityMatch& peer : *peers) {
      for (Rule& rule : compile_ports(written[i].ports)) {
        rule.action = written[i].action;
        rule.written_index = static_cast<unsigned>(i);
        EntityMatch& side = ingress ? rule.source : rule.destination;
        side.selector = peer.selector;
        side.nets = peer.nets;
        side.nodes = peer.nodes;
        side.domains = peer.domains;
        rules.push_back(std::move(rule));
      }
    }
  }
  return rules;
}

Result<Policy> compile_spec(const api::ResourceKey& key, const api::AdminPolicySpec& spec) {
  Policy policy;
  policy.key = key;
  auto subject = std::visit(
      [](const auto& typed) -> Result<std::optional<EntityMatch>> { return PeerCompiler{}(typed); },
      spec.subject);
  if (!subject) {
    return fail(subject.error(), "spec.subject");
  }
  policy.subject = std::move(*(*subject)->selector);
  policy.ingress_applies = !spec.ingress.empty();
  policy.egress_applies = !spec.egress.empty();
  auto ingress = compile_rules(spec.ingress, true);
  if (!ingress) {
    return fail(ingress.error());
  }
  auto egress = compile_rules(spec.egress, false);
  if (!egress) {
    return fail(egress.error());
  }
  policy.ingress = std::move(*ingress);
  policy.egress = std::move(*egress);
  return policy;
}

Result<Policy> in_tier(Result<Policy> policy, std::string_view tier, double order) {
  if (policy) {
    policy->tier = tier;
    policy->order = order;
  }
  return policy;
}

}  // namespace

Result<Policy> compile_admin(const api::ResourceKey& key, const api::AdminNetworkPolicy& spec) {
  return in_tier(compile_spec(key, spec), kAdminTier, spec.priority);
}

Result<Policy> compile_admin(const api::ResourceKey& key,
                             const api::BaselineAdminNetworkPolicy& spec) {
  return in_tier(compile_spec(key, spec), kBaselineTier, 0);
}

Result<Policy> compile_admin(const api::ResourceKey& key, const api::ClusterNetworkPolicy& spec) {
  return in_tier(compile_spec(key, spec),
                 spec.tier == api::AdminTier::kAdmin ? kAdminTier : kBaselineTier,
                 spec.priority);
}

}  // namespace margay::policy
