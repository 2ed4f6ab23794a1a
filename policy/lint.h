#pragma once
// What is wrong with policy although it is valid: rules that can never match, rules that earlier
// ones leave nothing to, selectors that match nothing now, names of what is not there.

#include "policy/evaluator.h"

#include <string>
#include <vector>

namespace margay::policy {

struct Finding {
  api::ResourceKey policy;
  std::string path;     // "spec.ingress[1].source.selector"; empty: the policy as a whole
  std::string problem;  // "no endpoint or network set matches now"
  std::string fix;
  bool operator==(const Finding&) const = default;
};

// Ordered by policy as the evaluation orders them, then by path.
[[nodiscard]] std::vector<Finding> lint(const Evaluator& evaluator);

}  // namespace margay::policy
