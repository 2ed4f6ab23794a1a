#include "felix/metrics.h"

#include <prometheus/counter.h>
#include <prometheus/family.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <fstream>
#include <unistd.h>

namespace margay::felix {

namespace {

using Buckets = prometheus::Histogram::BucketBoundaries;
using Seconds = std::chrono::duration<double>;

Buckets latency_buckets() {
  return {0.0001,
          0.00025,
          0.0005,
          0.001,
          0.0025,
          0.005,
          0.01,
          0.025,
          0.05,
          0.1,
          0.25,
          0.5,
          1,
          2.5,
          5,
          10};
}

// Resident pages of this process, proc(5) statm field 2.
double resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  double total = 0;
  double resident = 0;
  statm >> total >> resident;
  return resident * static_cast<double>(::sysconf(_SC_PAGESIZE));
}

double number(auto value) {
  return static_cast<double>(value);
}

}  // namespace

struct Metrics::State {
  void gauge(const char* name, const char* help, double value) {
    prometheus::BuildGauge().Name(name).Help(help).Register(registry).Add({}).Set(value);
  }

  prometheus::Registry registry{prometheus::Registry::InsertBehavior::Merge};
  prometheus::Histogram& apply_duration = prometheus::BuildHistogram()
                                              .Name("margay_apply_duration_seconds")
                                              .Help("Time of one apply of the dataplane")
                                              .Register(registry)
                                              .Add({}, latency_buckets());
  prometheus::Histogram& change_to_kernel =
      prometheus::BuildHistogram()
          .Name("margay_change_to_kernel_seconds")
          .Help("Time from a change's arrival to the kernel's acknowledgement")
          .Register(registry)
          .Add({}, latency_buckets());
  prometheus::Family<prometheus::Counter>& applies = prometheus::BuildCounter()
                                                         .Name("margay_applies_total")
                                                         .Help("Applies of the dataplane by result")
                                                         .Register(registry);
  prometheus::Counter& connections_refused =
      prometheus::BuildCounter()
          .Name("margay_connections_refused_total")
          .Help("Established connections refused because policy no longer allows them")
          .Register(registry)
          .Add({});
  prometheus::Counter& connections_departed =
      prometheus::BuildCounter()
          .Name("margay_connections_departed_total")
          .Help("Tracked connections ended because their address left its workload")
          .Register(registry)
          .Add({});
  prometheus::Family<prometheus::Counter>& cni_requests =
      prometheus::BuildCounter()
          .Name("margay_cni_requests_total")
          .Help("CNI requests by verb and result")
          .Register(registry);
  prometheus::Family<prometheus::Histogram>& cni_duration =
      prometheus::BuildHistogram()
          .Name("margay_cni_duration_seconds")
          .Help("Time of a CNI request in the agent")
          .Register(registry);
};

Metrics::Metrics() : state_(std::make_unique<State>()) {}
Metrics::~Metrics() = default;

void Metrics::applied(std::chrono::nanoseconds duration, bool succeeded) {
  state_->apply_duration.Observe(Seconds(duration).count());
  state_->applies.Add({{"result", succeeded ? "ok" : "failed"}}).Increment();
}

void Metrics::enforced(std::chrono::nanoseconds since_change) {
  state_->change_to_kernel.Observe(Seconds(since_change).count());
}

void Metrics::connections_refused(std::size_t count) {
  state_->connections_refused.Increment(static_cast<double>(count));
}

void Metrics::connections_departed(std::size_t count) {
  state_->connections_departed.Increment(static_cast<double>(count));
}

void Metrics::cni_request(const std::string& verb,
                          bool succeeded,
                          std::chrono::nanoseconds duration) {
  state_->cni_requests.Add({{"verb", verb}, {"result", succeeded ? "ok" : "failed"}}).Increment();
  state_->cni_duration.Add({{"verb", verb}}, latency_buckets()).Observe(Seconds(duration).count());
}

