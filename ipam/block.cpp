#include "ipam/block.h"

#include <algorithm>
#include <iterator>
#include <numeric>

namespace margay::ipam {

namespace {

std::optional<std::uint32_t> ordinal_of(const api::IPAMBlock& block, const IpAddr& addr) {
  if (!block.cidr.contains(addr)) {
    return std::nullopt;
  }
  const auto offset = addr.offset_from(block.cidr.addr());
  if (!offset || *offset >= block.allocations.size()) {
    return std::nullopt;
  }
  return static_cast<std::uint32_t>(*offset);
}

bool is_cool(const api::IPAMBlock& block, std::uint32_t ordinal, const Moment& now) {
  const auto released = block.released_at.find(ordinal);
  return released == block.released_at.end() || released->second + now.cooldown_s <= now.unix_s;
}

// Of the reserved CIDRs those that concern the block: mostly none, and then nothing is compared.
class Reserved {
 public:
  Reserved(const api::IPAMBlock& block, const Moment& now) : base_(block.cidr.addr()) {
    if (!now.reserved) {
      return;
    }
    std::ranges::copy_if(*now.reserved, std::back_inserter(cidrs_), [&block](const Prefix& cidr) {
      return cidr.overlaps(block.cidr);
    });
  }
  [[nodiscard]] bool holds(std::uint32_t ordinal) const {
    return !cidrs_.empty() && std::ranges::any_of(cidrs_, [this, ordinal](const Prefix& cidr) {
      return cidr.contains(base_.add(ordinal));
    });
  }

