#include "api/policy_codec.h"

#include <fmt/format.h>

#include <array>
#include <cctype>

namespace margay::api {

template <>
struct EnumNames<Action> {
  static constexpr std::array rows{EnumName<Action>{"Allow", Action::kAllow},
                                   EnumName<Action>{"Deny", Action::kDeny},
                                   EnumName<Action>{"Pass", Action::kPass},
                                   EnumName<Action>{"Log", Action::kLog}};
};
template <>
struct EnumNames<PolicyType> {
  static constexpr std::array rows{EnumName<PolicyType>{"Ingress", PolicyType::kIngress},
                                   EnumName<PolicyType>{"Egress", PolicyType::kEgress}};
};
template <>
struct EnumNames<Family> {
  static constexpr std::array rows{EnumName<Family>{"4", Family::kIpv4},
                                   EnumName<Family>{"6", Family::kIpv6}};
};
template <>
struct EnumNames<LabelSelectorRequirement::Operator> {
  using Operator = LabelSelectorRequirement::Operator;
  static constexpr std::array rows{EnumName<Operator>{"In", Operator::kIn},
                                   EnumName<Operator>{"NotIn", Operator::kNotIn},
                                   EnumName<Operator>{"Exists", Operator::kExists},
                                   EnumName<Operator>{"DoesNotExist", Operator::kDoesNotExist}};
};

namespace {

struct ProtocolName {
  std::string_view name;
  Protocol protocol;
};
constexpr std::array kProtocols{ProtocolName{"TCP", kTcp},
                                ProtocolName{"UDP", kUdp},
                                ProtocolName{"ICMP", kIcmp},
                                ProtocolName{"ICMPv6", kIcmpv6},
                                ProtocolName{"SCTP", kSctp},
                                ProtocolName{"UDPLite", kUdpLite}};

constexpr std::int64_t kHighestPort = 65535;
constexpr std::size_t kMaxRules = 1024;
constexpr std::size_t kMaxNets = 256;

bool has_ports(const Protocol& protocol) {
  return protocol == kTcp || protocol == kUdp || protocol == kSctp;
}

// The name of a port: 1 to 15 letters, digits and '-' with a letter in it (RFC 6335 section 5.1),
// any case.
bool is_port_name(std::string_view text) {
  constexpr std::size_t kLongest = 15;
  bool letter = false;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (std::isalnum(byte) == 0 && c != '-' && c != '_' && c != '.') {
      return false;
    }
    letter = letter || std::isalpha(byte) != 0;
  }
  return !text.empty() && text.size() <= 4 * kLongest && letter;
}

std::optional<std::uint16_t> port_number(std::int64_t number) {
  return number >= 1 && number <= kHighestPort ? std::optional(static_cast<std::uint16_t>(number))
                                               : std::nullopt;
}

// 80, "80", "8000:8010" or "http".
std::optional<Port> parse_port(const json::value& in) {
  if (in.is_int64() || in.is_uint64()) {
    boost::system::error_code errc;
    const auto number = port_number(in.to_number<std::int64_t>(errc));
    return !errc && number ? std::optional<Port>(PortRange{*number, *number}) : std::nullopt;
  }
  if (!in.is_string()) {
    return std::nullopt;
  }
  const std::string_view text = in.get_string();
  const std::size_t colon = text.find(':');
  const auto first = port_number(parse_number(text.substr(0, colon)));
  const auto last =
      colon == std::string_view::npos ? first : port_number(parse_number(text.substr(colon + 1)));
  if (first && last && *first <= *last) {
    return PortRange{*first, *last};
  }
  if (is_port_name(text)) {
    return std::string(text);
  }
  return std::nullopt;
}

}  // namespace

std::string to_string(Protocol protocol) {
  for (const ProtocolName& row : kProtocols) {
    if (row.protocol == protocol) {
      return std::string(row.name);
    }
  }
  return std::to_string(protocol.number);
}

// ---- values with their own notation

void read_value(ReadState& state, const std::string& path, const json::value& in, Protocol& out) {
  for (const ProtocolName& row : kProtocols) {
    if (in.is_string() && in.get_string() == row.name) {
      out = row.protocol;
      return;
    }
  }
  boost::system::error_code errc;
  const auto number =
      in.is_string() ? parse_number(in.get_string()) : in.to_number<std::int64_t>(errc);
  if (errc || number < 1 || number > 255) {
    state.fail_at(
        path,
        shown(in) + ": expected TCP, UDP, ICMP, ICMPv6, SCTP, UDPLite or a number from 1 to 255");
    return;
  }
  out.number = static_cast<std::uint8_t>(number);
}
json::value write_value(const Protocol& in) {
  for (const ProtocolName& row : kProtocols) {
    if (row.protocol == in) {
      return json::value(row.name);
    }
  }
  return json::value(in.number);
}

