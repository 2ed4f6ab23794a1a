#include "ipam/allocator.h"

#include <memory>
#include <set>
#include <utility>

namespace margay::ipam {

using api::Kind;
using datastore::Change;

// What several requests change together: blocks and handles as they will be, and the callers' own
// changes behind them.
class Allocator::Group {
 public:
  struct Member {
    Wanted* wanted;
    std::vector<IpAddr> addresses;
    std::vector<Change> companions;
  };

  explicit Group(std::map<Prefix, StoredResource> blocks) : blocks_(std::move(blocks)) {}

  [[nodiscard]] AssignView view(const std::string& handle_id,
                                const StoredResource& stored_handle,
                                const Moment& now) const {
    AssignView view;
    for (const auto& entry : blocks_) {
      view.blocks.push_back(entry.second);
    }
    const auto handle = handles_.find(handle_id);
    view.handle = handle == handles_.end() ? stored_handle : handle->second;
    view.now = now;
    return view;
  }
  void add(Wanted& wanted, AssignPlan plan, std::vector<Change> companions) {
    for (const Change& change : plan.changes) {
      const auto* created = std::get_if<datastore::Create>(&change);
      const api::Resource& resource =
          created != nullptr ? created->resource : std::get<datastore::Update>(change).resource;
      const auto shared = std::make_shared<const api::Resource>(resource);
      if (resource.kind() == Kind::kIPAMBlock) {
        blocks_[block_in(resource).cidr] = shared;
        changed_.insert(block_in(resource).cidr);
      } else {
        handles_[resource.metadata.name] = shared;
      }
    }
    members_.push_back({&wanted, std::move(plan.addresses), std::move(companions)});
  }
  [[nodiscard]] std::vector<Member>& members() { return members_; }
  // Handles count up before addresses are taken, and endpoints come last.
  [[nodiscard]] std::vector<Change> changes() const {
    std::vector<Change> out;
    for (const auto& entry : handles_) {
      const bool stored = !entry.second->metadata.resource_version.empty();
      out.push_back(stored ? Change(datastore::Update{*entry.second})
                           : Change(datastore::Create{*entry.second}));
    }
    for (const Prefix& cidr : changed_) {
      out.push_back(datastore::Update{*blocks_.at(cidr)});
    }
    for (const Member& member : members_) {
      out.insert(out.end(), member.companions.begin(), member.companions.end());
    }
    return out;
  }

 private:
  std::map<Prefix, StoredResource> blocks_;
  std::set<Prefix> changed_;
  std::map<std::string, StoredResource> handles_;
  std::vector<Member> members_;
};

// False: it does not fit into the node's own blocks as they are. Its outcome is set when it cannot
// be had at all.
bool Allocator::join_group(Group& group, Wanted& wanted, Setup& setup) {
  if (auto chosen = choose_pools(setup, wanted.request); !chosen) {
    wanted.outcome = fail(chosen.error());
    return true;
  }
  auto handle = read({Kind::kIPAMHandle, {}, wanted.request.holder.handle_id});
  if (!handle) {
    wanted.outcome = fail(handle.error());
    return true;
  }
  const AssignView view = group.view(wanted.request.holder.handle_id, *handle, setup.now);
  auto planned = plan_assign(view, wanted.request, setup.eligible);
  if (!planned || !planned->complete()) {
    return false;
  }
  std::vector<Change> companions;
  if (wanted.companions) {
    auto more = wanted.companions(planned->addresses);
    if (!more) {
      wanted.outcome = fail(more.error());
      return true;
    }
    companions = std::move(*more);
  }
  group.add(wanted, std::move(*planned), std::move(companions));
  return true;
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
  std::vector<Wanted*> left;
  Group group(own_);
  for (Wanted* one : wanted) {
    if (!join_group(group, *one, *setup)) {
      left.push_back(one);
    }
  }
  if (group.members().empty()) {
    return left;
  }
  pass(env_.at_step, Step::kAssignPlanned);
  const auto done = store_.commit(group.changes());
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
