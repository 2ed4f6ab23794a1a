#pragma once
// Waiting for a condition with a deadline, instead of sleeping and hoping.

#include <chrono>
#include <thread>

namespace margay::lab {

// True as soon as the condition holds; false when it still does not at the deadline.
template <typename Condition>
[[nodiscard]] bool wait_until(Condition condition,
                              std::chrono::milliseconds deadline,
                              std::chrono::milliseconds interval = std::chrono::milliseconds(20)) {
  const auto end = std::chrono::steady_clock::now() + deadline;
  for (;;) {
    if (condition()) {
      return true;
    }
    if (std::chrono::steady_clock::now() >= end) {
      return false;
    }
    std::this_thread::sleep_for(interval);
  }
}

}  // namespace margay::lab
