#include "kernel/model/nft_text.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <utility>

namespace margay::nft {
namespace {

template <typename T>
struct Named {
  T value;
  std::string_view name;
};

template <typename T, std::size_t N>
std::string_view name_of(const std::array<Named<T>, N>& names, T value) {
  for (const Named<T>& row : names) {
    if (row.value == value) {
      return row.name;
    }
  }
  return {};
}

constexpr auto kFieldNames = std::to_array<Named<Field>>({
    {Field::kIpSaddr, "ip saddr"},
    {Field::kIpDaddr, "ip daddr"},
    {Field::kIp6Saddr, "ip6 saddr"},
    {Field::kIp6Daddr, "ip6 daddr"},
    {Field::kThSport, "th sport"},
    {Field::kThDport, "th dport"},
    {Field::kIcmpType, "icmp type"},
    {Field::kIcmpCode, "icmp code"},
    {Field::kIcmpv6Type, "icmpv6 type"},
    {Field::kIcmpv6Code, "icmpv6 code"},
    {Field::kNfProto, "meta nfproto"},
    {Field::kL4Proto, "meta l4proto"},
    {Field::kIifName, "iifname"},
    {Field::kOifName, "oifname"},
    {Field::kMark, "meta mark"},
    {Field::kCtState, "ct state"},
    {Field::kCtStatus, "ct status"},
    {Field::kCtDirection, "ct direction"},
    {Field::kCtMark, "ct mark"},
    {Field::kFibSaddrIif, "fib saddr . iif oif"},
    {Field::kFibDaddrType, "fib daddr type"},
    {Field::kFibSaddrType, "fib saddr type"},
});

constexpr auto kProtocols = std::to_array<Named<unsigned>>({
    {1, "icmp"},
    {2, "igmp"},
    {6, "tcp"},
    {17, "udp"},
    {33, "dccp"},
    {47, "gre"},
    {50, "esp"},
    {51, "ah"},
    {58, "ipv6-icmp"},
    {132, "sctp"},
    {136, "udplite"},
});

constexpr auto kIcmpTypes = std::to_array<Named<unsigned>>({
    {0, "echo-reply"},
    {3, "destination-unreachable"},
    {4, "source-quench"},
    {5, "redirect"},
    {8, "echo-request"},
    {9, "router-advertisement"},
    {10, "router-solicitation"},
    {11, "time-exceeded"},
    {12, "parameter-problem"},
    {13, "timestamp-request"},
    {14, "timestamp-reply"},
    {15, "info-request"},
    {16, "info-reply"},
    {17, "address-mask-request"},
    {18, "address-mask-reply"},
});

constexpr auto kIcmpv6Types = std::to_array<Named<unsigned>>({
    {1, "destination-unreachable"},
    {2, "packet-too-big"},
    {3, "time-exceeded"},
    {4, "parameter-problem"},
    {128, "echo-request"},
    {129, "echo-reply"},
    {130, "mld-listener-query"},
    {131, "mld-listener-report"},
    {132, "mld-listener-done"},
    {133, "nd-router-solicit"},
    {134, "nd-router-advert"},
    {135, "nd-neighbor-solicit"},
    {136, "nd-neighbor-advert"},
    {137, "nd-redirect"},
    {138, "router-renumbering"},
    {141, "ind-neighbor-solicit"},
    {142, "ind-neighbor-advert"},
    {143, "mld2-listener-report"},
});

constexpr auto kStates = std::to_array<Named<unsigned>>({
    {1, "invalid"},
    {2, "established"},
    {4, "related"},
    {8, "new"},
    {64, "untracked"},
});
constexpr auto kStatuses = std::to_array<Named<unsigned>>({
    {1, "expected"},
    {2, "seen-reply"},
    {4, "assured"},
    {8, "confirmed"},
    {16, "snat"},
    {32, "dnat"},
    {512, "dying"},
});
constexpr auto kRouteTypes = std::to_array<Named<unsigned>>({
    {1, "unicast"},
    {2, "local"},
    {3, "broadcast"},
    {5, "multicast"},
    {6, "blackhole"},
    {7, "unreachable"},
    {8, "prohibit"},
});
constexpr auto kLogLevels = std::to_array<Named<unsigned>>({
    {0, "emerg"},
    {1, "alert"},
    {2, "crit"},
    {3, "err"},
    {4, "warn"},
    {5, "notice"},
    {6, "info"},
    {7, "debug"},
});

std::string quoted(std::string_view text) {
  return fmt::format("\"{}\"", text);
}

unsigned byte_at(std::string_view bytes, std::size_t at) {
  return at < bytes.size() ? static_cast<unsigned char>(bytes[at]) : 0U;
}

std::uint32_t host_u32(std::string_view bytes) {
  std::uint32_t value = 0;
  std::memcpy(&value, bytes.data(), std::min(bytes.size(), sizeof value));
  return value;
}

std::string addr_text(std::string_view bytes) {
  const std::vector<std::uint8_t> raw(bytes.begin(), bytes.end());
  const auto addr = IpAddr::from_bytes(raw);
  return addr ? addr->str() : "?";
}

std::string ifname_text(std::string_view bytes) {
  const bool prefix = bytes.find('\0') == std::string_view::npos && bytes.size() < 16;
  return quoted(std::string(bytes.substr(0, bytes.find('\0'))) + (prefix ? "*" : ""));
}

template <std::size_t N>
std::string named_or_number(const std::array<Named<unsigned>, N>& names, unsigned value) {
  const std::string_view name = name_of(names, value);
  return name.empty() ? fmt::format("{}", value) : std::string(name);
}

template <std::size_t N>
std::string bits_text(const std::array<Named<unsigned>, N>& names, std::uint32_t bits) {
  std::string out;
  for (const auto& row : names) {
    if ((bits & row.value) != 0) {
      out += out.empty() ? "" : ",";
      out += row.name;
    }
  }
  return out.empty() ? fmt::format("{:#x}", bits) : out;
}

std::string mark_text(std::uint32_t value) {
  return fmt::format("{:#010x}", value);
}

std::string port_text(std::string_view bytes) {
  return fmt::format("{}", (byte_at(bytes, 0) << 8U) | byte_at(bytes, 1));
}

std::string icmp_code_text(unsigned value) {
  constexpr auto kCodes = std::to_array<Named<unsigned>>({
      {0, "net-unreachable"},
      {1, "host-unreachable"},
      {2, "prot-unreachable"},
      {3, "port-unreachable"},
      {4, "frag-needed"},
      {9, "net-prohibited"},
      {10, "host-prohibited"},
      {13, "admin-prohibited"},
  });
  return named_or_number(kCodes, value);
}

std::string icmpv6_code_text(unsigned value) {
  constexpr auto kCodes = std::to_array<Named<unsigned>>({
      {0, "no-route"},
      {1, "admin-prohibited"},
      {3, "addr-unreachable"},
      {4, "port-unreachable"},
      {5, "policy-fail"},
      {6, "reject-route"},
  });
  return named_or_number(kCodes, value);
}

std::string value_text(Field field, std::string_view bytes) {
  switch (field) {
    case Field::kIpSaddr:
    case Field::kIpDaddr:
    case Field::kIp6Saddr:
    case Field::kIp6Daddr:
      return addr_text(bytes);
    case Field::kThSport:
    case Field::kThDport:
      return port_text(bytes);
    case Field::kIcmpType:
      return named_or_number(kIcmpTypes, byte_at(bytes, 0));
    case Field::kIcmpv6Type:
      return named_or_number(kIcmpv6Types, byte_at(bytes, 0));
    case Field::kIcmpCode:
      return icmp_code_text(byte_at(bytes, 0));
    case Field::kIcmpv6Code:
      return icmpv6_code_text(byte_at(bytes, 0));
    case Field::kNfProto:
      return byte_at(bytes, 0) == kNfProtoIpv6.value() ? "ipv6" : "ipv4";
    case Field::kL4Proto:
      return named_or_number(kProtocols, byte_at(bytes, 0));
    case Field::kIifName:
    case Field::kOifName:
      return ifname_text(bytes);
    case Field::kMark:
    case Field::kCtMark:
      return mark_text(host_u32(bytes));
    case Field::kCtState:
      return bits_text(kStates, host_u32(bytes));
    case Field::kCtStatus:
      return bits_text(kStatuses, host_u32(bytes));
    case Field::kCtDirection:
      return byte_at(bytes, 0) == 0 ? "original" : "reply";
    case Field::kFibSaddrIif:
      return host_u32(bytes) == 0 ? "0" : fmt::format("{}", host_u32(bytes));
    case Field::kFibDaddrType:
    case Field::kFibSaddrType:
      return named_or_number(kRouteTypes, host_u32(bytes));
  }
  return {};
}

std::size_t data_bytes(DataType type) {
  switch (type) {
    case DataType::kIpv4Addr:
    case DataType::kInetProto:
    case DataType::kInetService:
    case DataType::kMark:
      return kRegisterBytes;
    case DataType::kIpv6Addr:
    case DataType::kIfName:
      return 16;
  }
  return kRegisterBytes;
}

std::string data_text(DataType type, std::string_view bytes) {
  switch (type) {
    case DataType::kIpv4Addr:
    case DataType::kIpv6Addr:
      return addr_text(bytes);
    case DataType::kInetProto:
      return named_or_number(kProtocols, byte_at(bytes, 0));
    case DataType::kInetService:
      return port_text(bytes);
    case DataType::kIfName:
      return ifname_text(bytes);
    case DataType::kMark:
      return mark_text(host_u32(bytes));
  }
  return {};
}

std::string_view type_name(DataType type) {
  switch (type) {
    case DataType::kIpv4Addr:
      return "ipv4_addr";
    case DataType::kIpv6Addr:
      return "ipv6_addr";
    case DataType::kInetProto:
      return "inet_proto";
    case DataType::kInetService:
      return "inet_service";
    case DataType::kIfName:
      return "ifname";
    case DataType::kMark:
      return "mark";
  }
  return {};
}

// The number of leading bits that `from` and `to` share when they are a whole prefix.
std::optional<unsigned> prefix_length(std::string_view from, std::string_view to) {
  const auto bits = static_cast<unsigned>(from.size() * 8);
  const auto bit = [](std::string_view bytes, unsigned at) {
    return (byte_at(bytes, at / 8) >> (7 - at % 8)) & 1U;
  };
  unsigned length = 0;
  while (length < bits && bit(from, length) == bit(to, length)) {
    ++length;
  }
  for (unsigned at = length; at < bits; ++at) {
    if (bit(from, at) != 0 || bit(to, at) != 1) {
      return std::nullopt;
    }
  }
  return length;
}

std::string range_text(DataType type, std::string_view from, std::string_view to) {
  if (from == to) {
    return data_text(type, from);
  }
  if (type == DataType::kIpv4Addr || type == DataType::kIpv6Addr) {
    if (const auto length = prefix_length(from, to)) {
      return fmt::format("{}/{}", data_text(type, from), *length);
    }
  }
  return data_text(type, from) + "-" + data_text(type, to);
}

std::optional<unsigned> mask_length(std::string_view mask) {
  return prefix_length(std::string(mask.size(), '\0'), [&] {
    std::string inverted(mask);
    for (char& byte : inverted) {
      byte = static_cast<char>(~static_cast<unsigned char>(byte));
    }
    return inverted;
  }());
}

bool is_transport(Field field) {
  return field == Field::kThSport || field == Field::kThDport;
}

// What was learnt about the packet earlier in the rule, and so is printed into the names of fields.
struct Known {
  std::string_view protocol;  // "tcp" after `meta l4proto tcp`
};

std::string field_text(Field field, const Known& known) {
  if (is_transport(field) && !known.protocol.empty()) {
    return fmt::format("{} {}", known.protocol, field == Field::kThSport ? "sport" : "dport");
  }
  return std::string(name_of(kFieldNames, field));
}

std::string fields_text(const std::vector<Field>& fields, const Known& known) {
  std::string out;
  for (const Field field : fields) {
    out += out.empty() ? "" : " . ";
    out += field_text(field, known);
  }
  return out;
}

class StatementPrinter {
 public:
  explicit StatementPrinter(const Known& known) : known_(known) {}

