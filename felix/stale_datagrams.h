#pragma once
// StaleDatagrams: ends tracked UDP flows that do not go where a published port leads now.
//
// Translation is decided by the first packet of a tracked connection. A client that keeps sending
// datagrams to a port of the node keeps its entry alive, and with it the decision of the time
// before the port was published, or led to another workload. (TCP has no such clients: their
// connections end.) Single-threaded; the kernel is asked on the worker.

#include "felix/calc/calc_graph.h"
#include "kernel/model/connection.h"

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <vector>

namespace margay::felix {

class Worker;

// Flows to a port of this node that are answered by somebody else than its workload. Pure.
[[nodiscard]] std::vector<Connection> stale_datagrams(const PublishedPorts& ports,
                                                      const std::set<IpAddr>& host_addresses,
                                                      std::span<const Connection> connections);

class StaleDatagrams {
 public:
  struct Environment {
    Worker& worker;
    std::function<void(std::function<void()>)> on_loop;
    std::function<void(const Error&)> on_error;
  };
  explicit StaleDatagrams(Environment environment) : environment_(std::move(environment)) {}

  // These changes are `generation`.
  void on_changes(const CalcChanges& changes, std::uint64_t generation);
  void on_enforced(std::uint64_t generation);

 private:
  Environment environment_;
  std::map<std::uint64_t, PublishedPorts> published_;  // of UDP, by generation
};

}  // namespace margay::felix
