#include "policy/lint.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace margay::policy {

namespace {

using api::Action;
using api::PolicyType;

// ---- one rule

bool all_inside(const std::vector<Prefix>& nets, const std::vector<Prefix>& around) {
  return std::ranges::all_of(nets, [&](const Prefix& net) {
    return std::ranges::any_of(around, [&](const Prefix& wide) { return wide.contains(net); });
  });
}

bool all_inside(const std::vector<api::PortRange>& ports,
                const std::vector<api::PortRange>& around) {
  return std::ranges::all_of(ports, [&](const api::PortRange& range) {
    return std::ranges::any_of(around, [&](const api::PortRange& wide) {
      return wide.first <= range.first && range.last <= wide.last;
    });
  });
}

// Why no packet can match; empty: some can, as far as the rule alone tells.
std::string contradiction(const Rule& rule) {
  if (rule.protocol && rule.protocol == rule.not_protocol) {
    return "protocol and notProtocol are the same";
  }
  if (!rule.applies_to(Family::kIpv4) && !rule.applies_to(Family::kIpv6)) {
    return "its networks, protocol and ipVersion leave no address family";
  }
  for (const auto& [name, side] :
       {std::pair{"source", &rule.source}, std::pair{"destination", &rule.destination}}) {
    if (!side->nets.empty() && all_inside(side->nets, side->not_nets)) {
      return fmt::format("{}.notNets excludes all of {}.nets", name, name);
    }
    if (!side->ports.empty() && side->named_ports.empty() &&
        all_inside(side->ports, side->not_ports)) {
      return fmt::format("{}.notPorts excludes all of {}.ports", name, name);
    }
  }
  return {};
}

bool covers(const std::optional<Selector>& wide, const std::optional<Selector>& narrow) {
  return !wide || (narrow && wide->text() == narrow->text());
}

bool covers(const EntityMatch& wide, const EntityMatch& narrow) {
  const bool ports =
      !wide.has_ports() || (narrow.has_ports() && all_inside(narrow.ports, wide.ports) &&
                            std::ranges::includes(wide.named_ports, narrow.named_ports));
  const bool excluded = (wide.not_nets.empty() || wide.not_nets == narrow.not_nets) &&
                        (!wide.has_not_ports() || (wide.not_ports == narrow.not_ports &&
                                                   wide.not_named_ports == narrow.not_named_ports));
  return ports && excluded && covers(wide.selector, narrow.selector) &&
         (!wide.not_selector || covers(wide.not_selector, narrow.not_selector)) &&
         (wide.nets.empty() || (!narrow.nets.empty() && all_inside(narrow.nets, wide.nets))) &&
         covers(wide.nodes, narrow.nodes) &&
         (!wide.has_domains() || wide.domains == narrow.domains) &&
         (!wide.service || wide.service == narrow.service);
}

template <typename T>
bool covers_value(const std::optional<T>& wide, const std::optional<T>& narrow) {
  return !wide || wide == narrow;
}

// Whatever matches the second matches the first. False where that cannot be told.
bool covers(const Rule& wide, const Rule& narrow) {
  return wide.unsupported.empty() && covers_value(wide.family, narrow.family) &&
         covers_value(wide.protocol, narrow.protocol) &&
         covers_value(wide.not_protocol, narrow.not_protocol) &&
         covers_value(wide.icmp, narrow.icmp) && covers_value(wide.not_icmp, narrow.not_icmp) &&
         covers(wide.source, narrow.source) && covers(wide.destination, narrow.destination);
}

bool decides_everything(const Rule& rule) {
  return rule.action != Action::kLog && rule.action != Action::kPass && covers(rule, Rule{});
}

const char* field_of(PolicyType direction) {
  return direction == PolicyType::kIngress ? "ingress" : "egress";
}

class Linter {
 public:
  explicit Linter(const Evaluator& evaluator) : evaluator_(evaluator), world_(evaluator.world()) {}

  std::vector<Finding> run() {
    for (const Policy& policy : world_.policies) {
      policy_ = &policy;
      check_tier();
      if (!matches_endpoint(policy.subject)) {
        add("", "selects no endpoint now", "check the selector, or remove the policy");
      }
      for (const PolicyType direction : {PolicyType::kIngress, PolicyType::kEgress}) {
        if (policy.applies(direction)) {
          check_direction(direction);
        }
      }
    }
    return std::move(findings_);
  }

 private:
  void add(std::string path, std::string problem, std::string fix) {
    Finding finding{policy_->key, std::move(path), std::move(problem), std::move(fix)};
    if (std::ranges::find(findings_, finding) == findings_.end()) {
      findings_.push_back(std::move(finding));
    }
  }

  void check_tier() {
    if (!builtin_tier(policy_->tier) && !evaluator_.made_tiers().contains(policy_->tier)) {
      add("spec.tier",
          "tier " + policy_->tier + " does not exist: the policy comes last, and its end denies",
          "create the tier, or name another");
    }
  }

