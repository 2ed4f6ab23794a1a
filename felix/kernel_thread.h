#pragma once
// KernelThread: a thread that owns reconcilers and keeps the kernel as desired.
//
// There are two of them in an agent: one with policy, local routes, links and sysctls, one for the
// routes learnt by BGP, so that a full table of routes never delays a policy. Each takes deltas by
// value, applies everything that has arrived as one turn, watches the kernel's events, retries what
// failed, and reports after each apply. Order within an apply: policy before routes, so that
// nothing is reachable before it is filtered. Kernel sockets are opened on the thread.

#include "base/result.h"
#include "base/strong.h"
#include "felix/kernel_delta.h"
#include "kernel/faults.h"

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace margay::felix {

// Learnt routes of an earlier run go when every session has brought its routes, at the latest after
// this time.
inline constexpr std::chrono::seconds kStaleRouteLimit{120};

struct KernelReport {
  std::uint64_t generation = 0;
  bool policy_applied = false;  // the table holds this generation
  // The same objects while nothing of theirs changes, as there may be many; never null.
  // Desired routes that are not in the kernel now; of them those whose interface is not there, or
  // down, in words.
  std::shared_ptr<const std::vector<RouteKey>> missing_routes =
      std::make_shared<const std::vector<RouteKey>>();
  std::shared_ptr<const std::vector<std::string>> waiting =
      std::make_shared<const std::vector<std::string>>();
  std::vector<std::string> failures;  // what fails now, with the reason
  std::size_t changes = 0;            // acknowledged by this apply
  std::size_t routes = 0;             // in the kernel
  std::size_t sets = 0;
  std::size_t chains = 0;
  std::chrono::nanoseconds duration{};  // of this apply
  // The machine's own interfaces, without loopback and workloads, when they were read anew.
  std::optional<std::map<IfName, std::vector<IpAddr>>> interfaces;
};

class KernelThread {
 public:
  struct Options {
    std::string name;                           // of the thread
    std::vector<RouteProtocol> protocols;       // routes it owns
    std::vector<RouteProtocol> overrules = {};  // see RouteReconciler
    bool policy = false;                        // owns the nftables table, links and sysctls, too
    std::string interface_prefix = "mgy";
    std::string sysctl_record = {};  // file, see SysctlReconciler
    std::vector<Fault> faults = {};  // on purpose, for tests
  };
  using OnReport = std::function<void(KernelReport)>;  // called on this thread

  // Fails when the kernel's sockets cannot be opened.
  static Result<std::unique_ptr<KernelThread>> start(Options options, OnReport on_report);
  ~KernelThread();
  KernelThread(const KernelThread&) = delete;
  KernelThread& operator=(const KernelThread&) = delete;

  // From any thread.
  void post(KernelDelta delta);

 private:
  struct State;
  explicit KernelThread(std::shared_ptr<State> state);
  std::shared_ptr<State> state_;
};

// The table that holds everything: `nft list table inet margay`.
inline constexpr const char* kTableName = "margay";

}  // namespace margay::felix