  std::string operator()(const Match& match) const {
    if (match.field == Field::kFibSaddrIif && host_u32(match.value.bytes()) == 0) {
      return fmt::format("fib saddr . iif oif {}", match.negate ? "exists" : "missing");
    }
    return fmt::format("{}{} {}",
                       field_text(match.field, known_),
                       match.negate ? " !=" : "",
                       value_text(match.field, match.value.bytes()));
  }
  std::string operator()(const MatchRange& match) const {
    return fmt::format("{}{} {}-{}",
                       field_text(match.field, known_),
                       match.negate ? " !=" : "",
                       value_text(match.field, match.from.bytes()),
                       value_text(match.field, match.to.bytes()));
  }
  std::string operator()(const MatchMask& match) const {
    const std::string name = field_text(match.field, known_);
    switch (match.field) {
      case Field::kIpSaddr:
      case Field::kIpDaddr:
      case Field::kIp6Saddr:
      case Field::kIp6Daddr:
        if (const auto length = mask_length(match.mask.bytes())) {
          return fmt::format("{}{} {}/{}",
                             name,
                             match.negate ? " !=" : "",
                             addr_text(match.value.bytes()),
                             *length);
        }
        break;
      case Field::kCtState:
      case Field::kCtStatus:
        if (host_u32(match.value.bytes()) == 0) {
          return fmt::format("{}{} {}",
                             name,
                             match.negate ? "" : " !",
                             value_text(match.field, match.mask.bytes()));
        }
        break;
      default:
        break;
    }
    return fmt::format("{} & {} {} {}",
                       name,
                       value_text(match.field, match.mask.bytes()),
                       match.negate ? "!=" : "==",
                       value_text(match.field, match.value.bytes()));
  }
  std::string operator()(const Lookup& lookup) const {
    return fmt::format(
        "{} {}@{}", fields_text(lookup.key, known_), lookup.negate ? "!= " : "", lookup.set);
  }
  std::string operator()(const VerdictLookup& lookup) const {
    return fmt::format("{} vmap @{}", fields_text(lookup.key, known_), lookup.map);
  }
  std::string operator()(const Counter& counter) const {
    return fmt::format("counter packets {} bytes {}", counter.packets, counter.bytes);
  }
  std::string operator()(const CounterRef& counter) const {
    return fmt::format("counter name {}", quoted(counter.name));
  }
  std::string operator()(const Log& log) const {
    constexpr std::uint8_t kDefaultLevel = 4;
    std::string out = "log";
    if (!log.prefix.empty()) {
      out += " prefix " + quoted(log.prefix);
    }
    if (log.group) {
      out += fmt::format(" group {}", *log.group);
    } else if (log.level != kDefaultLevel) {
      out += fmt::format(" level {}", name_of(kLogLevels, static_cast<unsigned>(log.level)));
    }
    return out;
  }
  std::string operator()(const SetMark& set) const {
    const std::string name = field_text(set.field, known_);
    if (set.mask.value() == 0xffffffffU) {
      return fmt::format("{} set {}", name, mark_text(set.value.value()));
    }
    // nft shows the bits that are kept or set by the value, then the value.
    const std::uint32_t kept = ~set.mask.value();
    std::string out = fmt::format("{} set {}", name, name);
    if ((kept | set.value.value()) != 0xffffffffU || set.value.value() == 0) {
      out += fmt::format(" & {}", mark_text(kept | set.value.value()));
    }
    if (set.value.value() != 0) {
      out += fmt::format(" | {}", mark_text(set.value.value()));
    }
    return out;
  }
  std::string operator()(const SetMarkFromMap& set) const {
    return fmt::format("meta mark set {} map @{}", fields_text(set.key, known_), set.map);
  }
  std::string operator()(const DestinationNatFromMap& nat) const {
    return fmt::format("dnat {} to {} map @{}",
                       nat.family == Family::kIpv4 ? "ip" : "ip6",
                       fields_text(nat.key, known_),
                       nat.map);
  }
  std::string operator()(const Notrack& /*statement*/) const { return "notrack"; }
  std::string operator()(const Masquerade& masquerade) const {
    std::string out = "masquerade";
    if (masquerade.port_min) {
      out += fmt::format(" to :{}", masquerade.port_min->value());
      if (masquerade.port_max && *masquerade.port_max != *masquerade.port_min) {
        out += fmt::format("-{}", masquerade.port_max->value());
      }
    }
    return out + (masquerade.fully_random ? " fully-random" : "");
  }
  std::string operator()(const Verdict& verdict) const { return to_text(verdict); }
  std::string operator()(const Foreign& foreign) const { return "# " + foreign.what; }

