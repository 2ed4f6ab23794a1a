#pragma once
// LinkKernel: links, addresses, neighbours and per-device settings of one network namespace.
//
// One thread at a time; every call completes before it returns.

#include "base/result.h"
#include "kernel/model/link.h"

#include <memory>
#include <span>
#include <vector>

namespace margay {

class LinkKernel {
 public:
  virtual ~LinkKernel() = default;

  [[nodiscard]] virtual Result<std::vector<LinkState>> links() = 0;
  [[nodiscard]] virtual Result<LinkState> link(const IfName& name) = 0;
  // Both ends in one request, each in its namespace, the host end up; returns the index of the host
  // end.
  [[nodiscard]] virtual Result<IfIndex> create_veth(const VethSpec& veth) = 0;
  [[nodiscard]] virtual Result<void> set_up(IfIndex link) = 0;
  // Goes on after a failure and reports the first; a link that is gone already is no failure.
  [[nodiscard]] virtual Result<void> remove(std::span<const IfIndex> links) = 0;
  [[nodiscard]] virtual Result<void> configure(IfIndex link, const DeviceConfig& config) = 0;
  // Without duplicate detection: usable at once. An address that is there already is no failure.
  [[nodiscard]] virtual Result<void> add_addresses(std::span<const AddressSpec> addresses) = 0;
  [[nodiscard]] virtual Result<void> set_neighbours(std::span<const NeighbourSpec> neighbours) = 0;
  [[nodiscard]] virtual Result<std::vector<AddressSpec>> addresses() = 0;
};

// Opens a socket in the calling thread's network namespace.
[[nodiscard]] Result<std::unique_ptr<LinkKernel>> open_link_kernel();

}  // namespace margay
