#include "tests/interop/support/scenario.h"

#include <doctest/doctest.h>

namespace margay::bgp::test {
namespace {

std::vector<std::string> network_change(const std::string& line) {
  return {"vtysh",
          "-c",
          "configure terminal",
          "-c",
          "router bgp 4200000001",
          "-c",
          "address-family ipv4 unicast",
          "-c",
          line};
}

const Dialect& dialect() {
  static const Dialect dialect{
      .name = "frr",
      .topology = MARGAY_SOURCE_DIR "/tests/interop/frr/frr.clab.yml",
      .show_route =
          [](const std::string& prefix) {
            const bool v6 = prefix.find(':') != std::string::npos;
            return std::vector<std::string>{
                "vtysh",
                "-c",
                "show bgp " + std::string(v6 ? "ipv6" : "ipv4") + " unicast " + prefix};
          },
      .withdraw = network_change("no network 198.51.100.0/24"),
      .announce = network_change("network 198.51.100.0/24"),
      .attributes_at_reflector = {"4200000001 64900",
                                  "Community: 65000:77",
                                  "Large Community: 4200000001:1:2",
                                  "metric 55",
                                  "localpref 100",
                                  "Origin IGP"},
      .own_at_edge = {"65000", "Origin IGP"},
  };
  return dialect;
}

}  // namespace

TEST_SUITE("interop.frr") {
  TEST_CASE("margay-bgpd and FRR exchange routes as eBGP peers and as reflector and client") {
    run_scenario(dialect());
  }
}

}  // namespace margay::bgp::test
