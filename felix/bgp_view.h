#pragma once
// Between the agent's values and the speaker's: configuration one way, status for the control
// socket the other. Pure.

#include "bgp/speaker.h"
#include "felix/calc/bgp_inputs.h"

#include <cstdint>

namespace margay::control::v1 {
class BgpNeighbor;
class BgpPeer;
class DumpBgpTableResponse;
class ListBgpPeersResponse;
class ListBgpRoutesResponse;
}  // namespace margay::control::v1

namespace margay::felix {

// How far the drain of a node is: its routes carry GRACEFUL_SHUTDOWN (RFC 8326), so that peers
// prefer others; then there are none.
enum class Drain : std::uint8_t { kNone, kAnnounced, kWithdrawn };

[[nodiscard]] bgp::SpeakerConfig speaker_config(const BgpInputs& inputs,
                                                Drain drain = Drain::kNone);

void fill(const bgp::PeerStatus& status, control::v1::BgpPeer& out);
void fill(const bgp::SpeakerStatus& status, control::v1::ListBgpPeersResponse& out);
void fill(const bgp::RoutesView& view, control::v1::ListBgpRoutesResponse& out);
void fill(const bgp::NeighborView& view, control::v1::BgpNeighbor& out);
void fill(const Result<bgp::TableDump>& dumped, control::v1::DumpBgpTableResponse& out);

}  // namespace margay::felix
