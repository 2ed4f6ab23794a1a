#include "felix/bgp_view.h"

#include "api/proto/control.pb.h"
#include "felix/bgp_filters.h"

#include <algorithm>
#include <chrono>
#include <iterator>
#include <map>
#include <string>

namespace margay::felix {

namespace v1 = margay::control::v1;

namespace {

std::int64_t to_ms(std::chrono::system_clock::time_point time) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(time.time_since_epoch()).count();
}

bgp::NextHopRule next_hop_rule(api::NextHopMode mode) {
  switch (mode) {
    case api::NextHopMode::kAuto:
      return bgp::NextHopRule::kAuto;
    case api::NextHopMode::kSelf:
      return bgp::NextHopRule::kSelf;
    case api::NextHopMode::kKeep:
      return bgp::NextHopRule::kKeep;
  }
  return bgp::NextHopRule::kAuto;
}

bgp::MaxPrefixesAction limit_action_of(std::optional<api::MaximumPrefixesAction> action) {
  switch (action.value_or(api::MaximumPrefixesAction::kRestart)) {
    case api::MaximumPrefixesAction::kRestart:
      return bgp::MaxPrefixesAction::kRestart;
    case api::MaximumPrefixesAction::kDown:
      return bgp::MaxPrefixesAction::kDown;
    case api::MaximumPrefixesAction::kWarn:
      return bgp::MaxPrefixesAction::kWarn;
  }
  return bgp::MaxPrefixesAction::kRestart;
}

bgp::AddPath add_path_of(std::optional<api::AddPathMode> mode) {
  if (!mode) {
    return bgp::AddPath::kNone;
  }
  switch (*mode) {
    case api::AddPathMode::kReceive:
      return bgp::AddPath::kReceive;
    case api::AddPathMode::kSend:
      return bgp::AddPath::kSend;
    case api::AddPathMode::kBoth:
      return bgp::AddPath::kBoth;
  }
  return bgp::AddPath::kNone;
}

using PeerNames = std::map<bgp::PeerId, std::string>;

void fill_path(const bgp::PathView& path, const PeerNames& names, v1::BgpPath& out) {
  const bgp::AttributeSet& attributes = path.attributes;
  const auto name = names.find(path.peer);
  out.set_peer(name == names.end() ? std::string() : name->second);
  if (!attributes.next_hop.address.is_unspecified()) {
    out.set_next_hop(attributes.next_hop.address.str());
  }
  out.set_as_path(attributes.as_path.str());
  out.set_origin(std::string(bgp::to_string(attributes.origin)));
  if (attributes.local_pref) {
    out.set_local_pref(*attributes.local_pref);
  }
  if (attributes.med) {
    out.set_med(*attributes.med);
  }
  for (const auto& community : attributes.communities) {
    out.add_communities(bgp::to_string(community));
  }
  for (const auto& community : attributes.large_communities) {
    out.add_communities(bgp::to_string(community));
  }
  if (attributes.originator_id) {
    out.set_originator_id(bgp::to_string(*attributes.originator_id));
  }
  for (const RouterId id : attributes.cluster_list) {
    out.add_cluster_list(bgp::to_string(id));
  }
  out.set_best(path.best);
  out.set_multipath(path.multipath);
  out.set_rejected(!path.rejected.empty());
  if (!path.rejected.empty()) {
    out.set_reason(path.rejected);
  } else if (path.best) {
    out.set_reason("best");
  } else {
    out.set_reason(std::string(bgp::to_string(path.lost_at)));
  }
}

template <typename Routes>
void fill_routes(const std::vector<bgp::RouteView>& routes, const PeerNames& names, Routes* out) {
  for (const bgp::RouteView& route : routes) {
    v1::BgpRoute& added = *out->Add();
    added.set_prefix(route.prefix.str());
    for (const bgp::PathView& path : route.paths) {
      fill_path(path, names, *added.add_paths());
    }
  }
}

void fill(const bgp::FamilyCounts& counts, v1::BgpFamilyCounts& out) {
  out.set_received(counts.received);
  out.set_accepted(counts.accepted);
  out.set_advertised(counts.advertised);
}

// "fe80::1%eth1"; "eth1" while the peer there has not been found.
std::string on_link(const bgp::PeerConfig& config) {
  return config.address.is_unspecified()
             ? config.interface
             : fmt::format("{}%{}", config.address.str(), config.interface);
}

bgp::Role role_of(api::BgpRole role) {
  switch (role) {
    case api::BgpRole::kProvider:
      return bgp::Role::kProvider;
    case api::BgpRole::kRouteServer:
      return bgp::Role::kRouteServer;
    case api::BgpRole::kRouteServerClient:
      return bgp::Role::kRouteServerClient;
    case api::BgpRole::kCustomer:
      return bgp::Role::kCustomer;
    case api::BgpRole::kPeer:
      return bgp::Role::kPeer;
  }
  return bgp::Role::kPeer;
}

void take_extensions(const api::BgpPeerExtensions& extensions, bgp::PeerConfig& peer) {
  peer.interface = extensions.interface;
  peer.extended_next_hop = extensions.extended_next_hop || !extensions.interface.empty();
  if (extensions.remote_as) {
    const bool internal = *extensions.remote_as == api::RemoteAs::kInternal;
    peer.asn = internal ? peer.local_asn : Asn();
  }
  if (extensions.role) {
    peer.role = role_of(*extensions.role);
  }
  peer.strict_role = extensions.strict_role;
  peer.description = extensions.description;
}

void fill_collector(const bgp::BmpStatus& status, v1::BmpCollector& out) {
  out.set_address(status.settings.address.str());
  out.set_port(status.settings.port);
  out.set_state(status.in_sync ? "in sync" : status.connected ? "sending the table" : "away");
  out.set_since_ms(to_ms(status.since));
  out.set_messages(status.messages);
  out.set_waiting_bytes(status.waiting_bytes);
  out.set_lost_connections(status.lost);
  out.set_last_error(status.last_error);
  out.set_post_policy(status.settings.post_policy);
}

void fill_mrt(const bgp::MrtStatus& status, v1::MrtDump& out) {
  out.set_directory(status.settings.directory);
  out.set_updates_file(status.updates_file);
  out.set_table_file(status.table_file);
  out.set_records(status.records);
  out.set_lost_records(status.lost);
  out.set_last_error(status.last_error);
}

// The node's own address is here, whatever a leaf that knows the way says.
void refuse_own_address(const std::optional<IpAddr>& address,
                        std::vector<bgp::FilterRule>& import_rules) {
  if (address) {
    bgp::FilterRule rule{.name = "the node's own address", .accept = false};
    rule.prefix = bgp::PrefixCondition{Prefix::host(*address), bgp::PrefixMatch::kEqual};
    import_rules.insert(import_rules.begin(), std::move(rule));
  }
}

bgp::PeerConfig peer_config(const BgpInputs& inputs, const BgpPeerInput& input) {
  bgp::PeerConfig peer;
  peer.name = input.name;
  peer.origin = input.origin;
  peer.address = input.address;
  peer.port = input.port;
  peer.asn = input.asn;
  peer.local_asn = input.local_asn.value_or(inputs.asn);
  peer.local_address = input.source;
  peer.reflector_client = input.reflector_client;
  peer.next_hop = next_hop_rule(input.next_hop_mode);
  peer.allowed_local_as = input.allowed_own_asn;
  // A node is no transit: it tells others its own routes only, unless it reflects (RFC 4456).
  peer.export_learned = inputs.cluster_id.has_value();
  peer.ttl_security_hops = input.ttl_security_hops;
  peer.filters = peer_filters(input.filters);
  refuse_own_address(inputs.ipv4, peer.filters.import_v4);
  refuse_own_address(inputs.ipv6, peer.filters.import_v6);
  peer.password = input.password;
  if (!input.missing_password.empty()) {
    peer.held = "the password is missing: " + input.missing_password;
  }
  if (input.restart_time_s) {
    peer.graceful_restart = std::chrono::seconds(*input.restart_time_s);
  }
  if (input.keepalive_s) {
    constexpr std::uint32_t kKeepalivesPerHold = 3;
    peer.hold_time = std::chrono::seconds(*input.keepalive_s * kKeepalivesPerHold);
  }
  if (input.margay.hold_time_s) {
    peer.hold_time = std::chrono::seconds(*input.margay.hold_time_s);
  }
  peer.long_lived = std::chrono::seconds(input.margay.long_lived_stale_time_s.value_or(0));
  peer.add_path = add_path_of(input.margay.add_path);
  peer.gateway = input.reachable_by;
  take_extensions(input.margay_peer, peer);
  if (input.arrives_on) {
    peer.arrives_on = input.arrives_on->str();
    peer.passive = true;
  }
  peer.max_prefixes = input.margay.maximum_prefixes.value_or(peer.max_prefixes);
  peer.max_prefixes_action = limit_action_of(input.margay.maximum_prefixes_action);
  if (input.margay.bfd) {
    peer.bfd = bgp::BfdSettings{std::chrono::milliseconds(input.margay.bfd->interval_ms),
                                input.margay.bfd->multiplier,
                                input.margay.bfd->multihop};
  }
  if (input.margay.record) {
    constexpr unsigned kMegabyteBits = 20;
    peer.record =
        bgp::RecordSettings{input.margay.record->directory,
                            std::uint64_t{input.margay.record->maximum_mb} << kMegabyteBits};
  }
  return peer;
}

void set_monitoring(const api::BgpMonitoring& monitoring, bgp::SpeakerConfig& config) {
  using std::chrono::seconds;
  for (const api::BmpCollector& collector : monitoring.bmp) {
    bgp::BmpSettings bmp;
    bmp.address = collector.address;
    bmp.port = collector.port;
    bmp.post_policy = collector.post_policy;
    if (collector.stats_interval_s) {
      bmp.statistics = seconds(*collector.stats_interval_s);
    }
    config.bmp.push_back(std::move(bmp));
  }
  if (!monitoring.mrt) {
    return;
  }
  bgp::MrtSettings& mrt = config.mrt.emplace();
  mrt.directory = monitoring.mrt->directory;
  mrt.updates = monitoring.mrt->updates;
  mrt.keep = monitoring.mrt->keep;
  if (monitoring.mrt->rotate_s) {
    mrt.rotate = seconds(*monitoring.mrt->rotate_s);
  }
  if (monitoring.mrt->table_interval_s) {
    mrt.table = seconds(*monitoring.mrt->table_interval_s);
  }
}

}  // namespace

