#pragma once
// Random objects of every kind that policy reads, over a small world: namespaces x and y with three
// pods each, a few policies of each kind, one network set, one service. Small enough that they
// meet.

#include "api/resource.h"
#include "policy/world.h"

#include <doctest/doctest.h>

#include <cstdint>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace margay::test {

template <typename T>
T parsed(std::string_view text) {
  auto value = T::parse(text);
  REQUIRE(value);
  return *value;
}

inline constexpr const char* kHere = "node1";
inline constexpr const char* kElsewhere = "node2";
inline constexpr const char* kHereAddress = "192.0.2.1";
inline constexpr const char* kElsewhereAddress = "192.0.2.2";
inline constexpr const char* kUplink = "eth0";
// Addresses outside, and the name that led to them.
inline constexpr const char* kOutside = "198.51.100.7";
inline constexpr const char* kOutside6 = "fd00:9::7";
inline constexpr const char* kOutsideName = "www.example.org";
inline constexpr const char* kSelectors[] = {"all()",
                                             "app == 'a'",
                                             "app != 'a'",
                                             "has(role)",
                                             "!has(role)",
                                             "app in {'a','b'} && role == 'x'",
                                             "role starts with 'x' || app == 'c'",
                                             "projectcalico.org/namespace == 'x'"};
inline constexpr const char* kNamespaceSelectors[] = {
    "all()", "team == 'red'", "has(team)", "team != 'red'"};
inline constexpr const char* kNets[] = {"10.0.0.0/16",
                                        "10.0.1.0/24",
                                        "10.0.1.2/32",
                                        "198.51.100.0/24",
                                        "0.0.0.0/0",
                                        "fd00::/16",
                                        "fd00:1::/32",
                                        "fd00:1::2/128"};

inline constexpr const char* kDomains[] = {"www.example.org", "*.example.org", "www.example.net"};
inline constexpr const char* kPortNames[] = {"http", "metrics"};

class Chance {
 public:
  explicit Chance(unsigned seed) : random_(seed) {}

  unsigned below(unsigned bound) { return static_cast<unsigned>(random_() % bound); }
  bool one_in(unsigned n) { return below(n) == 0; }
  template <typename T, std::size_t N>
  const T& of(const T (&list)[N]) {
    return list[below(N)];
  }

  api::Labels labels() {
    api::Labels labels;
    if (!one_in(4)) {
      labels["app"] = std::string(1, static_cast<char>('a' + below(3)));
    }
    if (one_in(2)) {
      labels["role"] = one_in(2) ? "x" : "xy";
    }
    return labels;
  }

  api::EntityRule side(bool ports) {
    api::EntityRule side;
    if (one_in(3)) {
      side.selector = of(kSelectors);
    }
    if (one_in(6)) {
      side.not_selector = of(kSelectors);
    }
    if (one_in(6)) {
      side.namespace_selector = of(kNamespaceSelectors);
    }
    if (one_in(4)) {
      for (unsigned count = 1 + below(3); count > 0; --count) {
        side.nets.push_back(parsed<Prefix>(of(kNets)));
      }
    }
    if (one_in(8)) {
      const Prefix net = parsed<Prefix>(of(kNets));
      if (net.length() > 0) {
        side.not_nets.push_back(net);
      }
    }
    if (one_in(8)) {
      side.service_accounts = api::ServiceAccountMatch{{}, "team == 'red'"};
      if (one_in(2)) {
        side.service_accounts->names = {"sa"};
      }
    }
    if (ports && one_in(2)) {
      for (unsigned count = 1 + below(3); count > 0; --count) {
        const auto first = static_cast<std::uint16_t>(78 + below(6));
        const auto last = static_cast<std::uint16_t>(first + below(3));
        auto& list = one_in(5) ? side.not_ports : side.ports;
        if (one_in(4)) {
          list.emplace_back(std::string(of(kPortNames)));
        } else {
          list.emplace_back(api::PortRange{first, last});
        }
      }
    }
    return side;
  }

