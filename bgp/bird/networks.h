#pragma once
// The networks that this machine's interfaces are on.

#include "base/ip_addr.h"

#include <vector>

namespace margay::bgp::bird {

// Sorted; none when they cannot be read.
[[nodiscard]] std::vector<Prefix> connected_networks();

}  // namespace margay::bgp::bird
