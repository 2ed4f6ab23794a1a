#pragma once
// The main processes of each kind of node: which programs, with which arguments, and when they are
// up.

#include "tests/lab/topology.h"

#include <string>
#include <vector>

namespace margay::lab {

struct Daemon {
  std::string role;
  std::vector<std::string> argv;
  std::string ready_file;  // it is up when this exists in the node; empty: once started
};

struct DaemonPlan {
  std::vector<Daemon> daemons;
  std::vector<std::string> after;  // run when all are up; empty: nothing
};

// The datastore comes from MARGAY_DATASTORE of the node's environment, else it is a file of the
// node's own.
DaemonPlan daemons_of(const NodeSpec& node);

}  // namespace margay::lab
