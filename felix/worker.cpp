#include "felix/worker.h"

#include <pthread.h>
#include <utility>

namespace margay::felix {

Worker::Worker(std::string name) : thread_([this] { run(); }) {
  constexpr std::size_t kMaxThreadName = 15;  // TASK_COMM_LEN - 1
  name.resize(std::min(name.size(), kMaxThreadName));
  pthread_setname_np(thread_.native_handle(), name.c_str());
}

Worker::~Worker() {
  stop();
}

void Worker::post(Task task) {
  {
    const std::lock_guard lock(mutex_);
    if (stopping_) {
      return;
    }
    queue_.push_back(std::move(task));
  }
  wake_.notify_one();
}

void Worker::stop() {
  std::deque<Task> dropped;
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    dropped.swap(queue_);
  }
  wake_.notify_one();
  if (thread_.joinable()) {
    thread_.join();
  }
}

std::size_t Worker::depth() const {
  const std::lock_guard lock(mutex_);
  return queue_.size();
}

void Worker::run() {
  while (true) {
    Task task;
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
      if (stopping_) {
        return;
      }
      task = std::move(queue_.front());
      queue_.pop_front();
    }
    task();
  }
}

}  // namespace margay::felix
