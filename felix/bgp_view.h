#pragma once
// Between the agent's values and the speaker's: configuration one way, status for the control
// socket the other. Pure.

#include "bgp/speaker.h"
#include "felix/calc/bgp_inputs.h"

namespace margay::control::v1 {
class BgpNeighbor;
class BgpPeer;
class ListBgpPeersResponse;
class ListBgpRoutesResponse;
}  // namespace margay::control::v1

namespace margay::felix {

[[nodiscard]] bgp::SpeakerConfig speaker_config(const BgpInputs& inputs);

void fill(const bgp::PeerStatus& status, control::v1::BgpPeer& out);
void fill(const bgp::SpeakerStatus& status, control::v1::ListBgpPeersResponse& out);
void fill(const bgp::RoutesView& view, control::v1::ListBgpRoutesResponse& out);
void fill(const bgp::NeighborView& view, control::v1::BgpNeighbor& out);

}  // namespace margay::felix
