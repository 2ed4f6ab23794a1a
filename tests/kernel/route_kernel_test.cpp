#include "kernel/route_kernel.h"

#include "felix/dataplane/route_reconciler.h"
#include "kernel/link_kernel.h"
#include "kernel/monitor.h"
#include "tests/kernel/kernel_lab.h"

#include <doctest/doctest.h>

#include <chrono>
#include <string>
#include <vector>

namespace margay {
namespace {

using test::FreshNamespace;
using test::shell;

IpAddr ip(std::string_view text) {
  return *IpAddr::parse(text);
}
Prefix net(std::string_view text) {
  return *Prefix::parse(text);
}
IfName ifname(std::string_view text) {
  return *IfName::parse(text);
}

// A namespace with a link to 192.0.2.0/24 and 2001:db8::/64, and a reconciler over the real kernel.
struct RouteLab {
  FreshNamespace ns;
  std::unique_ptr<RouteKernel> routes;
  std::unique_ptr<LinkKernel> links;
  std::unique_ptr<KernelMonitor> monitor;
  std::unique_ptr<felix::RouteReconciler> reconciler;
  TimePoint now{};

  explicit RouteLab(std::vector<RouteProtocol> protocols = {kProtocolLocal, kProtocolBlackhole}) {
    REQUIRE(shell("ip link add fabric type veth peer name wire && ip link set wire up && ip link "
                  "set fabric up && "
                  "ip addr add 192.0.2.1/24 dev fabric && "
                  "ip addr add 2001:db8::1/64 dev fabric nodad")
                .empty());
    routes = std::move(*open_route_kernel());
    links = std::move(*open_link_kernel());
    monitor = std::move(*open_kernel_monitor({.ignore_port = routes->port()}));
    reconciler = std::make_unique<felix::RouteReconciler>(
        *routes,
        *links,
        felix::RouteReconciler::Options{.protocols = std::move(protocols),
                                        .endpoint_prefix = "mgy"});
    reconciler->set_in_sync(true);
  }

