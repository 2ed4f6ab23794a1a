// AdminNetworkPolicy, BaselineAdminNetworkPolicy and ClusterNetworkPolicy: one description, told
// apart by what the three call things. Limits are those of the API's own schema.

#include "api/kubernetes_codec.h"
#include "api/resource_codec.h"
#include "api/rule_codec.h"
#include "base/domain_name.h"

#include <boost/json/parse.hpp>
#include <fmt/format.h>

namespace margay::api {

template <>
struct EnumNames<AdminTier> {
  static constexpr std::array rows{EnumName<AdminTier>{"Admin", AdminTier::kAdmin},
                                   EnumName<AdminTier>{"Baseline", AdminTier::kBaseline}};
};

namespace {

// What the kinds differ in.
struct Dialect {
  bool cluster = false;  // ClusterNetworkPolicy: Accept for Allow, protocols for ports
  bool passes = true;    // BaselineAdminNetworkPolicy has nothing to pass to
  std::size_t max_rules = 100;
  std::size_t max_peers = 100;
  std::size_t max_ports = 100;
};
constexpr Dialect kAdmin{};
constexpr Dialect kBaseline{.passes = false};
constexpr Dialect kCluster{.cluster = true, .max_rules = 25, .max_peers = 25, .max_ports = 25};
constexpr std::size_t kMaxNetworks = 25;
constexpr std::size_t kMaxDomains = 25;
constexpr std::size_t kMaxName = 100;

template <typename Visitor>
void describe_action(Visitor& visit, AdminRule& rule, const Dialect& dialect) {
  const std::string_view allow = dialect.cluster ? "Accept" : "Allow";
  const std::string expected = fmt::format("expected {}{} Deny{}",
                                           allow,
                                           dialect.passes ? "," : " or",
                                           dialect.passes ? " or Pass" : "");
  if (!visit.has("action")) {
    visit.fail_missing("action", "required: " + expected);
  }
  visit.custom(
      "action",
      [&](ReadState& state, const std::string& path, const json::value& in) {
        const std::string_view text = in.is_string() ? std::string_view(in.get_string()) : "";
        if (text == allow) {
          rule.action = Action::kAllow;
        } else if (text == "Deny") {
          rule.action = Action::kDeny;
        } else if (text == "Pass" && dialect.passes) {
          rule.action = Action::kPass;
        } else {
          state.fail_at(path, shown(in) + ": " + expected);
        }
      },
      [&] {
        return json::value(rule.action == Action::kAllow  ? allow
                           : rule.action == Action::kDeny ? "Deny"
                                                          : "Pass");
      });
}

template <typename Visitor>
void describe_pods(Visitor& visit, PodsPeer& pods) {
  visit.required_or_default("namespaceSelector", pods.namespace_selector);
  visit.required_or_default("podSelector", pods.pod_selector);
}

// An alternative of a variant under its own field: written when it holds, read when it is there.
template <typename T, typename Variant, typename Visitor, typename Describe>
void describe_alternative(
    Visitor& visit, const char* name, Variant& variant, unsigned& given, Describe describe_value) {
  if constexpr (Visitor::kReads) {
    if (visit.has(name)) {
      ++given;
      T value;
      describe_value(name, value);
      variant = std::move(value);
    }
  } else if (auto* value = std::get_if<T>(&variant)) {
    describe_value(name, *value);
  }
}

template <typename Visitor>
void describe_subject(Visitor& visit, AdminSubject& subject) {
  unsigned given = 0;
  describe_alternative<NamespacesPeer>(
      visit, "namespaces", subject, given, [&](const char* name, NamespacesPeer& value) {
        visit.required_or_default(name, value.selector);
      });
  describe_alternative<PodsPeer>(
      visit, "pods", subject, given, [&](const char* name, PodsPeer& value) {
        visit.object(name, [&](auto& pods) { describe_pods(pods, value); });
      });
  if (Visitor::kReads && given != 1) {
    visit.fail("namespaces", "a subject is either namespaces or pods");
  }
}

template <typename Visitor>
void describe_networks(Visitor& visit, const char* name, NetworksPeer& peer) {
  visit.field(name, peer.networks);
  if (peer.networks.empty() || peer.networks.size() > kMaxNetworks) {
    visit.fail(name,
               fmt::format("{} networks: expected 1 to {}", peer.networks.size(), kMaxNetworks));
  }
}

// One label or more (RFC 1123 section 2.1, with "_" as service records have it), perhaps behind
// "*.".
bool is_domain(std::string_view text) {
  if (text.starts_with("*.")) {
    text.remove_prefix(2);
  }
  constexpr std::size_t kMaxDomain = 253;  // RFC 1035 section 2.3.4, as text
  constexpr std::size_t kMaxLabel = 63;
  if (text.empty() || text.size() > kMaxDomain) {
    return false;
  }
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find('.', begin), text.size());
    const std::string_view label = text.substr(begin, end - begin);
    const bool known = std::ranges::all_of(label, [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
    });
    if (label.empty() || label.size() > kMaxLabel || !known || label.front() == '-' ||
        label.back() == '-') {
      return false;
    }
    begin = end + 1;
  }
  return true;
}

