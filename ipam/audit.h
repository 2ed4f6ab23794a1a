#pragma once
// Audit: whether blocks, handles, affinities and endpoints agree. Says what is wrong and changes
// nothing; what may be freed is named so. Pure.

#include "api/ipam.h"

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace margay::ipam {

// An allocation younger than this may be of a container that is just being made.
inline constexpr std::int64_t kLeakGraceS = 900;

// The "type" of a holder. Workloads have endpoints (Calico's do not say a type); all others have
// none, now or ever: margay-ipam under other plugins, and what Calico gave to tunnels of nodes.
inline constexpr const char* kWorkload = "workload";
inline constexpr const char* kAddressOnly = "ipam";

struct AuditInput {
  std::vector<api::IPAMBlock> blocks;
  std::vector<api::IPAMHandle> handles;
  std::vector<api::BlockAffinity> affinities;
  std::vector<Prefix> pools;
  std::set<std::string> nodes;
  std::set<std::string> nodes_in_use;                    // by endpoints
  std::map<IpAddr, std::vector<std::string>> endpoints;  // names of those that have the address
  // Names of endpoints that are stored but cannot be read: any address may be theirs.
  std::vector<std::string> unreadable;
  std::int64_t unix_now = 0;
};

enum class FindingKind : std::uint8_t {
  kLeakedAddress,     // allocated, and no endpoint has it
  kYoungAddress,      // the same, within the grace time
  kUnallocated,       // an endpoint has it, and its block does not know
  kSharedAddress,     // several endpoints have it
  kOutsidePools,      // allocated in a block that no pool contains
  kBrokenBlock,       // its own lists contradict each other
  kHandleMismatch,    // a handle counts other addresses than the blocks hold for it
  kAffinityMismatch,  // block and affinity do not name the same owner
  kOwnerUnknown,      // the block belongs to a node that does not exist
  kUnreadable,        // an endpoint's addresses are not known; then no address counts as leaked
};
[[nodiscard]] const char* to_string(FindingKind kind);

// The node that the address was given on; empty: the holder does not say.
[[nodiscard]] std::string node_of(const api::AllocationAttribute& holder);

struct Finding {
  FindingKind kind = FindingKind::kLeakedAddress;
  std::string object;  // address, block or handle
  std::string text;    // why, for people
  // kLeakedAddress: who holds it, so that exactly this can be freed.
  api::AllocationAttribute holder;

  [[nodiscard]] bool is_problem() const { return kind != FindingKind::kYoungAddress; }
};

// In the order of kinds, then of addresses.
[[nodiscard]] std::vector<Finding> audit(const AuditInput& input);

}  // namespace margay::ipam
