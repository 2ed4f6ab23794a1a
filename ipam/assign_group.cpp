#include "ipam/allocator.h"

#include <memory>
#include <utility>

namespace margay::ipam {

using api::Kind;
using datastore::Change;

namespace {

// Whether the same blocks come into question for both.
bool same_pools(const AssignRequest& a, const AssignRequest& b) {
  return (a.ipv4 == 0) == (b.ipv4 == 0) && (a.ipv6 == 0) == (b.ipv6 == 0) &&
         a.ipv4_pools == b.ipv4_pools && a.ipv6_pools == b.ipv6_pools &&
         a.namespace_labels == b.namespace_labels;
}

}  // namespace

// What several requests change together: blocks and handles as they will be, and the callers' own
// changes behind them.
class Allocator::Group {
 public:
  struct Member {
    Wanted* wanted;
    std::vector<IpAddr> addresses;
    std::vector<Change> companions;
  };

  explicit Group(AssignDraft draft) : draft_(std::move(draft)) {}

  [[nodiscard]] AssignDraft& draft() { return draft_; }
  // Whether the pools of the last request are those of this one.
  [[nodiscard]] bool same_pools(const AssignRequest& request) const {
    return last_ != nullptr && margay::ipam::same_pools(*last_, request);
  }
  void note_pools(const AssignRequest& request) { last_ = &request; }
  void forget_pools() { last_ = nullptr; }
  void add(Member member) { members_.push_back(std::move(member)); }
  [[nodiscard]] std::vector<Member>& members() { return members_; }
  // Endpoints come last.
  [[nodiscard]] std::vector<Change> changes() const {
    std::vector<Change> out = draft_.changes();
    for (const Member& member : members_) {
      out.insert(out.end(), member.companions.begin(), member.companions.end());
    }
    return out;
  }

 private:
  AssignDraft draft_;
  std::vector<Member> members_;
  const AssignRequest* last_ = nullptr;
};

// kRefused: its outcome is set. kFailed: so it is, and what the draft took for it must not be
// stored.
Allocator::Joined Allocator::join_group(Group& group,
                                        Wanted& wanted,
                                        Setup& setup,
                                        Handles handles) {
  const AssignRequest& request = wanted.request;
  if (!group.same_pools(request)) {
    if (auto chosen = choose_pools(setup, request); !chosen) {
      group.forget_pools();
      wanted.outcome = fail(chosen.error());
      return Joined::kRefused;
    }
    group.note_pools(request);
  }
  auto handle = handles == Handles::kNew ? Result<StoredResource>(StoredResource())
                                         : read({Kind::kIPAMHandle, {}, request.holder.handle_id});
  if (!handle) {
    wanted.outcome = fail(handle.error());
    return Joined::kRefused;
  }
  auto taken = group.draft().take(request, *handle, setup.eligible);
  if (!taken || !taken->complete()) {
    return Joined::kNoRoom;
  }
  std::vector<Change> companions;
  if (wanted.companions) {
    auto more = wanted.companions(taken->addresses);
    if (!more) {
      wanted.outcome = fail(more.error());
      return Joined::kFailed;
    }
    companions = std::move(*more);
  }
  group.add({&wanted, std::move(taken->addresses), std::move(companions)});
  return Joined::kYes;
}

// Those who have an outcome afterwards failed; those in `left` need another way. A failure begins
// anew without the one that failed, so that nothing is stored for it.
Allocator::Group Allocator::make_group(const std::vector<Wanted*>& wanted,
                                       Setup& setup,
                                       Handles handles,
                                       std::vector<Wanted*>& left) {
  std::vector<StoredResource> blocks;
  for (const auto& entry : own_) {
    blocks.push_back(entry.second);
  }
  while (true) {
    Group group(AssignDraft(blocks, setup.now));
    left.clear();
    bool failed = false;
    for (Wanted* one : wanted) {
      if (one->outcome) {
        continue;
      }
      const Joined joined = join_group(group, *one, setup, handles);
      if (joined == Joined::kNoRoom) {
        left.push_back(one);
      }
      failed = joined == Joined::kFailed;
      if (failed) {
        break;
      }
    }
    if (!failed) {
      return group;
    }
  }
}

// Claims the blocks that the first request, and those with the same pools, need together. What
// cannot be claimed is found out again by who needs it.
void Allocator::claim_for(const std::vector<Wanted*>& wanted, Setup& setup) {
  const AssignRequest& first = wanted.front()->request;
  if (!choose_pools(setup, first)) {
    return;
  }
  for (const Family family : {Family::kIpv4, Family::kIpv6}) {
    std::uint64_t needed = 0;
    for (const Wanted* one : wanted) {
      if (same_pools(one->request, first)) {
        needed += family == Family::kIpv4 ? one->request.ipv4 : one->request.ipv6;
      }
    }
    while (available(setup, family) < needed) {
      const auto claimed = claim_one(setup, family);
      if (!claimed || !*claimed) {
        break;
      }
    }
  }
}

// Returns those that are left for another way.
std::vector<Allocator::Wanted*> Allocator::assign_together(const std::vector<Wanted*>& wanted) {
  if (!loaded_ && !load_own_blocks()) {
    return wanted;
  }
  auto setup = read_setup();
  if (!setup) {
    return wanted;
  }
  claim_for(wanted, *setup);
  std::vector<Wanted*> left;
  Group group = make_group(wanted, *setup, Handles::kNew, left);
  if (group.members().empty()) {
    return left;
  }
  pass(env_.at_step, Step::kAssignPlanned);
  auto done = store_.commit(group.changes());
  if (!done && done.error().code == Errc::kExists) {
    group = make_group(wanted, *setup, Handles::kStored, left);
    if (group.members().empty()) {
      return left;
    }
    done = store_.commit(group.changes());
  }
  std::size_t behind = done ? done->size() : 0;  // of the companions of this member and later ones
  for (const Group::Member& member : group.members()) {
    behind -= done ? member.companions.size() : 0;
  }
  for (Group::Member& member : group.members()) {
    if (!done) {
      left.push_back(member.wanted);
      continue;
    }
    behind += member.companions.size();
    const std::size_t last = member.companions.empty() ? done->size() : behind;
    member.wanted->outcome = Assigned{std::move(member.addresses), (*done)[last - 1].revision};
  }
  if (done) {
    remember(*done);
  }
  return left;
}

void Allocator::assign_all(std::vector<Wanted>& wanted) {
  // Who names an address goes first: for the others any will do.
  std::vector<Wanted*> left;
  for (Wanted& one : wanted) {
    if (one.request.addresses.empty()) {
      left.push_back(&one);
    } else {
      one.outcome = assign(one.request, one.companions);
    }
  }
  while (!left.empty()) {
    if (left.size() > 1) {
      left = assign_together(left);
    }
    // One of those that are left goes alone: it claims a block, or learns why there is none, or
    // what changed meanwhile. Then the others can try again.
    if (!left.empty()) {
      left.front()->outcome = assign(left.front()->request, left.front()->companions);
      left.erase(left.begin());
    }
  }
}

}  // namespace margay::ipam
