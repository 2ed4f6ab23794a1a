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
  // mark = (mark & ~mask) | value for each; the number of entries that were there. Goes on after a
  // failure and reports the first. An entry is known by its original direction: a newer connection
  // of the same addresses and ports takes the mark.
  [[nodiscard]] virtual Result<std::size_t> set_mark(std::span<const Connection> connections,
                                                     Mark value,
                                                     Mark mask) = 0;
  // Ends what is tracked from or to these addresses, in either direction, translated or not; the
  // number of entries that were there. Goes on after a failure and reports the first.
  [[nodiscard]] virtual Result<std::size_t> remove(std::span<const IpAddr> addresses) = 0;
  // Ends these; known by their original direction, as in set_mark().
  [[nodiscard]] virtual Result<std::size_t> remove(std::span<const Connection> connections) = 0;
};

// Opens a socket in the calling thread's network namespace.
[[nodiscard]] Result<std::unique_ptr<ConntrackKernel>> open_conntrack_kernel();

}  // namespace margay
