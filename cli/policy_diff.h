#pragma once
// policy diff: which pairs of endpoints, and which protocols and ports, would change their verdict
// if documents were applied.

#include "cli/context.h"

#include <string>
#include <vector>

namespace margay::cli {

struct PolicyDiffOptions {
  std::vector<std::string> files;    // documents as `apply` takes them
  std::vector<std::string> removed;  // documents of which the objects would be deleted
  bool staged = false;               // what staged policies, stored and given, would do
  bool json = false;
};

// Prints a line per change; kDone whether or not there are any.
int policy_diff(Context& context, const PolicyDiffOptions& options);

}  // namespace margay::cli
