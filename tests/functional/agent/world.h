#pragma once
// The labs that the agent's tests start from.

#include "tests/functional/support/cluster.h"

#include <memory>
#include <string>

namespace margay::lab {

// A topology of this repository, brought up under a name of the test's own. Fails the test when it
// cannot be had.
std::unique_ptr<Cluster> make_cluster(const std::string& topology,
                                      const std::string& name,
                                      bool start = true,
                                      const Environment& env = {});

// For a test that holds whoever speaks BGP: the environment that makes the agents use the one or
// the other; the test runs once with each.
Environment with_each_speaker();

// pair with agents ready and one pod that serves TCP and UDP 80 on each node: "near" on node1,
// "far" on node2.
std::unique_ptr<Cluster> make_pair(const std::string& name, const Environment& env = {});

// A policy in namespace default for pods with app=APP, admitting pods with app=PEER on every port.
std::string admit(const std::string& policy, const std::string& app, const std::string& peer);

// count policies, each selecting app=far and admitting one more peer.
std::string many_policies(unsigned count);

}  // namespace margay::lab
