#pragma once
// policy lint: what is wrong with policy although it is valid.

#include "cli/context.h"

#include <string>
#include <vector>

namespace margay::cli {

struct PolicyLintOptions {
  std::vector<std::string> files;  // only these documents, as if they were applied; none: all
  bool json = false;
};

// Prints a line per finding; kFailed when there is one.
int policy_lint(Context& context, const PolicyLintOptions& options);

}  // namespace margay::cli
