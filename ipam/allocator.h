#pragma once
// Allocator: gives and takes addresses for one node over a Store, by compare-and-swap.
//
// It keeps the node's own blocks in memory and relies on the revision in each write to notice that
// someone else was faster; then it reads again and retries, with jitter, at most kMaxTries times.
// An assignment from an own block is one commit, the caller's own changes in it. No room: it claims
// a block (affinity pending, block, affinity confirmed; what a crash left half done is finished or
// undone), then borrows from blocks of others unless strictAffinity. Calls block; one thread at a
// time.

#include "base/step.h"
#include "ipam/plan.h"

#include <chrono>
#include <functional>
#include <map>
#include <vector>

namespace margay::ipam {

class Allocator {
 public:
  static constexpr unsigned kMaxTries = 100;

  struct Environment {
    NodeName node;
    SelectorMatch match;
    std::function<std::int64_t()> unix_now;
    // Called before try `attempt` (from 1): waits a little, randomly more with each attempt.
    std::function<void(unsigned attempt)> back_off;
    AtStep at_step = nullptr;
  };

  // Changes of the caller that belong into the same commit; asked on every try with the addresses
  // of that try, so it can look again whether its own object is still as it thinks.
  using Companions =
      std::function<Result<std::vector<datastore::Change>>(const std::vector<IpAddr>& addresses)>;

  Allocator(datastore::Store& store, Environment environment);

  struct Assigned {
    std::vector<IpAddr> addresses;  // IPv4 first
    datastore::Revision revision;   // of the caller's last change, else of the commit
  };
  // One of many requests.
  struct Wanted {
    AssignRequest request;
    Companions companions;
    std::optional<Result<Assigned>> outcome = std::nullopt;
  };

  // Errors name pools, blocks and counts, and change nothing.
  [[nodiscard]] Result<Assigned> assign(const AssignRequest& request, const Companions& companions);
  // Group commit: all of them, in as few commits as there are blocks to take from, not one for
  // each. Those that fail, or that need a claim, an explicit address or somebody else's block,
  // leave the others alone. Sets every outcome.
  void assign_all(std::vector<Wanted>& wanted);
  // Frees what the handle holds, limited to holders that match (null: all); again is no failure.
  [[nodiscard]] Result<std::vector<IpAddr>> release(const std::string& handle_id,
                                                    const HolderMatch& match,
                                                    const Companions& companions);
  // Frees this address while this holder has it, and no other of the holder; whether the handle
  // knows of it or not. False: the holder has it no more.
  [[nodiscard]] Result<bool> release_address(const IpAddr& addr,
                                             const api::AllocationAttribute& holder);
  // What the handle holds now, limited as above.
  [[nodiscard]] Result<std::vector<IpAddr>> held_by(const std::string& handle_id,
                                                    const HolderMatch& match = nullptr);
  // The prefix length of the pool that holds the address; that of a host when no pool does any
  // more.
  [[nodiscard]] Result<unsigned> pool_length(const IpAddr& addr);
  [[nodiscard]] Result<bool> in_pool(const IpAddr& addr);
  // Claims a block for each family asked for whose own blocks are nearly full, so that the next
  // assignment does not wait for it. Reads the own affinities at the first call.
  [[nodiscard]] Result<void> claim_ahead(const AssignRequest& request);

 private:
  struct Setup {
    api::IPAMConfiguration config;
    std::vector<Pool> pools;     // all
    std::vector<Pool> eligible;  // for this request, IPv4 first
    api::Labels node_labels;
    Moment now;
  };
  class Group;
  // What a group of requests takes their handles for: a commit fails when they are not new.
  enum class Handles : std::uint8_t { kNew, kStored };
  enum class Joined : std::uint8_t { kYes, kNoRoom, kRefused, kFailed };

  Result<std::shared_ptr<const std::vector<Prefix>>> read_reserved();
  Result<Setup> read_setup();
  Result<void> choose_pools(Setup& setup, const AssignRequest& request) const;
  std::vector<Wanted*> assign_together(const std::vector<Wanted*>& wanted);
  Joined join_group(Group& group, Wanted& wanted, Setup& setup, Handles handles);
  Group make_group(const std::vector<Wanted*>& wanted,
                   Setup& setup,
                   Handles handles,
                   std::vector<Wanted*>& left);
  void claim_for(const std::vector<Wanted*>& wanted, Setup& setup);
  Result<void> load_own_blocks();
  Result<void> reload_block(const Prefix& cidr);
  Result<void> finish_claim(const api::Resource& affinity);
  // Free addresses in own blocks of the eligible pools.
  [[nodiscard]] std::uint64_t available(const Setup& setup, Family family) const;
  Result<bool> claim_one(const Setup& setup, Family family);
  Result<bool> claim_block(const Prefix& cidr);
  static Result<Prefix> explicit_block(const Setup& setup, const IpAddr& addr);
  Result<bool> claim_planned(const AssignPlan& planned);
  Result<AssignView> make_view(const AssignRequest& request, const Setup& setup);
  Result<AssignView> borrowing_view(const AssignRequest& request, const Setup& setup);
  Result<AssignPlan> plan(const AssignRequest& request, const Setup& setup);
  Result<AssignPlan> plan_with_claims(const AssignRequest& request, const Setup& setup);
  Result<AssignPlan> plan_with_room(const AssignRequest& request, const Setup& setup);
  Result<AssignPlan> plan_all(const AssignRequest& request, const Companions& companions);
  Result<StoredResource> read(const api::ResourceKey& key);
  void remember(const std::vector<datastore::Object>& objects);
  Result<ReleaseView> release_view(const std::string& handle_id);
  Result<std::vector<datastore::Change>> release_changes(const api::Resource& stored,
                                                         const IpAddr& addr,
                                                         const std::string& handle_id);
  Moment release_moment();

  datastore::Store& store_;
  Environment env_;
  bool loaded_ = false;
  std::map<Prefix, StoredResource> own_;
};

// Releases every affinity of a node that is gone: empty blocks are removed, the others stay without
// an owner until their last address is freed.
[[nodiscard]] Result<void> release_affinities(datastore::Store& store, const NodeName& node);

}  // namespace margay::ipam