 private:
  const Known& known_;
};

// The protocol that a match on l4proto fixes; nft then prints `tcp dport` and drops the match.
std::string_view fixed_protocol(const Statement& statement) {
  const auto* match = std::get_if<Match>(&statement);
  if (match == nullptr || match->field != Field::kL4Proto || match->negate) {
    return {};
  }
  constexpr auto kWithPorts = std::to_array<Named<unsigned>>(
      {{6, "tcp"}, {17, "udp"}, {33, "dccp"}, {132, "sctp"}, {136, "udplite"}});
  return name_of(kWithPorts, byte_at(match->value.bytes(), 0));
}

bool starts_with_port(const Statement& statement) {
  if (const auto* match = std::get_if<Match>(&statement)) {
    return is_transport(match->field);
  }
  if (const auto* match = std::get_if<MatchRange>(&statement)) {
    return is_transport(match->field);
  }
  if (const auto* lookup = std::get_if<Lookup>(&statement)) {
    return is_transport(lookup->key.front());
  }
  return false;
}

std::string_view hook_name(HookPoint point) {
  switch (point) {
    case HookPoint::kPrerouting:
      return "prerouting";
    case HookPoint::kInput:
      return "input";
    case HookPoint::kForward:
      return "forward";
    case HookPoint::kOutput:
      return "output";
    case HookPoint::kPostrouting:
      return "postrouting";
  }
  return {};
}

std::string_view chain_type_name(ChainType type) {
  switch (type) {
    case ChainType::kFilter:
      return "filter";
    case ChainType::kNat:
      return "nat";
    case ChainType::kRoute:
      return "route";
  }
  return {};
}

// nft names a priority within ten of a well-known one: "raw - 10", "filter + 5".
std::string priority_text(const Hook& hook) {
  constexpr std::int32_t kNear = 10;
  constexpr auto kPriorities = std::to_array<Named<std::int32_t>>({
      {-300, "raw"},
      {-150, "mangle"},
      {-100, "dstnat"},
      {0, "filter"},
      {50, "security"},
      {100, "srcnat"},
  });
  for (const auto& row : kPriorities) {
    const std::int32_t offset = hook.priority - row.value;
    const bool valid = (row.name != "dstnat" || hook.point == HookPoint::kPrerouting) &&
                       (row.name != "srcnat" || hook.point == HookPoint::kPostrouting);
    if (!valid || offset < -kNear || offset > kNear) {
      continue;
    }
    if (offset == 0) {
      return std::string(row.name);
    }
    return fmt::format("{} {} {}", row.name, offset < 0 ? '-' : '+', std::abs(offset));
  }
  return fmt::format("{}", hook.priority);
}

std::string types_text(const std::vector<DataType>& types) {
  std::string out;
  for (const DataType type : types) {
    out += out.empty() ? "" : " . ";
    out += type_name(type);
  }
  return out;
}

std::string spec_text(const SetSpec& spec) {
  std::string out = "\t\ttype " + types_text(spec.key);
  if (std::holds_alternative<VerdictData>(spec.data)) {
    out += " : verdict";
  } else if (const auto* types = std::get_if<DataTypes>(&spec.data)) {
    out += " : " + types_text(*types);
  }
  out += "\n";
  if (spec.constant || spec.interval) {
    out += fmt::format("\t\tflags {}{}{}\n",
                       spec.constant ? "constant" : "",
                       spec.constant && spec.interval ? "," : "",
                       spec.interval ? "interval" : "");
  }
  return out;
}

std::string set_text(const std::string& name, const Set& set) {
  std::string out = fmt::format("\t{} {} {{\n", set.spec.is_map() ? "map" : "set", name);
  out += spec_text(set.spec);
  std::string elements;
  for (const auto& [element_key, value] : set.elements) {
    elements += elements.empty() ? "\t\telements = { " : ",\n\t\t\t     ";
    elements += to_text(set.spec.key, element_key);
    if (const auto* verdict = std::get_if<Verdict>(&value)) {
      elements += " : " + to_text(*verdict);
    } else if (const auto* data = std::get_if<Key>(&value)) {
      if (const auto* types = std::get_if<DataTypes>(&set.spec.data)) {
        elements += " : " + to_text(*types, single(*data));
      }
    }
  }
  if (!elements.empty()) {
    out += elements + " }\n";
  }
  return out + "\t}\n";
}

std::string chain_text(const std::string& name, const Chain& chain) {
  std::string out = fmt::format("\tchain {} {{\n", name);
  if (chain.hook) {
    out += fmt::format("\t\ttype {} hook {} priority {}; policy {};\n",
                       chain_type_name(chain.hook->type),
                       hook_name(chain.hook->point),
                       priority_text(*chain.hook),
                       chain.hook->policy == Policy::kAccept ? "accept" : "drop");
  }
  for (const Rule& rule : chain.rules) {
    out += "\t\t" + to_text(rule) + "\n";
  }
  return out + "\t}\n";
}

}  // namespace

std::string to_text(const Verdict& verdict) {
  switch (verdict.kind) {
    case VerdictKind::kAccept:
      return "accept";
    case VerdictKind::kDrop:
      return "drop";
    case VerdictKind::kReturn:
      return "return";
    case VerdictKind::kContinue:
      return "continue";
    case VerdictKind::kJump:
      return "jump " + verdict.chain;
    case VerdictKind::kGoto:
      return "goto " + verdict.chain;
  }
  return {};
}

std::string to_text(const std::vector<DataType>& types, const ElementKey& element_key) {
  const std::string_view from = element_key.from.bytes();
  const std::string_view to = element_key.to.empty() ? from : element_key.to.bytes();
  std::string out;
  std::size_t at = 0;
  for (const DataType type : types) {
    out += out.empty() ? "" : " . ";
    out += range_text(type,
                      from.substr(std::min(at, from.size()), data_bytes(type)),
                      to.substr(std::min(at, to.size()), data_bytes(type)));
    at += data_bytes(type);
  }
  return out;
}

std::string to_text(const Statement& statement) {
  return std::visit(StatementPrinter(Known{}), statement);
}

std::string to_text(const Rule& rule) {
  std::string out;
  Known known;
  for (std::size_t i = 0; i < rule.statements.size(); ++i) {
    const Statement& statement = rule.statements[i];
    if (const std::string_view protocol = fixed_protocol(statement); !protocol.empty()) {
      known.protocol = protocol;
      if (i + 1 < rule.statements.size() && starts_with_port(rule.statements[i + 1])) {
        continue;
      }
    }
    out += out.empty() ? "" : " ";
    out += std::visit(StatementPrinter(known), statement);
  }
  if (!rule.comment.empty()) {
    out += " comment " + quoted(rule.comment);
  }
  return out;
}

std::string to_text(std::string_view table_name, const Table& table) {
  std::string out = fmt::format("table inet {} {{\n", table_name);
  bool first = true;
  const auto separate = [&out, &first] {
    if (!first) {
      out += "\n";
    }
    first = false;
  };
  for (const std::string& name : table.counters) {
    separate();
    out += fmt::format("\tcounter {} {{\n\t\tpackets 0 bytes 0\n\t}}\n", name);
  }
  for (const auto& [name, set] : table.sets) {
    separate();
    out += set_text(name, set);
  }
  for (const auto& [name, chain] : table.chains) {
    separate();
    out += chain_text(name, chain);
  }
  return out + "}\n";
}

}  // namespace margay::nft
