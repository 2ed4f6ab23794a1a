#pragma once
// Exponential back-off of something that failed: 100 ms doubling to 30 s, reset by success.

#include <algorithm>
#include <chrono>

namespace margay::felix {

class Backoff {
 public:
  [[nodiscard]] std::chrono::milliseconds next() {
    const auto delay = delay_;
    delay_ = std::min(delay_ * 2, kLongest);
    return delay;
  }
  void reset() { delay_ = kShortest; }

 private:
  static constexpr std::chrono::milliseconds kShortest{100};
  static constexpr std::chrono::milliseconds kLongest{30'000};

  std::chrono::milliseconds delay_ = kShortest;
};

}  // namespace margay::felix
