// Kubernetes NetworkPolicy to the rule model: tier default, order 1000, Allow rules only; what no
// rule allows falls to the tier's default. Each written rule becomes one compiled rule per peer and
// protocol.

#include "policy/compile.h"
#include "policy/model.h"

#include <algorithm>
#include <map>
#include <utility>

namespace margay::policy {

namespace {

Result<EntityMatch> compile_peer(const api::KubernetesPeer& peer, const std::string& ns) {
  EntityMatch match;
  if (peer.ip_block) {
    match.nets = {peer.ip_block->cidr};
    match.not_nets = sorted_nets(peer.ip_block->except);
    return match;
  }
  std::vector<Selector> terms{any_pod()};
  if (!peer.namespace_selector) {
    terms.push_back(Selector::equals(kNamespaceLabel, ns));
  } else {
    auto selector = compile_label_selector(*peer.namespace_selector, kNamespacePrefix);
    if (!selector) {
      return fail(selector.error(), "namespaceSelector");
    }
    terms.push_back(std::move(*selector));
  }
  if (peer.pod_selector) {
    auto selector = compile_label_selector(*peer.pod_selector, {});
    if (!selector) {
      return fail(selector.error(), "podSelector");
    }
    terms.push_back(std::move(*selector));
  }
  match.selector = Selector::conjunction(terms);
  return match;
}

// Ports by protocol. An entry without a port opens the whole protocol.
std::vector<Rule> compile_ports(const std::vector<api::KubernetesPort>& ports) {
  struct Ports {
    bool any = false;
    std::vector<api::Port> listed;
  };
  std::map<api::Protocol, Ports> by_protocol;
  for (const api::KubernetesPort& port : ports) {
    Ports& of_protocol = by_protocol[port.protocol];
    if (port.port) {
      of_protocol.listed.push_back(*port.port);
    } else {
      of_protocol.any = true;
    }
  }
  std::vector<Rule> rules;
  for (const auto& [protocol, of_protocol] : by_protocol) {
    Rule rule;
    rule.protocol = protocol;
    if (!of_protocol.any) {
      split_ports(of_protocol.listed, rule.destination.ports, rule.destination.named_ports);
    }
    rules.push_back(std::move(rule));
  }
  if (rules.empty()) {
    rules.emplace_back();
  }
  return rules;
}

Result<std::vector<Rule>> compile_rules(const std::vector<api::KubernetesRule>& written,
                                        const std::string& ns,
                                        api::PolicyType direction) {
  const bool ingress = direction == api::PolicyType::kIngress;
  std::vector<Rule> rules;
  for (std::size_t i = 0; i < written.size(); ++i) {
    std::vector<EntityMatch> peers;
    for (const api::KubernetesPeer& peer : written[i].peers) {
      auto match = compile_peer(peer, ns);
      if (!match) {
        return fail(Error{match.error().code,
                          fmt::format("spec.{}[{}].{}[{}].{}",
                                      ingress ? "ingress" : "egress",
                                      i,
                                      ingress ? "from" : "to",
                                      peers.size(),
                                      match.error().text)});
      }
      peers.push_back(std::move(*match));
    }
    if (peers.empty()) {
      peers.emplace_back();
    }
    for (const EntityMatch& peer : peers) {
      for (Rule& rule : compile_ports(written[i].ports)) {
        rule.action = api::Action::kAllow;
        rule.written_index = static_cast<unsigned>(i);
        EntityMatch& side = ingress ? rule.source : rule.destination;
        side.selector = peer.selector;
        side.nets = peer.nets;
        side.not_nets = peer.not_nets;
        rules.push_back(std::move(rule));
      }
    }
  }
  return rules;
}

Result<Selector> compile_requirement(const api::LabelSelectorRequirement& requirement,
                                     const std::string& key) {
  using Operator = api::LabelSelectorRequirement::Operator;
  if (!is_label(key)) {
    return fail(Errc::kInvalid, "matchExpressions: key {} is not a label", shown(key));
  }
  switch (requirement.op) {
    case Operator::kIn:
      return Selector::in(key, requirement.values);
    case Operator::kNotIn:
      return Selector::in(key, requirement.values).negation();
    case Operator::kExists:
      return Selector::has(key);
    case Operator::kDoesNotExist:
      return Selector::has(key).negation();
  }
  return fail(Errc::kInternal, "matchExpressions: unknown operator");
}

}  // namespace

Selector any_pod() {
  return Selector::has(kOrchestratorLabel);
}

Result<Selector> compile_label_selector(const api::LabelSelector& selector,
                                        std::string_view key_prefix) {
  std::vector<Selector> terms;
  for (const auto& [name, value] : selector.match_labels) {
    const std::string key = std::string(key_prefix) + name;
    if (!is_label(key)) {
      return fail(Errc::kInvalid, "matchLabels: key {} is not a label", shown(name));
    }
    terms.push_back(Selector::equals(key, value));
  }
  for (const api::LabelSelectorRequirement& requirement : selector.match_expressions) {
    auto term = compile_requirement(requirement, std::string(key_prefix) + requirement.key);
    if (!term) {
      return fail(term.error());
    }
    terms.push_back(std::move(*term));
  }
  return Selector::conjunction(terms);
}

Result<Policy> compile_kubernetes(const api::ResourceKey& key,
                                  const api::KubernetesNetworkPolicy& spec) {
  Policy policy;
  policy.key = key;
  policy.order = kKubernetesOrder;
  policy.ingress_applies = std::ranges::count(spec.types, api::PolicyType::kIngress) > 0;
  policy.egress_applies = std::ranges::count(spec.types, api::PolicyType::kEgress) > 0;
  auto pods = compile_label_selector(spec.pod_selector, {});
  if (!pods) {
    return fail(pods.error(), "spec.podSelector");
  }
  const Selector terms[] = {Selector::equals(kNamespaceLabel, key.ns), std::move(*pods)};
  policy.subject = Selector::conjunction(terms);
  auto ingress = compile_rules(spec.ingress, key.ns, api::PolicyType::kIngress);
  if (!ingress) {
    return fail(ingress.error());
  }
  auto egress = compile_rules(spec.egress, key.ns, api::PolicyType::kEgress);
  if (!egress) {
    return fail(egress.error());
  }
  if (policy.ingress_applies) {
    policy.ingress = std::move(*ingress);
  }
  if (policy.egress_applies) {
    policy.egress = std::move(*egress);
  }
  return policy;
}

}  // namespace margay::policy
