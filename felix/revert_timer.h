#pragma once
// RevertTimer: takes back a change that nobody confirmed (PendingChange, `margayctl apply
// --confirm`), when its time is over.
//
// Every agent does so; the store's revisions let one of them win. A change may have cut this node
// off its datastore: while the store does not answer, the node goes back to what the objects were
// for itself, and tries the store again each kRetry. Single-threaded; the store is used on the
// worker.

#include "datastore/pending_change.h"

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace margay::felix {

class RevertTimer {
 public:
  static constexpr std::chrono::milliseconds kRetry{1000};

  struct Environment {
    datastore::Store& store;
    std::function<void(std::function<void()>)> on_worker;
    std::function<void(std::function<void()>)> on_loop;
    std::function<void(std::chrono::milliseconds, std::function<void()>)> after;
    std::function<std::chrono::system_clock::time_point()> now;
    // What this node takes to be so, beside what the store's watch says.
    std::function<void(const std::vector<datastore::Object>&)> take;  // no resource: absent
    std::function<void(const std::string&)> log;
  };
  explicit RevertTimer(Environment environment) : environment_(std::move(environment)) {}

  // `fresh`: it was written just now, so its whole time is left, whatever the clocks of this node
  // and of the writer say. Otherwise what the clocks leave of it. Either way time that runs is
  // measured by a clock that nobody sets.
  void on_pending(const api::PendingChange& change, bool fresh);
  void on_gone();  // confirmed, or reverted by somebody

 private:
  void revert();
  void on_reverted(const Result<datastore::Reverted>& outcome);
  void revert_here();
  void refresh(const std::vector<api::ResourceKey>& keys);

  Environment environment_;
  std::optional<api::PendingChange> pending_;
  unsigned epoch_ = 0;          // timers and answers of earlier changes are void
  bool reverted_here_ = false;  // this node differs from the store
};

}  // namespace margay::felix
