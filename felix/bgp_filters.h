#pragma once
// BGPFilters and communities of the store as the speaker takes them.

#include "bgp/rib/filter.h"
#include "bgp/speaker.h"
#include "felix/calc/bgp_inputs.h"

#include <vector>

namespace margay::felix {

// What is originated, with its communities in the order of the wire.
[[nodiscard]] bgp::Network network(const Prefix& prefix,
                                   const std::vector<api::BgpCommunity>& communities);

// The rules of all, in order. A filter that does not exist lets nothing pass, either way. A
// priority is a LOCAL_PREF of 2147483647 - priority, as Calico has it.
[[nodiscard]] bgp::PeerFilters peer_filters(const std::vector<BgpFilterInput>& filters);

}  // namespace margay::felix
