#include "felix/bgp_view.h"

#include "api/proto/control.pb.h"
#include "felix/bgp_filters.h"

#include <algorithm>
#include <chrono>
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
  peer.max_prefixes = input.margay.maximum_prefixes.value_or(peer.max_prefixes);
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
  for (const BgpPeerInput& input : inputs.peers) {
    config.peers.push_back(peer_config(inputs, input));
  }
  set_monitoring(inputs.monitoring, config);
  if (drain == Drain::kWithdrawn) {
    return config;
  }
  for (const Prefix& prefix : inputs.originated) {
    const auto values = inputs.communities.find(prefix);
    bgp::Network told = network(
        prefix,
        values == inputs.communities.end() ? std::vector<api::BgpCommunity>() : values->second);
    if (drain == Drain::kAnnounced) {
      told.communities.insert(std::ranges::lower_bound(told.communities, bgp::kGracefulShutdown),
                              bgp::kGracefulShutdown);
    }
    config.networks.push_back(std::move(told));
  }
  return config;
}

void fill(const bgp::PeerStatus& status, v1::BgpPeer& out) {
  const bgp::PeerConfig& config = status.config;
  out.set_name(config.name);
  out.set_address(config.address.str());
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
  out.set_prefixes_received(status.counts.received);
  out.set_prefixes_accepted(status.counts.accepted);
  out.set_prefixes_advertised(status.counts.advertised);
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

void fill(const bgp::NeighborView& view, v1::BgpNeighbor& out) {
  fill(view.peer, *out.mutable_peer());
  fill_routes(view.received, {}, out.mutable_received());
  fill_routes(view.advertised, {}, out.mutable_advertised());
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