template <typename Visitor>
void describe_domains(Visitor& visit, const char* name, DomainsPeer& peer) {
  visit.field(name, peer.domains);
  if (peer.domains.empty() || peer.domains.size() > kMaxDomains) {
    visit.fail(name, fmt::format("{} names: expected 1 to {}", peer.domains.size(), kMaxDomains));
  }
  for (std::string& domain : peer.domains) {
    std::string canonical = canonical_domain(domain);
    if (!is_domain(canonical)) {
      visit.fail(
          name,
          fmt::format("{}: expected a name like \"www.example.org\" or \"*.example.org\"", domain));
    }
    domain = std::move(canonical);
  }
}

// A kind of peer that is not known here comes from a newer API.
void keep_unsupported(Reader& visit, AdminPeer& peer, unsigned& given) {
  if (const json::key_value_pair* field = visit.take_unknown()) {
    ++given;
    peer = UnsupportedPeer{std::string(field->key()), json::serialize(field->value())};
  } else if (given == 0) {
    ++given;
    peer = UnsupportedPeer{};
  }
}
// What was kept as text when it was read; at most as deep as documents may be.
json::value parse_kept(const std::string& text) {
  json::parse_options options;
  options.max_depth = 128;
  boost::system::error_code errc;
  return json::parse(text, errc, {}, options);
}
void keep_unsupported(Writer& visit, AdminPeer& peer, unsigned& /*given*/) {
  if (const auto* unsupported = std::get_if<UnsupportedPeer>(&peer);
      unsupported != nullptr && !unsupported->field.empty()) {
    visit.custom(
        unsupported->field, [](auto&&...) {}, [&] { return parse_kept(unsupported->value); });
  }
}

template <typename Visitor>
void describe_peer(Visitor& visit, AdminPeer& peer, bool egress) {
  unsigned given = 0;
  describe_alternative<NamespacesPeer>(
      visit, "namespaces", peer, given, [&](const char* name, NamespacesPeer& value) {
        visit.required_or_default(name, value.selector);
      });
  describe_alternative<PodsPeer>(
      visit, "pods", peer, given, [&](const char* name, PodsPeer& value) {
        visit.object(name, [&](auto& pods) { describe_pods(pods, value); });
      });
  if (egress) {
    describe_alternative<NodesPeer>(
        visit, "nodes", peer, given, [&](const char* name, NodesPeer& value) {
          visit.required_or_default(name, value.selector);
        });
    describe_alternative<NetworksPeer>(
        visit, "networks", peer, given, [&](const char* name, NetworksPeer& value) {
          describe_networks(visit, name, value);
        });
    describe_alternative<DomainsPeer>(
        visit, "domainNames", peer, given, [&](const char* name, DomainsPeer& value) {
          describe_domains(visit, name, value);
        });
  } else {
    for (const char* name : {"nodes", "networks", "domainNames"}) {
      visit.unsupported(name, "stands in egress rules only");
    }
  }
  keep_unsupported(visit, peer, given);
  if (Visitor::kReads && given > 1) {
    visit.fail("namespaces", "a peer has exactly one kind");
  }
}

