#pragma once
// A change that takes itself back unless somebody confirms it (`margayctl apply --confirm`).

#include "base/wall_time.h"

#include <cstdint>
#include <string>
#include <vector>

namespace margay::api {

// Written by `margayctl` before it changes anything, under the name "default": there is one at a
// time. When revert_at has passed and it still stands, agents put the objects back.
struct PendingEdit {
  std::string before;  // the object as JSON; empty: it did not exist
  std::string after;   // as it was to become; empty: it was to be deleted
  bool operator==(const PendingEdit&) const = default;
};
struct PendingChange {
  WallSeconds revert_at{};
  // The time that was given, in seconds: clocks of nodes differ, and may be set meanwhile. 0: not
  // known.
  std::uint64_t confirm_within_s = 0;
  std::vector<PendingEdit> edits;  // in the order in which they were made
  bool operator==(const PendingChange&) const = default;
};

}  // namespace margay::api
