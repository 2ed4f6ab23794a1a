#include "bgp/bird/config.h"

#include "base/stable_hash.h"
#include "bgp/bird/filter_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <string_view>

namespace margay::bgp::bird {

namespace {

// How long a BIRD that was started anew waits for peers that do not come back before it tells its
// own routes to the others. They keep those of the run before meanwhile (RFC 4724).
constexpr unsigned kRecoveryWait = 15;
constexpr unsigned kLogBytes = 4'000'000;  // then the file is kept once as FILE.1
constexpr std::size_t kLongestName = 60;   // BIRD: 64
constexpr std::size_t kLongestPassword = 80;
constexpr unsigned kLongestHoldTime = 65535;
constexpr unsigned kLeastHoldTime = 3;      // RFC 4271 section 4.2
constexpr unsigned kLongestRestart = 4095;  // RFC 4724 section 3: twelve bits

constexpr const char* kDirect = "direct";

bool fits_name(std::string_view text) {
  return std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.';
  });
}

// BIRD's texts have no escapes: what would end one, or the line, cannot be in it.
bool fits_text(std::string_view text) {
  constexpr char kFirstPrintable = 0x20;
  return std::ranges::none_of(text,
                              [](char c) { return c == '"' || (c >= 0 && c < kFirstPrintable); });
}

bool on_connected(const IpAddr& address, const Settings& settings) {
  return std::ranges::any_of(settings.connected,
                             [&](const Prefix& network) { return network.contains(address); });
}

// BIRD derives the kind of BFD session from the kind of BGP session.
std::string reach_of(const PeerConfig& peer, const Settings& settings) {
  std::optional<bool> direct;
  if (peer.bfd) {
    direct = !peer.bfd->multihop.value_or(!on_connected(peer.address, settings));
  } else if (is_external(peer)) {
    direct = peer.ttl <= 1 && peer.ttl_security_hops <= 1;
  }
  if (direct.value_or(false)) {
    return kDirect;
  }
  const unsigned hops = std::max(peer.ttl, peer.ttl_security_hops);
  if (hops > 0) {
    return fmt::format("multihop {}", hops);
  }
  return is_external(peer) ? "multihop 1" : "multihop";
}

std::string_view role_word(Role role) {
  switch (role) {
    case Role::kProvider:
      return "provider";
    case Role::kRouteServer:
      return "rs_server";
    case Role::kRouteServerClient:
      return "rs_client";
    case Role::kCustomer:
      return "customer";
    case Role::kPeer:
      return "peer";
  }
  return "peer";
}

std::string_view limit_action(const PeerConfig& peer) {
  switch (peer.max_prefixes_action) {
    case MaxPrefixesAction::kRestart:
      return "restart";
    case MaxPrefixesAction::kDown:
      return "disable";
    case MaxPrefixesAction::kWarn:
      return "warn";
  }
  return "restart";
}

std::string_view add_paths(AddPath add_path) {
  switch (add_path) {
    case AddPath::kNone:
      return "off";
    case AddPath::kReceive:
      return "rx";
    case AddPath::kSend:
      return "tx";
    case AddPath::kBoth:
      return "on";
  }
  return "off";
}

// One socket for all addresses, or one for each of them: BIRD cannot have both on a port.
bool strict_bind(const SpeakerConfig& config, Family family) {
  return std::ranges::all_of(config.peers, [&](const PeerConfig& peer) {
    return peer.address.family() != family ||
           (peer.local_address && std::ranges::find(config.listen_addresses, *peer.local_address) !=
                                      config.listen_addresses.end());
  });
}

class Writer {
 public:
  Writer(const SpeakerConfig& config, const Settings& settings)
      : config_(config), settings_(settings) {}

  Rendered take() {
    globals();
    for (const Family family : {Family::kIpv4, Family::kIpv6}) {
      next_hops(family);
      networks(family);
    }
    if (std::ranges::any_of(config_.peers,
                            [](const PeerConfig& peer) { return peer.bfd.has_value(); })) {
      line("protocol bfd 'margay-bfd' {{}}\n");
    }
    for (const PeerConfig& peer : config_.peers) {
      add(peer);
    }
    // The digest is of everything but the line that holds it.
    out_.digest = fmt::format("{:016x}", stable_hash(out_.text));
    out_.text += fmt::format("define {} = \"{}\";\n", kDigestName, out_.digest);
    return std::move(out_);
  }

