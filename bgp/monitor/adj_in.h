#pragma once
// Stored paths told again as UPDATEs, as the session that they came on would carry them: the first
// dump of BMP, and its view behind the import filters.

#include "bgp/wire/context.h"
#include "bgp/wire/nlri.h"
#include "bgp/wire/update.h"

#include <span>
#include <vector>

namespace margay::bgp {

struct ToldPath {
  Nlri nlri;
  const AttributeSet* attributes = nullptr;  // null: withdrawn
};

// Whole UPDATEs of a session with this codec: withdrawals first, then one set of attributes after
// the other in order of first use. Paths whose attributes leave no room for a prefix are left out.
[[nodiscard]] std::vector<std::uint8_t> retell(const CodecContext& session,
                                               std::span<const ToldPath> paths);

// End-of-RIB of each family of the session (RFC 4724 section 2).
[[nodiscard]] std::vector<std::uint8_t> ends_of_rib(const CodecContext& session);

// What an UPDATE speaks of: its prefixes, announced or not, once each; and its family.
struct UpdateSubject {
  std::vector<Nlri> prefixes;
  std::optional<AfiSafi> end_of_rib;
};
[[nodiscard]] UpdateSubject subject_of(Bytes update_body, const CodecContext& session);
// Whether its prefixes carry path identifiers.
[[nodiscard]] bool has_path_ids(Bytes update_body, const CodecContext& session);

}  // namespace margay::bgp
