#pragma once
// What an agent puts into an empty store so that a first start works: its own Node, and the default
// pools when there is no pool at all. Never changes anything that exists. Blocking: runs on the
// store worker.

#include "base/result.h"
#include "base/strong.h"
#include "datastore/store.h"

#include <string>
#include <vector>

namespace margay::felix {

// Returns what was created, as sentences for the log. Losing a race against another agent is no
// error.
[[nodiscard]] Result<std::vector<std::string>> ensure_defaults(datastore::Store& store,
                                                               const NodeName& node);

// The address this machine would use towards the outside, by asking the kernel's routing table; no
// packet is sent.
[[nodiscard]] Result<IpAddr> detect_node_address(Family family);

}  // namespace margay::felix
