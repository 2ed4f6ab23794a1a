#pragma once
// The decision process (RFC 4271 section 9.1.2.2, RFC 4456 section 9): which path of a prefix is
// best, and at which step each other one lost. MED counts only between paths of one neighbouring
// AS, so candidates are grouped by it first; a plain pairwise order would be intransitive.

#include "bgp/wire/attributes.h"

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace margay::bgp {

// In the order they are compared.
enum class DecisionStep : std::uint8_t {
  kNone,           // won, or has no rival
  kLocal,          // our own route is preferred
  kLongLived,      // fresh before long-lived stale (RFC 9494 section 4.3)
  kLocalPref,      // higher
  kAsPathLength,   // shorter
  kOrigin,         // IGP before EGP before incomplete
  kMed,            // lower, among paths of one neighbouring AS
  kExternal,       // eBGP before iBGP
  kRouterId,       // lower; ORIGINATOR_ID where there is one
  kClusterLength,  // shorter CLUSTER_LIST
  kPeerAddress,    // lower
  kPathId,         // lower: two paths of one add-path peer
};
// "longer AS path": why the path lost.
[[nodiscard]] std::string_view to_string(DecisionStep step);

inline constexpr std::uint32_t kDefaultLocalPref = 100;

// What of an attribute set counts, taken out once per set.
struct DecisionKey {
  std::uint32_t local_pref = kDefaultLocalPref;
  std::uint32_t as_path_length = 0;
  Origin origin = Origin::kIgp;
  std::uint32_t med = 0;  // absent counts as 0, the best (RFC 4271 section 9.1.2.2 (c))
  Asn neighbour;
  std::uint32_t cluster_length = 0;
  bool long_lived_stale = false;  // LLGR_STALE
};
[[nodiscard]] DecisionKey decision_key(const AttributeSet& attributes);

struct Candidate {
  const DecisionKey* key = nullptr;
  bool local = false;
  bool external = false;
  RouterId router_id;  // the originator's where the path was reflected
  IpAddr peer_address;
  std::uint32_t path_id = 0;
};

struct Ranking {
  std::size_t best = 0;
  std::vector<DecisionStep> lost_at;  // per candidate
  // Candidates that differ from the best only after kExternal: usable beside it.
  std::vector<std::size_t> equal;  // with the best, ascending
};
// At least one candidate. The result does not depend on their order (but for indices).
[[nodiscard]] Ranking decide(std::span<const Candidate> candidates);

}  // namespace margay::bgp
