#pragma once
// Plans: what to write so that addresses are given or freed. Pure; nothing happens until the caller
// commits the changes, together with changes of its own.
//
// Every change is a compare-and-swap (revision of the block, absence of the handle), so a plan made
// from old values fails as a whole and is made again. Changes are ordered such that every prefix of
// them is safe: the handle is counted up before an address is taken and down after it is freed, so
// a crash between can leave a handle that counts too much, never an address given twice.

#include "api/resource.h"
#include "datastore/store.h"
#include "ipam/block.h"
#include "ipam/pools.h"

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace margay::ipam {

struct AssignRequest {
  api::AllocationAttribute holder;  // handle and attributes of the new addresses
  unsigned ipv4 = 0;
  unsigned ipv6 = 0;
  std::vector<std::string> ipv4_pools;  // empty: those that select node and namespace
  std::vector<std::string> ipv6_pools;
  std::vector<IpAddr> addresses;  // exactly these; then no counts
  api::Labels namespace_labels;
};

// As stored, or null. A block holds hundreds of strings: it is shared, not copied.
using StoredResource = std::shared_ptr<const api::Resource>;

// What one plan looks at; blocks in the order of preference.
struct AssignView {
  std::vector<StoredResource> blocks;
  StoredResource handle;
  Moment now;
};

struct AssignPlan {
  std::vector<datastore::Change> changes;
  std::vector<IpAddr> addresses;  // IPv4 first
  unsigned missing_ipv4 = 0;      // the blocks have no room for these; then `changes` is empty
  unsigned missing_ipv6 = 0;
  [[nodiscard]] bool complete() const { return missing_ipv4 == 0 && missing_ipv6 == 0; }
};

// All or nothing over both families. pools limits which blocks count per family. Errors: an
// explicit address that is taken or whose block is not in the view.
[[nodiscard]] Result<AssignPlan> plan_assign(const AssignView& view,
                                             const AssignRequest& request,
                                             const std::vector<Pool>& pools);

struct ReleaseView {
  std::vector<StoredResource> blocks;  // those that the handle counts, and more
  StoredResource handle;
  Moment now;
};
struct ReleasePlan {
  std::vector<datastore::Change> changes;
  std::vector<IpAddr> addresses;
};

// Frees what `match` holds under this handle id; nothing to free is an empty plan (plus the removal
// of a handle that no block knows any more). Empty blocks without an affinity are removed.
[[nodiscard]] ReleasePlan plan_release(const ReleaseView& view,
                                       const std::string& handle_id,
                                       const HolderMatch& match);

}  // namespace margay::ipam
