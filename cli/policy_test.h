#pragma once
// policy test: a file of expectations against the stored policy, or against what it would be with
// more documents.

#include "cli/context.h"

#include <string>
#include <vector>

namespace margay::cli {

struct PolicyTestOptions {
  std::vector<std::string> tests;  // files
  std::vector<std::string> with;   // documents that stand in for, or beside, the stored ones
  bool staged = false;             // with what staged policies would do
  bool json = false;
};

// Prints a line per test; kFailed when one fails.
int policy_test(Context& context, const PolicyTestOptions& options);

}  // namespace margay::cli
