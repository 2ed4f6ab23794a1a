#include "tests/interop/support/scenario.h"

#include <doctest/doctest.h>

namespace margay::bgp::test {
namespace {

std::vector<std::string> birdc(std::vector<std::string> words) {
  std::vector<std::string> command{"birdc", "-s", "/run/bird/bird.ctl"};
  command.insert(command.end(), words.begin(), words.end());
  return command;
}

const Dialect& dialect() {
  static const Dialect dialect{
      .name = "bird",
      .topology = MARGAY_SOURCE_DIR "/tests/interop/bird/bird.clab.yml",
      .show_route =
          [](const std::string& prefix) {
            return birdc({"show", "route", "for", prefix, "all"});
          },
      .withdraw = birdc({"disable", "routes4"}),
      .announce = birdc({"enable", "routes4"}),
      .attributes_at_reflector = {"BGP.as_path: 4200000001 64900",
                                  "BGP.community: (65000,77)",
                                  "BGP.large_community: (4200000001, 1, 2)",
                                  "BGP.med: 55",
                                  "BGP.local_pref: 100",
                                  "BGP.origin: IGP"},
      .own_at_edge = {"BGP.as_path: 65000", "BGP.origin: IGP"},
  };
  return dialect;
}

}  // namespace

TEST_SUITE("interop.bird") {
  TEST_CASE("margay-bgpd and BIRD 2 exchange routes as eBGP peers and as reflector and client") {
    run_scenario(dialect());
  }
}

}  // namespace margay::bgp::test