std::string_view to_string(Drain drain) {
  switch (drain) {
    case Drain::kNone:
      return "";
    case Drain::kAnnounced:
      return "peers are told to go elsewhere (GRACEFUL_SHUTDOWN)";
    case Drain::kWithdrawn:
      return "peers are told no route";
  }
  return "";
}

bgp::SpeakerConfig speaker_config(const BgpInputs& inputs, Drain drain) {
  bgp::SpeakerConfig config;
  if (!inputs.enabled) {
    return config;
  }
  config.asn = inputs.asn;
  config.router_id = inputs.router_id;
  config.cluster_id = inputs.cluster_id.value_or(RouterId());
  config.listen_port = inputs.listen_port;
  for (const auto& address : {inputs.ipv4, inputs.ipv6}) {
    if (address && !inputs.listen_everywhere) {
      config.listen_addresses.push_back(*address);
    }
  }
  if (!inputs.listen_everywhere) {
    config.also_listen = inputs.peering_addresses;
  }
  for (const BgpPeerInput& input : inputs.peers) {
    config.peers.push_back(peer_config(inputs, input));
  }
  set_monitoring(inputs.monitoring, config);
  const auto told_of = [&inputs](const Prefix& prefix) {
    const auto values = inputs.communities.find(prefix);
    return network(
        prefix,
        values == inputs.communities.end() ? std::vector<api::BgpCommunity>() : values->second);
  };
  std::ranges::transform(inputs.node_addresses, std::back_inserter(config.networks), told_of);
  if (drain == Drain::kWithdrawn) {
    return config;
  }
  for (const Prefix& prefix : inputs.originated) {
    bgp::Network told = told_of(prefix);
    if (drain == Drain::kAnnounced) {
      told.communities.insert(std::ranges::lower_bound(told.communities, bgp::kGracefulShutdown),
                              bgp::kGracefulShutdown);
    }
    config.networks.push_back(std::move(told));
  }
  return config;
}

