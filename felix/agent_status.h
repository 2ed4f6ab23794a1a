#pragma once
// AgentStatus: what the agent knows of itself, kept on the felix thread, and its forms for people
// (node status) and for Prometheus. Pure.

#include "base/strong.h"
#include "base/timer_set.h"
#include "bgp/speaker.h"
#include "datastore/store.h"
#include "felix/bgp_view.h"
#include "felix/calc/calc_graph.h"
#include "felix/cni/endpoint_service.h"
#include "felix/config.h"
#include "felix/kernel_thread.h"
#include "felix/metrics.h"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>

namespace margay::control::v1 {
class NodeStatus;
}

namespace margay::felix {

struct AgentStatus {
  NodeName node;
  std::string datastore;  // URL
  BgpMode bgp = BgpMode::kEmbedded;
  std::chrono::system_clock::time_point started;
  std::optional<std::chrono::milliseconds> ready_after;  // once it was ready

  bool in_sync = false;                   // the whole store has been read
  std::string store_error;                // empty: the datastore answers
  datastore::Revision seen_revision;      // newest from the datastore
  datastore::Revision enforced_revision;  // newest that the kernel enforces

  KernelReport dataplane_report;  // of the last apply
  KernelReport fib_report;
  std::optional<TimePoint> dataplane_waits_since;  // for a report about changes that were posted
  std::optional<std::chrono::system_clock::time_point> last_apply;
  std::uint64_t applies = 0;
  std::uint64_t apply_failures = 0;

  bool node_held = false;     // the node's name is this agent's
  std::string node_conflict;  // another agent uses it, too; empty: none does
  bool bgp_configured = false;
  Drain drain = Drain::kNone;
  bgp::SpeakerStatus bgp_status;
  std::size_t local_endpoints = 0;
  std::size_t active_policies = 0;
  std::size_t store_queue = 0;  // tasks that wait for the datastore
};

// Why the agent is not ready; empty when it is.
[[nodiscard]] std::string not_ready_reason(const AgentStatus& status);

// Why a restart would help; empty while the agent lives. A call into the kernel may hang: then
// nothing is reported for kDataplaneSilence.
inline constexpr std::chrono::seconds kDataplaneSilence{10};
[[nodiscard]] std::string hung_reason(const AgentStatus& status, TimePoint now);

// For STATUS of CNI. Away, the datastore changes nothing for what runs; a kernel that hangs or took
// nothing since the start may.
[[nodiscard]] Readiness readiness(const AgentStatus& status, TimePoint now);

// Everything but the BGP peers.
void fill(const AgentStatus& status,
          const std::map<api::ResourceKey, InvalidObject>& invalid,
          control::v1::NodeStatus& out);
[[nodiscard]] MetricsSnapshot metrics_snapshot(const AgentStatus& status,
                                               std::size_t invalid_objects);

}  // namespace margay::felix