 private:
  template <typename... Args>
  void line(fmt::format_string<Args...> format, Args&&... args) {
    fmt::format_to(std::back_inserter(out_.text), format, std::forward<Args>(args)...);
    out_.text += '\n';
  }

  void globals() {
    line("# Written by margayd, which overwrites it: the datastore says what stands here.");
    line("log \"{0}\" {1} \"{0}.1\" all;", settings_.log_file, kLogBytes);
    // A node without BGP has none; BIRD insists.
    line("router id {};",
         to_string(config_.router_id == RouterId() ? RouterId(1) : config_.router_id));
    line("graceful restart wait {};", kRecoveryWait);
    for (const char* what : {"base", "log", "protocol", "route"}) {
      line("timeformat {} iso long ms;", what);
    }
    line("ipv4 table {};\nipv6 table {};", kTable4, kTable6);
    line("protocol device 'margay-device' {{}}\n");
  }

  // Every next hop counts as reachable, and as near as any other.
  void next_hops(Family family) {
    const bool v4 = family == Family::kIpv4;
    const int number = v4 ? 4 : 6;
    line("{0} table margay_next_hops{1};", family_name(family), number);
    line("protocol static 'margay-next-hops{}' {{", number);
    line("  {} {{ table margay_next_hops{}; }};", family_name(family), number);
    line("  route {} via \"lo\";\n}}\n", v4 ? "0.0.0.0/0" : "::/0");
  }

  void networks(Family family) {
    const bool v4 = family == Family::kIpv4;
    line("protocol static 'margay-networks{}' {{", v4 ? 4 : 6);
    line("  {} {{ table {}; }};", family_name(family), v4 ? kTable4 : kTable6);
    for (const Network& network : config_.networks) {
      if (network.prefix.family() == family) {
        line("  route {} blackhole{};", network.prefix.str(), attributes_of(network));
      }
    }
    line("}}\n");
  }

  static std::string attributes_of(const Network& network) {
    constexpr unsigned kHalf = 16;
    constexpr std::uint32_t kLow = 0xFFFF;
    std::string out;
    for (const Community community : network.communities) {
      out += fmt::format(
          " bgp_community.add(({}, {}));", community.value() >> kHalf, community.value() & kLow);
    }
    for (const LargeCommunity& large : network.large_communities) {
      out += fmt::format(
          " bgp_large_community.add(({}, {}, {}));", large.global, large.local_1, large.local_2);
    }
    return out.empty() ? out : " {" + out + " }";
  }

  void add(const PeerConfig& peer) {
    if (!peer.held.empty()) {
      return;
    }
    if (std::string why = refusal(peer, settings_); !why.empty()) {
      out_.refused.emplace(peer.name, std::move(why));
      return;
    }
    const std::string name = protocol_name(peer.name);
    out_.protocols.emplace(name, peer.name);
    line("protocol bgp '{}' {{", name);
    session(peer);
    timers(peer);
    for (const Family family : {Family::kIpv4, Family::kIpv6}) {
      channel(peer, family);
    }
    line("}}\n");
  }

  void session(const PeerConfig& peer) {
    const std::string from = peer.local_address ? peer.local_address->str() + " " : std::string();
    line("  local {}port {} as {};", from, config_.listen_port, peer.local_asn.value());
    line("  neighbor {} port {} as {};", peer.address.str(), peer.port, peer.asn.value());
    line("  {};", reach_of(peer, settings_));
    if (strict_bind(config_, peer.address.family())) {
      line("  strict bind on;");
    }
    if (peer.ttl_security_hops > 0) {
      line("  ttl security on;");
    }
    if (peer.passive) {
      line("  passive on;");
    }
    if (!peer.password.empty()) {
      line("  password \"{}\";", peer.password);
    }
    if (peer.reflector_client && !is_external(peer)) {
      line("  rr client;");
    }
    if (config_.cluster_id != RouterId() && !is_external(peer)) {
      line("  rr cluster id {};", to_string(config_.cluster_id));
    }
    if (peer.bfd) {
      line("  bfd {{ interval {} ms; multiplier {}; }};",
           peer.bfd->interval.count(),
           peer.bfd->multiplier);
    }
    if (is_external(peer)) {
      line("  enforce first as {};", peer.enforce_first_as ? "on" : "off");
    }
    if (peer.role && is_external(peer)) {
      line("  local role {};", role_word(*peer.role));
      line("  require roles {};", peer.strict_role ? "on" : "off");
    }
    line("  allow local as {};", peer.allowed_local_as);
    line("  deterministic med on;");
    line("  enable extended messages on;");
  }

