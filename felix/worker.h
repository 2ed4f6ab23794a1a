#pragma once
// Worker: a named thread that runs tasks one after the other, for what may block (store calls,
// kernel commits).
//
// post() may be called from any thread and never blocks. Tasks that are still queued at destruction
// are dropped; the running one is waited for. The queue is bounded by what its users post: each
// user keeps at most one task in flight per object it works on, so the depth is reported (depth())
// rather than limited.

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

namespace margay::felix {

class Worker {
 public:
  using Task = std::function<void()>;

  explicit Worker(std::string name);
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  void post(Task task);
  // Drops what is queued, waits for the running task and ends the thread; later posts do nothing.
  void stop();

  [[nodiscard]] std::size_t depth() const;

 private:
  void run();

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Task> queue_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace margay::felix
