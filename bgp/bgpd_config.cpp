#include "bgp/bgpd_config.h"

#include "bgp/bgpd_filters.h"
#include "bgp/bgpd_monitoring.h"
#include "bgp/config_section.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <iterator>
#include <map>
#include <set>
#include <utility>

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

Result<std::string> password_in(const std::string& path) {
  std::ifstream file(path);
  std::string text;
  if (!std::getline(file, text) || text.empty()) {
    return fail(Errc::kInvalid, "\"{}\": expected a file whose first line is the password", path);
  }
  return text;
}

// "192.0.2.1:179" or "[2001:db8::1]:179".
struct Listen {
  IpAddr address;
  std::uint16_t port = kBgpPort;
};
Result<Listen> listen_address(const std::string& text) {
  const auto wrong = [&text] {
    return fail(Errc::kInvalid, "\"{}\": expected ADDRESS:PORT, IPv6 as [ADDRESS]:PORT", text);
  };
  const auto colon = text.rfind(':');
  if (colon == std::string::npos) {
    return wrong();
  }
  std::string address = text.substr(0, colon);
  const bool bracketed = address.size() > 2 && address.front() == '[' && address.back() == ']';
  if (bracketed) {
    address = address.substr(1, address.size() - 2);
  }
  const auto parsed = IpAddr::parse(address);
  const auto port = number<std::uint16_t>(1, 65535)(text.substr(colon + 1));
  if (!parsed || !port || parsed->is_v6() != bracketed) {
    return wrong();
  }
  return Listen{*parsed, *port};
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

constexpr auto kUnsupported = std::to_array<std::pair<std::string_view, std::string_view>>({
    {"dynamic", "this build has no dynamic peers"},
    {"add_path", "this build has no add-path"},
});

Result<std::string> any_text(const std::string& text) {
  return text;
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

Result<void> read_peer_fields(const Section& section, PeerFields& into) {
  for (const auto& [field, why] : kUnsupported) {
    if (section.has(field)) {
      return section.wrong(field, why);
    }
  }
  PeerConfig& config = into.config;
  return first_failure({
      read_bfd(section, config.bfd),
      read_record(section, config.record),
      section.read("route_reflector_client", config.reflector_client, boolean),
      section.read("passive", config.passive, boolean),
      section.read("hold_time_s", config.hold_time, hold_time),
      section.read("password_file", config.password, password_in),
      section.read("ttl_security", config.ttl_security_hops, number<std::uint8_t>(1, 254)),
      section.read("ttl", config.ttl, number<std::uint8_t>(1, 255)),
      section.read("max_prefixes", config.max_prefixes, number<std::uint32_t>(1, 4294967295U)),
      section.read("next_hop", config.next_hop, next_hop),
      section.read("allowed_local_as", config.allowed_local_as, number<unsigned>(0, 255)),
      section.read("local_asn", config.local_asn, asn),
      section.read("port", config.port, number<std::uint16_t>(1, 65535)),
      section.read("import", into.importing, any_text),
      section.read("export", into.exporting, any_text),
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
    "next_hop",
    "allowed_local_as",
    "local_asn",
    "port",
    "import",
    "export",
    "dynamic",
    "bfd",
    "record",
    "add_path",
});

struct Group {
  PeerFields fields;
  std::optional<Asn> peer_asn;
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
    speaker.listen_addresses.push_back(parsed->address);
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
    const auto name = entry.first.as<std::string>();
    const Section group = section.section(name);
    if (auto known = group.expect({"peer_asn"}, kPeerFields); !known) {
      return fail(known.error());
    }
    Group& into = groups[name];
    if (auto done = first_failure(
            {read_peer_fields(group, into.fields), group.read("peer_asn", into.peer_asn, asn)});
        !done) {
      return fail(done.error());
    }
  }
  return groups;
}

// RFC 8212: nothing passes to or from an external peer unless the configuration says so.
Result<void> check_policy(const Section& section, const PeerFields& peer, Asn own) {
  const bool external =
      peer.config.asn != (peer.config.local_asn.value() != 0 ? peer.config.local_asn : own);
  if (external && (peer.importing.empty() || peer.exporting.empty())) {
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

Result<PeerConfig> read_peer(const Section& section,
                             const Groups& groups,
                             const NamedFilters& filters,
                             Asn own) {
  if (auto known =
          section.expect({"address", "asn", "group", "name", "local_address"}, kPeerFields);
      !known) {
    return fail(known.error());
  }
  PeerFields peer;
  if (section.has("group")) {
    const auto group = groups.find(section.get("group").Scalar());
    if (group == groups.end()) {
      return section.wrong("group", "no such group");
    }
    peer = group->second.fields;
    peer.config.asn = group->second.peer_asn.value_or(Asn());
  }
  PeerConfig& config = peer.config;
  const auto address = [](const std::string& text) { return IpAddr::parse(text); };
  if (auto done = first_failure({
          section.read("address", config.address, address),
          section.read("asn", config.asn, asn),
          section.read("local_address", config.local_address, address),
          section.read("name", config.name, any_text),
          read_peer_fields(section, peer),
      });
      !done) {
    return fail(done.error());
  }
  if (!section.has("address")) {
    return section.wrong("address", "missing");
  }
  if (config.asn.value() == 0) {
    return section.wrong("asn", "missing, here and in the group");
  }
  if (auto allowed =
          first_failure({check_policy(section, peer, own), use_filters(section, filters, peer)});
      !allowed) {
    return fail(allowed.error());
  }
  if (config.local_asn.value() == 0) {
    config.local_asn = own;
  }
  if (config.name.empty()) {
    config.name = config.address.str();
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
    if (!names.insert(peer->name).second) {
      return section.wrong("name", fmt::format("\"{}\" is there twice", peer->name));
    }
    speaker.peers.push_back(std::move(*peer));
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
  if (auto peers = read_peers(root, *groups, *filters, config.speaker); !peers) {
    return fail(peers.error());
  }
  return config;
}

}  // namespace

Result<BgpdConfig> parse_bgpd_config(std::string_view text, const std::string& name) {
  try {
    return read_document(YAML::Load(std::string(text)), name);
  } catch (const YAML::Exception& error) {
    return fail(Errc::kInvalid, "{}: line {}: {}", name, error.mark.line + 1, error.msg);
  }
}

Result<BgpdConfig> read_bgpd_config(const std::string& path) {
  std::ifstream file(path);
  if (!file) {
    return fail(Errc::kNotFound, "{}: cannot be read", path);
  }
  const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  return parse_bgpd_config(text, path);
}

}  // namespace margay::bgp
