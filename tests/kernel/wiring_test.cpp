#include "kernel/wiring.h"

#include "felix/dataplane/link_reconciler.h"
#include "felix/dataplane/sysctl_reconciler.h"
#include "kernel/link_kernel.h"
#include "kernel/netns.h"
#include "kernel/route_kernel.h"
#include "kernel/sysctl.h"
#include "tests/kernel/kernel_lab.h"

#include <doctest/doctest.h>

#include <chrono>
#include <string>

namespace margay {
namespace {

using test::FreshNamespace;
using test::shell;

IpAddr ip(std::string_view text) {
  return *IpAddr::parse(text);
}

// A host namespace (the thread's own) and a container beside it.
struct WiringLab {
  FreshNamespace ns;
  NetNs container;
  WiringRequest request;

  WiringLab() : container(std::move(*NetNs::create())) {
    request.netns_path = fmt::format("/proc/{}/fd/{}", "self", container.fd());
    request.container_name = *IfName::parse("eth0");
    request.host_name = host_interface_name("container-1", "eth0");
    request.addresses = {ip("10.64.3.7")};
    if (has_ipv6()) {
      request.addresses.push_back(ip("fd64::7"));
    }
  }
  [[nodiscard]] std::string inside(const std::string& command) const {
    std::string output;
    REQUIRE(container
                .run([&]() -> Result<void> {
                  output = shell(command);
                  return {};
                })
                .has_value());
    return output;
  }
  // What the route reconciler does when the link appears.
  void add_host_routes() const {
    const auto routes = open_route_kernel();
    const auto links = open_link_kernel();
    REQUIRE(routes.has_value());
    const auto link = (*links)->link(request.host_name);
    REQUIRE(link.has_value());
    std::vector<RouteChange> changes;
    for (const IpAddr& addr : request.addresses) {
      RouteSpec route = route_to_interface(addr, request.host_name);
      route.next_hops[0].name.clear();
      route.next_hops[0].ifindex = link->index;
      changes.push_back({RouteAction::kCreate, route});
    }
    for (const auto& outcome : (*routes)->apply(changes)) {
      REQUIRE_MESSAGE(outcome.has_value(), outcome.error().text);
    }
  }
};

TEST_SUITE("kernel.wiring") {
  TEST_CASE(
      "the first packet of a wired container passes at once, both ways and in both families") {
    const WiringLab lab;
    REQUIRE(shell("ip link add fabric type veth peer name wire && ip link set wire up && ip link "
                  "set fabric up && "
                  "ip addr add 192.0.2.1/24 dev fabric")
                .empty());
    if (has_ipv6()) {
      REQUIRE(shell("ip addr add 2001:db8::1/64 dev fabric nodad").empty());
    }
    const auto wired = wire_container(lab.request);
    REQUIRE_MESSAGE(wired.has_value(), wired.error().text);
    lab.add_host_routes();

    // One packet with 200 ms to come back: no time for resolution or duplicate detection.
    CHECK(lab.inside("ping -c1 -W0.2 192.0.2.1 >/dev/null").empty());
    CHECK(shell("ping -c1 -W0.2 10.64.3.7 >/dev/null").empty());
    if (has_ipv6()) {
      CHECK(lab.inside("ping -c1 -W0.2 2001:db8::1 >/dev/null").empty());
      CHECK(shell("ping -c1 -W0.2 fd64::7 >/dev/null").empty());
      CHECK(lab.inside("ip -6 route show default").find("via fe80::ecee:eeff:feee:eeee dev eth0") !=
            std::string::npos);
    }
    CHECK(lab.inside("ip route show default") == "default via 169.254.1.1 dev eth0 \n");
    CHECK(shell("ip neigh show dev " + lab.request.host_name.str()).find("PERMANENT") !=
          std::string::npos);
    CHECK(wired->mtu == 1500);
    CHECK(check_container(lab.request).has_value());
  }

  TEST_CASE("wiring takes the MTU of the route to the fabric") {
    WiringLab lab;
    REQUIRE(shell("ip link add fabric mtu 9000 type veth peer name wire && ip link set wire up && "
                  "ip link set fabric up && "
                  "ip addr add 192.0.2.1/24 dev fabric")
                .empty());
    lab.request.fabric = ip("192.0.2.9");
    const auto wired = wire_container(lab.request);
    REQUIRE(wired.has_value());
    CHECK(wired->mtu == 9000);
    CHECK(lab.inside("ip link show eth0").find("9000") != std::string::npos);
  }

  TEST_CASE("wiring again replaces the link, and unwiring twice is no failure") {
    const WiringLab lab;
    const auto first = wire_container(lab.request);
    REQUIRE_MESSAGE(first.has_value(), first.error().text);
    const auto again = wire_container(lab.request);
    REQUIRE_MESSAGE(again.has_value(), again.error().text);
    CHECK(check_container(lab.request).has_value());
    CHECK(unwire_container(lab.request.host_name).has_value());
    CHECK(unwire_container(lab.request.host_name).has_value());
    CHECK(shell("ip -o link show | grep mgy") == "exit 1");
    CHECK(lab.inside("ip -o link show type veth").empty());
    const auto gone = check_container(lab.request);
    CHECK((!gone.has_value() && gone.error().code == Errc::kNotFound));
  }

  TEST_CASE("wiring that fails leaves nothing behind") {
    WiringLab lab;
    lab.request.addresses = {ip("10.64.3.7"), ip("ff02::1")};  // the second is refused
    const auto refused = wire_container(lab.request);
    CHECK_FALSE(refused.has_value());
    CHECK(shell("ip -o link show | grep mgy") == "exit 1");
    lab.request.addresses = {ip("10.64.3.7")};
    lab.request.netns_path = "/run/netns/there-is-none";
    const auto nowhere = wire_container(lab.request);
    REQUIRE_FALSE(nowhere.has_value());
    CHECK(nowhere.error().code == Errc::kNotFound);
    lab.request.addresses.clear();
    CHECK(wire_container(lab.request).error().code == Errc::kInvalid);
  }

  TEST_CASE("a check names what someone took away") {
    const WiringLab lab;
    for (const char* attack :
         {"ip addr del 10.64.3.7/32 dev eth0", "ip route del default", "ip link set eth0 down"}) {
      CAPTURE(attack);
      REQUIRE(wire_container(lab.request).has_value());
      REQUIRE(check_container(lab.request).has_value());
      REQUIRE(lab.inside(attack).empty());
      CHECK_FALSE(check_container(lab.request).has_value());
    }
  }

  TEST_CASE("names of host ends are stable, valid and different") {
    const IfName name = host_interface_name("container-1", "eth0");
    CHECK(name == host_interface_name("container-1", "eth0"));
    CHECK(name != host_interface_name("container-1", "eth1"));
    CHECK(name != host_interface_name("container-2", "eth0"));
    CHECK(name.str().starts_with("mgy"));
    CHECK(name.str().size() == 14);
  }

  TEST_CASE("links without an endpoint go after the time of grace, others stay") {
    const WiringLab lab;
    REQUIRE(wire_container(lab.request).has_value());
    REQUIRE(shell("ip link add mgyorphan type veth peer name a && ip link add other type veth peer "
                  "name b && "
                  "ip link add mgybridge type bridge")
                .empty());
    const auto links = open_link_kernel();
    REQUIRE(links.has_value());
    felix::LinkReconciler reconciler(**links, "mgy");
    reconciler.set_desired({lab.request.host_name.str()});
    reconciler.set_in_sync(true);
    const TimePoint start{};
    CHECK(reconciler.apply(start).changes == 0);
    CHECK(reconciler.apply(start + felix::LinkReconciler::kGrace).changes == 1);
    CHECK(shell("ip link show mgyorphan").find("exit") != std::string::npos);
    for (const std::string& name :
         {lab.request.host_name.str(), std::string("other"), std::string("mgybridge")}) {
      CHECK(shell("ip link show " + name).find("exit") == std::string::npos);
    }
  }

  TEST_CASE("forwarding is switched on once") {
    const FreshNamespace ns;
    REQUIRE(write_sysctl("net/ipv4/ip_forward", "0").has_value());
    felix::SysctlReconciler reconciler;
    reconciler.set_desired(felix::forwarding_sysctls(has_ipv6()));
    CHECK(reconciler.apply().changes >= 1);
    CHECK(*read_sysctl("net/ipv4/ip_forward") == "1");
    CHECK(reconciler.apply().changes == 0);
    CHECK(read_sysctl("net/ipv4/no_such_thing").error().code == Errc::kNotFound);
  }

  TEST_CASE("wiring takes milliseconds, not the tens that moving a device costs") {
    const WiringLab lab;
    const auto start = Clock::now();
    constexpr int kTimes = 20;
    for (int i = 0; i < kTimes; ++i) {
      WiringRequest request = lab.request;
      request.host_name = host_interface_name(fmt::format("c{}", i), "eth0");
      request.container_name = *IfName::parse(fmt::format("eth{}", i));
      request.addresses = {IpAddr::v4(0x0a400000U + static_cast<std::uint32_t>(i))};
      REQUIRE(wire_container(request).has_value());
    }
    const auto each =
        std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - start) / kTimes;
    MESSAGE("wiring: ", each.count(), " us each");
    CHECK(each < std::chrono::milliseconds(20));
  }
}

}  // namespace
}  // namespace margay