 private:
  IpAddr base_;
  std::vector<Prefix> cidrs_;
};

std::uint32_t attribute_index(api::IPAMBlock& block, const api::AllocationAttribute& holder) {
  const auto found = std::ranges::find(block.attributes, holder);
  if (found != block.attributes.end()) {
    return static_cast<std::uint32_t>(std::distance(block.attributes.begin(), found));
  }
  block.attributes.push_back(holder);
  return static_cast<std::uint32_t>(block.attributes.size() - 1);
}

// The ordinal must have been taken out of the queue.
void take(api::IPAMBlock& block, std::uint32_t ordinal, std::uint32_t attribute) {
  block.allocations[ordinal] = attribute;
  block.released_at.erase(ordinal);
  block.sequence_number_for_allocation[ordinal] = block.sequence_number;
}

void free_ordinal(api::IPAMBlock& block, std::uint32_t ordinal, const Moment& now) {
  block.allocations[ordinal].reset();
  block.unallocated.push_back(ordinal);
  block.released_at[ordinal] = now.unix_s;
  block.sequence_number_for_allocation.erase(ordinal);
}

// Removes attributes that no allocation points to and renumbers the others.
void drop_unused_attributes(api::IPAMBlock& block) {
  std::vector<bool> used(block.attributes.size(), false);
  for (const auto& allocation : block.allocations) {
    if (allocation) {
      used[*allocation] = true;
    }
  }
  std::vector<std::uint32_t> renumbered(block.attributes.size(), 0);
  std::vector<api::AllocationAttribute> kept;
  for (std::size_t i = 0; i < used.size(); ++i) {
    renumbered[i] = static_cast<std::uint32_t>(kept.size());
    if (used[i]) {
      kept.push_back(std::move(block.attributes[i]));
    }
  }
  for (auto& allocation : block.allocations) {
    if (allocation) {
      allocation = renumbered[*allocation];
    }
  }
  block.attributes = std::move(kept);
}

// Times of releases that no longer matter.
void forget_cooled(api::IPAMBlock& block, const Moment& now) {
  std::erase_if(block.released_at,
                [&now](const auto& entry) { return entry.second + now.cooldown_s <= now.unix_s; });
}

}  // namespace

std::string host_affinity(const NodeName& node) {
  return "host:" + node.str();
}

api::IPAMBlock make_block(const Prefix& cidr, std::optional<std::string> affinity) {
  api::IPAMBlock block;
  block.cidr = cidr;
  block.affinity = std::move(affinity);
  const auto size = static_cast<std::size_t>(cidr.size());
  block.allocations.resize(size);
  block.unallocated.resize(size);
  std::iota(block.unallocated.begin(), block.unallocated.end(), 0U);
  return block;
}

Result<void> check_block(const api::IPAMBlock& block) {
  const std::string name = block.cidr.str();
  if (block.allocations.size() != block.cidr.size()) {
    return fail(Errc::kInvalid,
                "block {}: {} slots for {} addresses",
                name,
                block.allocations.size(),
                block.cidr.size());
  }
  std::vector<bool> is_free(block.allocations.size(), false);
  for (const std::uint32_t ordinal : block.unallocated) {
    if (ordinal >= is_free.size() || is_free[ordinal]) {
      return fail(Errc::kInvalid, "block {}: free ordinal {} out of range or twice", name, ordinal);
    }
    is_free[ordinal] = true;
  }
  for (std::size_t ordinal = 0; ordinal < is_free.size(); ++ordinal) {
    const auto& allocation = block.allocations[ordinal];
    if (allocation.has_value() == is_free[ordinal]) {
      return fail(Errc::kInvalid,
                  "block {}: ordinal {} is {}",
                  name,
                  ordinal,
                  allocation ? "both free and taken" : "neither free nor taken");
    }
    if (allocation && *allocation >= block.attributes.size()) {
      return fail(
          Errc::kInvalid, "block {}: ordinal {} has no attribute {}", name, ordinal, *allocation);
    }
  }
  return {};
}

std::uint32_t block_size(const api::IPAMBlock& block) {
  return static_cast<std::uint32_t>(block.allocations.size());
}

std::uint32_t used_count(const api::IPAMBlock& block) {
  return static_cast<std::uint32_t>(block.allocations.size() - block.unallocated.size());
}

std::uint32_t available_count(const api::IPAMBlock& block, const Moment& now) {
  const Reserved reserved(block, now);
  return static_cast<std::uint32_t>(
      std::ranges::count_if(block.unallocated, [&](std::uint32_t ordinal) {
        return is_cool(block, ordinal, now) && !reserved.holds(ordinal);
      }));
}

std::uint32_t reserved_count(const api::IPAMBlock& block, const Moment& now) {
  const Reserved reserved(block, now);
  return static_cast<std::uint32_t>(std::ranges::count_if(
      block.unallocated, [&reserved](std::uint32_t ordinal) { return reserved.holds(ordinal); }));
}

bool is_empty(const api::IPAMBlock& block) {
  return block.unallocated.size() == block.allocations.size();
}

std::vector<IpAddr> allocate(api::IPAMBlock& block,
                             unsigned count,
                             const api::AllocationAttribute& holder,
                             const Moment& now) {
  const Reserved reserved(block, now);
  std::vector<std::uint32_t> taken;
  std::erase_if(block.unallocated, [&](std::uint32_t ordinal) {
    if (taken.size() >= count || !is_cool(block, ordinal, now) || reserved.holds(ordinal)) {
      return false;
    }
    taken.push_back(ordinal);
    return true;
  });
  std::vector<IpAddr> addresses;
  if (taken.empty()) {
    return addresses;
  }
  ++block.sequence_number;
  const std::uint32_t attribute = attribute_index(block, holder);
  for (const std::uint32_t ordinal : taken) {
    take(block, ordinal, attribute);
    addresses.push_back(block.cidr.addr().add(ordinal));
  }
  forget_cooled(block, now);
  return addresses;
}

Result<void> allocate_address(api::IPAMBlock& block,
                              const IpAddr& addr,
                              const api::AllocationAttribute& holder,
                              const Moment& now) {
  const auto ordinal = ordinal_of(block, addr);
  if (!ordinal) {
    return fail(Errc::kNotFound, "address {} is not of block {}", addr.str(), block.cidr.str());
  }
  if (const auto* other = holder_of(block, addr)) {
    return fail(Errc::kExists,
                "address {} of block {} is in use by handle \"{}\"",
                addr.str(),
                block.cidr.str(),
                other->handle_id);
  }
  if (Reserved(block, now).holds(*ordinal)) {
    return fail(Errc::kInvalid, "address {} is reserved by an IPReservation", addr.str());
  }
  std::erase(block.unallocated, *ordinal);
  ++block.sequence_number;
  take(block, *ordinal, attribute_index(block, holder));
  return {};
}

std::vector<IpAddr> release_held(api::IPAMBlock& block,
                                 const HolderMatch& match,
                                 const Moment& now) {
  std::vector<bool> matches;
  for (const auto& attribute : block.attributes) {
    matches.push_back(match(attribute));
  }
  std::vector<IpAddr> released;
  for (std::uint32_t ordinal = 0; ordinal < block_size(block); ++ordinal) {
    const auto& allocation = block.allocations[ordinal];
    if (allocation && matches[*allocation]) {
      free_ordinal(block, ordinal, now);
      released.push_back(block.cidr.addr().add(ordinal));
    }
  }
  if (!released.empty()) {
    ++block.sequence_number;
    drop_unused_attributes(block);
  }
  return released;
}

bool release_address(api::IPAMBlock& block, const IpAddr& addr, const Moment& now) {
  const auto ordinal = ordinal_of(block, addr);
  if (!ordinal || !block.allocations[*ordinal]) {
    return false;
  }
  free_ordinal(block, *ordinal, now);
  ++block.sequence_number;
  drop_unused_attributes(block);
  return true;
}

const api::AllocationAttribute* holder_of(const api::IPAMBlock& block, const IpAddr& addr) {
  const auto ordinal = ordinal_of(block, addr);
  if (!ordinal || !block.allocations[*ordinal]) {
    return nullptr;
  }
  return &block.attributes[*block.allocations[*ordinal]];
}

}  // namespace margay::ipam
