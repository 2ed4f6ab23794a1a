#include "api/rule_codec.h"

#include "api/labels.h"

#include <fmt/format.h>

#include <cctype>

namespace margay::api {

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

constexpr std::size_t kMaxNets = 256;

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

// ---- rules

template <typename Visitor>
void describe(Visitor& visit, IcmpMatch& icmp) {
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
void describe(Visitor& visit, ServiceAccountMatch& accounts) {
  visit.field("names", accounts.names);
  visit.field("selector", accounts.selector);
}

template <typename Visitor>
void describe(Visitor& visit, ServiceMatch& service) {
  visit.required("name", service.name);
  visit.field("namespace", service.ns);
  if (service.name.empty()) {
    visit.fail("name", "expected the name of a service");
  }
}

template <typename Visitor>
void describe(Visitor& visit, EntityRule& entity) {
  visit.field("nets", entity.nets);
  visit.field("notNets", entity.not_nets);
  visit.field("selector", entity.selector);
  visit.field("notSelector", entity.not_selector);
  visit.field("namespaceSelector", entity.namespace_selector);
  visit.field("ports", entity.ports);
  visit.field("notPorts", entity.not_ports);
  visit.field("serviceAccounts", entity.service_accounts);
  visit.field("services", entity.services);
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
  EntityRule others = entity;
  others.services.reset();
  if (entity.services && !(others == EntityRule{})) {
    visit.fail("services", "excludes every other field of the same side");
  }
}

namespace {

// A port by name brings its protocol along; numbers need one.
bool only_names(const std::vector<Port>& ports) {
  return std::ranges::all_of(
      ports, [](const Port& port) { return std::holds_alternative<std::string>(port); });
}

template <typename Visitor>
void check_ports(Visitor& visit, const Rule& rule) {
  for (const auto& [name, ports] :
       {std::pair{"source.ports", &rule.source.ports},
        std::pair{"source.notPorts", &rule.source.not_ports},
        std::pair{"destination.ports", &rule.destination.ports},
        std::pair{"destination.notPorts", &rule.destination.not_ports}}) {
    const bool fine =
        rule.protocol ? ports->empty() || has_ports(*rule.protocol) : only_names(*ports);
    if (!fine) {
      visit.fail(name, "needs protocol TCP, UDP or SCTP in the same rule");
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

}  // namespace

template <typename Visitor>
void describe(Visitor& visit, Rule& rule) {
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
  visit.object("metadata", [&rule](auto& metadata) {
    metadata.field("annotations", rule.annotations);
    check_annotations(metadata, "annotations", rule.annotations);
  });
  check_ports(visit, rule);
  check_families(visit, rule);
}
template void describe(Reader& visit, Rule& rule);
template void describe(Writer& visit, Rule& rule);

}  // namespace margay::api
