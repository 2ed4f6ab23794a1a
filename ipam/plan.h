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

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
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

// What requests take, one after the other, before anything is stored. A block or handle is copied
// when the first of them changes it, however many do.
class AssignDraft {
 public:
  struct Taken {
    std::vector<IpAddr> addresses;  // IPv4 first
    unsigned missing_ipv4 = 0;      // the blocks have no room for these; then nothing is taken
    unsigned missing_ipv6 = 0;
    [[nodiscard]] bool complete() const { return missing_ipv4 == 0 && missing_ipv6 == 0; }
  };

  // Blocks in the order of preference.
  AssignDraft(std::vector<StoredResource> blocks, Moment now)
      : blocks_(std::move(blocks)), now_(std::move(now)) {}

  // All or nothing over both families. `handle`: as stored, or null; an earlier request's counts
  // where it is the same. pools limits which blocks count per family. Errors: an explicit address
  // that is taken or whose block is not there.
  [[nodiscard]] Result<Taken> take(const AssignRequest& request,
                                   const StoredResource& handle,
                                   const std::vector<Pool>& pools);
  // Handles count up before addresses are taken.
  [[nodiscard]] std::vector<datastore::Change> changes() const;

 private:
  using Counts = std::map<Prefix, std::uint32_t>;

  [[nodiscard]] const api::IPAMBlock& block(std::size_t at) const;
  [[nodiscard]] api::IPAMBlock& edit(std::size_t at);
  [[nodiscard]] std::uint32_t room(Family family,
                                   unsigned wanted,
                                   const std::vector<Pool>& pools) const;
  void take_any(Family family,
                unsigned count,
                const AssignRequest& request,
                const std::vector<Pool>& pools,
                Taken& taken,
                Counts& counts);
  Result<void> take_explicit(const AssignRequest& request, Taken& taken, Counts& counts);
  void count(const AssignRequest& request, const StoredResource& handle, const Counts& counts);

  std::vector<StoredResource> blocks_;
  Moment now_;
  std::map<std::size_t, api::Resource> changed_;  // blocks, by place
  std::map<std::string, api::Resource> handles_;  // by name
};

struct AssignPlan {
  std::vector<datastore::Change> changes;
  std::vector<IpAddr> addresses;  // IPv4 first
  unsigned missing_ipv4 = 0;      // the blocks have no room for these; then `changes` is empty
  unsigned missing_ipv6 = 0;
  [[nodiscard]] bool complete() const { return missing_ipv4 == 0 && missing_ipv6 == 0; }
};

// A draft of this one request.
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