  void timers(const PeerConfig& peer) {
    line("  hold time {};", peer.hold_time.count());
    line("  connect delay time 1;");
    line("  connect retry time {};", std::max<std::int64_t>(peer.connect_retry.count(), 1));
    line("  error wait time 1, 30;");
    const auto restart = peer.graceful_restart.value_or(config_.graceful_restart);
    if (restart.count() == 0) {
      line("  graceful restart off;");
    } else {
      line("  graceful restart on;");
      line("  graceful restart time {};", restart.count());
      if (peer.long_lived.count() > 0) {
        line("  long lived graceful restart on;");
        line("  long lived stale time {};", peer.long_lived.count());
      }
    }
  }

  void channel(const PeerConfig& peer, Family family) {
    const bool v4 = family == Family::kIpv4;
    line("  {} {{", family_name(family));
    line("    table {};", v4 ? kTable4 : kTable6);
    line("    igp table margay_next_hops{};", v4 ? 4 : 6);
    line("    gateway recursive;");
    const bool ours = peer.next_hop == NextHopRule::kSelf ||
                      (peer.next_hop == NextHopRule::kAuto && is_external(peer));
    if (ours || peer.next_hop == NextHopRule::kKeep) {
      line("    next hop {};", ours ? "self" : "keep");
    }
    if (v4 && peer.extended_next_hop && peer.address.is_v6()) {
      line("    extended next hop on;");
    }
    line("    add paths {};", add_paths(peer.add_path));
    // What a peer said and what it was told, for people and for changed filters.
    line("    import table on;");
    line("    export table on;");
    line("    import keep filtered on;");
    line("    receive limit {} action {};", peer.max_prefixes, limit_action(peer));
    line("    import filter {{\n{}    }};", import_filter(peer, family));
    line("    export filter {{\n{}    }};", export_filter(peer, family));
    line("  }};");
  }

  const SpeakerConfig& config_;
  const Settings& settings_;
  Rendered out_;
};

}  // namespace

std::string protocol_name(std::string_view peer) {
  constexpr std::string_view kPrefix = "peer-";
  if (fits_name(peer) && peer.size() + kPrefix.size() <= kLongestName) {
    return fmt::format("{}{}", kPrefix, peer);
  }
  // A number instead, which no name that fits begins with.
  return fmt::format("peer_{:016x}", stable_hash(peer));
}

std::string refusal(const PeerConfig& peer, const Settings& settings) {
  if (!fits_text(peer.password)) {
    return "BIRD cannot have a password with a quote or a control character in it";
  }
  if (peer.password.size() > kLongestPassword) {
    return fmt::format("the password is longer than {} bytes", kLongestPassword);
  }
  if (peer.hold_time.count() > 0 && peer.hold_time.count() < kLeastHoldTime) {
    return fmt::format("BIRD has no hold time below {} s", kLeastHoldTime);
  }
  if (peer.hold_time.count() > kLongestHoldTime) {
    return fmt::format("there is no hold time above {} s", kLongestHoldTime);
  }
  if (peer.graceful_restart.value_or(std::chrono::seconds(0)).count() > kLongestRestart) {
    return fmt::format("BIRD has no restart time above {} s", kLongestRestart);
  }
  if (!peer.interface.empty()) {
    return "with BIRD a peer needs an address: it cannot be given by its interface";
  }
  if (!peer.arrives_on.empty()) {
    return "BIRD cannot hold a workload to its own interface";
  }
  if (peer.bfd && !peer.local_address && reach_of(peer, settings) != kDirect) {
    return "BIRD needs a source address for BFD over several hops";
  }
  if (peer.address.is_v6() && peer.address.is_link_local()) {
    return "BIRD needs the interface of a link-local peer";
  }
  if (peer.asn == Asn()) {
    return "the peer's AS number is missing";
  }
  return {};
}

Rendered render(const SpeakerConfig& config, const Settings& settings) {
  return Writer(config, settings).take();
}

}  // namespace margay::bgp::bird
