#pragma once
// What may be done to a pool: CIDR and block size never change, pools do not overlap, and one whose
// addresses are in use is not deleted.

#include "api/resource.h"
#include "datastore/store.h"

namespace margay::cli {

// Before a pool is created or updated.
[[nodiscard]] Result<void> check_pool_write(datastore::Store& store, const api::Resource& pool);
// Before it is deleted.
[[nodiscard]] Result<void> check_pool_unused(datastore::Store& store, const api::ResourceKey& key);
// After it was deleted: blocks of its CIDR without an address in use, and their affinities.
[[nodiscard]] Result<void> remove_empty_blocks(datastore::Store& store, const Prefix& cidr);

}  // namespace margay::cli
