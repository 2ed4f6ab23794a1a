#pragma once
// The filters of a session in BIRD's language. Pure.

#include "bgp/speaker.h"

#include <string>

namespace margay::bgp::bird {

[[nodiscard]] inline bool is_external(const PeerConfig& peer) {
  return peer.asn != peer.local_asn;
}

// The body of an import or export filter of one channel, a statement per line.
[[nodiscard]] std::string import_filter(const PeerConfig& peer, Family family);
[[nodiscard]] std::string export_filter(const PeerConfig& peer, Family family);

}  // namespace margay::bgp::bird
