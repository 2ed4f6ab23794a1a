#pragma once
// Runs the tests of people against a world: every pair of endpoints that a test names, for every
// expectation of it.

#include "api/policy_tests.h"
#include "policy/evaluator.h"

#include <string>
#include <vector>

namespace margay::policy {

// A pair that is not as expected.
struct Mismatch {
  std::string from;  // "prod/web-1"
  std::string to;
  Flow flow;
  Verdict verdict;
};

struct TestResult {
  std::string name;
  std::size_t checked = 0;           // verdicts asked for
  std::vector<Mismatch> mismatches;  // the first of them, at most kMaxMismatches
  std::size_t failed = 0;            // all of them
  std::string error;                 // the test could not be run: "from selects no endpoint"

  [[nodiscard]] bool passed() const { return error.empty() && failed == 0; }
};
inline constexpr std::size_t kMaxMismatches = 10;

[[nodiscard]] TestResult run_test(const api::PolicyTest& test, const Evaluator& evaluator);

}  // namespace margay::policy
