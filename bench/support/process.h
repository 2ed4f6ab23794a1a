#pragma once
// Programs of others that a benchmark runs.

#include <string>
#include <vector>

namespace margay::bench {

// Runs a program to its end, in the namespaces of the calling thread; its exit status, -1 when it
// could not be started or was killed.
int run(const std::vector<std::string>& arguments);

}  // namespace margay::bench
