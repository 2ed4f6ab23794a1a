#pragma once
// KernelMonitor: what happens to links, addresses, routes and next hop objects of a namespace.
//
// The descriptor becomes readable when there is something to take. When the queue overflowed, the
// events end with Overrun: read everything again.

#include "base/result.h"
#include "kernel/model/event.h"

#include <cstdint>
#include <memory>
#include <vector>

namespace margay {

class KernelMonitor {
 public:
  virtual ~KernelMonitor() = default;

  [[nodiscard]] virtual int descriptor() const = 0;
  // Never blocks; at most a few thousand events per call, so call until it returns none.
  [[nodiscard]] virtual std::vector<KernelEvent> take() = 0;
};

struct MonitorScope {
  bool links = true;
  bool addresses = true;
  bool routes = true;
  int receive_buffer = 4 << 20;  // bytes
  // Changes made through this port are filtered before they are queued: RouteKernel::port(). A bulk
  // of our own routes then cannot overrun the queue.
  std::uint32_t ignore_port = 0;
};
// Opens a socket in the calling thread's network namespace. Only events after this call are seen,
// so open the monitor first and dump then.
[[nodiscard]] Result<std::unique_ptr<KernelMonitor>> open_kernel_monitor(
    const MonitorScope& scope = {});

}  // namespace margay