  void check_direction(PolicyType direction) {
    const std::vector<Rule>& rules = policy_->rules(direction);
    check_earlier_policies(direction);
    for (std::size_t i = 0; i < rules.size(); ++i) {
      const std::string path =
          fmt::format("spec.{}[{}]", field_of(direction), rules[i].written_index);
      if (const std::string why = contradiction(rules[i]); !why.empty()) {
        add(path, "can never match: " + why, "remove the rule, or one of the two conditions");
        continue;
      }
      for (std::size_t j = 0; j < i; ++j) {
        const bool other = rules[j].written_index != rules[i].written_index;
        if (other && rules[j].action != Action::kLog && covers(rules[j], rules[i])) {
          add(path,
              fmt::format("never reached: spec.{}[{}] matches everything that it matches",
                          field_of(direction),
                          rules[j].written_index),
              "put it before that rule, or remove it");
          break;
        }
      }
      check_side(rules[i].source, path + side_field(direction, true), rules[i].protocol);
      check_side(rules[i].destination, path + side_field(direction, false), rules[i].protocol);
    }
  }

  // What the side is called in a document of the policy's kind.
  [[nodiscard]] std::string side_field(PolicyType direction, bool source) const {
    const api::Kind kind = policy_->key.kind;
    const bool ingress = direction == PolicyType::kIngress;
    if (kind == api::Kind::kGlobalNetworkPolicy || kind == api::Kind::kNetworkPolicy) {
      return source ? ".source" : ".destination";
    }
    return ingress != source ? "" : source ? ".from" : ".to";
  }

  // For every endpoint it selects, something before it decides everything.
  void check_earlier_policies(PolicyType direction) {
    const Policy* shadow = nullptr;
    for (const Endpoint& endpoint : world_.endpoints) {
      if (!evaluator_.matches(policy_->subject, endpoint)) {
        continue;
      }
      const Policy* before = first_deciding(endpoint, direction);
      if (before == nullptr || (shadow != nullptr && shadow != before)) {
        return;
      }
      shadow = before;
    }
    if (shadow != nullptr) {
      add(fmt::format("spec.{}", field_of(direction)),
          fmt::format("never reached: {} decides everything before it for all endpoints it selects",
                      shadow->key.str()),
          "give it a lower order, or remove it");
    }
  }

  // The policy before policy_ that leaves it nothing of this endpoint.
  const Policy* first_deciding(const Endpoint& endpoint, PolicyType direction) {
    for (const AppliedTier& tier : evaluator_.applied(endpoint, direction)) {
      for (const Policy* policy : tier.policies) {
        if (policy == policy_) {
          return nullptr;
        }
        const auto passes = [](const Rule& rule) { return rule.action == Action::kPass; };
        const std::vector<Rule>& rules = policy->rules(direction);
        if (std::ranges::any_of(rules, passes)) {
          return nullptr;  // some packets go on to the next tier
        }
        if (std::ranges::any_of(rules, decides_everything)) {
          return policy;
        }
      }
    }
    return nullptr;
  }

  void check_side(const EntityMatch& side,
                  const std::string& path,
                  const std::optional<api::Protocol>& protocol) {
    if (side.selector && !matches_anything(*side.selector)) {
      add(path + ".selector",
          "matches no endpoint and no network set now: " + side.selector->text(),
          "check the labels");
    }
    if (side.service && !world_.services.contains(*side.service)) {
      add(path + ".services",
          "service " + *side.service + " has no endpoints",
          "check its name and namespace");
    }
    if (side.nodes && !matches_node(*side.nodes)) {
      add(path + ".nodes",
          "matches no node now: " + side.nodes->text(),
          "check the labels of the nodes");
    }
    if (side.has_domains() && !trusts_dns()) {
      add(path + ".domainNames",
          "no name server is trusted, so no name leads anywhere",
          "name some in dnsTrustedServers of FelixConfiguration default");
    }
    for (const std::string& name : side.named_ports) {
      const bool known = any_endpoint([&](const Endpoint& endpoint) {
        return std::ranges::any_of(endpoint.ports, [&](const api::EndpointPort& port) {
          return port.name == name && (!protocol || port.protocol == *protocol);
        });
      });
      if (!known) {
        add(path + ".ports", "no endpoint has a port named " + name, "check the name");
      }
    }
  }

  // An address, or a service with endpoints.
  [[nodiscard]] bool trusts_dns() const {
    return std::ranges::any_of(world_.dns_servers, [this](const std::string& text) {
      const auto server = api::DnsServer::parse(text);
      return server && (server->net || world_.services.contains(server->service));
    });
  }
  // Of workloads and of hosts.
  template <typename Predicate>
  [[nodiscard]] bool any_endpoint(Predicate predicate) const {
    return std::ranges::any_of(world_.endpoints, predicate) ||
           std::ranges::any_of(world_.host_endpoints, predicate);
  }
  [[nodiscard]] bool matches_endpoint(const Selector& selector) const {
    return any_endpoint(
        [&](const Endpoint& endpoint) { return evaluator_.matches(selector, endpoint); });
  }
  [[nodiscard]] bool matches_node(const Selector& selector) const {
    return std::ranges::any_of(world_.node_labels, [&](const auto& node) {
      return selector.matches(LabelView(node.second, {}));
    });
  }
  [[nodiscard]] bool matches_anything(const Selector& selector) const {
    return matches_endpoint(selector) ||
           std::ranges::any_of(world_.network_sets, [&](const NetworkSet& set) {
             return evaluator_.matches(selector, set);
           });
  }

  const Evaluator& evaluator_;
  const World& world_;
  const Policy* policy_ = nullptr;
  std::vector<Finding> findings_;
};

}  // namespace

std::vector<Finding> lint(const Evaluator& evaluator) {
  return Linter(evaluator).run();
}

}  // namespace margay::policy
