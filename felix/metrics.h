#pragma once
// The agent's metrics in Prometheus text form. Set from the felix thread, read by /metrics on the
// same thread.

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace margay::felix {

// What /metrics shows as gauges; filled anew for each request from the agent's state.
struct MetricsSnapshot {
  struct Peer {
    std::string name;
    std::string address;
    bool established = false;
    std::uint64_t flaps = 0;
    std::uint64_t messages_in = 0;
    std::uint64_t messages_out = 0;
    std::uint64_t ipv4_received = 0;
    std::uint64_t ipv4_advertised = 0;
    std::uint64_t ipv6_received = 0;
    std::uint64_t ipv6_advertised = 0;
    std::uint64_t queued_bytes = 0;
    std::uint32_t update_group = 0;
    std::string last_notification;  // empty: there was none
  };
  struct Collector {  // BMP
    std::string address;
    bool in_sync = false;
    std::uint64_t messages = 0;
    std::uint64_t waiting_bytes = 0;
    std::uint64_t lost_connections = 0;
  };
  struct Queue {
    std::string name;
    std::size_t depth = 0;
  };

  bool ready = false;
  bool datastore_reachable = false;
  std::uint64_t datastore_revision = 0;
  std::uint64_t enforced_revision = 0;
  std::size_t local_endpoints = 0;
  std::size_t active_policies = 0;
  std::size_t sets = 0;
  std::size_t chains = 0;
  std::size_t invalid_objects = 0;
  std::size_t pending_changes = 0;
  std::size_t local_routes = 0;
  std::size_t bgp_routes = 0;
  std::vector<Peer> peers;
  std::vector<Collector> collectors;
  std::uint64_t mrt_records = 0;
  std::uint64_t mrt_lost_records = 0;
  std::vector<Queue> queues;
};

class Metrics {
 public:
  Metrics();
  ~Metrics();
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

  // One apply of the dataplane: how long it took and whether all of it went in.
  void applied(std::chrono::nanoseconds duration, bool succeeded);
  // From the store's watch to the kernel's acknowledgement.
  void enforced(std::chrono::nanoseconds since_change);
  // Established connections that policy no longer allowed.
  void connections_refused(std::size_t count);
  void connections_departed(std::size_t count);
  void cni_request(const std::string& verb, bool succeeded, std::chrono::nanoseconds duration);

  // The exposition format, version 0.0.4.
  [[nodiscard]] std::string text(const MetricsSnapshot& snapshot);

 private:
  void set_gauges(const MetricsSnapshot& snapshot);

  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace margay::felix
