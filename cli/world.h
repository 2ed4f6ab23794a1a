#pragma once
// Reads from a store what policy verdicts depend on.

#include "base/result.h"
#include "datastore/store.h"
#include "policy/evaluator.h"

#include <string>
#include <vector>

namespace margay::cli {

struct StoredWorld {
  policy::World world;
  std::vector<std::string>
      skipped;  // objects that are stored but invalid: their policies are not counted
};

[[nodiscard]] Result<StoredWorld> read_world(datastore::Store& store);

}  // namespace margay::cli
