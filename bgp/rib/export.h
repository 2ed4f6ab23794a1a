#pragma once
// What may be sent to whom, and how its attributes change on the way (RFC 4271 section 5.1,
// RFC 4456, RFC 1997). Peers with equal targets are sent equal bytes: a target is an update group.

#include "bgp/rib/rib.h"

namespace margay::bgp {

struct ExportTarget {
  CodecContext codec;  // without what only matters for receiving
  bool reflector_client = false;
  std::optional<Role> role;
  NextHopRule next_hop = NextHopRule::kAuto;
  bool export_learned = true;
  bool long_lived = false;  // the peer knows long-lived graceful restart (RFC 9494)
  PeerFilters filters;      // without those for importing
  bool operator==(const ExportTarget&) const = default;
};
[[nodiscard]] ExportTarget export_target(const RibPeer& peer);

// Where a path comes from.
struct ExportSource {
  bool local = false;
  bool internal = false;
  bool reflector_client = false;
  RouterId router_id;
};

// Why a path is not told.
enum class ExportDenial : std::uint8_t {
  kNone,
  kFamily,           // not of this session
  kFilter,           // a rule of the filters rejects it
  kLearnt,           // only our own networks are told
  kMayNotAdvertise,  // RFC 1997
  kMayNotExport,     // RFC 1997
  kOnlyToCustomer,   // RFC 9234 section 5
  kNotReflected,     // RFC 4456 section 6
  kLongLivedStale,   // RFC 9494 section 4.3
  kNextHop,          // no address of ours for NEXT_HOP
};
[[nodiscard]] std::string_view to_string(ExportDenial denial);

// Whether a path may be told, and the rule of the target's filters that decided, counted from 1; 0:
// none did. A rule that accepts also lets through what was learnt from others where only our own
// networks are told.
struct ExportVerdict {
  ExportDenial denial = ExportDenial::kNone;
  std::uint16_t rule = 0;

  [[nodiscard]] bool allowed() const { return denial == ExportDenial::kNone; }
  bool operator==(const ExportVerdict&) const = default;
};
[[nodiscard]] ExportVerdict may_export(const AttributeSet& attributes,
                                       const Prefix& prefix,
                                       const ExportSource& source,
                                       const ExportTarget& target);
// For a path that may be exported, changed by that rule.
[[nodiscard]] AttributeSet exported(const AttributeSet& attributes,
                                    Family family,
                                    std::uint16_t rule,
                                    const ExportSource& source,
                                    const ExportTarget& target,
                                    const RibOptions& options);

}  // namespace margay::bgp
