#pragma once
// ipam check: whether blocks, handles, affinities and endpoints agree (ipam/audit.h). ipam release:
// frees addresses by hand, or those that the check found leaked.

#include "base/result.h"
#include "datastore/store.h"

#include <cstddef>
#include <string>

namespace margay::cli {

struct IpamCheck {
  std::string text;  // for stdout
  std::size_t problems = 0;
};
[[nodiscard]] Result<IpamCheck> ipam_check(datastore::Store& store, bool json);

struct IpamReleaseOptions {
  std::string address;  // one of these three
  std::string handle;
  bool leaks = false;
  bool force = false;  // although an endpoint has the address
};
// A line per address. What is free already is no failure.
[[nodiscard]] Result<std::string> ipam_release(datastore::Store& store,
                                               const IpamReleaseOptions& options);

}  // namespace margay::cli
