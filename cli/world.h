#pragma once
// Reads from a store what policy verdicts depend on.

#include "base/result.h"
#include "cli/resources.h"
#include "datastore/store.h"
#include "policy/evaluator.h"

#include <optional>
#include <string>
#include <vector>

namespace margay::cli {

struct StoredWorld {
  policy::World world;
  std::optional<policy::World> staged;  // with what staged policies would do, if there are any
  std::vector<std::string>
      skipped;  // objects that are stored but invalid: their policies are not counted
};

[[nodiscard]] Result<StoredWorld> read_world(datastore::Store& store);
// As it would be with the documents of `with` applied, which replace stored objects of the same
// name, and those of `removed` deleted. The first document that is not valid is the error.
[[nodiscard]] Result<StoredWorld> read_world(datastore::Store& store,
                                             const std::vector<Input>& with,
                                             const std::vector<Input>& removed = {});

}  // namespace margay::cli
