#include "api/duration.h"
#include "api/resource_codec.h"
#include "api/rule_codec.h"
#include "base/socket_addr.h"

#include <fmt/format.h>

#include <array>
#include <set>

namespace margay::api {

template <>
struct EnumNames<NextHopMode> {
  static constexpr std::array rows{EnumName<NextHopMode>{"Auto", NextHopMode::kAuto},
                                   EnumName<NextHopMode>{"Self", NextHopMode::kSelf},
                                   EnumName<NextHopMode>{"Keep", NextHopMode::kKeep}};
};
template <>
struct EnumNames<Aggregation> {
  static constexpr std::array rows{EnumName<Aggregation>{"Enabled", Aggregation::kEnabled},
                                   EnumName<Aggregation>{"Disabled", Aggregation::kDisabled}};
};
template <>
struct EnumNames<BindMode> {
  static constexpr std::array rows{EnumName<BindMode>{"None", BindMode::kNone},
                                   EnumName<BindMode>{"NodeIP", BindMode::kNodeIp}};
};

template <>
struct EnumNames<AddPathMode> {
  static constexpr std::array rows{EnumName<AddPathMode>{"Receive", AddPathMode::kReceive},
                                   EnumName<AddPathMode>{"Send", AddPathMode::kSend},
                                   EnumName<AddPathMode>{"Both", AddPathMode::kBoth}};
};
template <>
struct EnumNames<MaximumPrefixesAction> {
  static constexpr std::array rows{
      EnumName<MaximumPrefixesAction>{"Restart", MaximumPrefixesAction::kRestart},
      EnumName<MaximumPrefixesAction>{"Down", MaximumPrefixesAction::kDown},
      EnumName<MaximumPrefixesAction>{"Warn", MaximumPrefixesAction::kWarn}};
};
template <>
struct EnumNames<ProgramClusterRoutes> {
  static constexpr std::array rows{
      EnumName<ProgramClusterRoutes>{"Enabled", ProgramClusterRoutes::kEnabled},
      EnumName<ProgramClusterRoutes>{"EnabledNoEncapOnly",
                                     ProgramClusterRoutes::kEnabledNoEncapOnly}};
};
template <>
struct EnumNames<RemoteAs> {
  static constexpr std::array rows{EnumName<RemoteAs>{"External", RemoteAs::kExternal},
                                   EnumName<RemoteAs>{"Internal", RemoteAs::kInternal}};
};
template <>
struct EnumNames<BgpRole> {
  static constexpr std::array rows{
      EnumName<BgpRole>{"Provider", BgpRole::kProvider},
      EnumName<BgpRole>{"RouteServer", BgpRole::kRouteServer},
      EnumName<BgpRole>{"RouteServerClient", BgpRole::kRouteServerClient},
      EnumName<BgpRole>{"Customer", BgpRole::kCustomer},
      EnumName<BgpRole>{"Peer", BgpRole::kPeer}};
};
template <>
struct EnumNames<ReversePeering> {
  static constexpr std::array rows{EnumName<ReversePeering>{"Auto", ReversePeering::kAuto},
                                   EnumName<ReversePeering>{"Manual", ReversePeering::kManual}};
};

namespace {

constexpr DurationRange kRestart{.low = 0, .high = 4095};  // RFC 4724 section 3: 12 bits
constexpr std::size_t kMostCommunities = 500;              // and prefixAdvertisements
constexpr std::size_t kMostCommunitiesOfAPrefix = 50;

// [{cidr: 10.96.0.0/12}]
template <typename Visitor>
void describe_ranges(Visitor& visit, const char* name, std::vector<Prefix>& ranges) {
  visit.list(name, ranges, [](auto& range, Prefix& cidr) { range.required("cidr", cidr); });
}

template <typename Visitor>
void describe_bfd(Visitor& visit, std::optional<Bfd>& bfd) {
  if (Visitor::kReads ? !visit.has("bfd") : !bfd) {
    return;
  }
  visit.object("bfd", [&bfd](auto& of_bfd) {
    constexpr std::uint32_t kShortestMs = 10;
    constexpr std::uint32_t kLongestMs = 60'000;
    constexpr std::uint32_t kLeastMultiplied = 2;
    constexpr std::uint32_t kMostMultiplied = 50;
    bfd = bfd.value_or(Bfd{});
    of_bfd.number("intervalMs", bfd->interval_ms, kShortestMs, kLongestMs);
    of_bfd.number("multiplier", bfd->multiplier, kLeastMultiplied, kMostMultiplied);
    of_bfd.field("multihop", bfd->multihop);
  });
}

template <typename Visitor>
void check_directory(Visitor& visit, const std::string& directory) {
  if (directory.size() < 2 || directory.front() != '/') {
    visit.fail("directory", "\"" + directory + "\": expected an absolute path");
  }
}

template <typename Visitor>
void describe_record(Visitor& visit, std::optional<BgpRecord>& record) {
  if (Visitor::kReads ? !visit.has("record") : !record) {
    return;
  }
  visit.object("record", [&record](auto& of_record) {
    constexpr std::uint32_t kLargestMb = 65536;
    record = record.value_or(BgpRecord{});
    of_record.required("directory", record->directory);
    of_record.number("maximumMegabytes", record->maximum_mb, 1, kLargestMb);
    check_directory(of_record, record->directory);
  });
}

template <typename Visitor>
void describe_mrt(Visitor& visit, std::optional<MrtDump>& mrt) {
  if (Visitor::kReads ? !visit.has("mrt") : !mrt) {
    return;
  }
  visit.object("mrt", [&mrt](auto& of_mrt) {
    constexpr std::uint32_t kMostFiles = 100'000;
    mrt = mrt.value_or(MrtDump{});
    of_mrt.required("directory", mrt->directory);
    of_mrt.required_or_default("updates", mrt->updates);
    describe_duration(of_mrt, "rotate", mrt->rotate_s, {.low = 1});
    describe_duration(of_mrt, "tableInterval", mrt->table_interval_s);
    of_mrt.number("keep", mrt->keep, 1, kMostFiles);
    check_directory(of_mrt, mrt->directory);
  });
}

template <typename Visitor>
void describe_monitoring(Visitor& visit, BgpMonitoring& monitoring) {
  visit.list("bmp", monitoring.bmp, [](auto& of_bmp, BmpCollector& bmp) {
    of_bmp.required("address", bmp.address);
    of_bmp.number("port", bmp.port, 1, kHighestPort);
    of_bmp.required_or_default("postPolicy", bmp.post_policy);
    describe_duration(of_bmp, "statsInterval", bmp.stats_interval_s);
  });
  std::set<std::pair<IpAddr, std::uint16_t>> seen;
  for (const BmpCollector& bmp : monitoring.bmp) {
    if (!seen.emplace(bmp.address, bmp.port).second) {
      visit.fail("bmp", fmt::format("{}: named twice", bmp.address.str()));
    }
  }
  describe_mrt(visit, monitoring.mrt);
}

// spec.margay: a document without it is plain Calico. `more`: what this kind alone has there.
template <typename Visitor, typename More>
void describe_extensions(Visitor& visit, BgpExtensions& extensions, const More& more) {
  visit.object("margay", [&extensions, &more](auto& margay) {
    more(margay);
    describe_bfd(margay, extensions.bfd);
    describe_record(margay, extensions.record);
    constexpr DurationRange kHold{.low = 3, .high = 65535};      // RFC 4271 section 4.2
    constexpr DurationRange kStale{.low = 0, .high = 0xFFFFFF};  // RFC 9494 section 3.1
    constexpr std::int64_t kMostPrefixes = 0xFFFFFFFF;
    describe_duration(margay, "holdTime", extensions.hold_time_s, kHold);
    margay.number("maximumPrefixes", extensions.maximum_prefixes, 1, kMostPrefixes);
    margay.field("maximumPrefixesAction", extensions.maximum_prefixes_action);
    margay.field("addPath", extensions.add_path);
    describe_duration(margay, "longLivedStaleTime", extensions.long_lived_stale_time_s, kStale);
  });
}

// secretKeyRef: a key of a Secret.
template <typename Visitor>
void describe_password(Visitor& visit, const char* name, std::optional<SecretKeyRef>& password) {
  if (Visitor::kReads ? !visit.has(name) : !password) {
    return;
  }
  visit.object(name, [&password](auto& source) {
    source.object("secretKeyRef", [&password](auto& ref) {
      password = password.value_or(SecretKeyRef{});
      ref.required("name", password->name);
      ref.required("key", password->key);
      ref.ignored("optional");
    });
    if (!password) {
      source.fail_missing("secretKeyRef");
    }
  });
}

template <typename Visitor>
void describe_community(Visitor& visit, NamedCommunity& community) {
  visit.required("name", community.name);
  bool given = false;
  visit.custom(
      "value",
      [&](ReadState& state, const std::string& path, const json::value& in) {
        given = true;
        const auto value =
            in.is_string() ? BgpCommunity::parse(std::string(in.get_string())) : std::nullopt;
        if (value) {
          community.value = *value;
        } else {
          state.fail_at(path, shown(in) + ": expected 65000:1 or 65000:1:1");
        }
      },
      [&community] { return json::value(community.value.str()); });
  if (!given && Visitor::kReads) {
    visit.fail_missing("value");
  }
}

template <typename Visitor>
void check_advertisements(Visitor& visit, const BGPConfiguration& config) {
  std::set<std::string> names;
  for (const NamedCommunity& community : config.communities) {
    if (!names.insert(community.name).second) {
      visit.fail("communities", fmt::format("\"{}\": named twice", community.name));
    }
  }
  if (!config.communities.empty() && config.prefix_advertisements.empty()) {
    visit.fail("communities", "without prefixAdvertisements nothing carries them");
  }
  if (config.communities.size() > kMostCommunities ||
      config.prefix_advertisements.size() > kMostCommunities) {
    visit.fail("communities", fmt::format("at most {} each", kMostCommunities));
  }
  for (const PrefixAdvertisement& advertisement : config.prefix_advertisements) {
    if (advertisement.communities.empty() ||
        advertisement.communities.size() > kMostCommunitiesOfAPrefix) {
      visit.fail("prefixAdvertisements",
                 fmt::format("{}: expected 1 to {} communities",
                             advertisement.cidr.str(),
                             kMostCommunitiesOfAPrefix));
    }
    for (const std::string& text : advertisement.communities) {
      if (!names.contains(text) && !BgpCommunity::parse(text)) {
        visit.fail("prefixAdvertisements",
                   fmt::format("\"{}\": neither a value nor a name of communities", text));
      }
    }
  }
}

}  // namespace

template <typename Visitor>
void describe(Visitor& visit, BGPConfiguration& config) {
  visit.field("logSeverityScreen", config.log_severity_screen);
  visit.field("nodeToNodeMeshEnabled", config.node_to_node_mesh_enabled);
  visit.field("asNumber", config.as_number);
  visit.number("listenPort", config.listen_port, 1, kHighestPort);
  visit.field("ignoredInterfaces", config.ignored_interfaces);
  describe_ranges(visit, "serviceClusterIPs", config.service_cluster_ips);
  describe_ranges(visit, "serviceExternalIPs", config.service_external_ips);
  describe_ranges(visit, "serviceLoadBalancerIPs", config.service_load_balancer_ips);
  visit.field("serviceLoadBalancerAggregation", config.service_load_balancer_aggregation);
  visit.list("communities", config.communities, [](auto& of_community, NamedCommunity& community) {
    describe_community(of_community, community);
  });
  visit.list("prefixAdvertisements",
             config.prefix_advertisements,
             [](auto& of_prefix, PrefixAdvertisement& advertisement) {
               of_prefix.required("cidr", advertisement.cidr);
               of_prefix.field("communities", advertisement.communities);
             });
  describe_password(visit, "nodeMeshPassword", config.node_mesh_password);
  describe_duration(visit, "nodeMeshMaxRestartTime", config.node_mesh_max_restart_time_s, kRestart);
  visit.field("bindMode", config.bind_mode);
  describe_extensions(visit, config.margay, [&config](auto& margay) {
    margay.field("advertiseNodeAddress", config.advertise_node_address);
    margay.field("drainCordonedNodes", config.drain_cordoned_nodes);
    describe_monitoring(margay, config.monitoring);
  });
  visit.field("localWorkloadPeeringIPV4", config.local_workload_peering_ipv4);
  visit.field("localWorkloadPeeringIPV6", config.local_workload_peering_ipv6);
  if (config.local_workload_peering_ipv4 && !config.local_workload_peering_ipv4->is_v4()) {
    visit.fail(
        "localWorkloadPeeringIPV4",
        fmt::format("\"{}\": expected an IPv4 address", config.local_workload_peering_ipv4->str()));
  }
  if (config.local_workload_peering_ipv6 && !config.local_workload_peering_ipv6->is_v6()) {
    visit.fail(
        "localWorkloadPeeringIPV6",
        fmt::format("\"{}\": expected an IPv6 address", config.local_workload_peering_ipv6->str()));
  }
  visit.field("programClusterRoutes", config.program_cluster_routes);
  for (const char* name : {"ipv4NormalRoutePriority", "ipv6NormalRoutePriority"}) {
    visit.unsupported(name, "not supported by Margay yet");
  }
  check_log_severity(visit, config.log_severity_screen);
  for (const std::string& name : config.ignored_interfaces) {
    if (name == "*") {
      visit.fail("ignoredInterfaces", "\"*\": would leave no interface");
    }
  }
  const bool mesh = config.node_to_node_mesh_enabled.value_or(true);
  if (!mesh && (config.node_mesh_password || config.node_mesh_max_restart_time_s)) {
    visit.fail("nodeToNodeMeshEnabled",
               "false: then there is no session for nodeMesh... to act on");
  }
  check_advertisements(visit, config);
}

template void describe(Reader& visit, BGPConfiguration& config);
template void describe(Writer& visit, BGPConfiguration& config);

namespace {

// "192.0.2.1", "192.0.2.1:1790", "2001:db8::1", "[2001:db8::1]:1790".
std::optional<SocketAddr> parse_peer_address(const std::string& text) {
  if (const auto addr = IpAddr::parse(text)) {
    return SocketAddr{*addr, kBgpPort};
  }
  const auto both = SocketAddr::parse(text);
  return both && both->port != 0 ? std::optional(*both) : std::nullopt;
}

std::string print_peer_address(const BGPPeer& peer) {
  return peer.peer_port == kBgpPort ? peer.peer_ip->str()
                                    : SocketAddr{*peer.peer_ip, peer.peer_port}.str();
}

// Where the peer is: one of an address, an interface, nodes and workloads.
template <typename Visitor>
void check_place(Visitor& visit, const BGPPeer& peer) {
  const bool unnumbered = !peer.margay_peer.interface.empty();
  const bool placed = peer.peer_ip || unnumbered;
  const auto ways = (placed ? 1 : 0) + (peer.peer_selector.empty() ? 0 : 1) +
                    (peer.local_workload_selector.empty() ? 0 : 1);
  if (ways == 0) {
    visit.fail_missing("peerIP",
                       "required, or peerSelector, localWorkloadSelector, margay.interface");
  } else if (ways > 1) {
    visit.fail("peerIP", "excludes peerSelector, and both localWorkloadSelector");
  }
  const bool link_local = peer.peer_ip && peer.peer_ip->is_v6() && peer.peer_ip->is_link_local();
  if (unnumbered && peer.peer_ip && !link_local) {
    visit.fail("peerIP", "with margay.interface: expected a link-local IPv6 address, or none");
  }
  if (link_local && !unnumbered) {
    visit.fail("peerIP", "link-local: needs margay.interface");
  }
  if (peer.reachable_by && (!peer.peer_ip || link_local)) {
    visit.fail("reachableBy",
               fmt::format("\"{}\": needs peerIP, which is on no link of the node's",
                           peer.reachable_by->str()));
  } else if (peer.reachable_by && peer.reachable_by->family() != peer.peer_ip->family()) {
    visit.fail(
        "reachableBy",
        fmt::format("\"{}\": expected an address of peerIP's family", peer.reachable_by->str()));
  }
}

template <typename Visitor>
void check_bgp_peer(Visitor& visit, const BGPPeer& peer) {
  if (!peer.node.empty() && !peer.node_selector.empty()) {
    visit.fail("nodeSelector", "excludes node");
  }
  check_place(visit, peer);
  const bool asked = peer.as_number.has_value() || peer.margay_peer.remote_as.has_value();
  if (peer.peer_selector.empty() && !asked) {
    visit.fail_missing("asNumber", "required without peerSelector");
  }
  if (!peer.peer_selector.empty() && asked) {
    visit.fail("asNumber", "excludes peerSelector: the nodes have their own");
  }
  if (peer.as_number && peer.margay_peer.remote_as) {
    visit.fail("asNumber", "excludes margay.remoteAS");
  }
  if (peer.margay_peer.strict_role && !peer.margay_peer.role) {
    visit.fail("margay.strictRole", "needs margay.role");
  }
}

template <typename Visitor>
void describe_peer_extensions(Visitor& margay, BgpPeerExtensions& peer) {
  margay.field("interface", peer.interface);
  margay.field("remoteAS", peer.remote_as);
  margay.field("extendedNextHop", peer.extended_next_hop);
  margay.field("role", peer.role);
  margay.field("strictRole", peer.strict_role);
  margay.field("description", peer.description);
  if (!peer.interface.empty() && !IfName::parse(peer.interface)) {
    margay.fail("interface", fmt::format("\"{}\": no name of an interface", peer.interface));
  }
  constexpr std::size_t kLongest = 255;
  if (peer.description.size() > kLongest) {
    margay.fail("description", fmt::format("expected at most {} bytes", kLongest));
  }
}

template <typename Visitor>
void describe_peer_address(Visitor& visit, BGPPeer& peer) {
  visit.custom(
      "peerIP",
      [&peer](ReadState& state, const std::string& path, const json::value& in) {
        const auto parsed =
            in.is_string() ? parse_peer_address(std::string(in.get_string())) : std::nullopt;
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

// How the peer is reached, and what Calico has no field for.
template <typename Visitor>
void describe_reach(Visitor& visit, BGPPeer& peer) {
  describe_password(visit, "password", peer.password);
  describe_extensions(visit, peer.margay, [&peer](auto& margay) {
    describe_peer_extensions(margay, peer.margay_peer);
  });
  visit.field("reachableBy", peer.reachable_by);
  visit.custom(
      "reversePeering",
      [&peer](ReadState& state, const std::string& path, const json::value& in) {
        read_value(state, path, in, peer.reverse_peering);
      },
      [&peer] {
        return peer.reverse_peering == ReversePeering::kAuto ? json::value(nullptr)
                                                             : write_value(peer.reverse_peering);
      });
}

}  // namespace

template <typename Visitor>
void describe(Visitor& visit, BGPPeer& peer) {
  visit.field("node", peer.node);
  visit.field("nodeSelector", peer.node_selector);
  describe_peer_address(visit, peer);
  visit.field("peerSelector", peer.peer_selector);
  visit.field("localWorkloadSelector", peer.local_workload_selector);
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
  describe_duration(visit, "maxRestartTime", peer.max_restart_time_s, kRestart);
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
  constexpr std::int64_t kMostHops = 254;
  visit.number("ttlSecurity", peer.ttl_security_hops, 1, kMostHops);
  describe_reach(visit, peer);
  check_bgp_peer(visit, peer);
}

template void describe(Reader& visit, BGPPeer& peer);
template void describe(Writer& visit, BGPPeer& peer);

}  // namespace margay::api