void read_value(ReadState& state, const std::string& path, const json::value& in, Port& out) {
  auto port = parse_port(in);
  if (!port) {
    state.fail_at(
        path,
        shown(in) + ": expected a port from 1 to 65535, a range such as \"8000:8010\", or a name");
    return;
  }
  out = std::move(*port);
}
json::value write_value(const Port& in) {
  if (const auto* name = std::get_if<std::string>(&in)) {
    return json::value(*name);
  }
  const auto& range = std::get<PortRange>(in);
  if (range.first == range.last) {
    return json::value(range.first);
  }
  return json::value(fmt::format("{}:{}", range.first, range.last));
}

namespace {

// ---- Calico rules

template <typename Visitor>
void describe_icmp(Visitor& visit, IcmpMatch& icmp) {
  visit.field("type", icmp.type);
  visit.field("code", icmp.code);
  if (icmp.code && !icmp.type) {
    visit.fail("code", "needs a type beside it");
  }
  if (icmp.type && *icmp.type == 255) {
    visit.fail("type", "255: expected 0 to 254");
  }
}

template <typename Visitor>
void describe_accounts(Visitor& visit, ServiceAccountMatch& accounts) {
  visit.field("names", accounts.names);
  visit.field("selector", accounts.selector);
}

template <typename Visitor>
void describe_service(Visitor& visit, ServiceMatch& service) {
  visit.required("name", service.name);
  visit.field("namespace", service.ns);
}

template <typename Visitor>
void describe_entity(Visitor& visit, EntityRule& entity) {
  visit.field("nets", entity.nets);
  visit.field("notNets", entity.not_nets);
  visit.field("selector", entity.selector);
  visit.field("notSelector", entity.not_selector);
  visit.field("namespaceSelector", entity.namespace_selector);
  visit.field("ports", entity.ports);
  visit.field("notPorts", entity.not_ports);
  visit.field("serviceAccounts", entity.service_accounts);
  visit.unsupported("services", "services are not enforced by Margay yet");
  for (const auto& [name, nets] :
       {std::pair{"nets", &entity.nets}, std::pair{"notNets", &entity.not_nets}}) {
    if (nets->size() > kMaxNets) {
      visit.fail(name, fmt::format("{} networks: at most {}", nets->size(), kMaxNets));
    }
  }
  for (const Prefix& net : entity.not_nets) {
    if (net.length() == 0) {
      visit.fail("notNets", net.str() + " leaves nothing to match");
    }
  }
}

}  // namespace

void describe(Reader& visit, IcmpMatch& icmp) {
  describe_icmp(visit, icmp);
}
void describe(Writer& visit, IcmpMatch& icmp) {
  describe_icmp(visit, icmp);
}
void describe(Reader& visit, ServiceAccountMatch& accounts) {
  describe_accounts(visit, accounts);
}
void describe(Writer& visit, ServiceAccountMatch& accounts) {
  describe_accounts(visit, accounts);
}
void describe(Reader& visit, ServiceMatch& service) {
  describe_service(visit, service);
}
void describe(Writer& visit, ServiceMatch& service) {
  describe_service(visit, service);
}
void describe(Reader& visit, EntityRule& entity) {
  describe_entity(visit, entity);
}
void describe(Writer& visit, EntityRule& entity) {
  describe_entity(visit, entity);
}

