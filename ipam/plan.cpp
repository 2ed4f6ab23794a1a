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

}  // namespace

const api::IPAMBlock& AssignDraft::block(std::size_t at) const {
  const auto changed = changed_.find(at);
  return block_in(changed == changed_.end() ? *blocks_[at] : changed->second);
}

api::IPAMBlock& AssignDraft::edit(std::size_t at) {
  const auto known = changed_.find(at);
  return std::get<api::IPAMBlock>(
      (known == changed_.end() ? changed_.emplace(at, *blocks_[at]).first : known)->second.spec);
}

// As many of the wanted ones as there are.
std::uint32_t AssignDraft::room(Family family,
                                unsigned wanted,
                                const std::vector<Pool>& pools) const {
  std::uint32_t found = 0;
  for (std::size_t at = 0; at < blocks_.size() && found < wanted; ++at) {
    const Prefix& cidr = block(at).cidr;
    if (cidr.family() == family && in_pools(pools, cidr)) {
      found += available_count(block(at), now_);
    }
  }
  return std::min(found, std::uint32_t{wanted});
}

void AssignDraft::take_any(Family family,
                           unsigned count,
                           const AssignRequest& request,
                           const std::vector<Pool>& pools,
                           Taken& taken,
                           Counts& counts) {
  for (std::size_t at = 0; at < blocks_.size() && count > 0; ++at) {
    const Prefix cidr = block(at).cidr;
    if (cidr.family() != family || !in_pools(pools, cidr) ||
        available_count(block(at), now_) == 0) {
      continue;
    }
    for (const IpAddr& addr : allocate(edit(at), count, request.holder, now_)) {
      taken.addresses.push_back(addr);
      ++counts[cidr];
      --count;
    }
  }
  MARGAY_ASSERT(count == 0);  // there was room()
}

Result<void> AssignDraft::take_explicit(const AssignRequest& request,
                                        Taken& taken,
                                        Counts& counts) {
  for (const IpAddr& addr : request.addresses) {
    std::size_t at = 0;
    while (at < blocks_.size() && !block(at).cidr.contains(addr)) {
      ++at;
    }
    if (at == blocks_.size()) {
      return fail(Errc::kNotFound, "address {}: no block holds it", addr.str());
    }
    if (auto done = allocate_address(edit(at), addr, request.holder, now_); !done) {
      return done;
    }
    taken.addresses.push_back(addr);
    ++counts[block(at).cidr];
  }
  return {};
}

void AssignDraft::count(const AssignRequest& request,
                        const StoredResource& handle,
                        const Counts& counts) {
  const std::string& name = request.holder.handle_id;
  auto known = handles_.find(name);
  if (known == handles_.end()) {
    api::Resource fresh;
    if (handle) {
      fresh = *handle;
    } else {
      fresh.metadata.name = name;
      api::IPAMHandle spec;
      spec.handle_id = name;
      fresh.spec = spec;
    }
    known = handles_.emplace(name, std::move(fresh)).first;
  }
  auto& spec = std::get<api::IPAMHandle>(known->second.spec);
  for (const auto& [cidr, more] : counts) {
    spec.blocks[cidr] += more;
  }
}

Result<AssignDraft::Taken> AssignDraft::take(const AssignRequest& request,
                                             const StoredResource& handle,
                                             const std::vector<Pool>& pools) {
  Taken taken;
  Counts counts;
  if (request.addresses.empty()) {
    taken.missing_ipv4 = request.ipv4 - room(Family::kIpv4, request.ipv4, pools);
    taken.missing_ipv6 = request.ipv6 - room(Family::kIpv6, request.ipv6, pools);
    if (!taken.complete()) {
      return taken;
    }
    take_any(Family::kIpv4, request.ipv4, request, pools, taken, counts);
    take_any(Family::kIpv6, request.ipv6, request, pools, taken, counts);
  } else {
    AssignDraft trial = *this;
    if (auto done = trial.take_explicit(request, taken, counts); !done) {
      return fail(done.error());
    }
    *this = std::move(trial);
  }
  count(request, handle, counts);
  return taken;
}

std::vector<datastore::Change> AssignDraft::changes() const {
  std::vector<datastore::Change> out;
  out.reserve(handles_.size() + changed_.size());
  for (const auto& entry : handles_) {
    out.push_back(write(entry.second));
  }
  for (const auto& entry : changed_) {
    out.push_back(write(entry.second));
  }
  return out;
}

Result<AssignPlan> plan_assign(const AssignView& view,
                               const AssignRequest& request,
                               const std::vector<Pool>& pools) {
  AssignDraft draft(view.blocks, view.now);
  auto taken = draft.take(request, view.handle, pools);
  if (!taken) {
    return fail(taken.error());
  }
  AssignPlan plan;
  plan.addresses = std::move(taken->addresses);
  plan.missing_ipv4 = taken->missing_ipv4;
  plan.missing_ipv6 = taken->missing_ipv6;
  if (plan.complete()) {
    plan.changes = draft.changes();
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