  api::Rule rule() {
    static constexpr api::Action kActions[] = {api::Action::kAllow,
                                               api::Action::kAllow,
                                               api::Action::kAllow,
                                               api::Action::kDeny,
                                               api::Action::kDeny,
                                               api::Action::kPass,
                                               api::Action::kLog};
    static constexpr api::Protocol kProtocols[] = {
        api::kTcp, api::kTcp, api::kUdp, api::kIcmp, api::kIcmpv6, api::Protocol{47}};
    api::Rule rule;
    rule.action = of(kActions);
    if (one_in(2)) {
      rule.protocol = of(kProtocols);
    } else if (one_in(6)) {
      rule.not_protocol = of(kProtocols);
    }
    if (one_in(8)) {
      rule.ip_version = one_in(2) ? Family::kIpv4 : Family::kIpv6;
    }
    if (rule.protocol == api::kIcmp || rule.protocol == api::kIcmpv6) {
      const auto type = static_cast<std::uint8_t>(rule.protocol == api::kIcmp ? 8 : 128);
      std::optional<std::uint8_t> code;
      if (one_in(2)) {
        code = static_cast<std::uint8_t>(below(2));
      }
      if (one_in(3)) {
        rule.icmp = api::IcmpMatch{type, code};
      } else if (one_in(3)) {
        rule.not_icmp = api::IcmpMatch{type, code};
      }
    }
    const bool ports = rule.protocol == api::kTcp || rule.protocol == api::kUdp;
    rule.source = side(ports && one_in(4));
    rule.destination = side(ports);
    if (!rule.protocol && one_in(3)) {
      rule.destination.ports = {std::string(of(kPortNames))};  // of any protocol
    }
    if (one_in(8)) {
      auto& peer = one_in(2) ? rule.source : rule.destination;
      peer = {};
      peer.services = api::ServiceMatch{"svc", one_in(2) ? "x" : "y"};
    }
    return rule;
  }

  void fill(api::PolicySpec& spec) {
    static constexpr const char* kTiers[] = {"default", "default", "first", "second", "missing"};
    spec.tier = of(kTiers);
    if (!one_in(5)) {
      spec.order = below(4);
    }
    spec.selector = of(kSelectors);
    if (!one_in(4)) {
      spec.types.push_back(api::PolicyType::kIngress);
    }
    if (spec.types.empty() || one_in(2)) {
      spec.types.push_back(api::PolicyType::kEgress);
    }
    for (unsigned count = below(4); count > 0; --count) {
      spec.ingress.push_back(rule());
    }
    for (unsigned count = below(4); count > 0; --count) {
      spec.egress.push_back(rule());
    }
    repeat(spec.ingress);
    repeat(spec.egress);
  }

  // A rule once more with another value in one place, which a renderer may take together with the
  // first; perhaps with one between that forbids it.
  void repeat(std::vector<api::Rule>& rules) {
    if (rules.empty() || !one_in(3)) {
      return;
    }
    const std::size_t first = below(static_cast<unsigned>(rules.size()));
    const bool ports = rules[first].protocol == api::kTcp && one_in(2);
    api::EntityRule& side = rules[first].destination;
    if (side.services || rules[first].source.services) {
      return;
    }
    side.nets = {parsed<Prefix>(of(kNets))};
    if (ports) {
      side.ports = {api::PortRange{80, 80}};
    }
    api::Rule again = rules[first];
    if (ports) {
      again.destination.ports = {api::PortRange{81, static_cast<std::uint16_t>(81 + below(2))}};
    } else {
      again.destination.nets = {parsed<Prefix>(of(kNets))};
    }
    if (one_in(2)) {
      api::Rule between;
      between.action =
          again.action == api::Action::kAllow ? api::Action::kDeny : api::Action::kAllow;
      between.destination.nets = again.destination.nets;
      rules.push_back(std::move(between));
    }
    rules.push_back(std::move(again));
  }

  api::LabelSelector label_selector() {
    using Requirement = api::LabelSelectorRequirement;
    api::LabelSelector selector;
    if (one_in(2)) {
      selector.match_labels["app"] = std::string(1, static_cast<char>('a' + below(3)));
    }
    if (one_in(4)) {
      selector.match_expressions.push_back({"role", Requirement::Operator::kNotIn, {"x"}});
    }
    return selector;
  }

  api::KubernetesRule kubernetes_rule() {
    api::KubernetesRule rule;
    for (unsigned count = below(3); count > 0; --count) {
      api::KubernetesPeer peer;
      if (one_in(4)) {
        peer.ip_block = api::IPBlock{parsed<Prefix>("10.0.0.0/16"), {}};
        if (one_in(2)) {
          peer.ip_block->except.push_back(parsed<Prefix>("10.0.1.0/24"));
        }
      } else if (one_in(2)) {
        peer.pod_selector = label_selector();
      } else {
        peer.namespace_selector.emplace().match_labels["team"] = "red";
      }
      rule.peers.push_back(std::move(peer));
    }
    for (unsigned count = below(3); count > 0; --count) {
      api::KubernetesPort port{one_in(3) ? api::kUdp : api::kTcp, std::nullopt};
      if (!one_in(4)) {
        port.port = api::PortRange{80, static_cast<std::uint16_t>(80 + below(2))};
        if (one_in(3)) {
          port.port = std::string(of(kPortNames));
        }
      }
      rule.ports.push_back(std::move(port));
    }
    return rule;
  }