namespace {

template <typename Visitor>
void check_ports(Visitor& visit, const Rule& rule) {
  for (const auto& [name, entity] :
       {std::pair{"source", &rule.source}, std::pair{"destination", &rule.destination}}) {
    if (entity->ports.empty() && entity->not_ports.empty()) {
      continue;
    }
    const char* field = entity->ports.empty() ? "notPorts" : "ports";
    if (!rule.protocol || !has_ports(*rule.protocol)) {
      visit.fail(std::string(name) + "." + field,
                 "needs protocol TCP, UDP or SCTP in the same rule");
    }
  }
}

template <typename Visitor>
void check_families(Visitor& visit, const Rule& rule) {
  std::optional<Family> family = rule.ip_version;
  const auto agree = [&](const char* name, const std::vector<Prefix>& nets) {
    for (const Prefix& net : nets) {
      if (family && *family != net.family()) {
        visit.fail(name, net.str() + ": the rule mixes IPv4 and IPv6");
      }
      family = net.family();
    }
  };
  agree("source.nets", rule.source.nets);
  agree("source.notNets", rule.source.not_nets);
  agree("destination.nets", rule.destination.nets);
  agree("destination.notNets", rule.destination.not_nets);
  const bool icmp4 = rule.protocol && *rule.protocol == kIcmp;
  const bool icmp6 = rule.protocol && *rule.protocol == kIcmpv6;
  if ((icmp4 && rule.ip_version == Family::kIpv6) || (icmp6 && rule.ip_version == Family::kIpv4)) {
    visit.fail("protocol", to_string(*rule.protocol) + " does not belong to this ipVersion");
  }
  for (const auto& [name, icmp] :
       {std::pair{"icmp", &rule.icmp}, std::pair{"notICMP", &rule.not_icmp}}) {
    if (*icmp && !icmp4 && !icmp6) {
      visit.fail(name, "needs protocol ICMP or ICMPv6 in the same rule");
    }
  }
}

template <typename Visitor>
void describe_rule(Visitor& visit, Rule& rule) {
  visit.required("action", rule.action);
  visit.custom(
      "ipVersion",
      [&rule](ReadState& state, const std::string& path, const json::value& in) {
        if (const auto version = read_integer(state, path, in, 4, 6); version && *version != 5) {
          rule.ip_version = *version == 4 ? Family::kIpv4 : Family::kIpv6;
        } else {
          state.fail_at(path, shown(in) + ": expected 4 or 6");
        }
      },
      [&rule] {
        return rule.ip_version ? json::value(*rule.ip_version == Family::kIpv4 ? 4 : 6)
                               : json::value(nullptr);
      });
  visit.field("protocol", rule.protocol);
  visit.field("notProtocol", rule.not_protocol);
  visit.field("icmp", rule.icmp);
  visit.field("notICMP", rule.not_icmp);
  visit.field("source", rule.source);
  visit.field("destination", rule.destination);
  visit.unsupported("http", "HTTP matches are not enforced by Margay");
  visit.custom(
      "metadata",
      [&rule](ReadState& state, const std::string& path, const json::value& in) {
        const json::object* object = as_object(state, path, in);
        if (object == nullptr) {
          return;
        }
        Reader metadata(state, path, *object);
        metadata.field("annotations", rule.annotations);
        metadata.finish();
      },
      [&rule] {
        return rule.annotations.empty()
                   ? json::value(nullptr)
                   : json::value(json::object{{"annotations", write_value(rule.annotations)}});
      });
  check_ports(visit, rule);
  check_families(visit, rule);
}

// Absent types: Ingress without egress rules, else by the rules that are there (as Calico).
std::vector<PolicyType> default_types(bool has_ingress, bool has_egress) {
  if (!has_egress) {
    return {PolicyType::kIngress};
  }
  return has_ingress ? std::vector{PolicyType::kIngress, PolicyType::kEgress}
                     : std::vector{PolicyType::kEgress};
}

template <typename Visitor>
void check_types(Visitor& visit, const char* name, const std::vector<PolicyType>& types) {
  if (types.size() > 2 || (types.size() == 2 && types[0] == types[1])) {
    visit.fail(name, "expected Ingress and Egress, each at most once");
  }
}

}  // namespace

void describe(Reader& visit, Rule& rule) {
  describe_rule(visit, rule);
}
void describe(Writer& visit, Rule& rule) {
  describe_rule(visit, rule);
}