std::vector<RouteSpec> peer_routes(const BgpInputs& inputs) {
  std::vector<RouteSpec> routes;
  for (const BgpPeerInput& peer : inputs.peers) {
    if (peer.reachable_by) {
      routes.push_back(route_via(Prefix::host(peer.address), {*peer.reachable_by}, kProtocolPeer));
    }
  }
  for (const IpAddr& address : inputs.peering_addresses) {
    routes.push_back(local_route(address, kProtocolPeer));
  }
  return routes;
}

// The neighbour of an unnumbered peer is reached by its link-local address on that link, whatever
// else it names.
RouteSpec learnt_route(const bgp::FibChange& change, TableId table, RouteProtocol protocol) {
  RouteSpec route;
  route.key.prefix = change.prefix;
  route.key.table = table;
  route.protocol = protocol;
  for (const bgp::NextHop& told : change.next_hops) {
    NextHop hop;
    hop.gateway = told.link == IfIndex() ? told.address : told.link_local.value_or(told.address);
    hop.ifindex = told.link;
    route.next_hops.push_back(std::move(hop));
  }
  return canonical(std::move(route));
}

void fill(const bgp::PeerStatus& status, v1::BgpPeer& out) {
  const bgp::PeerConfig& config = status.config;
  out.set_name(config.name);
  out.set_address(config.interface.empty() ? config.address.str() : on_link(config));
  out.set_port(config.port);
  out.set_asn(config.asn.value());
  out.set_local_asn(config.local_asn.value());
  out.set_type(config.asn == config.local_asn ? "iBGP" : "eBGP");
  out.set_state(std::string(bgp::to_string(status.state)));
  out.set_since_ms(to_ms(status.since));
  out.set_flaps(status.flaps);
  out.set_last_error(status.last_error);
  out.set_messages_in(status.messages_in);
  out.set_messages_out(status.messages_out);
  out.set_prefixes_received(status.counts.received());
  out.set_prefixes_accepted(status.counts.accepted());
  out.set_prefixes_advertised(status.counts.advertised());
  out.set_hold_time_s(static_cast<std::uint32_t>(status.hold_time.count()));
  for (const std::string& capability : status.capabilities) {
    out.add_capabilities(capability);
  }
  out.set_origin(config.origin);
  if (status.router_id != RouterId()) {
    out.set_router_id(bgp::to_string(status.router_id));
  }
  out.set_local_address(status.local_address);
  out.set_bfd(status.bfd);
  fill(status.counts.ipv4, *out.mutable_ipv4());
  fill(status.counts.ipv6, *out.mutable_ipv6());
  out.set_update_group(status.counts.update_group);
  out.set_queued_bytes(status.queued_bytes);
  out.set_last_notification(status.last_notification);
  for (const bgp::Flap& flap : status.history) {
    v1::BgpFlap& added = *out.add_history();
    added.set_ended_ms(to_ms(flap.ended));
    added.set_lasted_s(static_cast<std::uint64_t>(flap.lasted.count()));
    added.set_reason(flap.reason);
  }
  if (config.role) {
    out.set_role(bgp::to_string(*config.role));
  }
  out.set_description(config.description);
  out.set_record(status.record);
}