namespace {

prometheus::Family<prometheus::Gauge>& gauges(prometheus::Registry& registry,
                                              const char* name,
                                              const char* help) {
  return prometheus::BuildGauge().Name(name).Help(help).Register(registry);
}

prometheus::Labels with(prometheus::Labels labels,
                        std::initializer_list<std::pair<const char*, std::string>> more) {
  for (const auto& [name, value] : more) {
    labels.emplace(name, value);
  }
  return labels;
}

void add_peers(prometheus::Registry& registry, const std::vector<MetricsSnapshot::Peer>& peers) {
  auto& up = gauges(registry, "margay_bgp_peer_up", "1 when Established");
  auto& flaps = gauges(registry, "margay_bgp_peer_flaps", "Sessions lost");
  auto& messages = gauges(registry, "margay_bgp_peer_messages", "Messages by direction");
  auto& prefixes = gauges(registry, "margay_bgp_peer_prefixes", "Prefixes by direction and family");
  auto& queued =
      gauges(registry, "margay_bgp_peer_queue_bytes", "Written and not yet taken by the peer");
  auto& group = gauges(registry,
                       "margay_bgp_peer_update_group",
                       "Peers of one number are sent the same bytes; 0: not established");
  auto& notification = gauges(registry,
                              "margay_bgp_peer_last_notification_info",
                              "The last NOTIFICATION, sent or received, in words");
  for (const MetricsSnapshot::Peer& peer : peers) {
    const prometheus::Labels labels{{"peer", peer.name}, {"address", peer.address}};
    up.Add(labels).Set(peer.established ? 1 : 0);
    flaps.Add(labels).Set(number(peer.flaps));
    messages.Add(with(labels, {{"direction", "in"}})).Set(number(peer.messages_in));
    messages.Add(with(labels, {{"direction", "out"}})).Set(number(peer.messages_out));
    const auto count = [&](const char* family, const char* direction, std::uint64_t value) {
      prefixes.Add(with(labels, {{"direction", direction}, {"family", family}})).Set(number(value));
    };
    count("ipv4", "in", peer.ipv4_received);
    count("ipv4", "out", peer.ipv4_advertised);
    count("ipv6", "in", peer.ipv6_received);
    count("ipv6", "out", peer.ipv6_advertised);
    queued.Add(labels).Set(number(peer.queued_bytes));
    group.Add(labels).Set(number(peer.update_group));
    if (!peer.last_notification.empty()) {
      notification.Add(with(labels, {{"notification", peer.last_notification}})).Set(1);
    }
  }
}

}  // namespace

void Metrics::set_gauges(const MetricsSnapshot& snapshot) {
  State& state = *state_;
  state.gauge(
      "margay_ready", "1 when in sync, enforced and BGP configured", snapshot.ready ? 1 : 0);
  state.gauge("margay_datastore_reachable",
              "1 when the datastore answers",
              snapshot.datastore_reachable ? 1 : 0);
  state.gauge(
      "margay_datastore_revision", "Newest revision seen", number(snapshot.datastore_revision));
  state.gauge("margay_enforced_revision",
              "Revision that the kernel enforces",
              number(snapshot.enforced_revision));
  state.gauge("margay_local_endpoints",
              "Workload endpoints of this node",
              number(snapshot.local_endpoints));
  state.gauge("margay_active_policies",
              "Policies that select a local endpoint",
              number(snapshot.active_policies));
  state.gauge("margay_nft_sets", "Named nftables sets", number(snapshot.sets));
  state.gauge("margay_nft_chains", "nftables chains", number(snapshot.chains));
  state.gauge("margay_invalid_objects",
              "Stored objects that do not decode",
              number(snapshot.invalid_objects));
  state.gauge("margay_pending_changes",
              "Kernel changes that wait for a retry",
              number(snapshot.pending_changes));
  state.gauge(
      "margay_local_routes", "Routes of local endpoints and blocks", number(snapshot.local_routes));
  state.gauge(
      "margay_bgp_routes", "Routes learnt by BGP in the kernel", number(snapshot.bgp_routes));
  state.gauge("margay_bgp_mrt_records", "Records in MRT files", number(snapshot.mrt_records));
  state.gauge("margay_bgp_mrt_lost_records",
              "Records that could not be written to MRT files",
              number(snapshot.mrt_lost_records));
  state.gauge("process_resident_memory_bytes", "Resident memory size in bytes", resident_bytes());
}

namespace {

void add_collectors(const MetricsSnapshot& snapshot, prometheus::Registry& registry) {
  const auto family = [&registry](const char* name, const char* help) -> auto& {
    return prometheus::BuildGauge().Name(name).Help(help).Register(registry);
  };
  auto& in_sync = family("margay_bgp_bmp_in_sync", "1 when the collector was told the whole table");
  auto& messages = family("margay_bgp_bmp_messages", "Messages sent to the collector");
  auto& waiting = family("margay_bgp_bmp_waiting_bytes", "What the collector has not read yet");
  auto& lost = family("margay_bgp_bmp_lost_connections", "Connections to the collector that ended");
  for (const MetricsSnapshot::Collector& collector : snapshot.collectors) {
    const prometheus::Labels labels{{"collector", collector.address}};
    in_sync.Add(labels).Set(collector.in_sync ? 1 : 0);
    messages.Add(labels).Set(number(collector.messages));
    waiting.Add(labels).Set(number(collector.waiting_bytes));
    lost.Add(labels).Set(number(collector.lost_connections));
  }
}

}  // namespace

std::string Metrics::text(const MetricsSnapshot& snapshot) {
  set_gauges(snapshot);
  prometheus::Registry labelled;
  add_peers(labelled, snapshot.peers);
  add_collectors(snapshot, labelled);
  auto& depth =
      prometheus::BuildGauge().Name("margay_queue_depth").Help("Tasks waiting").Register(labelled);
  for (const MetricsSnapshot::Queue& queue : snapshot.queues) {
    depth.Add({{"queue", queue.name}}).Set(number(queue.depth));
  }

  auto families = state_->registry.Collect();
  for (auto& family : labelled.Collect()) {
    if (!family.metric.empty()) {
      families.push_back(std::move(family));
    }
  }
  return prometheus::TextSerializer().Serialize(families);
}

}  // namespace margay::felix
