#include "cli/pool_rules.h"

#include "ipam/block.h"

#include <vector>

namespace margay::cli {

using datastore::Object;
using datastore::Store;

namespace {

Result<void> check_unchanged(const api::IPPool& before, const api::IPPool& after) {
  if (before.cidr != after.cidr) {
    return fail(Errc::kInvalid,
                "spec.cidr: {}: the CIDR of a pool never changes, it is {}: make another pool and "
                "disable this one",
                after.cidr.str(),
                before.cidr.str());
  }
  if (before.block_size != after.block_size) {
    return fail(Errc::kInvalid,
                "spec.blockSize: {}: the block size of a pool never changes, it is {}: make "
                "another pool and disable this one",
                after.block_size,
                before.block_size);
  }
  return {};
}

}  // namespace

Result<void> check_pool_write(Store& store, const api::Resource& pool) {
  const auto& spec = std::get<api::IPPool>(pool.spec);
  const auto pools = store.list({.kind = api::Kind::kIPPool, .ns = {}});
  if (!pools) {
    return fail(pools.error());
  }
  for (const Object& object : pools->objects) {
    if (!object.resource) {
      continue;
    }
    const auto& other = std::get<api::IPPool>(object.resource->spec);
    if (object.key == pool.key()) {
      if (auto unchanged = check_unchanged(other, spec); !unchanged) {
        return unchanged;
      }
    } else if (other.cidr.overlaps(spec.cidr)) {
      return fail(Errc::kConflict,
                  "spec.cidr: {}: overlaps {} of {}",
                  spec.cidr.str(),
                  other.cidr.str(),
                  object.key.str());
    }
  }
  return {};
}

Result<void> check_pool_unused(Store& store, const api::ResourceKey& key) {
  const auto pool = store.get(key);
  if (!pool) {
    return fail(pool.error());
  }
  const auto blocks = store.list({.kind = api::Kind::kIPAMBlock, .ns = {}});
  if (!blocks) {
    return fail(blocks.error());
  }
  if (!pool->resource) {
    return {};
  }
  const auto& spec = std::get<api::IPPool>(pool->resource->spec);
  std::uint64_t used = 0;
  for (const Object& object : blocks->objects) {
    if (object.resource && spec.cidr.contains(ipam::block_in(*object.resource).cidr)) {
      used += ipam::used_count(ipam::block_in(*object.resource));
    }
  }
  if (used > 0) {
    return fail(Errc::kConflict,
                "{} still has {} addresses in use: {} and drain it first (--force deletes it all "
                "the same, and the addresses stay with who has them)",
                key.str(),
                used,
                spec.disabled ? "it is disabled, wait" : "disable it (spec.disabled: true)");
  }
  return {};
}

Result<void> remove_empty_blocks(Store& store, const Prefix& cidr) {
  const auto blocks = store.list({.kind = api::Kind::kIPAMBlock, .ns = {}});
  const auto affinities = store.list({.kind = api::Kind::kBlockAffinity, .ns = {}});
  if (!blocks || !affinities) {
    return fail(blocks ? affinities.error() : blocks.error());
  }
  for (const Object& object : blocks->objects) {
    if (!object.resource) {
      continue;
    }
    const api::IPAMBlock& block = ipam::block_in(*object.resource);
    if (!cidr.contains(block.cidr) || !ipam::is_empty(block)) {
      continue;
    }
    std::vector<datastore::Change> changes{datastore::Remove{object.key, object.revision}};
    for (const Object& affinity : affinities->objects) {
      if (affinity.resource &&
          std::get<api::BlockAffinity>(affinity.resource->spec).cidr == block.cidr) {
        changes.push_back(datastore::Remove{affinity.key, affinity.revision});
      }
    }
    // One that somebody has just taken an address of stays: it is in use.
    const auto removed = store.commit(changes);
    if (!removed && removed.error().code != Errc::kConflict &&
        removed.error().code != Errc::kNotFound) {
      return fail(removed.error(), "remove block {}", block.cidr.str());
    }
  }
  return {};
}

}  // namespace margay::cli