namespace {

template <typename Visitor>
void describe_policy(Visitor& visit, PolicySpec& policy) {
  visit.field("tier", policy.tier);
  visit.field("order", policy.order);
  visit.field("selector", policy.selector);
  visit.field("serviceAccountSelector", policy.service_account_selector);
  visit.field("types", policy.types);
  visit.field("ingress", policy.ingress);
  visit.field("egress", policy.egress);
  visit.field("performanceHints", policy.performance_hints);
  check_types(visit, "types", policy.types);
  if (policy.types.empty()) {
    policy.types = default_types(!policy.ingress.empty(), !policy.egress.empty());
  }
  for (const auto& [name, rules] :
       {std::pair{"ingress", &policy.ingress}, std::pair{"egress", &policy.egress}}) {
    if (rules->size() > kMaxRules) {
      visit.fail(name, fmt::format("{} rules: at most {}", rules->size(), kMaxRules));
    }
  }
  for (const std::string& hint : policy.performance_hints) {
    if (hint != "AssumeNeededOnEveryNode") {
      visit.fail("performanceHints", "\"" + hint + "\": expected AssumeNeededOnEveryNode");
    }
  }
  if (!is_dns_label(policy.tier)) {
    visit.fail("tier", "\"" + policy.tier + "\": expected the name of a tier");
  }
}

template <typename Visitor>
void describe_global(Visitor& visit, GlobalNetworkPolicy& policy) {
  describe_policy(visit, policy);
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
  if ((policy.pre_dnat || policy.do_not_track) && !policy.apply_on_forward) {
    visit.fail("applyOnForward", "must be true with preDNAT or doNotTrack");
  }
  if (policy.pre_dnat || policy.do_not_track) {
    visit.fail(policy.pre_dnat ? "preDNAT" : "doNotTrack",
               "host endpoint policy is not supported by Margay yet");
  }
}

template <typename Visitor>
void describe_tier(Visitor& visit, Tier& tier) {
  visit.field("order", tier.order);
  visit.field("defaultAction", tier.default_action);
  if (tier.default_action != Action::kDeny && tier.default_action != Action::kPass) {
    visit.fail("defaultAction", "expected Deny or Pass");
  }
}

// ---- Kubernetes

template <typename Visitor>
void describe_requirement(Visitor& visit, LabelSelectorRequirement& requirement) {
  using Operator = LabelSelectorRequirement::Operator;
  visit.required("key", requirement.key);
  visit.required("operator", requirement.op);
  visit.field("values", requirement.values);
  const bool needs_values = requirement.op == Operator::kIn || requirement.op == Operator::kNotIn;
  if (needs_values == requirement.values.empty()) {
    visit.fail("values",
               needs_values ? "required with In and NotIn"
                            : "must be absent with Exists and DoesNotExist");
  }
}

}  // namespace

void describe(Reader& visit, GlobalNetworkPolicy& policy) {
  describe_global(visit, policy);
}
void describe(Writer& visit, GlobalNetworkPolicy& policy) {
  describe_global(visit, policy);
}
void describe(Reader& visit, NetworkPolicy& policy) {
  describe_policy(visit, policy);
}
void describe(Writer& visit, NetworkPolicy& policy) {
  describe_policy(visit, policy);
}
void describe(Reader& visit, Tier& tier) {
  describe_tier(visit, tier);
}
void describe(Writer& visit, Tier& tier) {
  describe_tier(visit, tier);
}
void describe(Reader& visit, LabelSelectorRequirement& requirement) {
  describe_requirement(visit, requirement);
}
void describe(Writer& visit, LabelSelectorRequirement& requirement) {
  describe_requirement(visit, requirement);
}

namespace {

template <typename Visitor>
void describe_label_selector(Visitor& visit, LabelSelector& selector) {
  visit.field("matchLabels", selector.match_labels);
  visit.field("matchExpressions", selector.match_expressions);
}

template <typename Visitor>
void describe_ip_block(Visitor& visit, IPBlock& block) {
  visit.required("cidr", block.cidr);
  visit.field("except", block.except);
  for (const Prefix& except : block.except) {
    if (!block.cidr.contains(except) || except == block.cidr) {
      visit.fail("except", except.str() + ": expected a part of " + block.cidr.str());
    }
  }
}

}  // namespace

void describe(Reader& visit, LabelSelector& selector) {
  describe_label_selector(visit, selector);
}
void describe(Writer& visit, LabelSelector& selector) {
  describe_label_selector(visit, selector);
}
void describe(Reader& visit, IPBlock& block) {
  describe_ip_block(visit, block);
}
void describe(Writer& visit, IPBlock& block) {
  describe_ip_block(visit, block);
}

