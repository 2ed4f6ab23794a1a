#include "bgp/bgpd_config.h"

#include "base/socket_addr.h"
#include "base/text_file.h"
#include "bgp/bgpd_filters.h"
#include "bgp/bgpd_monitoring.h"
#include "bgp/config_section.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <utility>
#include <vector>

namespace margay::bgp {
namespace {

Result<RouterId> router_id(const std::string& text) {
  const auto addr = IpAddr::parse(text);
  if (!addr || !addr->is_v4() || addr->v4_value() == 0) {
    return fail(Errc::kInvalid, "\"{}\": expected an IPv4 address other than 0.0.0.0", text);
  }
  return RouterId(addr->v4_value());
}

Result<std::chrono::seconds> hold_time(const std::string& text) {
  constexpr std::uint32_t kLowest = 3;  // RFC 4271 section 4.2: 0 or at least three seconds
  const auto value = number<std::uint32_t>(0, 65535)(text);
  if (!value || (*value != 0 && *value < kLowest)) {
    return fail(Errc::kInvalid, "\"{}\": expected 0, or a number from 3 to 65535", text);
  }
  return std::chrono::seconds(*value);
}

Result<NextHopRule> next_hop(const std::string& text) {
  if (text == "auto") {
    return NextHopRule::kAuto;
  }
  if (text == "self") {
    return NextHopRule::kSelf;
  }
  if (text == "keep") {
    return NextHopRule::kKeep;
  }
  return fail(Errc::kInvalid, "\"{}\": expected auto, self or keep", text);
}

// A relative path is one from the configuration's directory.
auto password_beside(const std::string& config_file) {
  return [&config_file](const std::string& path) -> Result<std::string> {
    std::ifstream file(std::filesystem::path(config_file).parent_path() / path);
    std::string text;
    if (!std::getline(file, text) || text.empty()) {
      return fail(Errc::kInvalid, "\"{}\": expected a file whose first line is the password", path);
    }
    return text;
  };
}

// Where to listen; BGP has no "any free port".
Result<SocketAddr> listen_address(const std::string& text) {
  auto parsed = SocketAddr::parse(text);
  if (parsed && parsed->port == 0) {
    return fail(Errc::kInvalid, "\"{}\": expected a port from 1 to 65535", text);
  }
  return parsed;
}

// The first failure of a list of steps.
Result<void> first_failure(std::initializer_list<Result<void>> steps) {
  for (const Result<void>& step : steps) {
    if (!step) {
      return step;
    }
  }
  return {};
}

// What a group and a peer can both say.
struct PeerFields {
  PeerConfig config;
  // "accept" or the name of a filter; empty: not said.
  std::string importing;
  std::string exporting;
};

Result<Role> role_named(const std::string& text) {
  constexpr auto kRoles = std::to_array<std::pair<std::string_view, Role>>({
      {"provider", Role::kProvider},
      {"rs_server", Role::kRouteServer},
      {"rs_client", Role::kRouteServerClient},
      {"customer", Role::kCustomer},
      {"peer", Role::kPeer},
  });
  const auto* found = std::ranges::find(kRoles, text, &std::pair<std::string_view, Role>::first);
  if (found == kRoles.end()) {
    return fail(
        Errc::kInvalid, "\"{}\": expected provider, customer, peer, rs_server or rs_client", text);
  }
  return found->second;
}

// "65001", "external": any AS but ours, "internal": ours.
struct RemoteAs {
  std::optional<Asn> number;
  bool internal = false;
};
Result<RemoteAs> remote_as(const std::string& text) {
  if (text == "external" || text == "internal") {
    return RemoteAs{std::nullopt, text == "internal"};
  }
  const auto number = asn(text);
  if (!number) {
    return fail(Errc::kInvalid, "{}, external or internal", number.error().text);
  }
  return RemoteAs{*number, false};
}

// What the two AS numbers of a session are.
void settle_asns(const RemoteAs& remote, Asn own, PeerConfig& config) {
  if (config.local_asn.value() == 0) {
    config.local_asn = own;
  }
  config.asn = remote.internal ? config.local_asn : remote.number.value_or(Asn());
}

Result<std::string> any_text(const std::string& text) {
  return text;
}

Result<AddPath> add_path(const std::string& text) {
  constexpr std::pair<std::string_view, AddPath> kModes[] = {{"none", AddPath::kNone},
                                                             {"receive", AddPath::kReceive},
                                                             {"send", AddPath::kSend},
                                                             {"both", AddPath::kBoth}};
  for (const auto& [name, mode] : kModes) {
    if (text == name) {
      return mode;
    }
  }
  return fail(Errc::kInvalid, "\"{}\": expected none, receive, send or both", text);
}

Result<MaxPrefixesAction> max_prefixes_action(const std::string& text) {
  constexpr std::pair<std::string_view, MaxPrefixesAction> kActions[] = {
      {"restart", MaxPrefixesAction::kRestart},
      {"down", MaxPrefixesAction::kDown},
      {"warn", MaxPrefixesAction::kWarn}};
  for (const auto& [name, action] : kActions) {
    if (text == name) {
      return action;
    }
  }
  return fail(Errc::kInvalid, "\"{}\": expected restart, down or warn", text);
}

Result<std::chrono::seconds> seconds_up_to(unsigned most, const std::string& text) {
  const auto value = number<unsigned>(0, most)(text);
  if (!value) {
    return fail(value.error());
  }
  return std::chrono::seconds(*value);
}

Result<std::chrono::seconds> restart_time(const std::string& text) {
  constexpr unsigned kMost = 4095;  // RFC 4724 section 3: 12 bits
  return seconds_up_to(kMost, text);
}

Result<std::chrono::seconds> long_lived_time(const std::string& text) {
  constexpr unsigned kMost = 0xFFFFFF;  // RFC 9494 section 3.1: 24 bits
  return seconds_up_to(kMost, text);
}

Result<void> read_bfd(const Section& section, std::optional<BfdSettings>& into) {
  if (!section.has("bfd")) {
    return {};
  }
  const Section bfd = section.section("bfd");
  BfdSettings settings;
  std::uint32_t interval_ms = 300;
  if (auto read = first_failure({
          bfd.expect({"interval_ms", "multiplier", "multihop"}),
          bfd.read("interval_ms", interval_ms, number<std::uint32_t>(10, 60'000)),
          bfd.read("multiplier", settings.multiplier, number<std::uint8_t>(2, 50)),
          bfd.read("multihop", settings.multihop, boolean),
      });
      !read) {
    return read;
  }
  settings.interval = std::chrono::milliseconds(interval_ms);
  into = settings;
  return {};
}

// After the fields were read, of the group and of the peer.
Result<void> check_ttl(const Section& section, const PeerConfig& config) {
  return config.ttl > 0 && config.ttl_security_hops > 0
             ? section.wrong("ttl", "excludes ttl_security, which sends with 255")
             : Result<void>();
}

Result<void> read_peer_fields(const Section& section, PeerFields& into) {
  PeerConfig& config = into.config;
  return first_failure({
      read_bfd(section, config.bfd),
      read_record(section, config.record),
      section.read("route_reflector_client", config.reflector_client, boolean),
      section.read("passive", config.passive, boolean),
      section.read("add_path", config.add_path, add_path),
      section.read("graceful_restart_s", config.graceful_restart, restart_time),
      section.read("long_lived_s", config.long_lived, long_lived_time),
      section.read("hold_time_s", config.hold_time, hold_time),
      section.read("password_file", config.password, password_beside(section.file())),
      section.read("ttl_security", config.ttl_security_hops, number<std::uint8_t>(1, 254)),
      section.read("ttl", config.ttl, number<std::uint8_t>(1, 255)),
      section.read("max_prefixes", config.max_prefixes, number<std::uint32_t>(1, 4294967295U)),
      section.read("max_prefixes_action", config.max_prefixes_action, max_prefixes_action),
      section.read("next_hop", config.next_hop, next_hop),
      section.read("allowed_local_as", config.allowed_local_as, number<unsigned>(0, 255)),
      section.read("local_asn", config.local_asn, asn),
      section.read("extended_next_hop", config.extended_next_hop, boolean),
      section.read("role", config.role, role_named),
      section.read("strict_role", config.strict_role, boolean),
      section.read("port", config.port, number<std::uint16_t>(1, 65535)),
      section.read("import", into.importing, any_text),
      section.read("export", into.exporting, any_text),
      check_ttl(section, config),
  });
}

constexpr auto kPeerFields = std::to_array<std::string_view>({
    "route_reflector_client",
    "passive",
    "hold_time_s",
    "password_file",
    "ttl_security",
    "ttl",
    "max_prefixes",
    "max_prefixes_action",
    "next_hop",
    "allowed_local_as",
    "local_asn",
    "port",
    "import",
    "export",
    "extended_next_hop",
    "role",
    "strict_role",
    "bfd",
    "record",
    "add_path",
    "graceful_restart_s",
    "long_lived_s",
});

struct Group {
  PeerFields fields;
  std::optional<RemoteAs> peer_as;
};
using Groups = std::map<std::string, Group>;

Result<void> read_router(const Section& router, BgpdConfig& config) {
  if (auto known = router.expect(
          {"asn", "id", "cluster_id", "listen", "fib", "graceful_restart_s", "max_multipath"});
      !known) {
    return known;
  }
  for (const char* field : {"asn", "id"}) {
    if (!router.has(field)) {
      return router.wrong(field, "missing");
    }
  }
  const auto seconds = [](const std::string& text) -> Result<std::chrono::seconds> {
    constexpr std::uint32_t kTwelveBits = 4095;
    const auto value = number<std::uint32_t>(0, kTwelveBits)(text);
    return value ? Result<std::chrono::seconds>(std::chrono::seconds(*value)) : fail(value.error());
  };
  SpeakerConfig& speaker = config.speaker;
  return first_failure({
      router.read("asn", speaker.asn, asn),
      router.read("id", speaker.router_id, router_id),
      router.read("cluster_id", speaker.cluster_id, router_id),
      router.read("graceful_restart_s", speaker.graceful_restart, seconds),
      router.read("max_multipath", speaker.max_multipath, number<unsigned>(1, 64)),
  });
}

Result<void> read_listen(const Section& router, SpeakerConfig& speaker) {
  const YAML::Node list = router.get("listen");
  if (!list.IsDefined()) {
    return {};
  }
  if (!list.IsSequence()) {
    return router.wrong("listen", "expected a list of ADDRESS:PORT");
  }
  for (std::size_t i = 0; i < list.size(); ++i) {
    const auto parsed = listen_address(list[i].IsScalar() ? list[i].Scalar() : std::string());
    if (!parsed) {
      return router.wrong("listen", parsed.error().text);
    }
    if (i > 0 && parsed->port != speaker.listen_port) {
      return router.wrong("listen", "expected one port for all addresses");
    }
    speaker.listen_port = parsed->port;
    speaker.listen_addresses.push_back(parsed->addr);
  }
  return {};
}

Result<void> read_fib(const Section& fib, BgpdConfig::Fib& into) {
  if (auto known = fib.expect({"ipv4", "ipv6", "table", "protocol"}); !known) {
    return known;
  }
  std::uint32_t table = into.table.value();
  std::uint8_t protocol = into.protocol.value();
  auto done = first_failure({
      fib.read("ipv4", into.ipv4, boolean),
      fib.read("ipv6", into.ipv6, boolean),
      fib.read("table", table, number<std::uint32_t>(1, 4294967295U)),
      fib.read("protocol", protocol, number<std::uint8_t>(5, 255)),
  });
  into.table = TableId(table);
  into.protocol = RouteProtocol(protocol);
  return done;
}

Result<Groups> read_groups(const Section& section) {
  Groups groups;
  if (!section.node().IsDefined() || section.node().IsNull()) {
    return groups;
  }
  if (!section.node().IsMap()) {
    return section.wrong("", "expected a mapping of names to groups");
  }
  for (const auto& entry : section.node()) {
    if (!entry.first.IsScalar()) {
      return section.wrong("", "expected the name of a group");
    }
    const auto name = entry.first.as<std::string>();
    const Section group = section.section(name);
    if (auto known = group.expect({"peer_asn", "dynamic"}, kPeerFields); !known) {
      return fail(known.error());
    }
    Group& into = groups[name];
    if (auto done = first_failure({read_peer_fields(group, into.fields),
                                   group.read("peer_asn", into.peer_as, remote_as)});
        !done) {
      return fail(done.error());
    }
  }
  return groups;
}

// RFC 8212: nothing passes to or from an external peer unless the configuration says so.
Result<void> check_policy(const Section& section, const PeerFields& peer) {
  if (peer.config.asn != peer.config.local_asn &&
      (peer.importing.empty() || peer.exporting.empty())) {
    return section.wrong("", "an external peer needs import and export: accept, or a filter");
  }
  return {};
}

// "accept" is no rule at all.
Result<void> use_filters(const Section& section, const NamedFilters& filters, PeerFields& peer) {
  const auto use = [&](const char* field,
                       const std::string& name,
                       std::vector<FilterRule>& v4,
                       std::vector<FilterRule>& v6) -> Result<void> {
    if (name.empty() || name == "accept") {
      return {};
    }
    const auto found = filters.find(name);
    if (found == filters.end()) {
      return section.wrong(field,
                           fmt::format("\"{}\": expected accept or a name in filters", name));
    }
    v4 = rules_of(found->second, Family::kIpv4);
    v6 = rules_of(found->second, Family::kIpv6);
    return {};
  };
  PeerFilters& into = peer.config.filters;
  return first_failure({use("import", peer.importing, into.import_v4, into.import_v6),
                        use("export", peer.exporting, into.export_v4, into.export_v6)});
}

// A peer stands at an address, or at the other end of an interface, or both: link-local addresses
// are of one.
Result<void> check_place(const Section& section, const PeerConfig& config) {
  if (config.interface.empty()) {
    return !section.has("address") ? section.wrong("address", "missing, and there is no interface")
           : config.address.is_v6() && config.address.is_link_local()
               ? section.wrong("address", "link-local: needs interface")
               : Result<void>();
  }
  if (section.has("address") && !(config.address.is_v6() && config.address.is_link_local())) {
    return section.wrong("address", "with interface: expected a link-local IPv6 address, or none");
  }
  if (config.local_address) {
    return section.wrong("local_address", "excludes interface");
  }
  return {};
}

// What cannot be, or cannot be told apart by the address of a connection.
Result<void> check_address(const Section& section,
                           const PeerConfig& config,
                           const SpeakerConfig& speaker) {
  if (config.address.is_unspecified()) {
    return {};  // whoever is on the interface
  }
  const bool own = std::ranges::find(speaker.listen_addresses, config.address) !=
                       speaker.listen_addresses.end() ||
                   config.local_address == config.address;
  if (own && config.port == speaker.listen_port) {
    return section.wrong("address",
                         fmt::format("\"{}\": is this router itself", config.address.str()));
  }
  const bool twice = std::ranges::any_of(speaker.peers, [&config](const PeerConfig& other) {
    return other.address == config.address && other.interface == config.interface &&
           other.port == config.port && other.local_address == config.local_address;
  });
  return twice
             ? section.wrong("address", fmt::format("\"{}\": is there twice", config.address.str()))
             : Result<void>();
}

Result<std::string> interface_name(const std::string& text) {
  const auto name = IfName::parse(text);
  return name ? Result<std::string>(name->str()) : fail(name.error());
}

Result<PeerConfig> read_peer(const Section& section,
                             const Groups& groups,
                             const NamedFilters& filters,
                             Asn own) {
  if (auto known = section.expect(
          {"address", "interface", "asn", "group", "name", "description", "local_address"},
          kPeerFields);
      !known) {
    return fail(known.error());
  }
  PeerFields peer;
  std::optional<RemoteAs> remote;
  if (section.has("group")) {
    const auto group = groups.find(section.get("group").Scalar());
    if (group == groups.end()) {
      return section.wrong("group",
                           fmt::format("\"{}\": no such group", section.get("group").Scalar()));
    }
    peer = group->second.fields;
    remote = group->second.peer_as;
  }
  PeerConfig& config = peer.config;
  const auto address = [](const std::string& text) { return IpAddr::parse(text); };
  if (auto done = first_failure({
          section.read("address", config.address, address),
          section.read("interface", config.interface, interface_name),
          section.read("asn", remote, remote_as),
          section.read("local_address", config.local_address, address),
          section.read("name", config.name, any_text),
          section.read("description", config.description, any_text),
          read_peer_fields(section, peer),
      });
      !done) {
    return fail(done.error());
  }
  if (!remote) {
    return section.wrong("asn", "missing, here and in the group");
  }
  settle_asns(*remote, own, config);
  if (auto allowed = first_failure({check_place(section, config),
                                    check_policy(section, peer),
                                    use_filters(section, filters, peer)});
      !allowed) {
    return fail(allowed.error());
  }
  if (!config.interface.empty()) {
    config.extended_next_hop = true;  // there is no IPv4 address
  }
  if (config.name.empty()) {
    config.name = config.interface.empty() ? config.address.str() : config.interface;
  }
  config.origin = "file";
  return std::move(peer.config);
}

Result<void> read_peers(const Section& root,
                        const Groups& groups,
                        const NamedFilters& filters,
                        SpeakerConfig& speaker) {
  const YAML::Node list = root.get("peers");
  if (!list.IsDefined() || list.IsNull()) {
    return {};
  }
  if (!list.IsSequence()) {
    return root.wrong("peers", "expected a list");
  }
  std::set<std::string> names;
  for (std::size_t i = 0; i < list.size(); ++i) {
    const Section section(list[i], fmt::format("peers[{}]", i), root.file());
    auto peer = read_peer(section, groups, filters, speaker.asn);
    if (!peer) {
      return fail(peer.error());
    }
    if (auto good = check_address(section, *peer, speaker); !good) {
      return good;
    }
    if (!names.insert(peer->name).second) {
      return section.wrong("name", fmt::format("\"{}\" is there twice", peer->name));
    }
    speaker.peers.push_back(std::move(*peer));
  }
  return {};
}

// A group with `dynamic` takes connections from a network, each as a peer of its own.
Result<void> read_dynamic(const Section& root,
                          const Groups& groups,
                          const NamedFilters& filters,
                          SpeakerConfig& speaker) {
  for (const auto& [name, group] : groups) {
    const Section section = root.section("groups").section(name);
    if (!section.has("dynamic")) {
      continue;
    }
    const Section dynamic = section.section("dynamic");
    PeerFields peers = group.fields;
    DynamicPeers range{.name = name};
    const auto prefix = [](const std::string& text) { return Prefix::parse(text); };
    if (!dynamic.has("prefix")) {
      return section.wrong("dynamic", "expected {prefix: NETWORK, limit: NUMBER}");
    }
    if (!group.peer_as) {
      return section.wrong("peer_asn", "missing");
    }
    settle_asns(*group.peer_as, speaker.asn, peers.config);
    if (auto done = first_failure({
            dynamic.expect({"prefix", "limit"}),
            dynamic.read("prefix", range.prefix, prefix),
            dynamic.read("limit", range.limit, number<std::uint32_t>(1, kMostDynamicPeers)),
            check_policy(section, peers),
            use_filters(section, filters, peers),
        });
        !done) {
      return done;
    }
    range.peers = std::move(peers.config);
    speaker.dynamic.push_back(std::move(range));
  }
  return {};
}

Result<void> read_networks(const Section& root, SpeakerConfig& speaker) {
  const YAML::Node list = root.get("networks");
  if (!list.IsDefined() || list.IsNull()) {
    return {};
  }
  if (!list.IsSequence()) {
    return root.wrong("networks", "expected a list of prefixes");
  }
  for (const auto& entry : list) {
    const auto prefix = Prefix::parse(entry.IsScalar() ? entry.Scalar() : std::string());
    if (!prefix) {
      return root.wrong("networks", prefix.error().text);
    }
    speaker.networks.push_back({*prefix, {}, {}});
  }
  return {};
}

Result<BgpdConfig> read_document(const YAML::Node& document, const std::string& name) {
  const Section root(document, "", name);
  if (auto known = root.expect(
          {"router", "groups", "peers", "networks", "filters", "control", "bmp", "mrt"});
      !known) {
    return fail(known.error());
  }
  BgpdConfig config;
  config.speaker.graceful_restart = std::chrono::seconds(0);
  const Section router = root.section("router");
  const auto path = [](const std::string& text) -> Result<std::string> {
    if (!text.empty() && text.front() != '/') {
      return fail(Errc::kInvalid, "\"{}\": expected an absolute path, or nothing", text);
    }
    return text;
  };
  const auto groups = read_groups(root.section("groups"));
  if (!groups) {
    return fail(groups.error());
  }
  const auto filters = read_filters(root.section("filters"));
  if (!filters) {
    return fail(filters.error());
  }
  for (const auto& step : {
           read_router(router, config),
           read_listen(router, config.speaker),
           read_fib(router.section("fib"), config.fib),
           read_networks(root, config.speaker),
           read_bmp(root, config.speaker.bmp),
           read_mrt(root, config.speaker.mrt),
           root.read("control", config.control, path),
       }) {
    if (!step) {
      return fail(step.error());
    }
  }
  config.speaker.fib_ipv4 = config.fib.ipv4;
  config.speaker.fib_ipv6 = config.fib.ipv6;
  if (auto peers = first_failure({read_peers(root, *groups, *filters, config.speaker),
                                  read_dynamic(root, *groups, *filters, config.speaker)});
      !peers) {
    return fail(peers.error());
  }
  return config;
}

}  // namespace

Result<BgpdConfig> parse_bgpd_config(std::string_view text, const std::string& name) {
  try {
    const std::vector<YAML::Node> documents = YAML::LoadAll(std::string(text));
    if (documents.size() > 1) {
      return fail(Errc::kInvalid,
                  "{}: line {}: a second document: expected one",
                  name,
                  documents[1].Mark().line + 1);
    }
    return read_document(documents.empty() ? YAML::Node() : documents[0], name);
  } catch (const YAML::Exception& error) {
    return fail(Errc::kInvalid, "{}: line {}: {}", name, error.mark.line + 1, error.msg);
  }
}

Result<BgpdConfig> read_bgpd_config(const std::string& path) {
  const auto text = read_text_file(path);
  return text ? parse_bgpd_config(*text, path) : fail(text.error());
}

}  // namespace margay::bgp
