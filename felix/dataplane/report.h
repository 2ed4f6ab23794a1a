#pragma once
// What one apply of a reconciler did, for status, metrics and the next attempt.

#include "base/result.h"

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <vector>

namespace margay::felix {

struct ApplyFailure {
  std::string what;  // "route 10.64.3.7/32 dev mgy1 table 254 proto 90"
  Error error;
};

struct ApplyReport {
  std::size_t changes = 0;  // acknowledged by the kernel
  std::vector<ApplyFailure> failures;
  std::optional<std::chrono::milliseconds> retry_after;  // absent: nothing left to try

  [[nodiscard]] bool clean() const { return failures.empty() && !retry_after; }
};

}  // namespace margay::felix