  api::KubernetesNetworkPolicy kubernetes() {
    api::KubernetesNetworkPolicy spec;
    spec.pod_selector = label_selector();
    spec.types = {api::PolicyType::kIngress};
    for (unsigned count = below(3); count > 0; --count) {
      spec.ingress.push_back(kubernetes_rule());
    }
    if (one_in(3)) {
      spec.types.push_back(api::PolicyType::kEgress);
      spec.egress.push_back(kubernetes_rule());
    }
    return spec;
  }

  // One of a small set of objects, in a random version.
  api::Resource object() {
    const std::string ns = one_in(2) ? "x" : "y";
    switch (below(16)) {
      case 13:
        return host_endpoint();
      case 14:
        return node();
      case 8:
        return network_set(ns);
      case 9:
        return {{.name = "sa", .ns = ns, .labels = {{"team", one_in(2) ? "red" : "blue"}}},
                api::ServiceAccount{}};
      case 10:
        return slice(ns);
      case 11:
        return profile();
      case 12:
        return admin_policy();
      case 0:
        return tier();
      case 1: {
        api::Metadata metadata{.name = ns};
        if (!one_in(3)) {
          metadata.labels["team"] = one_in(2) ? "red" : "blue";
        }
        return {metadata, api::Namespace{}};
      }
      case 2: {
        api::GlobalNetworkPolicy spec;
        fill(spec);
        if (one_in(4)) {
          spec.namespace_selector = of(kNamespaceSelectors);
        }
        for_hosts(spec);
        return {{.name = "g" + std::to_string(below(3))}, spec};
      }
      case 3: {
        api::NetworkPolicy spec;
        fill(spec);
        return {{.name = "n" + std::to_string(below(2)), .ns = ns}, spec};
      }
      case 4:
        return {{.name = "n" + std::to_string(below(2)), .ns = ns}, kubernetes()};
      case 5:
        return felix();
      default:
        return endpoint(below(6), ns);
    }
  }

  // Some global policies are for what hosts pass on, or stand before the other hooks.
  void for_hosts(api::GlobalNetworkPolicy& spec) {
    spec.apply_on_forward = one_in(2);
    if (one_in(4)) {
      spec.apply_on_forward = true;
      spec.do_not_track = one_in(2);
      spec.pre_dnat = !spec.do_not_track;
    }
    if (spec.pre_dnat) {
      spec.types = {api::PolicyType::kIngress};
      spec.egress.clear();
    }
  }

  // One of three of the node here, known by name, for all interfaces, or known by its address; or
  // one elsewhere.
  api::Resource host_endpoint() {
    api::HostEndpoint spec;
    spec.node = parsed<NodeName>(kHere);
    std::string name = "here-name";
    switch (below(4)) {
      case 0:
        spec.interface_name = parsed<IfName>(kUplink);
        spec.expected_ips = {parsed<IpAddr>(kHereAddress)};
        break;
      case 1:
        name = "here-all";
        spec.interface_name = parsed<IfName>(api::kEveryInterface);
        break;
      case 2:
        name = "here-address";
        spec.expected_ips = {parsed<IpAddr>(kHereAddress)};
        break;
      default:
        name = "elsewhere";
        spec.node = parsed<NodeName>(kElsewhere);
        spec.expected_ips = {parsed<IpAddr>(kElsewhereAddress)};
    }
    if (one_in(2)) {
      spec.profiles.emplace_back(one_in(2) ? "own" : "projectcalico-default-allow");
    }
    spec.ports = {{"http", api::kTcp, static_cast<std::uint16_t>(78 + below(5))}};
    return {{.name = name, .labels = labels()}, spec};
  }

  // The other one has the outside addresses that flows know, too.
  api::Resource node() {
    const bool here = one_in(2);
    api::Node spec;
    spec.addresses = {{here ? kHereAddress : kElsewhereAddress, "InternalIP"}};
    if (!here && one_in(2)) {
      spec.addresses.push_back({kOutside, "ExternalIP"});
      spec.addresses.push_back({kOutside6, "ExternalIP"});
    }
    api::Labels labels;
    if (!one_in(3)) {
      labels["rack"] = one_in(2) ? "1" : "2";
    }
    return {{.name = here ? kHere : kElsewhere, .labels = labels}, spec};
  }

