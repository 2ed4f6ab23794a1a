#include "api/network_codec.h"

#include <fmt/format.h>

#include <array>
#include <charconv>

namespace margay::api {

template <>
struct EnumNames<AllowedUse> {
  static constexpr std::array rows{EnumName<AllowedUse>{"Workload", AllowedUse::kWorkload},
                                   EnumName<AllowedUse>{"Tunnel", AllowedUse::kTunnel},
                                   EnumName<AllowedUse>{"LoadBalancer", AllowedUse::kLoadBalancer}};
};
template <>
struct EnumNames<NextHopMode> {
  static constexpr std::array rows{EnumName<NextHopMode>{"Auto", NextHopMode::kAuto},
                                   EnumName<NextHopMode>{"Self", NextHopMode::kSelf},
                                   EnumName<NextHopMode>{"Keep", NextHopMode::kKeep}};
};
template <>
struct EnumNames<EndpointToHostAction> {
  using Action = EndpointToHostAction;
  static constexpr std::array rows{EnumName<Action>{"Drop", Action::kDrop},
                                   EnumName<Action>{"Return", Action::kReturn},
                                   EnumName<Action>{"Accept", Action::kAccept},
                                   // Calico takes any case; these are written by its own installer.
                                   EnumName<Action>{"DROP", Action::kDrop},
                                   EnumName<Action>{"RETURN", Action::kReturn},
                                   EnumName<Action>{"ACCEPT", Action::kAccept}};
};
template <>
struct EnumNames<AffinityState> {
  static constexpr std::array rows{
      EnumName<AffinityState>{"pending", AffinityState::kPending},
      EnumName<AffinityState>{"confirmed", AffinityState::kConfirmed},
      EnumName<AffinityState>{"pendingDeletion", AffinityState::kPendingDeletion}};
};

namespace {

// "90s", "2m", "1h" in whole seconds; Kubernetes writes durations as "1h2m3s".
std::optional<std::uint32_t> parse_duration(std::string_view text) {
  constexpr std::uint64_t kMinute = 60;
  constexpr std::uint64_t kHour = 3600;
  constexpr std::uint64_t kLongest = 0xffffffff;
  std::uint64_t total = 0;
  if (text.empty()) {
    return std::nullopt;
  }
  while (!text.empty()) {
    std::uint64_t number = 0;
    const auto [end, errc] = std::from_chars(text.data(), text.data() + text.size(), number);
    const auto digits = static_cast<std::size_t>(end - text.data());
    if (errc != std::errc{} || digits == text.size() || number > kLongest) {
      return std::nullopt;
    }
    const char unit = text[digits];
    const std::uint64_t factor = unit == 's' ? 1 : unit == 'm' ? kMinute : unit == 'h' ? kHour : 0;
    total += number * factor;
    if (factor == 0 || total > kLongest) {
      return std::nullopt;
    }
    text.remove_prefix(digits + 1);
  }
  return static_cast<std::uint32_t>(total);
}

template <typename Visitor>
void describe_duration(Visitor& visit, const char* name, std::optional<std::uint32_t>& seconds) {
  visit.custom(
      name,
      [&seconds](ReadState& state, const std::string& path, const json::value& in) {
        seconds = in.is_string() ? parse_duration(in.get_string()) : std::nullopt;
        if (!seconds) {
          state.fail_at(path, shown(in) + ": expected a duration such as 90s or 2m");
        }
      },
      [&seconds] {
        return seconds ? json::value(fmt::format("{}s", *seconds)) : json::value(nullptr);
      });
}

template <typename Visitor>
void describe_node_bgp(Visitor& visit, NodeBgp& bgp) {
  visit.field("asNumber", bgp.as_number);
  visit.field("ipv4Address", bgp.ipv4_address);
  visit.field("ipv6Address", bgp.ipv6_address);
  visit.field("routeReflectorClusterID", bgp.route_reflector_cluster_id);
  visit.ignored("ipv4IPIPTunnelAddr");
  if (bgp.ipv4_address && !bgp.ipv4_address->addr.is_v4()) {
    visit.fail("ipv4Address", bgp.ipv4_address->str() + ": expected an IPv4 address");
  }
  if (bgp.ipv6_address && !bgp.ipv6_address->addr.is_v6()) {
    visit.fail("ipv6Address", bgp.ipv6_address->str() + ": expected an IPv6 address");
  }
  if (bgp == NodeBgp{}) {
    visit.fail("ipv4Address", "bgp without any field: leave bgp out");
  }
}

template <typename Visitor>
void describe_node_address(Visitor& visit, NodeAddress& address) {
  visit.required("address", address.address);
  visit.field("type", address.type);
}

}  // namespace

void describe(Reader& visit, NodeBgp& bgp) {
  describe_node_bgp(visit, bgp);
}
void describe(Writer& visit, NodeBgp& bgp) {
  describe_node_bgp(visit, bgp);
}
void describe(Reader& visit, NodeAddress& address) {
  describe_node_address(visit, address);
}
void describe(Writer& visit, NodeAddress& address) {
  describe_node_address(visit, address);
}

namespace {

template <typename Visitor>
void describe_node(Visitor& visit, Node& node) {
  visit.field("bgp", node.bgp);
  visit.field("addresses", node.addresses);
  for (const char* name : {"orchRefs",
                           "interfaces",
                           "wireguard",
                           "ipv4VXLANTunnelAddr",
                           "ipv6VXLANTunnelAddr",
                           "vxlanTunnelMACAddr",
                           "vxlanTunnelMACAddrV6"}) {
    visit.ignored(name);
  }
}

template <typename Visitor>
void describe_never(Visitor& visit, const char* name) {
  visit.custom(
      name,
      [](ReadState& state, const std::string& path, const json::value& in) {
        if (!in.is_string() || (in.get_string() != "Never" && !in.get_string().empty())) {
          state.fail_at(path, shown(in) + ": Margay has no encapsulation: expected Never");
        }
      },
      [] { return json::value(nullptr); });
}

template <typename Visitor>
void check_pool(Visitor& visit, const IPPool& pool) {
  constexpr unsigned kSmallest4 = 20;
  constexpr unsigned kLargest4 = 32;
  constexpr unsigned kSmallest6 = 116;
  constexpr unsigned kLargest6 = 128;
  const bool v4 = pool.cidr.family() == Family::kIpv4;
  const unsigned low = v4 ? kSmallest4 : kSmallest6;
  const unsigned high = v4 ? kLargest4 : kLargest6;
  if (pool.block_size < low || pool.block_size > high) {
    visit.fail("blockSize",
               fmt::format("{}: expected {} to {} for an {} pool",
                           pool.block_size,
                           low,
                           high,
                           v4 ? "IPv4" : "IPv6"));
  } else if (pool.block_size < pool.cidr.length() && !pool.disabled) {
    visit.fail("blockSize",
               fmt::format("/{} is larger than the pool {}", pool.block_size, pool.cidr.str()));
  }
  for (const char* reserved : {"169.254.0.0/16", "fe80::/10"}) {
    if (pool.cidr.overlaps(*Prefix::parse(reserved))) {
      visit.fail("cidr", pool.cidr.str() + ": overlaps the link-local range " + reserved);
    }
  }
  const auto uses = [&pool](AllowedUse use) {
    return std::find(pool.allowed_uses.begin(), pool.allowed_uses.end(), use) !=
           pool.allowed_uses.end();
  };
  if (uses(AllowedUse::kLoadBalancer) &&
      (uses(AllowedUse::kWorkload) || uses(AllowedUse::kTunnel))) {
    visit.fail("allowedUses", "LoadBalancer stands alone");
  }
  if (uses(AllowedUse::kLoadBalancer) && pool.disable_bgp_export) {
    visit.fail("disableBGPExport", "a LoadBalancer pool without export reaches nobody");
  }
}

template <typename Visitor>
void describe_pool(Visitor& visit, IPPool& pool) {
  constexpr unsigned kDefault6 = 122;
  visit.required("cidr", pool.cidr);
  if (Visitor::kReads && pool.cidr.family() == Family::kIpv6) {
    pool.block_size = kDefault6;
  }
  visit.required_or_default("blockSize", pool.block_size);
  visit.required_or_default("nodeSelector", pool.node_selector);
  visit.field("namespaceSelector", pool.namespace_selector);
  visit.field("allowedUses", pool.allowed_uses);
  visit.field("disabled", pool.disabled);
  visit.field("disableBGPExport", pool.disable_bgp_export);
  visit.field("natOutgoing", pool.nat_outgoing);
  visit.custom(
      "assignmentMode",
      [&pool](ReadState& state, const std::string& path, const json::value& in) {
        if (!in.is_string() || (in.get_string() != "Automatic" && in.get_string() != "Manual")) {
          state.fail_at(path, shown(in) + ": expected Automatic or Manual");
        } else {
          pool.manual_assignment = in.get_string() == "Manual";
        }
      },
      [&pool] { return pool.manual_assignment ? json::value("Manual") : json::value(nullptr); });
  describe_never(visit, "ipipMode");
  describe_never(visit, "vxlanMode");
  if (pool.nat_outgoing) {
    visit.fail("natOutgoing", "true: masquerading is not supported by Margay yet");
  }
  check_pool(visit, pool);
}

template <typename Visitor>
void describe_bgp_configuration(Visitor& visit, BGPConfiguration& config) {
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
  if (config.listen_port && *config.listen_port == 0) {
    visit.fail("listenPort", "0: expected 1 to 65535");
  }
}

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

template <typename Visitor>
void describe_bgp_peer(Visitor& visit, BGPPeer& peer) {
  visit.field("node", peer.node);
  visit.field("nodeSelector", peer.node_selector);
  describe_peer_address(visit, peer);
  visit.field("peerSelector", peer.peer_selector);
  visit.field("asNumber", peer.as_number);
  visit.field("localASNumber", peer.local_as_number);
  visit.custom(
      "nextHopMode",
      [&peer](ReadState& state, const std::string& path, const json::value& in) {
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
      [&peer](ReadState& state, const std::string& path, const json::value& in) {
        bool keep = false;
        read_value(state, path, in, keep);
        peer.next_hop_mode = keep ? NextHopMode::kKeep : peer.next_hop_mode;
      },
      [] { return json::value(nullptr); });
  for (const char* name : {"password",
                           "filters",
                           "ttlSecurity",
                           "reachableBy",
                           "localWorkloadSelector",
                           "reversePeering"}) {
    visit.unsupported(name, "not supported by Margay yet");
  }
  check_bgp_peer(visit, peer);
}

// Calico's parameters that this version has nothing behind. Taking one silently would tell a
// person that it works.
constexpr auto kFelixUnsupported = std::to_array<const char*>({
    "allowIPIPPacketsFromWorkloads",
    "allowVXLANPacketsFromWorkloads",
    "bpfConnectTimeLoadBalancing",
    "bpfEnabled",
    "bpfExternalServiceMode",
    "bpfKubeProxyIptablesCleanupEnabled",
    "bpfLogLevel",
    "chainInsertMode",
    "dataplaneDriver",
    "dataplaneWatchdogTimeout",
    "defaultEndpointToHostActionIPv6",
    "deviceRouteProtocol",
    "deviceRouteSourceAddress",
    "deviceRouteSourceAddressIPv6",
    "disableConntrackInvalidCheck",
    "endpointStatusPathPrefix",
    "externalNodesList",
    "failsafeInboundHostPorts",
    "failsafeOutboundHostPorts",
    "featureDetectOverride",
    "floatingIPs",
    "flowLogsFlushInterval",
    "flowLogsGoldmaneServer",
    "genericXDPEnabled",
    "healthEnabled",
    "healthHost",
    "healthPort",
    "healthTimeoutOverrides",
    "interfaceExclude",
    "interfaceRefreshInterval",
    "ipForwarding",
    "ipipEnabled",
    "ipipMTU",
    "ipsetsRefreshInterval",
    "iptablesBackend",
    "iptablesFilterAllowAction",
    "iptablesFilterDenyAction",
    "iptablesMangleAllowAction",
    "iptablesMarkMask",
    "iptablesRefreshInterval",
    "kubeNodePortRanges",
    "logFilePath",
    "logSeverityFile",
    "logSeveritySys",
    "maxIpsetSize",
    "mtuIfacePattern",
    "natOutgoingAddress",
    "natOutgoingExclusions",
    "natPortRange",
    "netlinkTimeout",
    "nftablesFilterAllowAction",
    "nftablesFilterDenyAction",
    "nftablesMangleAllowAction",
    "nftablesMarkMask",
    "nftablesMode",
    "nftablesRefreshInterval",
    "policySyncPathPrefix",
    "programClusterRoutes",
    "prometheusGoMetricsEnabled",
    "prometheusMetricsEnabled",
    "prometheusMetricsHost",
    "prometheusMetricsPort",
    "prometheusProcessMetricsEnabled",
    "removeExternalRoutes",
    "reportingInterval",
    "reportingTTL",
    "routeSource",
    "routeSyncDisabled",
    "routeTableRange",
    "routeTableRanges",
    "serviceLoopPrevention",
    "usageReportingEnabled",
    "usageReportingInitialDelay",
    "usageReportingInterval",
    "vxlanEnabled",
    "vxlanMTU",
    "vxlanMTUV6",
    "vxlanPort",
    "vxlanVNI",
    "windowsManageFirewallRules",
    "wireguardEnabled",
    "wireguardEnabledV6",
    "wireguardInterfaceName",
    "wireguardListeningPort",
    "wireguardMTU",
    "workloadSourceSpoofing",
    "xdpEnabled",
    "xdpRefreshInterval",
});

template <typename Visitor>
void describe_felix(Visitor& visit, FelixConfiguration& config) {
  constexpr std::size_t kLongestLogPrefix = 29;
  visit.field("defaultEndpointToHostAction", config.default_endpoint_to_host_action);
  visit.field("logSeverityScreen", config.log_severity_screen);
  visit.field("logPrefix", config.log_prefix);
  visit.field("interfacePrefix", config.interface_prefix);
  visit.field("ipv6Support", config.ipv6_support);
  visit.field("prometheusMetricsListen", config.prometheus_metrics_listen);
  describe_duration(visit, "routeRefreshInterval", config.route_refresh_interval_s);
  for (const char* name : kFelixUnsupported) {
    visit.unsupported(name, "not supported by Margay yet");
  }
  if (config.log_prefix && config.log_prefix->size() > kLongestLogPrefix) {
    visit.fail("logPrefix",
               fmt::format("{} bytes: at most {}", config.log_prefix->size(), kLongestLogPrefix));
  }
}

template <typename Visitor>
void describe_attribute(Visitor& visit, AllocationAttribute& attribute) {
  visit.field("handle_id", attribute.handle_id);
  visit.field("secondary", attribute.secondary);
}

}  // namespace

void describe(Reader& visit, AllocationAttribute& attribute) {
  describe_attribute(visit, attribute);
}
void describe(Writer& visit, AllocationAttribute& attribute) {
  describe_attribute(visit, attribute);
}

namespace {

template <typename Visitor>
void describe_block(Visitor& visit, IPAMBlock& block) {
  visit.required("cidr", block.cidr);
  visit.field("affinity", block.affinity);
  visit.ignored("strictAffinity");
  visit.ignored("affinityClaimTime");
  visit.custom(
      "allocations",
      [&block](ReadState& state, const std::string& path, const json::value& in) {
        read_value(state, path, in, block.allocations);
      },
      [&block] { return write_value(block.allocations); });
  visit.required_or_default("unallocated", block.unallocated);
  visit.required_or_default("attributes", block.attributes);
  visit.field("releasedAt", block.released_at);
  visit.field("sequenceNumber", block.sequence_number);
  visit.field("sequenceNumberForAllocation", block.sequence_number_for_allocation);
  visit.field("deleted", block.deleted);
  const std::uint64_t size = block.cidr.size();
  if (block.allocations.size() != size) {
    visit.fail(
        "allocations",
        fmt::format(
            "{} entries: {} has {} addresses", block.allocations.size(), block.cidr.str(), size));
  }
  for (const auto& allocation : block.allocations) {
    if (allocation && *allocation >= block.attributes.size()) {
      visit.fail("allocations",
                 fmt::format("{}: there are {} attributes", *allocation, block.attributes.size()));
    }
  }
  for (const std::uint32_t ordinal : block.unallocated) {
    if (ordinal >= size) {
      visit.fail("unallocated", fmt::format("{}: the block has {} addresses", ordinal, size));
    }
  }
}

template <typename Visitor>
void describe_handle(Visitor& visit, IPAMHandle& handle) {
  visit.required("handleID", handle.handle_id);
  visit.field("block", handle.blocks);
  visit.field("deleted", handle.deleted);
}

template <typename Visitor>
void describe_ipam_configuration(Visitor& visit, IPAMConfiguration& config) {
  constexpr std::uint32_t kMostBlocks = 1'000'000;
  constexpr std::uint32_t kLongestCooldown = 1200;
  visit.required_or_default("strictAffinity", config.strict_affinity);
  visit.required_or_default("autoAllocateBlocks", config.auto_allocate_blocks);
  visit.required_or_default("maxBlocksPerHost", config.max_blocks_per_host);
  visit.required_or_default("ipCooldownSeconds", config.ip_cooldown_s);
  if (config.max_blocks_per_host > kMostBlocks) {
    visit.fail("maxBlocksPerHost",
               fmt::format("{}: at most {}", config.max_blocks_per_host, kMostBlocks));
  }
  if (config.ip_cooldown_s > kLongestCooldown) {
    visit.fail("ipCooldownSeconds",
               fmt::format("{}: at most {}", config.ip_cooldown_s, kLongestCooldown));
  }
  if (!config.strict_affinity && !config.auto_allocate_blocks) {
    visit.fail("autoAllocateBlocks", "false needs strictAffinity: true");
  }
}

template <typename Visitor>
void describe_affinity(Visitor& visit, BlockAffinity& affinity) {
  visit.required("state", affinity.state);
  visit.required("node", affinity.node);
  visit.required("cidr", affinity.cidr);
  visit.custom(
      "type",
      [](ReadState& state, const std::string& path, const json::value& in) {
        if (!in.is_string() || in.get_string() != "host") {
          state.fail_at(path, shown(in) + ": expected host");
        }
      },
      [] { return json::value("host"); });
  // A string in Calico's stored form.
  visit.custom(
      "deleted",
      [&affinity](ReadState& state, const std::string& path, const json::value& in) {
        if (in.is_string() &&
            (in.get_string() == "true" || in.get_string() == "false" || in.get_string().empty())) {
          affinity.deleted = in.get_string() == "true";
        } else {
          read_value(state, path, in, affinity.deleted);
        }
      },
      [&affinity] { return json::value(affinity.deleted ? "true" : "false"); });
}

}  // namespace

void describe(Reader& visit, Node& node) {
  describe_node(visit, node);
}
void describe(Writer& visit, Node& node) {
  describe_node(visit, node);
}
void describe(Reader& visit, IPPool& pool) {
  describe_pool(visit, pool);
}
void describe(Writer& visit, IPPool& pool) {
  describe_pool(visit, pool);
}
void describe(Reader& visit, BGPConfiguration& config) {
  describe_bgp_configuration(visit, config);
}
void describe(Writer& visit, BGPConfiguration& config) {
  describe_bgp_configuration(visit, config);
}
void describe(Reader& visit, BGPPeer& peer) {
  describe_bgp_peer(visit, peer);
}
void describe(Writer& visit, BGPPeer& peer) {
  describe_bgp_peer(visit, peer);
}
void describe(Reader& visit, FelixConfiguration& config) {
  describe_felix(visit, config);
}
void describe(Writer& visit, FelixConfiguration& config) {
  describe_felix(visit, config);
}
void describe(Reader& visit, IPAMBlock& block) {
  describe_block(visit, block);
}
void describe(Writer& visit, IPAMBlock& block) {
  describe_block(visit, block);
}
void describe(Reader& visit, IPAMHandle& handle) {
  describe_handle(visit, handle);
}
void describe(Writer& visit, IPAMHandle& handle) {
  describe_handle(visit, handle);
}
void describe(Reader& visit, IPAMConfiguration& config) {
  describe_ipam_configuration(visit, config);
}
void describe(Writer& visit, IPAMConfiguration& config) {
  describe_ipam_configuration(visit, config);
}
void describe(Reader& visit, BlockAffinity& affinity) {
  describe_affinity(visit, affinity);
}
void describe(Writer& visit, BlockAffinity& affinity) {
  describe_affinity(visit, affinity);
}

}  // namespace margay::api
