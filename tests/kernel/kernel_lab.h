#pragma once
// What kernel tests share: a network namespace per test, and the tools people use as the second
// opinion.

#include "base/result.h"

#include <string>

namespace margay::test {

// The calling thread is in a new, empty namespace as long as this lives; the namespace goes with
// it.
class FreshNamespace {
 public:
  FreshNamespace();
  ~FreshNamespace();
  FreshNamespace(const FreshNamespace&) = delete;
  FreshNamespace& operator=(const FreshNamespace&) = delete;

 private:
  int before_ = -1;
};

// Runs a command line in the thread's namespace; its output, with "exit N" appended on failure.
[[nodiscard]] std::string shell(const std::string& command);
// All runs of white space become one space; numbers of counters become 0.
[[nodiscard]] std::string squeezed(const std::string& text);

}  // namespace margay::test