  api::Resource network_set(const std::string& ns) {
    std::vector<Prefix> nets;
    for (unsigned count = below(4); count > 0; --count) {
      nets.push_back(parsed<Prefix>(of(kNets)));
    }
    if (one_in(2)) {
      return {{.name = "set", .labels = labels()}, api::GlobalNetworkSet{nets}};
    }
    return {{.name = "set", .ns = ns, .labels = labels()}, api::NetworkSet{nets}};
  }

  // One of two slices of service "svc": addresses that pods may have, with one port.
  api::Resource slice(const std::string& ns) {
    api::EndpointSlice spec;
    for (unsigned count = below(3); count > 0; --count) {
      const std::string net = one_in(2) ? "1" : "2";
      spec.endpoints.push_back(
          {{parsed<IpAddr>("10.0." + net + "." + std::to_string(1 + below(6)))}, {}, {}, {}});
    }
    spec.ports = {
        {"p", one_in(3) ? api::kUdp : api::kTcp, static_cast<std::uint16_t>(78 + below(4))}};
    return {{.name = one_in(2) ? "svc-1" : "svc-2",
             .ns = ns,
             .labels = {{std::string(api::kServiceNameLabel), "svc"}}},
            spec};
  }

  api::Resource profile() {
    api::Profile spec;
    for (unsigned count = below(3); count > 0; --count) {
      spec.ingress.push_back(rule());
      spec.egress.push_back(rule());
    }
    for (auto* rules : {&spec.ingress, &spec.egress}) {
      for (api::Rule& each : *rules) {
        each.action = each.action == api::Action::kPass ? api::Action::kDeny : each.action;
      }
    }
    if (one_in(2)) {
      spec.labels_to_apply = {{"role", "x"}};
    }
    return {{.name = one_in(3) ? "kns.x" : "own"}, spec};
  }

  api::AdminRule admin_rule(bool egress, bool passes) {
    api::AdminRule rule;
    rule.action = one_in(3) && passes ? api::Action::kPass
                  : one_in(2)         ? api::Action::kAllow
                                      : api::Action::kDeny;
    for (unsigned count = 1 + below(2); count > 0; --count) {
      if (one_in(6)) {
        rule.peers.emplace_back(api::UnsupportedPeer{"ofTomorrow", "[]"});
      } else if (egress && one_in(4)) {
        api::NodesPeer peer;
        if (!one_in(3)) {
          peer.selector.match_labels["rack"] = one_in(2) ? "1" : "2";
        }
        rule.peers.emplace_back(peer);
      } else if (egress && rule.action == api::Action::kAllow && one_in(4)) {
        rule.peers.emplace_back(api::DomainsPeer{{of(kDomains)}});
      } else if (egress && one_in(3)) {
        rule.peers.emplace_back(api::NetworksPeer{{parsed<Prefix>(of(kNets))}});
      } else if (one_in(2)) {
        rule.peers.emplace_back(api::PodsPeer{{}, label_selector()});
      } else {
        api::NamespacesPeer peer;
        peer.selector.match_labels["team"] = "red";
        rule.peers.emplace_back(peer);
      }
    }
    for (unsigned count = below(3); count > 0; --count) {
      if (one_in(3)) {
        rule.ports.push_back({std::nullopt, std::string(of(kPortNames))});
      } else {
        rule.ports.push_back({one_in(3) ? api::kUdp : api::kTcp, api::PortRange{79, 81}});
      }
    }
    return rule;
  }

  api::Resource admin_policy() {
    api::AdminPolicySpec spec;
    spec.subject = api::PodsPeer{{}, label_selector()};
    const bool baseline = one_in(3);
    for (unsigned count = below(3); count > 0; --count) {
      spec.ingress.push_back(admin_rule(false, !baseline));
    }
    for (unsigned count = below(3); count > 0; --count) {
      spec.egress.push_back(admin_rule(true, !baseline));
    }
    if (baseline) {
      return {{.name = "default"}, api::BaselineAdminNetworkPolicy{spec}};
    }
    if (one_in(2)) {
      return {
          {.name = "c" + std::to_string(below(2))},
          api::ClusterNetworkPolicy{spec,
                                    one_in(2) ? api::AdminTier::kAdmin : api::AdminTier::kBaseline,
                                    static_cast<std::uint16_t>(below(4))}};
    }
    return {{.name = "a" + std::to_string(below(2))},
            api::AdminNetworkPolicy{spec, static_cast<std::uint16_t>(below(4))}};
  }

