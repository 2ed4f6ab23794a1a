#pragma once
// Nine pods over two nodes, so that each pair of namespaces has near and far pairs, and a host
// outside: what tests of policy by real packets share. Topology and objects stand beside this file.

#include "tests/functional/support/cluster.h"

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace margay::lab {

// Namespaces x, y, z; pods a, b, c. "xa" is on node1, the next on node2, and so on.
extern const std::vector<std::string> kPods;
// What each of them serves.
extern const std::vector<Service> kServices;

// The number of the port named "web", which differs between pods.
int web_port(std::string_view pod);

// Agents ready, pods and their servers running.
std::unique_ptr<Cluster> make_policy_cluster();

// A NetworkPolicy on x/a with one peer.
std::string admit_into_xa(const std::string& peer);

}  // namespace margay::lab
