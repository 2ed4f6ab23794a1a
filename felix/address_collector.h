#pragma once
// AddressCollector: frees addresses that nobody uses any more (design: IPAM, GC).
//
// Every interval the store is surveyed. An address without an endpoint that this node gave, seen so
// for the whole grace time with the same holder, is freed. What a node held that is no more (no
// Node, no endpoint on it) is freed by whichever agent comes first, its blocks too. Time is that of
// the steady clock, so a clock that is set frees nothing. Each decision is logged with its reason;
// `margayctl ipam check` judges alike and changes nothing. Period and grace come from
// KubeControllersConfiguration "default" (reconcilerPeriod, leakGracePeriod; a grace of 0 is
// never).
//
// Single-threaded; the store is used on the worker.

#include "base/timer_set.h"
#include "datastore/store.h"
#include "ipam/audit.h"

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace margay::felix {

class AddressCollector {
 public:
  static constexpr std::chrono::seconds kInterval{300};
  static constexpr std::chrono::seconds kGrace{ipam::kLeakGraceS};

  struct Environment {
    datastore::Store& store;
    NodeName node;
    std::function<void(std::function<void()>)> on_worker;
    std::function<void(std::function<void()>)> on_loop;
    std::function<void(std::chrono::milliseconds, std::function<void()>)> after;
    std::function<TimePoint()> now;
    std::function<std::int64_t()> unix_now;
    std::function<void(const std::string&)> log;
  };
  explicit AddressCollector(Environment environment) : environment_(std::move(environment)) {}

  // Whatever comes from the store; what does not concern it is ignored.
  void on_object(const api::Resource& resource);
  void on_deleted(const api::ResourceKey& key);
  // The store is in sync; from now on it looks.
  void start();

 private:
  struct Suspect {
    ipam::Finding finding;
    TimePoint since;
  };
  struct Due {
    std::vector<ipam::Finding> addresses;
    std::vector<std::string> nodes;
  };
  struct Survey {
    std::vector<ipam::Finding> idle;      // addresses without an endpoint
    std::vector<std::string> gone_nodes;  // that still hold something
  };

  void set_times(const api::KubeControllersConfiguration& config);
  void wait();
  void look();
  [[nodiscard]] static Survey judge(const ipam::AuditInput& input);
  [[nodiscard]] Due due(const Survey& survey);
  void collect(const Due& due);
  void free_address(const ipam::Finding& finding);

  Environment environment_;
  std::chrono::seconds interval_ = kInterval;
  std::chrono::seconds grace_ = kGrace;
  bool started_ = false;
  unsigned epoch_ = 0;  // timers of another interval are void
  std::vector<Suspect> suspects_;
  std::map<std::string, TimePoint> gone_since_;
};

}  // namespace margay::felix
