#pragma once
// Everything that an audit looks at, read from the store.

#include "datastore/store.h"
#include "ipam/audit.h"

namespace margay::ipam {

// Blocking. Blocks are read first: what is made meanwhile looks young, not leaked. An invalid
// object counts as it last was valid.
[[nodiscard]] Result<AuditInput> survey(datastore::Store& store, std::int64_t unix_now);

}  // namespace margay::ipam
