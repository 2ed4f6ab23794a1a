#include "felix/calc/host_endpoints.h"

#include <doctest/doctest.h>

namespace margay::felix {
namespace {

template <typename T>
T parsed(std::string_view text) {
  auto value = T::parse(text);
  REQUIRE(value);
  return *value;
}

api::HostEndpoint host(const char* interface, const char* address = nullptr) {
  api::HostEndpoint endpoint;
  endpoint.node = parsed<NodeName>("node1");
  if (interface[0] != '\0') {
    endpoint.interface_name = parsed<IfName>(interface);
  }
  if (address != nullptr) {
    endpoint.expected_ips = {parsed<IpAddr>(address)};
  }
  return endpoint;
}

InterfaceAddresses interfaces(const char* first, const char* second) {
  return {{parsed<IfName>("eth0"), {parsed<IpAddr>(first)}},
          {parsed<IfName>("eth1"), {parsed<IpAddr>(second)}}};
}

std::string governs(const HostEndpoints& hosts, const char* interface) {
  const auto all = hosts.by_interface();
  const auto found = all.find(parsed<IfName>(interface));
  return found == all.end() ? "" : found->second;
}

}  // namespace

TEST_SUITE("felix.calc.host_endpoints") {
  TEST_CASE("a named interface comes before an expected address, which follows the address") {
    HostEndpoints hosts;
    hosts.set("by-address", host("", "192.0.2.1"));
    CHECK(hosts.needs_interfaces());
    CHECK(hosts.unresolved() == std::vector<std::string>{"by-address"});
    CHECK(hosts.set_interfaces(interfaces("192.0.2.1", "198.51.100.1")));
    CHECK_FALSE(hosts.set_interfaces(interfaces("192.0.2.1", "198.51.100.1")));
    CHECK(governs(hosts, "eth0") == "by-address");
    CHECK(governs(hosts, "eth1").empty());
    REQUIRE(hosts.set_interfaces(interfaces("198.51.100.1", "192.0.2.1")));
    CHECK(governs(hosts, "eth0").empty());
    CHECK(governs(hosts, "eth1") == "by-address");
    hosts.set("named", host("eth1"));
    CHECK(governs(hosts, "eth1") == "named");
    CHECK(hosts.unresolved() == std::vector<std::string>{"by-address"});
  }

  TEST_CASE("of several the first by name governs, and when it goes the next one does") {
    HostEndpoints hosts;
    hosts.set("b", host("eth0"));
    hosts.set("a", host("eth0"));
    hosts.set("every", host("*"));
    CHECK(governs(hosts, "eth0") == "a");
    CHECK(governs(hosts, "*") == "every");
    hosts.remove("a");
    CHECK(governs(hosts, "eth0") == "b");
    hosts.remove("b");
    CHECK(governs(hosts, "eth0").empty());
    CHECK_FALSE(hosts.needs_interfaces());
  }
}

}  // namespace margay::felix