// {start, end} of portRange and of destinationPort.range.
template <typename Visitor>
void describe_range(Visitor& visit, PortRange& range) {
  describe_port_number(visit, "start", range.first);
  describe_port_number(visit, "end", range.last);
  if (range.first >= range.last) {
    visit.fail("end", fmt::format("{}: expected more than start, {}", range.last, range.first));
  }
}

PortRange* range_of(AdminPort& port, bool wide) {
  auto* range = std::get_if<PortRange>(&port.port);
  return range != nullptr && (range->first != range->last) == wide ? range : nullptr;
}

// ports of v1alpha1: portNumber {protocol, port}, portRange {protocol, start, end}, namedPort.
template <typename Visitor>
void describe_port(Visitor& visit, AdminPort& port) {
  constexpr bool kReads = Visitor::kReads;
  unsigned given = 0;
  if (kReads ? visit.has("portNumber") : range_of(port, false) != nullptr) {
    ++given;
    visit.object("portNumber", [&](auto& number) {
      PortRange range = kReads ? PortRange() : *range_of(port, false);
      Protocol protocol = port.protocol.value_or(kTcp);
      describe_port_protocol(number, protocol);
      describe_port_number(number, "port", range.first);
      port = {protocol, PortRange{range.first, range.first}};
    });
  }
  if (kReads ? visit.has("portRange") : range_of(port, true) != nullptr) {
    ++given;
    visit.object("portRange", [&](auto& wide) {
      PortRange range = kReads ? PortRange() : *range_of(port, true);
      Protocol protocol = port.protocol.value_or(kTcp);
      describe_port_protocol(wide, protocol);
      describe_range(wide, range);
      port = {protocol, range};
    });
  }
  if (kReads ? visit.has("namedPort") : std::holds_alternative<std::string>(port.port)) {
    ++given;
    std::string name = kReads ? std::string() : std::get<std::string>(port.port);
    visit.required("namedPort", name);
    port = {std::nullopt, name};
  }
  if (given != 1) {
    visit.fail("portNumber", "expected one of portNumber, portRange and namedPort");
  }
}

// protocols of v1alpha2: tcp, udp or sctp {destinationPort: {number | range}}, or
// destinationNamedPort.
constexpr std::array kClusterProtocols{
    std::pair{"tcp", kTcp}, std::pair{"udp", kUdp}, std::pair{"sctp", kSctp}};

template <typename Visitor>
void describe_destination(Visitor& visit, AdminPort& port) {
  constexpr bool kReads = Visitor::kReads;
  PortRange range{1, static_cast<std::uint16_t>(kHighestPort)};
  if (!kReads) {
    range = std::get<PortRange>(port.port);
  }
  const bool every = range == PortRange{1, static_cast<std::uint16_t>(kHighestPort)};
  if (kReads ? visit.has("destinationPort") : !every) {
    visit.object("destinationPort", [&](auto& destination) {
      const bool number = kReads ? destination.has("number") : range.first == range.last;
      if (number) {
        describe_port_number(destination, "number", range.first);
        range.last = range.first;
      } else {
        if (!destination.has("range")) {
          destination.fail("number", "expected number or range");
        }
        destination.object("range", [&](auto& wide) { describe_range(wide, range); });
      }
    });
  }
  port.port = range;
}

void describe_with_ports(Reader& visit, const char* name, AdminPort& port) {
  visit.object(name, [&](Reader& inner) { describe_destination(inner, port); });
}
// Every port is an empty object, which must stand there.
void describe_with_ports(Writer& visit, const char* name, AdminPort& port) {
  Writer inner;
  describe_destination(inner, port);
  visit.custom(
      name, [](auto&&...) {}, [&inner] { return json::value(inner.take()); });
}

template <typename Visitor>
void describe_protocol(Visitor& visit, AdminPort& port) {
  constexpr bool kReads = Visitor::kReads;
  unsigned given = 0;
  for (const auto& [name, protocol] : kClusterProtocols) {
    const bool here = std::holds_alternative<PortRange>(port.port) && port.protocol == protocol;
    if (kReads ? visit.has(name) : here) {
      ++given;
      if (kReads) {
        port = {protocol, PortRange{1, static_cast<std::uint16_t>(kHighestPort)}};
      }
      describe_with_ports(visit, name, port);
    }
  }
  if (kReads ? visit.has("destinationNamedPort") : std::holds_alternative<std::string>(port.port)) {
    ++given;
    std::string name = kReads ? std::string() : std::get<std::string>(port.port);
    visit.required("destinationNamedPort", name);
    port = {std::nullopt, name};
  }
  if (given != 1) {
    visit.fail("tcp", "expected one of tcp, udp, sctp and destinationNamedPort");
  }
}

