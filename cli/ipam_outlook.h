#pragma once
// ipam show --node: what a container of a node would get now, from which pools, and why not from
// the others. The allocator itself answers, over a store that keeps its writes to itself.

#include "base/result.h"
#include "datastore/store.h"

#include <string>
#include <vector>

namespace margay::cli {

struct IpamOutlookOptions {
  std::string node;
  std::string ns = "default";      // its labels and annotations count where it is stored
  std::vector<std::string> pools;  // as a pod asks for by annotation; names or CIDRs
  bool json = false;
};

// kNotFound: there is no such node; kInvalid: the namespace's annotations cannot be read. A request
// that would find no address is no error: the answer says why.
[[nodiscard]] Result<std::string> ipam_outlook(datastore::Store& store,
                                               const IpamOutlookOptions& options);

}  // namespace margay::cli
