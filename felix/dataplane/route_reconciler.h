#pragma once
// RouteReconciler: routes of our protocols, as desired and no others.
//
// Ownership: a route belongs to us when its protocol is one of those given to the constructor.
// Anything else is invisible, except that a foreign route with the key of a desired one is reported
// as a conflict and never replaced. A route whose interface does not exist waits for the link
// event. Routes that fail are tried again with back-off, each for itself; one that someone else
// changes or deletes is put back. Nothing is removed before set_in_sync(true). Not thread-safe:
// lives on one worker.

#include "base/delta_tracker.h"
#include "base/timer_set.h"
#include "felix/dataplane/backoff.h"
#include "felix/dataplane/report.h"
#include "kernel/link_kernel.h"
#include "kernel/model/event.h"
#include "kernel/route_kernel.h"

#include <map>
#include <set>
#include <span>
#include <string>
#include <vector>

namespace margay::felix {

class RouteReconciler {
 public:
  struct Options {
    std::vector<RouteProtocol> protocols;
    // Links named so carry only routes that name them, so that one that comes or goes is no reason
    // to read a large table again; empty: there are none.
    std::string endpoint_prefix;
    std::size_t batch = 512;  // changes per call of the kernel
    // Protocols of Margay's whose routes give way to these: what a peer tells about an address must
    // not take it from the container that has it.
    std::vector<RouteProtocol> overrules = {};
  };

  RouteReconciler(RouteKernel& routes, LinkKernel& links, Options options);

  void set_desired(const RouteSpec& route);
  void remove_desired(const RouteKey& key);
  void set_in_sync(bool in_sync) {
    in_sync_ = in_sync;
    withdrawn_.clear();
  }

  [[nodiscard]] ApplyReport apply(TimePoint now);
  // Takes one event of the monitor; true when apply() has work.
  bool on_event(const KernelEvent& event);
  void resync() { observed_valid_ = false; }

  // Keys of desired routes that a foreign route occupies.
  [[nodiscard]] std::vector<RouteKey> conflicts() const;
  // Desired routes whose interface does not exist now.
  [[nodiscard]] std::vector<RouteSpec> waiting() const;
  // Another number when waiting() gives something else.
  [[nodiscard]] std::uint64_t waiting_version() const { return waiting_version_; }
  // Nothing but what waits is missing().
  [[nodiscard]] bool settled() const { return tracker_.pending().empty(); }
  // Desired routes that the kernel does not hold now, for whatever reason.
  [[nodiscard]] std::vector<RouteKey> missing() const;
  [[nodiscard]] bool is_installed(const RouteKey& key) const;
  [[nodiscard]] std::size_t desired_count() const { return wanted_.size(); }

 private:
  struct Retry {
    TimePoint at;
    Backoff backoff;
    bool conflict = false;
  };

  [[nodiscard]] bool owns(const RouteSpec& route) const;
  Result<void> read_back();
  bool on_link(const LinkState& link);
  bool leave_old_name(const LinkState& link);
  bool take_link(const LinkState& link);
  bool on_link_removed(const LinkRemoved& link);
  bool on_address(const AddressChanged& event);
  [[nodiscard]] bool may_carry(const std::string& link) const;
  bool retry_now();
  // Fills in interface indices; nothing when an interface is missing or down.
  [[nodiscard]] std::optional<RouteSpec> resolve(const RouteSpec& route) const;
  void refresh(const RouteKey& key);
  void refresh(const RouteKey& key, const RouteSpec* wanted);  // null: it is not wanted
  void set_waiting(const RouteKey& key, bool waits);
  [[nodiscard]] RouteSpec as_wished(RouteSpec observed) const;
  [[nodiscard]] std::vector<RouteChange> plan(TimePoint now) const;
  void overrule(std::span<const RouteChange> changes, std::vector<Result<void>>& outcomes);
  void take_outcome(const RouteChange& change,
                    const Result<void>& outcome,
                    TimePoint now,
                    ApplyReport& report);

  RouteKernel& routes_;
  LinkKernel& links_;
  Options options_;
  std::map<RouteKey, RouteSpec> wanted_;       // as asked, with interface names
  DeltaTracker<RouteKey, RouteSpec> tracker_;  // resolved, against the kernel
  std::map<RouteKey, Retry> retries_;
  std::map<std::string, LinkState> links_by_name_;
  std::map<std::string, std::set<RouteKey>> keys_by_link_;  // wanted routes by interface name
  std::size_t keys_by_gateway_ = 0;  // wanted routes whose interface the gateway decides
  std::set<RouteKey> waiting_;       // wanted, and not resolved
  std::uint64_t waiting_version_ = 0;
  std::set<RouteKey> withdrawn_;  // wanted and removed again before in_sync_: no leftovers
  bool observed_valid_ = false;
  bool in_sync_ = false;
};

}  // namespace margay::felix