void fill(const bgp::SpeakerStatus& status, v1::ListBgpPeersResponse& out) {
  out.set_local_asn(status.asn.value());
  out.set_router_id(bgp::to_string(status.router_id));
  for (const bgp::PeerStatus& peer : status.peers) {
    fill(peer, *out.add_peers());
  }
  for (const bgp::BmpStatus& bmp : status.bmp) {
    fill_collector(bmp, *out.add_collectors());
  }
  if (status.mrt) {
    fill_mrt(*status.mrt, *out.mutable_mrt());
  }
}

void fill(const bgp::RoutesView& view, v1::ListBgpRoutesResponse& out) {
  const PeerNames names(view.peers.begin(), view.peers.end());
  fill_routes(view.routes, names, out.mutable_routes());
}

void fill(const bgp::ExportsView& view, v1::BgpExports& out) {
  fill(view.peer, *out.mutable_peer());
  const PeerNames names(view.peers.begin(), view.peers.end());
  for (const bgp::ExportView& one : view.exports) {
    v1::BgpExport& added = *out.add_exports();
    added.set_prefix(one.prefix.str());
    fill_path(one.path, names, *added.mutable_path());
    added.set_told(one.told);
    added.set_reason(one.reason);
    added.set_rule(one.rule);
  }
}

void fill(const bgp::NeighborView& view, v1::BgpNeighbor& out) {
  fill(view.peer, *out.mutable_peer());
  fill_routes(view.received, {}, out.mutable_received());
  fill_routes(
      view.advertised, PeerNames(view.peers.begin(), view.peers.end()), out.mutable_advertised());
  for (v1::BgpRoute& route : *out.mutable_received()) {
    for (v1::BgpPath& path : *route.mutable_paths()) {
      path.set_peer(view.peer.config.name);
    }
  }
  for (const std::string& malformed : view.peer.malformed) {
    out.add_malformed(malformed);
  }
}

void fill(const Result<bgp::TableDump>& dumped, v1::DumpBgpTableResponse& out) {
  if (dumped) {
    out.set_file(dumped->file);
    out.set_whole(dumped->whole);
  } else {
    out.set_error(dumped.error().text);
  }
}

}  // namespace margay::felix
