#pragma once
// CodecContext: everything about a session that changes what bytes mean. The session machine fills
// it from the two OPEN messages; decoders and encoders take it as an argument and keep no state.

#include "bgp/wire/types.h"

#include <optional>

namespace margay::bgp {

struct FamilyContext {
  bool enabled = false;            // negotiated: other families' routes are ignored with a note
  bool add_path_receive = false;   // RFC 7911: NLRI we receive carry a path identifier
  bool add_path_send = false;      // NLRI we send carry one
  bool extended_next_hop = false;  // RFC 8950: IPv4 routes may have an IPv6 next hop
  bool operator==(const FamilyContext&) const = default;
};

struct CodecContext {
  FamilyContext ipv4{.enabled = true};  // RFC 4271: there without any capability
  FamilyContext ipv6;
  bool internal = false;          // iBGP; else eBGP
  bool four_octet_as = true;      // both sides sent the capability (RFC 6793)
  bool extended_receive = false;  // we offered RFC 8654, so messages up to 65,535 bytes may come
  bool extended_send = false;     // the peer offered it
  bool enforce_first_as = true;   // eBGP: AS_PATH must start with peer_asn (off for route servers)
  Asn local_asn;
  Asn peer_asn;
  // Our ends of the session. A route whose next hop is one of them is treated as withdrawn.
  std::optional<IpAddr> local_ipv4;
  std::optional<IpAddr> local_ipv6;
  IfIndex link;  // of an unnumbered peer: the interface its next hops are on

  [[nodiscard]] const FamilyContext& of(Family family) const {
    return family == Family::kIpv4 ? ipv4 : ipv6;
  }
  bool operator==(const CodecContext&) const = default;
};

}  // namespace margay::bgp
