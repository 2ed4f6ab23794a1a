#pragma once
// The small closed words of BGP-4 that every part of the speaker shares: families, message types,
// attribute types, roles, communities.
//
// bgp/wire turns messages into values and back. It is pure: no sockets, no clock, no logging. The
// idea in one picture (spans point into the receive buffer, nothing is copied before it is valid):
//
//   bytes --next_frame--> Frame --decode_open / decode_update / ...--> value or Notification
//
//   UPDATE body --split_update--> withdrawn | attribute bytes | NLRI   (cheap, cacheable by bytes)
//                                       \--decode_attributes--> AttributeSet + notes
//
// What changes the meaning of bytes (4-octet AS, add-path, iBGP or eBGP) is the CodecContext
// (bgp/wire/context.h). Network byte order exists only in here.

#include "base/byte_io.h"
#include "base/ip_addr.h"
#include "base/strong.h"

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace margay::bgp {

using Bytes = std::span<const std::uint8_t>;

// RFC 4760: address family and subsequent address family. Only unicast of IPv4 and IPv6 is decoded.
struct AfiSafi {
  std::uint16_t afi = 0;
  std::uint8_t safi = 0;
  auto operator<=>(const AfiSafi&) const = default;
};
// AFI and SAFI as capabilities and MP_REACH_NLRI carry them (RFC 4760 sec. 3).
inline void write_family(ByteWriter& out, AfiSafi family) {
  out.u16(family.afi);
  out.u8(family.safi);
}
inline constexpr std::uint16_t kAfiIpv4 = 1;
inline constexpr std::uint16_t kAfiIpv6 = 2;
inline constexpr std::uint8_t kSafiUnicast = 1;
inline constexpr AfiSafi kIpv4Unicast{kAfiIpv4, kSafiUnicast};
inline constexpr AfiSafi kIpv6Unicast{kAfiIpv6, kSafiUnicast};

[[nodiscard]] constexpr AfiSafi unicast(Family family) {
  return family == Family::kIpv4 ? kIpv4Unicast : kIpv6Unicast;
}
// The family of a unicast AfiSafi; nothing for all others.
[[nodiscard]] constexpr std::optional<Family> unicast_family(AfiSafi id) {
  if (id == kIpv4Unicast) {
    return Family::kIpv4;
  }
  if (id == kIpv6Unicast) {
    return Family::kIpv6;
  }
  return std::nullopt;
}
// "ipv4-unicast", "ipv6-unicast", else "afi 25 safi 65".
[[nodiscard]] std::string to_string(AfiSafi id);

enum class MessageType : std::uint8_t {
  kOpen = 1,
  kUpdate = 2,
  kNotification = 3,
  kKeepalive = 4,
  kRouteRefresh = 5,
};
[[nodiscard]] std::string_view to_string(MessageType type);

// RFC 6793: stands for a 4-octet AS number where only two octets fit.
inline constexpr Asn kAsTrans{23456};

// RFC 9234 section 4.1.
enum class Role : std::uint8_t {
  kProvider = 0,
  kRouteServer = 1,
  kRouteServerClient = 2,
  kCustomer = 3,
  kPeer = 4,
};
// What the other side of such a session is.
[[nodiscard]] Role counterpart(Role role);
[[nodiscard]] std::string to_string(Role role);  // "provider"; "role 7" for an unknown one

enum class AttrType : std::uint8_t {
  kNlriField = 0,  // in notes only: the prefixes themselves
  kOrigin = 1,
  kAsPath = 2,
  kNextHop = 3,
  kMed = 4,
  kLocalPref = 5,
  kAtomicAggregate = 6,
  kAggregator = 7,
  kCommunities = 8,
  kOriginatorId = 9,
  kClusterList = 10,
  kMpReach = 14,
  kMpUnreach = 15,
  kExtendedCommunities = 16,
  kAs4Path = 17,
  kAs4Aggregator = 18,
  kIpv6ExtendedCommunities = 25,
  kLargeCommunities = 32,
  kOnlyToCustomer = 35,
};
// The name in the attribute table, "attribute 99" for one that has no row.
[[nodiscard]] std::string to_string(AttrType type);

// Attribute flags (RFC 4271 section 4.3); the low four bits are unused.
inline constexpr std::uint8_t kFlagOptional = 0x80;
inline constexpr std::uint8_t kFlagTransitive = 0x40;
inline constexpr std::uint8_t kFlagPartial = 0x20;
inline constexpr std::uint8_t kFlagExtended = 0x10;

// Values are better the lower they are (RFC 4271 section 9.1.2.2 (b)).
enum class Origin : std::uint8_t { kIgp = 0, kEgp = 1, kIncomplete = 2 };
[[nodiscard]] std::string_view to_string(Origin origin);

// RFC 1997: AS in the high half. Printed "65001:100"; well-known values by number only.
using Community = Strong<struct CommunityTag, std::uint32_t>;
inline constexpr Community kNoExport{0xFFFFFF01};
inline constexpr Community kNoAdvertise{0xFFFFFF02};
inline constexpr Community kNoExportSubconfed{0xFFFFFF03};
inline constexpr Community kGracefulShutdown{0xFFFF0000};  // RFC 8326
inline constexpr Community kLlgrStale{0xFFFF0006};         // RFC 9494
inline constexpr Community kNoLlgr{0xFFFF0007};            // RFC 9494
[[nodiscard]] std::string to_string(Community community);
[[nodiscard]] Result<Community> parse_community(std::string_view text);

using ExtendedCommunity = Strong<struct ExtendedCommunityTag, std::uint64_t>;  // RFC 4360
using Ipv6ExtendedCommunity = std::array<std::uint8_t, 20>;                    // RFC 5701
[[nodiscard]] std::string to_string(ExtendedCommunity community);

struct LargeCommunity {  // RFC 8092, printed "65001:1:2"
  std::uint32_t global = 0;
  std::uint32_t local_1 = 0;
  std::uint32_t local_2 = 0;
  auto operator<=>(const LargeCommunity&) const = default;
};
[[nodiscard]] std::string to_string(const LargeCommunity& community);
[[nodiscard]] Result<LargeCommunity> parse_large_community(std::string_view text);

[[nodiscard]] std::string to_string(RouterId id);  // "192.0.2.1"

// What a malformed attribute costs, in order of severity (RFC 7606 section 2); the worst one of an
// UPDATE wins.
enum class Outcome : std::uint8_t {
  kDiscard,   // the attribute is dropped, the routes are kept
  kWithdraw,  // the routes are treated as withdrawn
  kReset,     // the session ends with a NOTIFICATION
};
[[nodiscard]] std::string_view to_string(Outcome outcome);

}  // namespace margay::bgp
