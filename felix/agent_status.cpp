#include "felix/agent_status.h"

#include "api/proto/control.pb.h"

#include <fmt/format.h>

#include <unistd.h>

namespace margay::felix {

namespace v1 = margay::control::v1;

namespace {

std::int64_t unix_ms(std::chrono::system_clock::time_point time) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(time.time_since_epoch()).count();
}

void fill(const AgentStatus& status, v1::DataplaneStatus& out) {
  out.set_enforced_revision(status.enforced_revision.value());
  out.set_last_apply_ms(status.last_apply ? unix_ms(*status.last_apply) : 0);
  out.set_last_apply_duration_us(
      std::chrono::duration_cast<std::chrono::microseconds>(status.dataplane_report.duration)
          .count());
  out.set_applies(status.applies);
  out.set_failures(status.apply_failures);
  out.set_pending(status.dataplane_report.failures.size() + status.fib_report.failures.size());
  for (const KernelReport* report : {&status.dataplane_report, &status.fib_report}) {
    for (const auto* lines : {&report->failures, report->waiting.get()}) {
      for (const std::string& line : *lines) {
        out.add_errors(line);
      }
    }
  }
}

void fill(const AgentStatus& status, v1::Counts& out) {
  out.set_local_endpoints(static_cast<std::uint32_t>(status.local_endpoints));
  out.set_policies(static_cast<std::uint32_t>(status.active_policies));
  out.set_sets(static_cast<std::uint32_t>(status.dataplane_report.sets));
  out.set_chains(static_cast<std::uint32_t>(status.dataplane_report.chains));
  out.set_local_routes(static_cast<std::uint32_t>(status.dataplane_report.routes));
  out.set_bgp_routes(static_cast<std::uint32_t>(status.fib_report.routes));
}

}  // namespace

std::string not_ready_reason(const AgentStatus& status) {
  if (!status.in_sync) {
    return status.store_error.empty() ? "the datastore has not answered yet" : status.store_error;
  }
  if (status.enforced_revision == datastore::Revision()) {
    return status.dataplane_report.failures.empty() ? "the kernel does not hold the state yet"
                                                    : status.dataplane_report.failures.front();
  }
  if (!status.node_held) {
    return "the node name was another agent's, waiting to see whether it still runs";
  }
  if (status.bgp != BgpMode::kNone && !status.bgp_configured) {
    return "BGP is not configured yet";
  }
  if (status.bgp == BgpMode::kBird && !status.bgp_status.configured) {
    return status.bgp_status.listen_error.empty() ? "BIRD is not configured yet"
                                                  : status.bgp_status.listen_error;
  }
  return {};
}

std::string hung_reason(const AgentStatus& status, TimePoint now) {
  if (!status.dataplane_waits_since || now - *status.dataplane_waits_since < kDataplaneSilence) {
    return {};
  }
  const auto waited =
      std::chrono::duration_cast<std::chrono::seconds>(now - *status.dataplane_waits_since);
  return "the kernel has not answered for " + std::to_string(waited.count()) + " s";
}

Readiness readiness(const AgentStatus& status, TimePoint now) {
  if (!hung_reason(status, now).empty() ||
      (!status.ready_after && !status.dataplane_report.failures.empty())) {
    return Readiness::kLimited;
  }
  return status.ready_after && status.store_error.empty() ? Readiness::kReady
                                                          : Readiness::kNotReady;
}

void fill(const AgentStatus& status,
          const std::map<api::ResourceKey, InvalidObject>& invalid,
          v1::NodeStatus& out) {
  out.set_node(status.node.str());
  out.set_version(std::string("margayd ") + MARGAY_VERSION);
  out.set_bgp_mode(std::string(to_string(status.bgp)));
  out.set_bgp_drain(std::string(to_string(status.drain)));
  v1::AgentStatus& agent = *out.mutable_agent();
  agent.set_pid(::getpid());
  agent.set_started_ms(unix_ms(status.started));
  agent.set_ready(status.ready_after.has_value());
  agent.set_ready_after_ms(status.ready_after.value_or(std::chrono::milliseconds(0)).count());
  agent.set_not_ready_reason(not_ready_reason(status));
  v1::DatastoreStatus& stored = *out.mutable_datastore();
  stored.set_url(status.datastore);
  stored.set_in_sync(status.in_sync);
  stored.set_revision(status.seen_revision.value());
  stored.set_error(status.store_error);
  fill(status, *out.mutable_dataplane());
  fill(status, *out.mutable_counts());
  for (const auto& [key, object] : invalid) {
    v1::InvalidObject& listed = *out.add_invalid_objects();
    listed.set_object(key.str());
    listed.set_reason(object.error.text);
    listed.set_last_valid_in_force(object.last_valid_in_force);
  }
}

MetricsSnapshot metrics_snapshot(const AgentStatus& status, std::size_t invalid_objects) {
  MetricsSnapshot snapshot;
  snapshot.ready = status.ready_after.has_value();
  snapshot.datastore_reachable = status.in_sync && status.store_error.empty();
  snapshot.datastore_revision = status.seen_revision.value();
  snapshot.enforced_revision = status.enforced_revision.value();
  snapshot.local_endpoints = status.local_endpoints;
  snapshot.active_policies = status.active_policies;
  snapshot.sets = status.dataplane_report.sets;
  snapshot.chains = status.dataplane_report.chains;
  snapshot.invalid_objects = invalid_objects;
  snapshot.pending_changes =
      status.dataplane_report.failures.size() + status.fib_report.failures.size();
  snapshot.local_routes = status.dataplane_report.routes;
  snapshot.bgp_routes = status.fib_report.routes;
  for (const bgp::PeerStatus& peer : status.bgp_status.peers) {
    const bgp::PeerCounts& counts = peer.counts;
    snapshot.peers.push_back({.name = peer.config.name,
                              .address = peer.config.address.str(),
                              .established = peer.state == bgp::PeerState::kEstablished,
                              .flaps = peer.flaps,
                              .messages_in = peer.messages_in,
                              .messages_out = peer.messages_out,
                              .ipv4_received = counts.ipv4.received,
                              .ipv4_advertised = counts.ipv4.advertised,
                              .ipv6_received = counts.ipv6.received,
                              .ipv6_advertised = counts.ipv6.advertised,
                              .queued_bytes = peer.queued_bytes,
                              .update_group = counts.update_group,
                              .last_notification = peer.last_notification});
  }
  for (const bgp::BmpStatus& bmp : status.bgp_status.bmp) {
    const std::string address = bmp.settings.address.str();
    snapshot.collectors.push_back({bmp.settings.address.is_v4()
                                       ? fmt::format("{}:{}", address, bmp.settings.port)
                                       : fmt::format("[{}]:{}", address, bmp.settings.port),
                                   bmp.in_sync,
                                   bmp.messages,
                                   bmp.waiting_bytes,
                                   bmp.lost});
  }
  if (status.bgp_status.mrt) {
    snapshot.mrt_records = status.bgp_status.mrt->records;
    snapshot.mrt_lost_records = status.bgp_status.mrt->lost;
  }
  snapshot.queues.push_back({"store", status.store_queue});
  return snapshot;
}

}  // namespace margay::felix
