#pragma once
// Between the agent's values and the speaker's: configuration one way, status for the control
// socket the other. Pure.

#include "bgp/speaker.h"
#include "felix/calc/bgp_inputs.h"
#include "kernel/model/route.h"

#include <cstdint>
#include <string_view>

namespace margay::control::v1 {
class BgpExports;
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

// What its peers hear, in words; empty for kNone.
[[nodiscard]] std::string_view to_string(Drain drain);

[[nodiscard]] bgp::SpeakerConfig speaker_config(const BgpInputs& inputs,
                                                Drain drain = Drain::kNone);

// Routes to peers behind a gateway (reachableBy), and to our addresses that workloads connect to,
// of kProtocolPeer.
[[nodiscard]] std::vector<RouteSpec> peer_routes(const BgpInputs& inputs);

// No next hops: the route goes.
[[nodiscard]] RouteSpec learnt_route(const bgp::FibChange& change,
                                     TableId table,
                                     RouteProtocol protocol);

void fill(const bgp::PeerStatus& status, control::v1::BgpPeer& out);
void fill(const bgp::SpeakerStatus& status, control::v1::ListBgpPeersResponse& out);
void fill(const bgp::RoutesView& view, control::v1::ListBgpRoutesResponse& out);
void fill(const bgp::NeighborView& view, control::v1::BgpNeighbor& out);
void fill(const bgp::ExportsView& view, control::v1::BgpExports& out);
void fill(const Result<bgp::TableDump>& dumped, control::v1::DumpBgpTableResponse& out);

}  // namespace margay::felix
