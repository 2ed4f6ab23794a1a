#pragma once
// wait: until every node that needs it has the stored version of an object in its kernel.

#include "cli/context.h"

#include <chrono>
#include <string>

namespace margay::cli {

struct WaitOptions {
  std::string kind;
  std::string name;
  std::string ns = "default";
  std::chrono::milliseconds timeout{30'000};
};

// Agents publish the revision that their kernel enforces (NodeStatus). An endpoint needs its own
// node, everything else all of them. Fails after the time-out, naming the nodes that lag.
int wait_enforced(Context& context, const WaitOptions& options);

}  // namespace margay::cli