namespace {

template <typename Visitor>
void describe_peer(Visitor& visit, KubernetesPeer& peer) {
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
void describe_kubernetes_port(Visitor& visit, KubernetesPort& port) {
  visit.field("protocol", port.protocol);
  if (!has_ports(port.protocol)) {
    visit.fail("protocol", "expected TCP, UDP or SCTP");
  }
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

}  // namespace

void describe(Reader& visit, KubernetesPeer& peer) {
  describe_peer(visit, peer);
}
void describe(Writer& visit, KubernetesPeer& peer) {
  describe_peer(visit, peer);
}
void describe(Reader& visit, KubernetesPort& port) {
  describe_kubernetes_port(visit, port);
}
void describe(Writer& visit, KubernetesPort& port) {
  describe_kubernetes_port(visit, port);
}

namespace {

template <typename Visitor>
void describe_kubernetes_rule(Visitor& visit, const char* peers, KubernetesRule& rule) {
  visit.field(peers, rule.peers);
  visit.field("ports", rule.ports);
}

template <typename Visitor>
void describe_rules(Visitor& visit,
                    const char* name,
                    const char* peers,
                    std::vector<KubernetesRule>& rules) {
  visit.custom(
      name,
      [&](ReadState& state, const std::string& path, const json::value& in) {
        const json::array* array = as_array(state, path, in);
        for (std::size_t i = 0; array != nullptr && i < array->size(); ++i) {
          const std::string at = fmt::format("{}[{}]", path, i);
          if (const json::object* object = as_object(state, at, (*array)[i])) {
            Reader reader(state, at, *object);
            describe_kubernetes_rule(reader, peers, rules.emplace_back());
            reader.finish();
          }
        }
      },
      [&] {
        json::array out;
        for (KubernetesRule& rule : rules) {
          Writer writer;
          describe_kubernetes_rule(writer, peers, rule);
          out.push_back(writer.take());
        }
        return out.empty() ? json::value(nullptr) : json::value(std::move(out));
      });
}

template <typename Visitor>
void describe_kubernetes_policy(Visitor& visit, KubernetesNetworkPolicy& policy) {
  visit.custom(
      "podSelector",
      [&policy](ReadState& state, const std::string& path, const json::value& in) {
        read_value(state, path, in, policy.pod_selector);
      },
      [&policy] { return write_value(policy.pod_selector); });
  visit.field("policyTypes", policy.types);
  describe_rules(visit, "ingress", "from", policy.ingress);
  describe_rules(visit, "egress", "to", policy.egress);
  check_types(visit, "policyTypes", policy.types);
  if (policy.types.empty()) {
    policy.types = {PolicyType::kIngress};
    if (!policy.egress.empty()) {
      policy.types.push_back(PolicyType::kEgress);
    }
  }
}

template <typename Visitor>
void describe_endpoint_port(Visitor& visit, EndpointPort& port) {
  visit.field("name", port.name);
  visit.field("protocol", port.protocol);
  visit.required("port", port.port);
  visit.ignored("hostPort");
  visit.ignored("hostIP");
  if (port.port == 0) {
    visit.fail("port", "0: expected 1 to 65535");
  }
}

}  // namespace

void describe(Reader& visit, EndpointPort& port) {
  describe_endpoint_port(visit, port);
}
void describe(Writer& visit, EndpointPort& port) {
  describe_endpoint_port(visit, port);
}

namespace {

template <typename Visitor>
void describe_endpoint(Visitor& visit, WorkloadEndpoint& endpoint) {
  visit.field("orchestrator", endpoint.orchestrator);
  visit.field("workload", endpoint.workload);
  visit.required("node", endpoint.node);
  visit.field("containerID", endpoint.container_id);
  visit.field("pod", endpoint.pod);
  visit.field("endpoint", endpoint.endpoint);
  visit.field("serviceAccountName", endpoint.service_account);
  visit.field("ipNetworks", endpoint.ip_networks);
  visit.field("profiles", endpoint.profiles);
  visit.required("interfaceName", endpoint.interface_name);
  visit.field("mac", endpoint.mac);
  visit.field("ports", endpoint.ports);
  visit.field("allowSpoofedSourcePrefixes", endpoint.allowed_source_prefixes);
  visit.ignored("ipv4Gateway");
  visit.ignored("ipv6Gateway");
  visit.unsupported("ipNATs");
  visit.unsupported("qosControls");
  for (const Prefix& network : endpoint.ip_networks) {
    if (!network.is_host()) {
      visit.fail("ipNetworks", network.str() + ": expected a /32 or /128");
    }
  }
}

}  // namespace

void describe(Reader& visit, KubernetesNetworkPolicy& policy) {
  describe_kubernetes_policy(visit, policy);
}
void describe(Writer& visit, KubernetesNetworkPolicy& policy) {
  describe_kubernetes_policy(visit, policy);
}
void describe(Reader& visit, Namespace& /*ns*/) {
  visit.ignored("finalizers");
}
void describe(Writer& /*visit*/, Namespace& /*ns*/) {}
void describe(Reader& visit, WorkloadEndpoint& endpoint) {
  describe_endpoint(visit, endpoint);
}
void describe(Writer& visit, WorkloadEndpoint& endpoint) {
  describe_endpoint(visit, endpoint);
}

}  // namespace margay::api
