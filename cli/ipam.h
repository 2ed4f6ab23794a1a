#pragma once
// ipam show: use per pool, per node, per block, and who owns an address.

#include "base/result.h"
#include "datastore/store.h"

#include <string>

namespace margay::cli {

struct IpamShowOptions {
  bool nodes = false;
  bool blocks = false;
  std::string address;  // "--ip A": only this one
  bool json = false;
};

[[nodiscard]] Result<std::string> ipam_show(datastore::Store& store,
                                            const IpamShowOptions& options);

}  // namespace margay::cli
