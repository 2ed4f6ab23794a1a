#include "api/duration.h"
#include "api/resource_codec.h"

#include <fmt/format.h>

#include <array>

namespace margay::api {

template <>
struct EnumNames<NextHopMode> {
  static constexpr std::array rows{EnumName<NextHopMode>{"Auto", NextHopMode::kAuto},
                                   EnumName<NextHopMode>{"Self", NextHopMode::kSelf},
                                   EnumName<NextHopMode>{"Keep", NextHopMode::kKeep}};
};
template <typename Visitor>
void describe(Visitor& visit, BGPConfiguration& config) {
  visit.field("logSeverityScreen", config.log_severity_screen);
  visit.field("nodeToNodeMeshEnabled", config.node_to_node_mesh_enabled);
  visit.field("asNumber", config.as_number);
  visit.field("listenPort", config.listen_port);
  visit.field("ignoredInterfaces", config.ignored_interfaces);
  for (const char* name : {"serviceClusterIPs",
                           "serviceExternalIPs",
                           "serviceLoadBalancerIPs",
                           "communities",
                           "prefixAdvertisements",
                           "nodeMeshPassword",
                           "nodeMeshMaxRestartTime",
                           "bindMode",
                           "serviceLoadBalancerAggregation",
                           "localWorkloadPeeringIPV4",
                           "localWorkloadPeeringIPV6",
                           "programClusterRoutes",
                           "ipv4NormalRoutePriority",
                           "ipv6NormalRoutePriority"}) {
    visit.unsupported(name, "not supported by Margay yet");
  }
  check_log_severity(visit, config.log_severity_screen);
  for (const std::string& name : config.ignored_interfaces) {
    if (name == "*") {
      visit.fail("ignoredInterfaces", "\"*\": would leave no interface");
    }
  }
  if (config.listen_port && *config.listen_port == 0) {
    visit.fail("listenPort", "0: expected 1 to 65535");
  }
}

template void describe(Reader& visit, BGPConfiguration& config);
template void describe(Writer& visit, BGPConfiguration& config);

namespace {

// "192.0.2.1", "192.0.2.1:1790", "2001:db8::1", "[2001:db8::1]:1790".
struct PeerAddress {
  IpAddr addr;
  std::uint16_t port = kBgpPort;
};
std::optional<PeerAddress> parse_peer_address(std::string_view text) {
  PeerAddress out;
  std::string_view host = text;
  std::string_view port;
  if (text.starts_with('[')) {
    const std::size_t close = text.find("]:");
    if (close == std::string_view::npos) {
      return std::nullopt;
    }
    host = text.substr(1, close - 1);
    port = text.substr(close + 2);
  } else if (text.find(':') == text.rfind(':') && text.find(':') != std::string_view::npos) {
    host = text.substr(0, text.find(':'));
    port = text.substr(text.find(':') + 1);
  }
  const auto addr = IpAddr::parse(host);
  const std::int64_t number =
      port.empty() && port.data() == nullptr ? kBgpPort : parse_number(port);
  if (!addr || number < 1 || number > 65535 || (text.starts_with('[') && addr->is_v4())) {
    return std::nullopt;
  }
  out.addr = *addr;
  out.port = static_cast<std::uint16_t>(number);
  return out;
}

std::string print_peer_address(const BGPPeer& peer) {
  if (peer.peer_port == kBgpPort) {
    return peer.peer_ip->str();
  }
  return peer.peer_ip->is_v4() ? fmt::format("{}:{}", peer.peer_ip->str(), peer.peer_port)
                               : fmt::format("[{}]:{}", peer.peer_ip->str(), peer.peer_port);
}

template <typename Visitor>
void check_bgp_peer(Visitor& visit, const BGPPeer& peer) {
  if (!peer.node.empty() && !peer.node_selector.empty()) {
    visit.fail("nodeSelector", "excludes node");
  }
  if (peer.peer_ip.has_value() == !peer.peer_selector.empty()) {
    visit.fail("peerIP", peer.peer_ip ? "excludes peerSelector" : "required, or peerSelector");
  }
  if (peer.peer_ip && !peer.as_number) {
    visit.fail("asNumber", "required with peerIP");
  }
  if (!peer.peer_selector.empty() && peer.as_number) {
    visit.fail("asNumber", "excludes peerSelector: the nodes have their own");
  }
}

template <typename Visitor>
void describe_peer_address(Visitor& visit, BGPPeer& peer) {
  visit.custom(
      "peerIP",
      [&peer](ReadState& state, const std::string& path, const json::value& in) {
        const auto parsed = in.is_string() ? parse_peer_address(in.get_string()) : std::nullopt;
        if (!parsed) {
          state.fail_at(path, shown(in) + ": expected an address, ADDRESS:PORT or [IPV6]:PORT");
          return;
        }
        peer.peer_ip = parsed->addr;
        peer.peer_port = parsed->port;
      },
      [&peer] {
        return peer.peer_ip ? json::value(print_peer_address(peer)) : json::value(nullptr);
      });
}

}  // namespace

template <typename Visitor>
void describe(Visitor& visit, BGPPeer& peer) {
  visit.field("node", peer.node);
  visit.field("nodeSelector", peer.node_selector);
  describe_peer_address(visit, peer);
  visit.field("peerSelector", peer.peer_selector);
  visit.field("asNumber", peer.as_number);
  visit.field("localASNumber", peer.local_as_number);
  bool mode_given = false;
  visit.custom(
      "nextHopMode",
      [&peer, &mode_given](ReadState& state, const std::string& path, const json::value& in) {
        mode_given = true;
        read_value(state, path, in, peer.next_hop_mode);
      },
      [&peer] {
        return peer.next_hop_mode == NextHopMode::kAuto ? json::value(nullptr)
                                                        : write_value(peer.next_hop_mode);
      });
  visit.custom(
      "sourceAddress",
      [&peer](ReadState& state, const std::string& path, const json::value& in) {
        if (!in.is_string() || (in.get_string() != "UseNodeIP" && in.get_string() != "None")) {
          state.fail_at(path, shown(in) + ": expected UseNodeIP or None");
        } else {
          peer.use_node_source_address = in.get_string() == "UseNodeIP";
        }
      },
      [&peer] {
        return peer.use_node_source_address ? json::value(nullptr) : json::value("None");
      });
  describe_duration(visit, "keepaliveTime", peer.keepalive_time_s);
  describe_duration(visit, "maxRestartTime", peer.max_restart_time_s);
  visit.field("numAllowedLocalASNumbers", peer.num_allowed_local_as_numbers);
  visit.custom(
      "keepOriginalNextHop",
      [&peer, &mode_given](ReadState& state, const std::string& path, const json::value& in) {
        bool keep = false;
        read_value(state, path, in, keep);
        if (mode_given) {
          state.fail_at(path, "excludes nextHopMode: give one of them");
        }
        peer.next_hop_mode = keep ? NextHopMode::kKeep : peer.next_hop_mode;
      },
      [] { return json::value(nullptr); });
  visit.field("filters", peer.filters);
  visit.field("ttlSecurity", peer.ttl_security_hops);
  if (peer.ttl_security_hops && *peer.ttl_security_hops == 0) {
    visit.fail("ttlSecurity", "0: expected 1 to 254 hops");
  }
  for (const char* name : {"password", "reachableBy", "localWorkloadSelector", "reversePeering"}) {
    visit.unsupported(name, "not supported by Margay yet");
  }
  check_bgp_peer(visit, peer);
}

template void describe(Reader& visit, BGPPeer& peer);
template void describe(Writer& visit, BGPPeer& peer);

}  // namespace margay::api
