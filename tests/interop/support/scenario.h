#pragma once
// What margay-bgpd must do with any other BGP implementation, told once. The topology is the same
// for each: see bird/bird.clab.yml. A dialect says how to ask and to change that implementation.

#include "tests/lab/lab.h"

#include <filesystem>
#include <string>
#include <vector>

namespace margay::bgp::test {

struct Dialect {
  std::string name;
  std::filesystem::path topology;
  // Prints what the daemon knows about a prefix.
  std::vector<std::string> (*show_route)(const std::string& prefix);
  // The route 198.51.100.0/24 of the edge goes and comes.
  std::vector<std::string> withdraw;
  std::vector<std::string> announce;
  // What show_route prints for the routes the speaker passed on to the reflector, and for the
  // speaker's own network at the edge.
  std::vector<std::string> attributes_at_reflector;
  std::vector<std::string> own_at_edge;
};

void run_scenario(const Dialect& dialect);

}  // namespace margay::bgp::test
