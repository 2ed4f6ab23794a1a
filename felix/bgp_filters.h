#pragma once
// BGPFilters of the store as the speaker takes them.

#include "bgp/rib/filter.h"
#include "felix/calc/bgp_inputs.h"

#include <vector>

namespace margay::felix {

// The rules of all, in order. A filter that does not exist lets nothing pass, either way. A
// priority is a LOCAL_PREF of 2147483647 - priority, as Calico has it.
[[nodiscard]] bgp::PeerFilters peer_filters(const std::vector<BgpFilterInput>& filters);

}  // namespace margay::felix
