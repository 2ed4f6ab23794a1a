#include "api/kubernetes_codec.h"

#include "api/labels.h"
#include "api/resource_codec.h"
#include "api/rule_codec.h"

#include <fmt/format.h>

namespace margay::api {

template <>
struct EnumNames<LabelSelectorRequirement::Operator> {
  using Operator = LabelSelectorRequirement::Operator;
  static constexpr std::array rows{EnumName<Operator>{"In", Operator::kIn},
                                   EnumName<Operator>{"NotIn", Operator::kNotIn},
                                   EnumName<Operator>{"Exists", Operator::kExists},
                                   EnumName<Operator>{"DoesNotExist", Operator::kDoesNotExist}};
};

// ---- label selectors

template <typename Visitor>
void describe(Visitor& visit, LabelSelectorRequirement& requirement) {
  using Operator = LabelSelectorRequirement::Operator;
  visit.required("key", requirement.key);
  visit.required("operator", requirement.op);
  visit.field("values", requirement.values);
  if (!is_label_key(requirement.key)) {
    visit.fail("key", shown(json::value(requirement.key)) + ": expected the key of a label");
  }
  for (const std::string& value : requirement.values) {
    if (!is_label_value(value)) {
      visit.fail("values", shown(json::value(value)) + ": expected the value of a label");
    }
  }
  const bool needs_values = requirement.op == Operator::kIn || requirement.op == Operator::kNotIn;
  if (needs_values && requirement.values.empty()) {
    visit.fail_missing("values", "required with In and NotIn");
  } else if (!needs_values && !requirement.values.empty()) {
    visit.fail("values", "must be absent with Exists and DoesNotExist");
  }
}

template <typename Visitor>
void describe(Visitor& visit, LabelSelector& selector) {
  visit.field("matchLabels", selector.match_labels);
  visit.field("matchExpressions", selector.match_expressions);
  check_labels(visit, "matchLabels", selector.match_labels);
}
template void describe(Reader& visit, LabelSelector& selector);
template void describe(Writer& visit, LabelSelector& selector);

// ---- NetworkPolicy

template <typename Visitor>
void describe(Visitor& visit, IPBlock& block) {
  visit.required("cidr", block.cidr);
  visit.field("except", block.except);
  for (const Prefix& except : block.except) {
    if (!block.cidr.contains(except) || except == block.cidr) {
      visit.fail("except", except.str() + ": expected a part of " + block.cidr.str());
    }
  }
}

template <typename Visitor>
void describe(Visitor& visit, KubernetesPeer& peer) {
  visit.field("podSelector", peer.pod_selector);
  visit.field("namespaceSelector", peer.namespace_selector);
  visit.field("ipBlock", peer.ip_block);
  if (peer.ip_block && (peer.pod_selector || peer.namespace_selector)) {
    visit.fail("ipBlock", "excludes podSelector and namespaceSelector");
  }
  if (!peer.ip_block && !peer.pod_selector && !peer.namespace_selector) {
    visit.fail("podSelector", "a peer needs podSelector, namespaceSelector or ipBlock");
  }
}

template <typename Visitor>
void describe(Visitor& visit, KubernetesPort& port) {
  describe_port_protocol(visit, port.protocol);
  visit.custom(
      "port",
      [&port](ReadState& state, const std::string& path, const json::value& in) {
        Port value;
        read_value(state, path, in, value);
        const bool range_text = in.is_string() && in.get_string().find(':') != json::string::npos;
        if (range_text) {
          state.fail_at(
              path, shown(in) + ": expected a number or a name; a range has its end in endPort");
        }
        port.port = std::move(value);
      },
      [&port] {
        if (!port.port) {
          return json::value(nullptr);
        }
        const auto* range = std::get_if<PortRange>(&*port.port);
        return range != nullptr ? json::value(range->first) : write_value(*port.port);
      });
  visit.custom(
      "endPort",
      [&port](ReadState& state, const std::string& path, const json::value& in) {
        auto* range = port.port ? std::get_if<PortRange>(&*port.port) : nullptr;
        const auto end = read_integer(state, path, in, 1, kHighestPort);
        if (range == nullptr || !end || *end < range->first) {
          state.fail_at(path, shown(in) + ": needs a numeric port beside it that is not above it");
        } else {
          range->last = static_cast<std::uint16_t>(*end);
        }
      },
      [&port] {
        const auto* range = port.port ? std::get_if<PortRange>(&*port.port) : nullptr;
        return range != nullptr && range->last != range->first ? json::value(range->last)
                                                               : json::value(nullptr);
      });
}

namespace {

template <typename Visitor>
void describe_rules(Visitor& visit,
                    const char* name,
                    const char* peers,
                    std::vector<KubernetesRule>& rules) {
  visit.list(name, rules, [peers](auto& of_rule, KubernetesRule& rule) {
    of_rule.field(peers, rule.peers);
    of_rule.field("ports", rule.ports);
  });
}

template <typename Visitor>
void describe_fields(Visitor& visit, KubernetesNetworkPolicy& policy) {
  visit.required_or_default("podSelector", policy.pod_selector);
  visit.field("policyTypes", policy.types);
  describe_rules(visit, "ingress", "from", policy.ingress);
  describe_rules(visit, "egress", "to", policy.egress);
  check_types(visit, "policyTypes", policy.types);
}

void default_types(KubernetesNetworkPolicy& policy) {
  if (policy.types.empty()) {
    policy.types = {PolicyType::kIngress};
    if (!policy.egress.empty()) {
      policy.types.push_back(PolicyType::kEgress);
    }
  }
}

}  // namespace

template <typename Visitor>
void describe(Visitor& visit, KubernetesNetworkPolicy& policy) {
  describe_fields(visit, policy);
  default_types(policy);
}
template void describe(Reader& visit, KubernetesNetworkPolicy& policy);
template void describe(Writer& visit, KubernetesNetworkPolicy& policy);

template <typename Visitor>
void describe(Visitor& visit, StagedKubernetesNetworkPolicy& staged) {
  visit.required_or_default("stagedAction", staged.staged_action);
  describe_fields(visit, staged.policy);
  if (staged.staged_action != StagedAction::kDelete) {
    default_types(staged.policy);
  } else if (!(staged.policy == KubernetesNetworkPolicy{})) {
    visit.fail("stagedAction", "Delete: no other field may be set");
  }
}
template void describe(Reader& visit, StagedKubernetesNetworkPolicy& staged);
template void describe(Writer& visit, StagedKubernetesNetworkPolicy& staged);

}  // namespace margay::api