template <typename Visitor>
void describe_rule(Visitor& visit, AdminRule& rule, bool egress, const Dialect& dialect) {
  visit.field("name", rule.name);
  describe_action(visit, rule, dialect);
  visit.list(egress ? "to" : "from", rule.peers, [egress](auto& of_peer, AdminPeer& peer) {
    describe_peer(of_peer, peer, egress);
  });
  const char* ports = dialect.cluster ? "protocols" : "ports";
  visit.list(ports, rule.ports, [&dialect](auto& of_port, AdminPort& port) {
    if (dialect.cluster) {
      describe_protocol(of_port, port);
    } else {
      describe_port(of_port, port);
    }
  });
  if (rule.name.size() > kMaxName) {
    visit.fail("name", fmt::format("{} bytes: at most {}", rule.name.size(), kMaxName));
  }
  if (rule.peers.empty() || rule.peers.size() > dialect.max_peers) {
    visit.fail(egress ? "to" : "from",
               fmt::format("{} peers: expected 1 to {}", rule.peers.size(), dialect.max_peers));
  }
  const bool domains = std::ranges::any_of(
      rule.peers, [](const AdminPeer& peer) { return std::holds_alternative<DomainsPeer>(peer); });
  if (domains && rule.action != Action::kAllow) {
    visit.fail(egress ? "to" : "from", "domainNames: only in rules that allow");
  }
  if (rule.ports.size() > dialect.max_ports) {
    visit.fail(ports, fmt::format("{} entries: at most {}", rule.ports.size(), dialect.max_ports));
  }
}

template <typename Visitor>
void describe_policy(Visitor& visit, AdminPolicySpec& policy, const Dialect& dialect) {
  if (!visit.has("subject")) {
    visit.fail_missing("subject");
  }
  visit.object("subject", [&](auto& subject) { describe_subject(subject, policy.subject); });
  for (const bool egress : {false, true}) {
    const char* name = egress ? "egress" : "ingress";
    auto& rules = egress ? policy.egress : policy.ingress;
    visit.list(name, rules, [egress, &dialect](auto& of_rule, AdminRule& rule) {
      describe_rule(of_rule, rule, egress, dialect);
    });
    if (rules.size() > dialect.max_rules) {
      visit.fail(name, fmt::format("{} rules: at most {}", rules.size(), dialect.max_rules));
    }
  }
}

template <typename Visitor>
void describe_priority(Visitor& visit, std::uint16_t& priority) {
  visit.required("priority", priority);
  if (priority > kMaxAdminPriority) {
    visit.fail("priority", fmt::format("{}: expected 0 to {}", priority, kMaxAdminPriority));
  }
}

}  // namespace

template <typename Visitor>
void describe(Visitor& visit, AdminNetworkPolicy& policy) {
  describe_priority(visit, policy.priority);
  describe_policy(visit, policy, kAdmin);
}
template void describe(Reader& visit, AdminNetworkPolicy& policy);
template void describe(Writer& visit, AdminNetworkPolicy& policy);

template <typename Visitor>
void describe(Visitor& visit, BaselineAdminNetworkPolicy& policy) {
  describe_policy(visit, policy, kBaseline);
}
template void describe(Reader& visit, BaselineAdminNetworkPolicy& policy);
template void describe(Writer& visit, BaselineAdminNetworkPolicy& policy);

template <typename Visitor>
void describe(Visitor& visit, ClusterNetworkPolicy& policy) {
  visit.required("tier", policy.tier);
  describe_priority(visit, policy.priority);
  describe_policy(visit, policy, kCluster);
}
template void describe(Reader& visit, ClusterNetworkPolicy& policy);
template void describe(Writer& visit, ClusterNetworkPolicy& policy);

}  // namespace margay::api
