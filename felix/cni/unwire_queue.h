#pragma once
// UnwireQueue: host ends that nobody needs any more and that may be removed a little later, as the
// kernel takes some 20 ms for one.
//
// An ADD that wants the name back calls claim() first: what is still queued is left to it, what is
// being removed is waited for. Used by the store worker (add, claim) and the worker that removes
// (take, done).

#include "base/strong.h"

#include <condition_variable>
#include <mutex>
#include <optional>
#include <set>

namespace margay::felix {

class UnwireQueue {
 public:
  void add(const IfName& name) {
    const std::lock_guard lock(mutex_);
    queued_.insert(name);
  }
  // True: it was queued, so who claims it owes its removal if nothing comes of it.
  bool claim(const IfName& name) {
    std::unique_lock lock(mutex_);
    const bool was_queued = queued_.erase(name) > 0;
    idle_.wait(lock, [this, &name] { return running_ != name; });
    return was_queued;
  }
  // The next name to remove; nothing when none is queued.
  [[nodiscard]] std::optional<IfName> take() {
    const std::lock_guard lock(mutex_);
    if (queued_.empty()) {
      return std::nullopt;
    }
    running_ = *queued_.begin();
    queued_.erase(queued_.begin());
    return running_;
  }
  void done() {
    {
      const std::lock_guard lock(mutex_);
      running_.reset();
    }
    idle_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable idle_;
  std::set<IfName> queued_;
  std::optional<IfName> running_;
};

}  // namespace margay::felix
