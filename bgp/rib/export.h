#pragma once
// What may be sent to whom, and how its attributes change on the way (RFC 4271 section 5.1,
// RFC 4456, RFC 1997). Peers with equal targets are sent equal bytes: a target is an update group.

#include "bgp/rib/rib.h"

namespace margay::bgp {

struct ExportTarget {
  CodecContext codec;  // without what only matters for receiving
  bool reflector_client = false;
  NextHopRule next_hop = NextHopRule::kAuto;
  bool export_learned = true;
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

[[nodiscard]] bool may_export(const AttributeSet& attributes,
                              Family family,
                              const ExportSource& source,
                              const ExportTarget& target);
// For a path that may be exported.
[[nodiscard]] AttributeSet exported(const AttributeSet& attributes,
                                    Family family,
                                    const ExportSource& source,
                                    const ExportTarget& target,
                                    const RibOptions& options);

}  // namespace margay::bgp