 private:
  api::Resource tier() {
    static constexpr const char* kNames[] = {"first", "second"};
    api::Tier spec;
    if (!one_in(4)) {
      spec.order = below(3) * 800'000;
    }
    spec.default_action = one_in(3) ? api::Action::kPass : api::Action::kDeny;
    return {{.name = of(kNames)}, spec};
  }

  api::Resource felix() {
    static constexpr api::EndpointToHostAction kActions[] = {api::EndpointToHostAction::kDrop,
                                                             api::EndpointToHostAction::kAccept};
    api::FelixConfiguration spec{.default_endpoint_to_host_action = of(kActions)};
    if (one_in(2)) {
      spec.failsafe_inbound_host_ports = {
          {{api::kTcp, 80, {}}, {api::kUdp, 79, parsed<Prefix>("198.51.100.0/24")}}};
    }
    if (one_in(2)) {
      spec.failsafe_outbound_host_ports = {
          {{api::kUdp, 81, {}}, {api::kTcp, 79, parsed<Prefix>("10.0.1.0/24")}}};
    }
    return {{.name = "default"}, spec};
  }

  // Endpoints 0 to 3 live here, 4 and 5 elsewhere. The name tells the interface.
  api::Resource endpoint(unsigned number, const std::string& ns) {
    api::WorkloadEndpoint spec;
    spec.orchestrator = "cni";
    spec.pod = "pod" + std::to_string(number);
    spec.node = parsed<NodeName>(number < 4 ? kHere : kElsewhere);
    spec.interface_name = parsed<IfName>("mgy" + std::to_string(number) + ns);
    const std::string host = std::to_string(number + 1);
    const std::string net = ns == "x" ? "1" : "2";
    spec.ip_networks = {parsed<Prefix>("10.0." + net + "." + host + "/32")};
    if (!one_in(3)) {
      spec.ip_networks.push_back(parsed<Prefix>("fd00:" + net + "::" + host + "/128"));
    }
    if (one_in(3)) {
      spec.profiles.push_back("own");
    }
    if (!one_in(6)) {
      spec.profiles.push_back("kns." + ns);
    }
    if (one_in(2)) {
      spec.service_account = "sa";
    }
    // One name may stand for different ports in different endpoints.
    for (const char* name : kPortNames) {
      if (one_in(2)) {
        spec.ports.push_back(
            {name, one_in(3) ? api::kUdp : api::kTcp, static_cast<std::uint16_t>(78 + below(5))});
      }
    }
    return {{.name = spec.pod, .ns = ns, .labels = labels()}, spec};
  }

  std::mt19937 random_;
};

using Objects = std::map<api::ResourceKey, api::Resource>;

inline policy::World world_of(const Objects& objects) {
  policy::World world;
  world.nodes = {{parsed<IpAddr>(kHereAddress), parsed<NodeName>(kHere)},
                 {parsed<IpAddr>(kElsewhereAddress), parsed<NodeName>(kElsewhere)}};
  for (const auto& [address, name] : world.nodes) {
    world.node_uplinks[name] = {address};
  }
  for (const auto& [key, resource] : objects) {
    REQUIRE(policy::add(resource, world));
  }
  return world;
}

inline std::string print(const Objects& objects) {
  std::string text;
  for (const auto& [key, resource] : objects) {
    text += "\n---\n" + api::encode_yaml(resource);
  }
  return text;
}

inline policy::Flow flow_between(const IpAddr& from, const IpAddr& to, Chance& chance) {
  static constexpr api::Protocol kProtocols[] = {
      api::kTcp, api::kTcp, api::kUdp, api::kSctp, api::Protocol{47}, api::kIcmp};
  policy::Flow flow{.source = from, .destination = to};
  if (to == parsed<IpAddr>(kOutside) || to == parsed<IpAddr>(kOutside6)) {
    flow.destination_name = kOutsideName;
  }
  flow.protocol = chance.of(kProtocols);
  if (flow.protocol == api::kIcmp && from.is_v6()) {
    flow.protocol = api::kIcmpv6;
  }
  flow.icmp_type = static_cast<std::uint8_t>(from.is_v6() ? 128 : 8);
  flow.icmp_code = static_cast<std::uint8_t>(chance.below(2));
  if (flow.protocol == api::kTcp || flow.protocol == api::kUdp || flow.protocol == api::kSctp) {
    flow.source_port = static_cast<std::uint16_t>(77 + chance.below(9));
    flow.destination_port = static_cast<std::uint16_t>(77 + chance.below(9));
  }
  return flow;
}

}  // namespace margay::test
