#include "ipam/plan.h"

#include <algorithm>
#include <map>
#include <utility>

namespace margay::ipam {

namespace {

bool in_pools(const std::vector<Pool>& pools, const Prefix& cidr) {
  return std::ranges::any_of(pools,
                             [&cidr](const Pool& pool) { return pool.spec.cidr.contains(cidr); });
}

// The blocks that a plan has changed, by position in the view.
class Draft {
 public:
  explicit Draft(const std::vector<StoredResource>& blocks) : blocks_(blocks) {}

  [[nodiscard]] const api::IPAMBlock& at(std::size_t i) const {
    const auto changed = changed_.find(i);
    return block_in(changed == changed_.end() ? *blocks_[i] : changed->second);
  }
  [[nodiscard]] api::IPAMBlock& edit(std::size_t i) {
    return std::get<api::IPAMBlock>(changed_.try_emplace(i, *blocks_[i]).first->second.spec);
  }
  [[nodiscard]] std::size_t size() const { return blocks_.size(); }
  [[nodiscard]] const std::map<std::size_t, api::Resource>& changed() const { return changed_; }

 private:
  const std::vector<StoredResource>& blocks_;
  std::map<std::size_t, api::Resource> changed_;
};

datastore::Change write(api::Resource resource) {
  if (resource.metadata.resource_version.empty()) {
    return datastore::Create{std::move(resource)};
  }
  return datastore::Update{std::move(resource)};
}

datastore::Change remove(const api::Resource& resource) {
  datastore::Remove change{resource.key(), std::nullopt};
  if (!resource.metadata.resource_version.empty()) {
    change.expected = datastore::Revision(std::stoull(resource.metadata.resource_version));
  }
  return change;
}

unsigned take_from_blocks(Draft& draft,
                          Family family,
                          unsigned count,
                          const AssignRequest& request,
                          const std::vector<Pool>& pools,
                          const Moment& now,
                          std::vector<IpAddr>& addresses) {
  for (std::size_t i = 0; i < draft.size() && count > 0; ++i) {
    const Prefix cidr = draft.at(i).cidr;
    if (cidr.family() != family || !in_pools(pools, cidr) ||
        available_count(draft.at(i), now) == 0) {
      continue;
    }
    for (const IpAddr& addr : allocate(draft.edit(i), count, request.holder, now)) {
      addresses.push_back(addr);
      --count;
    }
  }
  return count;
}

Result<void> take_explicit(Draft& draft,
                           const AssignRequest& request,
                           const Moment& now,
                           AssignPlan& plan) {
  for (const IpAddr& addr : request.addresses) {
    std::size_t i = 0;
    while (i < draft.size() && !draft.at(i).cidr.contains(addr)) {
      ++i;
    }
    if (i == draft.size()) {
      return fail(Errc::kNotFound, "address {}: no block holds it", addr.str());
    }
    if (auto done = allocate_address(draft.edit(i), addr, request.holder, now); !done) {
      return done;
    }
    plan.addresses.push_back(addr);
  }
  return {};
}

api::Resource counted_handle(const AssignView& view,
                             const AssignRequest& request,
                             const Draft& draft) {
  api::Resource handle;
  if (view.handle) {
    handle = *view.handle;
  } else {
    handle.metadata.name = request.holder.handle_id;
    api::IPAMHandle spec;
    spec.handle_id = request.holder.handle_id;
    handle.spec = spec;
  }
  auto& spec = std::get<api::IPAMHandle>(handle.spec);
  for (const auto& entry : draft.changed()) {
    const api::IPAMBlock& after = draft.at(entry.first);
    const api::IPAMBlock& before = block_in(*view.blocks[entry.first]);
    spec.blocks[after.cidr] += used_count(after) - used_count(before);
  }
  return handle;
}

}  // namespace

Result<AssignPlan> plan_assign(const AssignView& view,
                               const AssignRequest& request,
                               const std::vector<Pool>& pools) {
  AssignPlan plan;
  Draft draft(view.blocks);
  if (!request.addresses.empty()) {
    if (auto done = take_explicit(draft, request, view.now, plan); !done) {
      return fail(done.error());
    }
  } else {
    plan.missing_ipv4 = take_from_blocks(
        draft, Family::kIpv4, request.ipv4, request, pools, view.now, plan.addresses);
    plan.missing_ipv6 = take_from_blocks(
        draft, Family::kIpv6, request.ipv6, request, pools, view.now, plan.addresses);
  }
  if (!plan.complete()) {
    plan.addresses.clear();
    return plan;
  }
  plan.changes.push_back(write(counted_handle(view, request, draft)));
  for (const auto& entry : draft.changed()) {
    plan.changes.push_back(write(entry.second));
  }
  return plan;
}

ReleasePlan plan_release(const ReleaseView& view,
                         const std::string& handle_id,
                         const HolderMatch& match) {
  ReleasePlan plan;
  std::map<Prefix, std::uint32_t> still_held;
  for (const StoredResource& stored : view.blocks) {
    api::Resource changed = *stored;
    auto& block = std::get<api::IPAMBlock>(changed.spec);
    const auto released = release_held(
        block,
        [&handle_id, &match](const api::AllocationAttribute& holder) {
          return holder.handle_id == handle_id && (!match || match(holder));
        },
        view.now);
    const auto left =
        std::ranges::count_if(block.allocations, [&block, &handle_id](const auto& allocation) {
          return allocation && block.attributes[*allocation].handle_id == handle_id;
        });
    if (left > 0) {
      still_held[block.cidr] = static_cast<std::uint32_t>(left);
    }
    if (released.empty()) {
      continue;
    }
    plan.addresses.insert(plan.addresses.end(), released.begin(), released.end());
    if (is_empty(block) && !block.affinity) {
      plan.changes.push_back(remove(changed));
    } else {
      plan.changes.push_back(write(std::move(changed)));
    }
  }
  if (!view.handle) {
    return plan;
  }
  api::Resource handle = *view.handle;
  auto& counts = std::get<api::IPAMHandle>(handle.spec).blocks;
  if (still_held.empty()) {
    plan.changes.push_back(remove(handle));
  } else if (counts != still_held) {
    counts = std::move(still_held);
    plan.changes.push_back(write(std::move(handle)));
  }
  return plan;
}

}  // namespace margay::ipam
