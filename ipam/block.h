#pragma once
// Operations on one block: a block is a value, every operation changes it or says why it cannot.
//
//   ordinal      0    1    2    3   ...  size-1
//   allocations  0    0    -    1   ...  -         index into attributes, or free
//   unallocated  [ 7, 9, ..., 2 ]                  free ordinals; taken at the front, freed to the
//   back
//
// So the address freed last is reused last, and none within the cool-down after its release. The
// sequence number grows with every change and each allocation remembers its own. Invariant of every
// block: each ordinal is either allocated or in `unallocated` exactly once.

#include "api/ipam.h"
#include "api/resource.h"
#include "base/result.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace margay::ipam {

// "host:NODE", the affinity of a block that belongs to a node.
[[nodiscard]] std::string host_affinity(const NodeName& node);

// The block in a resource of kind IPAMBlock.
[[nodiscard]] inline const api::IPAMBlock& block_in(const api::Resource& resource) {
  return std::get<api::IPAMBlock>(resource.spec);
}

[[nodiscard]] api::IPAMBlock make_block(const Prefix& cidr, std::optional<std::string> affinity);

// What a wrong writer could have broken: sizes, ordinals out of range, twice free, free and taken.
[[nodiscard]] Result<void> check_block(const api::IPAMBlock& block);

struct Moment {
  std::int64_t unix_s = 0;
  std::uint32_t cooldown_s = 0;
  // CIDRs of which nothing may be given; null: none.
  std::shared_ptr<const std::vector<Prefix>> reserved = nullptr;
};

[[nodiscard]] std::uint32_t block_size(const api::IPAMBlock& block);
[[nodiscard]] std::uint32_t used_count(const api::IPAMBlock& block);
// Free, past their cool-down and not reserved.
[[nodiscard]] std::uint32_t available_count(const api::IPAMBlock& block, const Moment& now);
// Free, but reserved.
[[nodiscard]] std::uint32_t reserved_count(const api::IPAMBlock& block, const Moment& now);
[[nodiscard]] bool is_empty(const api::IPAMBlock& block);

// Up to `count` addresses for the holder, oldest free ones first; fewer when the block has no more.
[[nodiscard]] std::vector<IpAddr> allocate(api::IPAMBlock& block,
                                           unsigned count,
                                           const api::AllocationAttribute& holder,
                                           const Moment& now);
// This address. kExists names the holder when it is taken; kNotFound when it is not of this block.
// kInvalid: it is reserved. An address in its cool-down is given: the caller asked for it by name.
[[nodiscard]] Result<void> allocate_address(api::IPAMBlock& block,
                                            const IpAddr& addr,
                                            const api::AllocationAttribute& holder,
                                            const Moment& now);

using HolderMatch = std::function<bool(const api::AllocationAttribute&)>;
// Frees what the matching holders have; returns it in order of ordinals, empty when nothing
// matched.
std::vector<IpAddr> release_held(api::IPAMBlock& block,
                                 const HolderMatch& match,
                                 const Moment& now);
// Frees one address; false when it was free already.
bool release_address(api::IPAMBlock& block, const IpAddr& addr, const Moment& now);

// Who holds the address; null when it is free or not of this block.
[[nodiscard]] const api::AllocationAttribute* holder_of(const api::IPAMBlock& block,
                                                        const IpAddr& addr);

}  // namespace margay::ipam