  // Whether any event asked for an apply.
  bool drain() {
    bool work = false;
    while (true) {
      const auto events = monitor->take();
      if (events.empty()) {
        return work;
      }
      for (const KernelEvent& event : events) {
        work = reconciler->on_event(event) || work;
      }
    }
  }
  felix::ApplyReport apply() {
    now += std::chrono::minutes(1);  // past every back-off
    return reconciler->apply(now);
  }
};

TEST_SUITE("kernel.route") {
  TEST_CASE("routes of every shape are read back as they were written") {
    const RouteLab lab;
    RouteSpec multipath =
        route_via(net("10.2.0.0/16"), {ip("192.0.2.7"), ip("192.0.2.8")}, kProtocolBgp);
    RouteSpec multipath6 =
        route_via(net("fd02::/32"), {ip("2001:db8::7"), ip("2001:db8::8")}, kProtocolBgp);
    RouteSpec other_table = route_via(net("10.3.0.0/16"), {ip("192.0.2.7")}, kProtocolBgp);
    other_table.key.table = TableId(7777);
    other_table.key.metric = 50;
    RouteSpec sourced = route_via(net("10.4.0.0/16"), {ip("192.0.2.7")}, kProtocolBgp);
    sourced.prefer_source = ip("192.0.2.1");
    std::vector<RouteSpec> wanted{
        route_via(net("10.1.0.0/16"), {ip("192.0.2.7")}, kProtocolBgp),
        multipath,
        other_table,
        sourced,
        route_via(net("0.0.0.0/0"), {ip("192.0.2.7")}, kProtocolBgp),
        route_via(net("fd01::/32"), {ip("2001:db8::7")}, kProtocolBgp),
        multipath6,
        route_via(net("10.5.0.0/16"), {ip("2001:db8::7")}, kProtocolBgp),  // RFC 8950
        route_via(net("10.6.0.0/16"), {ip("192.0.2.7"), ip("2001:db8::8")}, kProtocolBgp),
        blackhole_route(net("10.64.0.0/26")),
        blackhole_route(net("fd64::/122")),
    };
    std::vector<RouteChange> changes;
    for (const RouteSpec& route : wanted) {
      changes.push_back({RouteAction::kCreate, route});
    }
    for (const auto& outcome : lab.routes->apply(changes)) {
      REQUIRE_MESSAGE(outcome.has_value(), outcome.error().text);
    }

    std::vector<RouteSpec> read;
    for (const RouteProtocol protocol : {kProtocolBgp, kProtocolBlackhole}) {
      const auto part = lab.routes->dump(protocol);
      REQUIRE(part.has_value());
      read.insert(read.end(), part->begin(), part->end());
    }
    const auto fabric = lab.links->link(ifname("fabric"));
    REQUIRE(fabric.has_value());
    for (RouteSpec& route : wanted) {
      for (NextHop& hop : route.next_hops) {
        hop.ifindex = fabric->index;
      }
      route = canonical(route);
      CHECK_MESSAGE(std::ranges::find(read, route) != read.end(), route.str());
    }
    CHECK(read.size() == wanted.size());

    for (RouteChange& change : changes) {
      change.action = RouteAction::kRemove;
    }
    for (const auto& outcome : lab.routes->apply(changes)) {
      CHECK_MESSAGE(outcome.has_value(), outcome.error().text);
    }
    CHECK(shell("ip route show table all proto 91").empty());
    CHECK(shell("ip -6 route show table all proto 92").empty());
  }

  TEST_CASE("an address may be the machine's without standing on an interface") {
    const RouteLab lab;
    constexpr IfIndex kLoopback{1};
    for (const char* address : {"169.254.0.179", "fd12::1"}) {
      CAPTURE(address);
      RouteSpec wanted = local_route(ip(address), kProtocolPeer);
      for (NextHop& hop : wanted.next_hops) {
        hop.ifindex = kLoopback;
        hop.name.clear();
      }
      const RouteChange create[] = {{RouteAction::kCreate, wanted}};
      const auto created = lab.routes->apply(create);
      REQUIRE_MESSAGE(created[0].has_value(), created[0].error().text);
      const auto read = lab.routes->dump(kProtocolPeer);
      REQUIRE(read.has_value());
      CHECK(*read == std::vector{wanted});
      CHECK(shell(std::string("ping -c 1 -W 1 ") + address).find(" 0% packet loss") !=
            std::string::npos);
      const RouteChange remove[] = {{RouteAction::kRemove, wanted}};
      CHECK(lab.routes->apply(remove)[0].has_value());
      CHECK(lab.routes->dump(kProtocolPeer)->empty());
    }
  }

  TEST_CASE("a batch reports each failure at its index and does the rest") {
    const RouteLab lab;
    std::vector<RouteChange> changes;
    for (std::uint32_t i = 0; i < 2000; ++i) {
      // Every third gateway is not reachable.
      const IpAddr gateway = i % 3 == 0 ? ip("203.0.113.1") : ip("192.0.2.7");
      changes.push_back(
          {RouteAction::kCreate,
           route_via(Prefix::host(IpAddr::v4(0x0a000000U + i)), {gateway}, kProtocolBgp)});
    }
    const auto outcomes = lab.routes->apply(changes);
    REQUIRE(outcomes.size() == changes.size());
    for (std::size_t i = 0; i < outcomes.size(); ++i) {
      CHECK(outcomes[i].has_value() == (i % 3 != 0));
    }
    CHECK(outcomes[0].error().code == Errc::kUnavailable);
    CHECK(lab.routes->dump(kProtocolBgp)->size() == 2000 - 667);
    const auto absent =
        lab.routes->apply(std::vector<RouteChange>{{RouteAction::kRemove, changes[0].route}});
    CHECK(absent[0].error().code == Errc::kNotFound);
  }

  TEST_CASE("a route waits for its interface and comes with it, again and again") {
    RouteLab lab;
    lab.reconciler->set_desired(route_to_interface(ip("10.64.3.7"), ifname("mgy1")));
    lab.reconciler->set_desired(route_to_interface(ip("fd64::7"), ifname("mgy1")));
    CHECK(lab.apply().clean());
    CHECK(lab.reconciler->waiting().size() == 2);
    for (int round = 0; round < 3; ++round) {
      REQUIRE(shell("ip link add mgy1 type veth peer name other && ip link set other up && ip link "
                    "set mgy1 up")
                  .empty());
      CHECK(lab.drain());
      CHECK(lab.apply().clean());
      CHECK(shell("ip route show proto 90") == "10.64.3.7 dev mgy1 scope link \n");
      CHECK(shell("ip -6 route show proto 90").find("fd64::7 dev mgy1") == 0);
      REQUIRE(shell("ip link set mgy1 down").empty());
      CHECK(lab.drain());
      CHECK(lab.apply().clean());
      REQUIRE(shell("ip link set mgy1 up").empty());
      CHECK(lab.drain());
      CHECK(lab.apply().clean());
      CHECK(shell("ip route show proto 90") == "10.64.3.7 dev mgy1 scope link \n");
      REQUIRE(shell("ip link del mgy1").empty());
      CHECK(lab.drain());
      CHECK(lab.apply().clean());
      CHECK(lab.reconciler->waiting().size() == 2);
    }
  }

  TEST_CASE("what someone else does to our routes is undone, foreign routes are left alone") {
    RouteLab lab({kProtocolBgp});
    lab.reconciler->set_desired(route_via(net("10.1.0.0/16"), {ip("192.0.2.7")}, kProtocolBgp));
    lab.reconciler->set_desired(route_via(net("fd01::/32"), {ip("2001:db8::7")}, kProtocolBgp));
    REQUIRE(lab.apply().clean());
    CHECK_FALSE(lab.drain());
    const std::string before = shell("ip route; ip -6 route show proto 91");
    for (const char* attack : {
             "ip route del 10.1.0.0/16",
             "ip route replace 10.1.0.0/16 via 192.0.2.9 proto 91",
             "ip route add 10.77.0.0/16 via 192.0.2.9 proto 91",
             "ip route flush proto 91",
             "ip -6 route flush proto 91",
             "ip -6 route del fd01::/32",
             "ip link set fabric down; ip link set fabric up; ip addr replace 2001:db8::1/64 dev "
             "fabric nodad",
         }) {
      CAPTURE(attack);
      REQUIRE(shell(attack).empty());
      CHECK(lab.drain());
      CHECK(lab.apply().clean());
      CHECK(shell("ip route; ip -6 route show proto 91") == before);
      CHECK(lab.apply().changes == 0);
    }
    REQUIRE(shell("ip route add 10.88.0.0/16 via 192.0.2.9 proto static").empty());
    CHECK_FALSE(lab.drain());
    // Endpoints that come and go are no reason to read a table of gateway routes again.
    REQUIRE(shell("ip link add mgy9 type veth peer name mgy8 && ip link set mgy9 up && ip link set "
                  "mgy8 up && "
                  "ip link del mgy9")
                .empty());
    CHECK_FALSE(lab.drain());
  }

  TEST_CASE("a foreign route in the way is reported, kept, and ours follows when it leaves") {
    RouteLab lab({kProtocolBgp});
    REQUIRE(shell("ip route add 10.1.0.0/16 via 192.0.2.9 proto static").empty());
    lab.reconciler->set_desired(route_via(net("10.1.0.0/16"), {ip("192.0.2.7")}, kProtocolBgp));
    lab.drain();

    const auto report = lab.apply();

    CHECK(report.failures.size() == 1);
    CHECK(report.retry_after.has_value());
    CHECK(lab.reconciler->conflicts().size() == 1);
    CHECK(shell("ip route show 10.1.0.0/16").find("192.0.2.9") != std::string::npos);
    REQUIRE(shell("ip route del 10.1.0.0/16").empty());
    CHECK(lab.drain());
    CHECK(lab.apply().clean());
    CHECK(shell("ip route show 10.1.0.0/16").find("192.0.2.7") != std::string::npos);
    CHECK(lab.reconciler->conflicts().empty());
  }

  TEST_CASE("a learnt route gives way to that of a local endpoint, and comes back after it") {
    RouteLab lab;
    lab.reconciler = std::make_unique<felix::RouteReconciler>(
        *lab.routes,
        *lab.links,
        felix::RouteReconciler::Options{.protocols = {kProtocolLocal, kProtocolBlackhole},
                                        .endpoint_prefix = "mgy",
                                        .overrules = {kProtocolBgp}});
    lab.reconciler->set_in_sync(true);
    REQUIRE(shell("ip link add mgy1 type veth peer name pod1 && ip link set mgy1 up && ip link set "
                  "pod1 up && ip route add 10.64.3.9/32 via 192.0.2.9 proto static")
                .empty());
    felix::RouteReconciler learnt(*lab.routes, *lab.links, {{kProtocolBgp}, "mgy", 512});
    learnt.set_in_sync(true);
    const std::vector<Prefix> told{
        net("10.64.3.7/32"), net("10.64.3.0/26"), net("2001:db8:64::7/128")};
    for (const Prefix& prefix : told) {
      learnt.set_desired(canonical(route_via(
          prefix, {ip(prefix.addr().is_v4() ? "192.0.2.7" : "2001:db8::7")}, kProtocolBgp)));
    }
    REQUIRE(learnt.apply(lab.now).clean());

    for (const char* addr : {"10.64.3.7", "10.64.3.9", "2001:db8:64::7"}) {
      lab.reconciler->set_desired(canonical(route_to_interface(ip(addr), ifname("mgy1"))));
    }
    lab.reconciler->set_desired(blackhole_route(net("10.64.3.0/26")));
    const auto report = lab.apply();

    REQUIRE(report.failures.size() == 1);  // what somebody else made is left alone
    CHECK(report.failures[0].what.find("10.64.3.9") != std::string::npos);
    CHECK(shell("ip route show proto 91; ip -6 route show proto 91").empty());
    CHECK(shell("ip route show 10.64.3.7").find("dev mgy1 proto 90") != std::string::npos);
    CHECK(shell("ip -6 route show 2001:db8:64::7").find("dev mgy1 proto 90") != std::string::npos);
    CHECK(shell("ip route show 10.64.3.0/26").find("blackhole") != std::string::npos);

    // Whoever learnt them does not take them back while the endpoint is there.
    learnt.resync();
    CHECK_FALSE(learnt.apply(lab.now + std::chrono::minutes(1)).clean());
    CHECK(shell("ip route show proto 91").empty());
    lab.reconciler->remove_desired(canonical(route_to_interface(ip("10.64.3.7"), IfName())).key);
    lab.apply();
    (void)learnt.apply(lab.now + std::chrono::minutes(9));
    CHECK(shell("ip route show 10.64.3.7").find("via 192.0.2.7") != std::string::npos);
  }

  TEST_CASE(
      "a second reconciler adopts the routes and writes nothing; a wish that went is removed") {
    RouteLab lab;
    lab.reconciler->set_desired(blackhole_route(net("10.64.0.0/26")));
    lab.reconciler->set_desired(blackhole_route(net("10.64.1.0/26")));
    REQUIRE(lab.apply().changes == 2);
    const auto watcher = open_kernel_monitor();
    REQUIRE(watcher.has_value());

    felix::RouteReconciler second(*lab.routes, *lab.links, {{kProtocolLocal, kProtocolBlackhole}});
    second.set_desired(blackhole_route(net("10.64.0.0/26")));
    CHECK(second.apply(lab.now).changes == 0);  // not in sync: nothing is removed
    CHECK((*watcher)->take().empty());
    second.set_in_sync(true);
    CHECK(second.apply(lab.now).changes == 1);
    CHECK(shell("ip route show proto 92") == "blackhole 10.64.0.0/26 \n");
  }

  TEST_CASE("an overrun of the monitor is reported, and a resync finds what was lost") {
    RouteLab lab({kProtocolBgp});
    lab.reconciler->set_desired(route_via(net("10.1.0.0/16"), {ip("192.0.2.7")}, kProtocolBgp));
    REQUIRE(lab.apply().clean());
    auto small = open_kernel_monitor({.receive_buffer = 4096});
    REQUIRE(small.has_value());
    REQUIRE(
        shell("for i in $(seq 200); do echo route add 10.9.$i.0/24 via 192.0.2.9; done | ip -b - ; "
              "ip route del 10.1.0.0/16")
            .empty());
    const auto events = (*small)->take();
    REQUIRE_FALSE(events.empty());
    CHECK(std::holds_alternative<Overrun>(events.back()));
    CHECK(lab.reconciler->on_event(events.back()));
    CHECK(lab.apply().clean());
    CHECK(shell("ip route show proto 91").find("10.1.0.0/16") == 0);
  }
}

}  // namespace
}  // namespace margay
