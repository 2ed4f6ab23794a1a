#pragma once
// ConntrackKernel: the tracked connections of one network namespace.
//
// One thread at a time; every call completes before it returns.

#include "base/result.h"
#include "kernel/model/connection.h"

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

namespace margay {

class ConntrackKernel {
 public:
  virtual ~ConntrackKernel() = default;

  // Both families.
  [[nodiscard]] virtual Result<std::vector<Connection>> dump() = 0;
  // The number of entries that were there and are gone now; goes on after a failure and reports the
  // first. A newer connection with the same addresses and ports is left alone (its id differs).
  [[nodiscard]] virtual Result<std::size_t> remove(std::span<const Connection> connections) = 0;
};

// Opens a socket in the calling thread's network namespace.
[[nodiscard]] Result<std::unique_ptr<ConntrackKernel>> open_conntrack_kernel();

}  // namespace margay
