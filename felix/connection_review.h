#pragma once
// ConnectionReview: ends established connections that policy no longer allows
// (establishedConnections Reevaluate, or the annotation of a policy).
//
// After the kernel holds a change, the tracked connections of local workloads are read and each is
// put to the rendered table as if it were new. Those that would be refused get kRefusedMark, which
// the table drops; a connection that is allowed again loses it. (Removing the entry would not do:
// the next packet of the answering side makes a new one, in the direction that may be allowed.)
// Reading takes time where there are many connections, so reviews are spaced: they take at most a
// tenth of one core. Connections of hosts themselves, and of hosts to their own workloads, are left
// alone.

#include "base/timer_set.h"
#include "felix/calc/calc_graph.h"
#include "kernel/model/connection.h"
#include "kernel/model/nft.h"

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <vector>

namespace margay::felix {

class Worker;

// What the table is asked about.
struct ReviewScope {
  std::map<IpAddr, IfName> local;   // workloads of this node
  std::set<IpAddr> host_addresses;  // of this node
  bool all = false;                 // or only connections of `interfaces`
  std::set<IfName> interfaces;
};
// Connections whose mark is not as the table would have it were they new. Pure.
struct Review {
  std::vector<Connection> refuse;
  std::vector<Connection> allow;
};
[[nodiscard]] Review review(const nft::Table& table,
                            const ReviewScope& scope,
                            std::span<const Connection> connections);

class ConnectionReview {
 public:
  struct Environment {
    Worker& worker;  // for the kernel's calls, which block
    std::function<void(std::function<void()>)> on_loop;
    std::function<void(std::chrono::milliseconds, std::function<void()>)> after;
    std::function<const nft::Table&()> table;
    std::function<void(const std::vector<Connection>& refused)> on_refused;
    std::function<void(const Error&)> on_error;
  };
  explicit ConnectionReview(Environment environment);
  ~ConnectionReview();
  ConnectionReview(const ConnectionReview&) = delete;
  ConnectionReview& operator=(const ConnectionReview&) = delete;

  // These changes are `generation`; endpoints as they are with it.
  void on_changes(const CalcChanges& changes,
                  const std::map<api::ResourceKey, LocalEndpoint>& endpoints,
                  bool table_changed,
                  std::uint64_t generation);
  void on_enforced(std::uint64_t generation);

 private:
  struct Kernel;
  void note_policies(const CalcChanges& changes);
  void start();
  void judge(const std::vector<Connection>& connections, std::set<IpAddr> host_addresses);
  void finish();

  Environment environment_;
  std::shared_ptr<Kernel> kernel_;       // used on the worker alone
  bool everything_ = false;              // establishedConnections: Reevaluate
  std::set<api::ResourceKey> policies_;  // with the annotation
  ReviewScope scope_;                    // of what is to be reviewed
  std::optional<std::uint64_t> due_;     // once this generation is enforced
  std::uint64_t enforced_ = 0;
  bool busy_ = false;
  TimePoint started_{};
};

}  // namespace margay::felix
