#include "tests/flow/policy/brute_force.h"

#include <algorithm>
#include <limits>

namespace margay::test {

namespace {

using api::Action;
using api::PolicyType;

constexpr double kLast = std::numeric_limits<double>::infinity();

template <typename Spec>
const Spec* as(const api::Resource& resource) {
  return std::get_if<Spec>(&resource.spec);
}

bool any_contains(const std::vector<Prefix>& nets, const IpAddr& address) {
  return std::ranges::any_of(nets, [&](const Prefix& net) { return net.contains(address); });
}

bool text_matches(const std::string& selector, const api::Labels& labels) {
  const auto parsed = policy::Selector::parse(selector);
  REQUIRE(parsed);
  return parsed->matches(labels);
}

bool carries_ports(api::Protocol protocol) {
  return protocol == api::kTcp || protocol == api::kUdp || protocol == api::kSctp ||
         protocol == api::kUdpLite;
}
bool carries_type(api::Protocol protocol) {
  return protocol == api::kIcmp || protocol == api::kIcmpv6;
}

bool in_range(const api::Port& port, std::uint16_t number) {
  const auto* range = std::get_if<api::PortRange>(&port);
  return range != nullptr && range->first <= number && number <= range->last;
}

// meta/v1 LabelSelector: every requirement holds.
bool kubernetes_matches(const api::LabelSelector& selector, const api::Labels& labels) {
  using Operator = api::LabelSelectorRequirement::Operator;
  for (const auto& [key, value] : selector.match_labels) {
    const auto found = labels.find(key);
    if (found == labels.end() || found->second != value) {
      return false;
    }
  }
  return std::ranges::all_of(
      selector.match_expressions, [&](const api::LabelSelectorRequirement& requirement) {
        const auto found = labels.find(requirement.key);
        const bool there = found != labels.end();
        const bool listed = there && std::ranges::count(requirement.values, found->second) > 0;
        switch (requirement.op) {
          case Operator::kIn:
            return listed;
          case Operator::kNotIn:
            return !listed;
          case Operator::kExists:
            return there;
          case Operator::kDoesNotExist:
            return !there;
        }
        return false;
      });
}

}  // namespace

// Somebody to whom an address belongs: an endpoint, or a network set around it.
struct BruteForce::Owner {
  const api::Resource* resource = nullptr;
  api::Labels labels;
  [[nodiscard]] const std::string& ns() const { return resource->metadata.ns; }
  [[nodiscard]] bool workload() const { return as<api::WorkloadEndpoint>(*resource) != nullptr; }
  [[nodiscard]] std::vector<api::EndpointPort> ports() const {
    if (const auto* endpoint = as<api::WorkloadEndpoint>(*resource)) {
      return endpoint->ports;
    }
    const auto* host = as<api::HostEndpoint>(*resource);
    return host == nullptr ? std::vector<api::EndpointPort>() : host->ports;
  }
};

struct BruteForce::Ask {
  const policy::Flow& flow;
  PolicyType direction;
  std::vector<Owner> sources;
  std::vector<Owner> destinations;
  [[nodiscard]] bool ingress() const { return direction == PolicyType::kIngress; }
  [[nodiscard]] const IpAddr& address(bool destination) const {
    return destination ? flow.destination : flow.source;
  }
  [[nodiscard]] std::uint16_t port(bool destination) const {
    return destination ? flow.destination_port : flow.source_port;
  }
  [[nodiscard]] const std::vector<Owner>& owners(bool destination) const {
    return destination ? destinations : sources;
  }
};

struct BruteForce::AnyPolicy {
  const api::Resource* resource = nullptr;
  std::string tier;
  double order = kLast;
};

BruteForce::BruteForce(const Objects& objects) : objects_(objects) {}

const api::Labels& BruteForce::namespace_labels(const std::string& ns) const {
  static const api::Labels none;
  const auto found = objects_.find({api::Kind::kNamespace, {}, ns});
  return found == objects_.end() ? none : found->second.metadata.labels;
}

// Own labels first, then those of the namespace, the account and the profiles.
api::Labels BruteForce::labels_of(const api::Resource& resource) const {
  const std::string& ns = resource.metadata.ns;
  api::Labels labels = resource.metadata.labels;
  if (!ns.empty()) {
    labels["projectcalico.org/namespace"] = ns;
    labels["pcns.projectcalico.org/name"] = ns;
    labels["pcns.kubernetes.io/metadata.name"] = ns;
    for (const auto& [key, value] : namespace_labels(ns)) {
      labels.emplace("pcns." + key, value);
    }
  }
  std::vector<std::string> profiles;
  if (const auto* endpoint = as<api::WorkloadEndpoint>(resource)) {
    labels["projectcalico.org/orchestrator"] = endpoint->orchestrator;
    profiles = endpoint->profiles;
    if (!endpoint->service_account.empty()) {
      labels["projectcalico.org/serviceaccount"] = endpoint->service_account;
      const auto account =
          objects_.find({api::Kind::kServiceAccount, ns, endpoint->service_account});
      if (account != objects_.end()) {
        labels["pcsa.projectcalico.org/name"] = endpoint->service_account;
        for (const auto& [key, value] : account->second.metadata.labels) {
          labels.emplace("pcsa." + key, value);
        }
      }
    }
  } else if (const auto* host = as<api::HostEndpoint>(resource)) {
    profiles = host->profiles;
  }
  for (const std::string& name : profiles) {
    const auto profile = objects_.find({api::Kind::kProfile, {}, name});
    if (profile != objects_.end()) {
      const auto& given = std::get<api::Profile>(profile->second.spec).labels_to_apply;
      labels.insert(given.begin(), given.end());
    }
  }
  return labels;
}

std::vector<BruteForce::Owner> BruteForce::owners(const IpAddr& address) const {
  std::vector<Owner> out;
  for (const auto& [key, resource] : objects_) {
    bool owns = false;
    if (const auto* endpoint = as<api::WorkloadEndpoint>(resource)) {
      owns = any_contains(endpoint->ip_networks, address);
    } else if (const auto* host = as<api::HostEndpoint>(resource)) {
      owns = std::ranges::count(host->expected_ips, address) > 0;
    } else if (const auto* set = as<api::NetworkSet>(resource)) {
      owns = any_contains(set->nets, address);
    } else if (const auto* global = as<api::GlobalNetworkSet>(resource)) {
      owns = any_contains(global->nets, address);
    }
    if (owns) {
      out.push_back({&resource, labels_of(resource)});
    }
  }
  return out;
}

std::optional<NodeName> BruteForce::node_at(const IpAddr& address) const {
  for (const auto& [name, own] :
       {std::pair{kHere, kHereAddress}, {kElsewhere, kElsewhereAddress}}) {
    if (parsed<IpAddr>(own) == address) {
      return parsed<NodeName>(name);
    }
  }
  for (const auto& [key, resource] : objects_) {
    const auto* node = as<api::Node>(resource);
    for (std::size_t i = 0; node != nullptr && i < node->addresses.size(); ++i) {
      if (parsed<IpAddr>(node->addresses[i].address) == address) {
        return parsed<NodeName>(key.name);
      }
    }
  }
  return std::nullopt;
}

// ---- Calico's rules

bool BruteForce::namespace_matches(const std::string& selector, const std::string& ns) const {
  if (selector == "all()") {
    return !ns.empty();
  }
  if (selector == "global()") {
    return ns.empty();
  }
  return text_matches(selector, ns.empty() ? api::Labels() : namespace_labels(ns));
}

// What the selectors of a side say of one owner of the address.
bool BruteForce::side_names(const api::EntityRule& side,
                            const std::string& policy_ns,
                            const Owner& owner) const {
  if (!side.namespace_selector.empty()) {
    if (!namespace_matches(side.namespace_selector, owner.ns())) {
      return false;
    }
  } else if (!policy_ns.empty() && owner.ns() != policy_ns) {
    return false;
  }
  if (side.service_accounts) {
    const auto* endpoint = as<api::WorkloadEndpoint>(*owner.resource);
    const std::string account = endpoint == nullptr ? "" : endpoint->service_account;
    if (!side.service_accounts->names.empty() &&
        std::ranges::count(side.service_accounts->names, account) == 0) {
      return false;
    }
    if (!side.service_accounts->selector.empty()) {
      const auto object = objects_.find({api::Kind::kServiceAccount, owner.ns(), account});
      if (!text_matches(
              side.service_accounts->selector,
              object == objects_.end() ? api::Labels() : object->second.metadata.labels)) {
        return false;
      }
    }
  }
  return (side.selector.empty() || text_matches(side.selector, owner.labels)) &&
         (side.not_selector.empty() || !text_matches(side.not_selector, owner.labels));
}

bool BruteForce::ports_match(const std::vector<api::Port>& ports,
                             const api::EntityRule& side,
                             const std::string& policy_ns,
                             const Ask& ask,
                             bool destination) const {
  const std::uint16_t number = ask.port(destination);
  const bool selects = !side.selector.empty() || !side.namespace_selector.empty() ||
                       side.service_accounts || (!policy_ns.empty() && !side.not_selector.empty());
  return std::ranges::any_of(ports, [&](const api::Port& port) {
    if (in_range(port, number)) {
      return true;
    }
    const auto* name = std::get_if<std::string>(&port);
    return name != nullptr && std::ranges::any_of(ask.owners(destination), [&](const Owner& owner) {
             return (!selects || side_names(side, policy_ns, owner)) &&
                    std::ranges::any_of(owner.ports(), [&](const api::EndpointPort& own) {
                      return own.name == *name && own.port == number &&
                             own.protocol == ask.flow.protocol;
                    });
           });
  });
}

bool BruteForce::entity_matches(const api::EntityRule& side,
                                const std::string& policy_ns,
                                const Ask& ask,
                                bool destination) const {
  const IpAddr& address = ask.address(destination);
  // Networks of one family, named or excluded, say nothing about the other one.
  for (const auto* nets : {&side.nets, &side.not_nets}) {
    if (!nets->empty() && std::ranges::none_of(*nets, [&](const Prefix& net) {
          return net.family() == address.family();
        })) {
      return false;
    }
  }
  if ((!side.nets.empty() && !any_contains(side.nets, address)) ||
      any_contains(side.not_nets, address)) {
    return false;
  }
  const auto& owners = ask.owners(destination);
  const bool positive = !side.selector.empty() || !side.namespace_selector.empty() ||
                        side.service_accounts || (!policy_ns.empty() && !side.not_selector.empty());
  if (positive) {
    if (std::ranges::none_of(
            owners, [&](const Owner& owner) { return side_names(side, policy_ns, owner); })) {
      return false;
    }
  } else if (!side.not_selector.empty() && std::ranges::any_of(owners, [&](const Owner& owner) {
               return text_matches(side.not_selector, owner.labels);
             })) {
    return false;
  }
  if (side.services) {
    const std::string& ns = side.services->ns.empty() ? policy_ns : side.services->ns;
    bool found = false;
    for (const auto& [key, resource] : objects_) {
      const auto* slice = as<api::EndpointSlice>(resource);
      if (slice == nullptr || key.ns != ns ||
          resource.metadata.labels.at(std::string(api::kServiceNameLabel)) != side.services->name) {
        continue;
      }
      for (const api::SliceEndpoint& endpoint : slice->endpoints) {
        const bool leads = std::ranges::any_of(slice->ports, [&](const api::SlicePort& port) {
          return port.protocol == ask.flow.protocol && port.port == ask.flow.destination_port;
        });
        found = found ||
                (std::ranges::count(endpoint.addresses, address) > 0 && (!destination || leads));
      }
    }
    if (!found) {
      return false;
    }
  }
  const bool ported = carries_ports(ask.flow.protocol);
  if (!side.ports.empty() && (!ported || ask.port(destination) == 0 ||
                              !ports_match(side.ports, side, policy_ns, ask, destination))) {
    return false;
  }
  return side.not_ports.empty() ||
         (ported && !ports_match(side.not_ports, side, policy_ns, ask, destination));
}

bool BruteForce::rule_matches(const api::Rule& rule,
                              const std::string& policy_ns,
                              const Ask& ask) const {
  const policy::Flow& flow = ask.flow;
  const Family family = flow.destination.family();
  const auto of_family = [&](const std::optional<api::Protocol>& protocol) {
    return !(protocol == api::kIcmp && family == Family::kIpv6) &&
           !(protocol == api::kIcmpv6 && family == Family::kIpv4);
  };
  if ((rule.ip_version && *rule.ip_version != family) || !of_family(rule.protocol) ||
      (rule.protocol && *rule.protocol != flow.protocol) ||
      (rule.not_protocol && *rule.not_protocol == flow.protocol)) {
    return false;
  }
  const auto icmp = [&](const api::IcmpMatch& match) {
    return (!match.type || *match.type == flow.icmp_type) &&
           (!match.code || *match.code == flow.icmp_code);
  };
  if ((rule.icmp || rule.not_icmp) && !carries_type(flow.protocol)) {
    return false;
  }
  return (!rule.icmp || icmp(*rule.icmp)) && (!rule.not_icmp || !icmp(*rule.not_icmp)) &&
         entity_matches(rule.source, policy_ns, ask, false) &&
         entity_matches(rule.destination, policy_ns, ask, true);
}

BruteForce::Said BruteForce::calico(const std::vector<api::Rule>& rules,
                                    const std::string& policy_ns,
                                    const Ask& ask) const {
  for (const api::Rule& rule : rules) {
    if (rule.action != Action::kLog && rule_matches(rule, policy_ns, ask)) {
      return rule.action == Action::kAllow  ? Said::kAllow
             : rule.action == Action::kDeny ? Said::kDeny
                                            : Said::kPass;
    }
  }
  return Said::kNothing;
}

// ---- Kubernetes

bool BruteForce::pod_matches(const api::LabelSelector* namespaces,
                             const api::LabelSelector* pods,
                             const Owner& owner) const {
  if (!owner.workload()) {
    return false;
  }
  api::Labels of_namespace = namespace_labels(owner.ns());
  of_namespace["kubernetes.io/metadata.name"] = owner.ns();
  return (namespaces == nullptr || kubernetes_matches(*namespaces, of_namespace)) &&
         (pods == nullptr || kubernetes_matches(*pods, owner.labels));
}

bool BruteForce::kubernetes_peer(const api::KubernetesPeer& peer,
                                 const std::string& ns,
                                 const Ask& ask,
                                 bool destination) const {
  if (peer.ip_block) {
    const IpAddr& address = ask.address(destination);
    return peer.ip_block->cidr.contains(address) && !any_contains(peer.ip_block->except, address);
  }
  return std::ranges::any_of(ask.owners(destination), [&](const Owner& owner) {
    return (peer.namespace_selector || owner.ns() == ns) &&
           pod_matches(peer.namespace_selector ? &*peer.namespace_selector : nullptr,
                       peer.pod_selector ? &*peer.pod_selector : nullptr,
                       owner);
  });
}

BruteForce::Said BruteForce::kubernetes(const std::vector<api::KubernetesRule>& rules,
                                        const std::string& ns,
                                        const Ask& ask) const {
  const policy::Flow& flow = ask.flow;
  const auto named = [&](const std::string& name) {
    return std::ranges::any_of(ask.destinations, [&](const Owner& owner) {
      return std::ranges::any_of(owner.ports(), [&](const api::EndpointPort& own) {
        return own.name == name && own.port == flow.destination_port &&
               own.protocol == flow.protocol;
      });
    });
  };
  for (const api::KubernetesRule& rule : rules) {
    const bool peer =
        rule.peers.empty() || std::ranges::any_of(rule.peers, [&](const api::KubernetesPeer& one) {
          return kubernetes_peer(one, ns, ask, !ask.ingress());
        });
    // A name is that of a port of the pods which the rule leads to.
    const bool port =
        rule.ports.empty() || std::ranges::any_of(rule.ports, [&](const api::KubernetesPort& one) {
          if (one.protocol != flow.protocol) {
            return false;
          }
          if (!one.port) {
            return true;
          }
          const auto* name = std::get_if<std::string>(&*one.port);
          return flow.destination_port != 0 &&
                 (name != nullptr ? named(*name) : in_range(*one.port, flow.destination_port));
        });
    if (peer && port) {
      return Said::kAllow;
    }
  }
  return Said::kNothing;
}

bool BruteForce::admin_peer(const api::AdminPeer& peer, Action action, const Ask& ask) const {
  const bool destination = !ask.ingress();
  const auto some = [&](const api::LabelSelector* namespaces, const api::LabelSelector* pods) {
    return std::ranges::any_of(ask.owners(destination), [&](const Owner& owner) {
      return pod_matches(namespaces, pods, owner);
    });
  };
  if (const auto* namespaces = std::get_if<api::NamespacesPeer>(&peer)) {
    return some(&namespaces->selector, nullptr);
  }
  if (const auto* pods = std::get_if<api::PodsPeer>(&peer)) {
    return some(&pods->namespace_selector, &pods->pod_selector);
  }
  if (const auto* networks = std::get_if<api::NetworksPeer>(&peer)) {
    return any_contains(networks->networks, ask.address(destination));
  }
  if (const auto* nodes = std::get_if<api::NodesPeer>(&peer)) {
    return std::ranges::any_of(objects_, [&](const auto& entry) {
      const auto* node = as<api::Node>(entry.second);
      return node != nullptr && kubernetes_matches(nodes->selector, entry.second.metadata.labels) &&
             std::ranges::any_of(node->addresses, [&](const api::NodeAddress& address) {
               return parsed<IpAddr>(address.address) == ask.address(destination);
             });
    });
  }
  if (const auto* names = std::get_if<api::DomainsPeer>(&peer)) {
    const std::string& name = ask.flow.destination_name;
    return std::ranges::any_of(names->domains, [&](const std::string& pattern) {
      return pattern == name || (pattern[0] == '*' && name.size() >= pattern.size() &&
                                 name.ends_with(pattern.substr(1)));
    });
  }
  return action != Action::kAllow;  // of a kind that nobody here knows
}

BruteForce::Said BruteForce::admin(const std::vector<api::AdminRule>& rules, const Ask& ask) const {
  const policy::Flow& flow = ask.flow;
  for (const api::AdminRule& rule : rules) {
    const bool port =
        rule.ports.empty() || std::ranges::any_of(rule.ports, [&](const api::AdminPort& one) {
          const auto* name = std::get_if<std::string>(&one.port);
          if (one.protocol && *one.protocol != flow.protocol) {
            return false;
          }
          if (!carries_ports(flow.protocol) || flow.destination_port == 0) {
            return false;
          }
          return name == nullptr
                     ? in_range(one.port, flow.destination_port)
                     : std::ranges::any_of(ask.destinations, [&](const Owner& owner) {
                         return std::ranges::any_of(
                             owner.ports(), [&](const api::EndpointPort& own) {
                               return own.name == *name && own.port == flow.destination_port &&
                                      own.protocol == flow.protocol;
                             });
                       });
        });
    const bool peer = std::ranges::any_of(
        rule.peers, [&](const api::AdminPeer& one) { return admin_peer(one, rule.action, ask); });
    if (port && peer) {
      return rule.action == Action::kAllow  ? Said::kAllow
             : rule.action == Action::kDeny ? Said::kDeny
                                            : Said::kPass;
    }
  }
  return Said::kNothing;
}

// ---- tiers

bool BruteForce::selects(const AnyPolicy& policy, const api::Resource& endpoint) const {
  const Owner subject{&endpoint, labels_of(endpoint)};
  const api::Resource& resource = *policy.resource;
  const std::string& ns = resource.metadata.ns;
  const auto calico = [&](const api::PolicySpec& spec, const std::string& namespaces) {
    return (ns.empty() || subject.ns() == ns) && text_matches(spec.selector, subject.labels) &&
           (namespaces.empty() || namespace_matches(namespaces, subject.ns()));
  };
  if (const auto* global = as<api::GlobalNetworkPolicy>(resource)) {
    return calico(*global, global->namespace_selector);
  }
  if (const auto* namespaced = as<api::NetworkPolicy>(resource)) {
    return calico(*namespaced, "");
  }
  if (const auto* of_kubernetes = as<api::KubernetesNetworkPolicy>(resource)) {
    return subject.ns() == ns && kubernetes_matches(of_kubernetes->pod_selector, subject.labels);
  }
  const auto admin = [&](const api::AdminPolicySpec& spec) {
    if (const auto* namespaces = std::get_if<api::NamespacesPeer>(&spec.subject)) {
      return pod_matches(&namespaces->selector, nullptr, subject);
    }
    const auto& pods = std::get<api::PodsPeer>(spec.subject);
    return pod_matches(&pods.namespace_selector, &pods.pod_selector, subject);
  };
  if (const auto* spec = as<api::AdminNetworkPolicy>(resource)) {
    return admin(*spec);
  }
  if (const auto* spec = as<api::BaselineAdminNetworkPolicy>(resource)) {
    return admin(*spec);
  }
  return admin(std::get<api::ClusterNetworkPolicy>(resource.spec));
}

// Those of the hook and direction that select the endpoint, in order within their tiers.
std::vector<BruteForce::AnyPolicy> BruteForce::policies_of(const api::Resource& endpoint,
                                                           policy::Hook hook,
                                                           const Ask& ask) const {
  std::vector<AnyPolicy> out;
  const auto typed = [&](const std::vector<PolicyType>& types) {
    return std::ranges::count(types, ask.direction) > 0;
  };
  const auto has_rules = [&](const api::AdminPolicySpec& spec) {
    return ask.ingress() ? !spec.ingress.empty() : !spec.egress.empty();
  };
  for (const auto& [key, resource] : objects_) {
    AnyPolicy policy{&resource, "default", kLast};
    bool takes_part = false;
    bool untracked = false;
    bool pre_dnat = false;
    bool forward = false;
    if (const auto* global = as<api::GlobalNetworkPolicy>(resource)) {
      policy.tier = global->tier;
      policy.order = global->order.value_or(kLast);
      takes_part = typed(global->types);
      untracked = global->do_not_track;
      pre_dnat = global->pre_dnat;
      forward = global->apply_on_forward;
    } else if (const auto* namespaced = as<api::NetworkPolicy>(resource)) {
      policy.tier = namespaced->tier;
      policy.order = namespaced->order.value_or(kLast);
      takes_part = typed(namespaced->types);
    } else if (const auto* of_kubernetes = as<api::KubernetesNetworkPolicy>(resource)) {
      policy.order = 1000;
      takes_part = typed(of_kubernetes->types);
    } else if (const auto* admin = as<api::AdminNetworkPolicy>(resource)) {
      policy.tier = "kube-admin";
      policy.order = admin->priority;
      takes_part = has_rules(*admin);
    } else if (const auto* baseline = as<api::BaselineAdminNetworkPolicy>(resource)) {
      policy.tier = "kube-baseline";
      policy.order = 0;
      takes_part = has_rules(*baseline);
    } else if (const auto* cluster = as<api::ClusterNetworkPolicy>(resource)) {
      policy.tier = cluster->tier == api::AdminTier::kAdmin ? "kube-admin" : "kube-baseline";
      policy.order = cluster->priority;
      takes_part = has_rules(*cluster);
    }
    switch (hook) {
      case policy::Hook::kNormal:
        takes_part = takes_part && !untracked && !pre_dnat;
        break;
      case policy::Hook::kForward:
        takes_part = takes_part && forward && !untracked && !pre_dnat;
        break;
      case policy::Hook::kPreDnat:
        takes_part = takes_part && pre_dnat;
        break;
      case policy::Hook::kUntracked:
        takes_part = takes_part && untracked;
        break;
    }
    if (takes_part && selects(policy, endpoint)) {
      out.push_back(policy);
    }
  }
  std::ranges::sort(out, [](const AnyPolicy& a, const AnyPolicy& b) {
    const auto& one = a.resource->metadata;
    const auto& other = b.resource->metadata;
    return std::tuple(a.order, one.name, one.ns, a.resource->kind()) <
           std::tuple(b.order, other.name, other.ns, b.resource->kind());
  });
  return out;
}

BruteForce::Said BruteForce::ask_policy(const AnyPolicy& policy, const Ask& ask) const {
  const api::Resource& resource = *policy.resource;
  const auto of_calico = [&](const api::PolicySpec& spec) {
    return calico(ask.ingress() ? spec.ingress : spec.egress, resource.metadata.ns, ask);
  };
  const auto of_admin = [&](const api::AdminPolicySpec& spec) {
    return admin(ask.ingress() ? spec.ingress : spec.egress, ask);
  };
  if (const auto* global = as<api::GlobalNetworkPolicy>(resource)) {
    return of_calico(*global);
  }
  if (const auto* namespaced = as<api::NetworkPolicy>(resource)) {
    return of_calico(*namespaced);
  }
  if (const auto* of_kubernetes = as<api::KubernetesNetworkPolicy>(resource)) {
    return kubernetes(
        ask.ingress() ? of_kubernetes->ingress : of_kubernetes->egress, resource.metadata.ns, ask);
  }
  if (const auto* spec = as<api::AdminNetworkPolicy>(resource)) {
    return of_admin(*spec);
  }
  if (const auto* spec = as<api::BaselineAdminNetworkPolicy>(resource)) {
    return of_admin(*spec);
  }
  return of_admin(std::get<api::ClusterNetworkPolicy>(resource.spec));
}

BruteForce::Said BruteForce::tiers(const api::Resource& endpoint,
                                   policy::Hook hook,
                                   const Ask& ask,
                                   bool open_ends) const {
  struct TierEnd {
    double order;
    std::string name;
    bool passes;
    auto operator<=>(const TierEnd&) const = default;
  };
  const std::vector<AnyPolicy> policies = policies_of(endpoint, hook, ask);
  std::vector<TierEnd> tiers;
  for (const AnyPolicy& policy : policies) {
    const std::string& name = policy.tier;
    TierEnd tier{kLast, name, false};  // one that nobody made comes last
    if (const auto object = objects_.find({api::Kind::kTier, {}, name}); object != objects_.end()) {
      const auto& spec = std::get<api::Tier>(object->second.spec);
      tier.order = spec.order.value_or(kLast);
      tier.passes = spec.default_action == Action::kPass;
    } else if (name == "default") {
      tier.order = 1'000'000;
    } else if (name == "kube-admin") {
      tier = {1'000, name, true};
    } else if (name == "kube-baseline") {
      tier = {10'000'000, name, true};
    }
    if (std::ranges::count(tiers, tier) == 0) {
      tiers.push_back(tier);
    }
  }
  std::ranges::sort(tiers);
  for (const TierEnd& tier : tiers) {
    Said said = Said::kNothing;
    for (const AnyPolicy& policy : policies) {
      if (policy.tier == tier.name && said == Said::kNothing) {
        said = ask_policy(policy, ask);
      }
    }
    if (said == Said::kNothing && !tier.passes && !open_ends) {
      said = Said::kDeny;
    }
    if (said == Said::kAllow || said == Said::kDeny) {
      return said;
    }
  }
  return Said::kNothing;
}

bool BruteForce::endpoint_allows(const api::Resource& endpoint, const Ask& ask) const {
  const Said said = tiers(endpoint, policy::Hook::kNormal, ask, false);
  if (said != Said::kNothing) {
    return said == Said::kAllow;
  }
  const auto* workload = as<api::WorkloadEndpoint>(endpoint);
  for (const std::string& name :
       workload != nullptr ? workload->profiles : as<api::HostEndpoint>(endpoint)->profiles) {
    const auto object = objects_.find({api::Kind::kProfile, {}, name});
    if (object == objects_.end()) {
      if (name.starts_with("kns.") || name == "projectcalico-default-allow") {
        return true;
      }
      continue;
    }
    const auto& profile = std::get<api::Profile>(object->second.spec);
    const Said of_profile = calico(ask.ingress() ? profile.ingress : profile.egress, "", ask);
    if (of_profile != Said::kNothing) {
      return of_profile == Said::kAllow;
    }
  }
  return false;
}

// ---- hosts

bool BruteForce::failsafe(const Ask& ask, bool reply) const {
  std::vector<api::FailsafePort> inbound = api::default_failsafe_inbound();
  std::vector<api::FailsafePort> outbound = api::default_failsafe_outbound();
  const auto object = objects_.find({api::Kind::kFelixConfiguration, {}, "default"});
  if (object != objects_.end()) {
    const auto& felix = std::get<api::FelixConfiguration>(object->second.spec);
    inbound = felix.failsafe_inbound_host_ports.value_or(inbound);
    outbound = felix.failsafe_outbound_host_ports.value_or(outbound);
  }
  const auto& ports = ask.ingress() == reply ? outbound : inbound;
  const IpAddr& peer = ask.address(!ask.ingress());
  return std::ranges::any_of(ports, [&](const api::FailsafePort& port) {
    return port.protocol == ask.flow.protocol && port.port == ask.port(!reply) &&
           (!port.net || port.net->contains(peer));
  });
}

bool BruteForce::host_allows(const api::Resource& host, const Ask& ask, bool forwarded) const {
  const auto& spec = std::get<api::HostEndpoint>(host.spec);
  const bool open = failsafe(ask, false);
  const bool arrives = ask.ingress();
  if ((arrives || !forwarded) && !open && !failsafe(ask, true) &&
      spec.interface_name.str() != api::kEveryInterface) {
    const Said said = tiers(host, policy::Hook::kUntracked, ask, true);
    if (said != Said::kNothing) {
      return said == Said::kAllow;
    }
  }
  if (arrives && !open && tiers(host, policy::Hook::kPreDnat, ask, true) == Said::kDeny) {
    return false;
  }
  if (forwarded) {
    return tiers(host, policy::Hook::kForward, ask, false) != Said::kDeny;
  }
  return open || endpoint_allows(host, ask);
}

// The one that knows the address and names its interface, then one that knows the address, then one
// that names an interface, then the one for all.
const api::Resource* BruteForce::host_endpoint(const NodeName& node, const IpAddr& address) const {
  const api::Resource* found = nullptr;
  int best = 0;
  for (const auto& [key, resource] : objects_) {
    const auto* host = as<api::HostEndpoint>(resource);
    if (host == nullptr || host->node != node) {
      continue;
    }
    const bool every = host->interface_name.str() == api::kEveryInterface;
    const bool named = !host->interface_name.str().empty() && !every;
    const bool knows = std::ranges::count(host->expected_ips, address) > 0;
    const int rank = every                                 ? 1
                     : knows                               ? (named ? 4 : 3)
                     : named && host->expected_ips.empty() ? 2
                                                           : 0;
    if (rank > best) {
      best = rank;
      found = &resource;
    }
  }
  return found;
}

// ---- a flow

BruteForce::Sides BruteForce::verdict(const policy::Flow& flow) const {
  const Ask out{flow, PolicyType::kEgress, owners(flow.source), owners(flow.destination)};
  const Ask in{flow, PolicyType::kIngress, out.sources, out.destinations};
  const auto workload = [](const std::vector<Owner>& owners) -> const api::Resource* {
    const auto found = std::ranges::find_if(owners, &Owner::workload);
    return found == owners.end() ? nullptr : found->resource;
  };
  const api::Resource* from = workload(out.sources);
  const api::Resource* to = workload(out.destinations);
  if (from != nullptr && from == to) {
    return {};
  }
  const auto place = [&](const api::Resource* pod, const IpAddr& address) {
    return pod != nullptr ? std::optional(std::get<api::WorkloadEndpoint>(pod->spec).node)
                          : node_at(address);
  };
  const auto source = place(from, flow.source);
  const auto target = place(to, flow.destination);
  const bool stays = source && source == target;
  // The interface with the node's own address stands for all that leads to other nodes.
  const auto uplink = [&](const NodeName& node) {
    return host_endpoint(node,
                         parsed<IpAddr>(node.str() == kHere ? kHereAddress : kElsewhereAddress));
  };
  Sides sides;
  if (from != nullptr) {
    sides.egress = endpoint_allows(*from, out);
    if (stays && to == nullptr) {
      const auto object = objects_.find({api::Kind::kFelixConfiguration, {}, "default"});
      const auto action =
          object == objects_.end()
              ? api::EndpointToHostAction::kDrop
              : std::get<api::FelixConfiguration>(object->second.spec)
                    .default_endpoint_to_host_action.value_or(api::EndpointToHostAction::kDrop);
      sides.egress = sides.egress && action != api::EndpointToHostAction::kDrop;
    } else if (const api::Resource* host = uplink(*source); !stays && host != nullptr) {
      sides.egress = sides.egress && host_allows(*host, out, true);
    }
  } else if (source && !stays) {
    const api::Resource* host = host_endpoint(*source, flow.source);
    sides.egress = host == nullptr || host_allows(*host, out, false);
  }
  if (to != nullptr && !(stays && from == nullptr)) {
    const api::Resource* host = stays ? nullptr : uplink(*target);
    sides.ingress = (host == nullptr || host_allows(*host, in, true)) && endpoint_allows(*to, in);
  } else if (to == nullptr && target && !stays) {
    const api::Resource* host = host_endpoint(*target, flow.destination);
    sides.ingress = host == nullptr || host_allows(*host, in, false);
  }
  return sides;
}

}  // namespace margay::test
