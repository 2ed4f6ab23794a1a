#pragma once
// RouteKernel: routes of one network namespace, written in batches.
//
// One thread at a time; every call completes before it returns. A batch is sent in few system
// calls; the outcome of each change is reported at its index, and one that fails does not hold back
// the others.

#include "base/result.h"
#include "kernel/model/route.h"

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace margay {

class RouteKernel {
 public:
  virtual ~RouteKernel() = default;

  // One result per change. Next hops carry ifindex, not names. Removing a route that is not there
  // fails with kNotFound.
  [[nodiscard]] virtual std::vector<Result<void>> apply(std::span<const RouteChange> changes) = 0;
  // Canonical routes of one protocol, all tables, both families.
  [[nodiscard]] virtual Result<std::vector<RouteSpec>> dump(RouteProtocol protocol) = 0;
  // Port of the socket that writes: MonitorScope::ignore_port. 0 when there is none.
  [[nodiscard]] virtual std::uint32_t port() const { return 0; }
  // The route that the kernel would take to this address.
  [[nodiscard]] virtual Result<NextHop> lookup(const IpAddr& destination) = 0;
};

// Opens a socket in the calling thread's network namespace.
[[nodiscard]] Result<std::unique_ptr<RouteKernel>> open_route_kernel();

}  // namespace margay
