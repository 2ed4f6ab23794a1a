#include "felix/dataplane/route_reconciler.h"

#include "tests/support/fake_kernel.h"

#include <doctest/doctest.h>

namespace margay::felix {
namespace {

using std::chrono::seconds;
using test::FakeLinkKernel;
using test::FakeRouteKernel;

const TimePoint kStart{};

RouteSpec pod_route(const char* address, const char* link) {
  return route_to_interface(*IpAddr::parse(address), *IfName::parse(link));
}

struct Rig {
  Rig() { reconciler.set_in_sync(true); }
  FakeRouteKernel routes;
  FakeLinkKernel links;
  RouteReconciler reconciler{routes, links, {{kProtocolLocal, kProtocolBlackhole}, "mgy", 2}};
};

TEST_SUITE("felix.dataplane.route") {
  TEST_CASE("a route waits for its interface and goes in when the link event comes") {
    Rig rig;
    const RouteSpec route = pod_route("10.244.0.1", "mgy1");
    rig.reconciler.set_desired(route);
    CHECK(rig.reconciler.apply(kStart).clean());
    CHECK(rig.routes.routes.empty());
    CHECK(rig.reconciler.waiting() == std::vector<RouteSpec>{route});

    CHECK(rig.reconciler.on_event(LinkChanged{rig.links.add_link("mgy1")}));
    CHECK(rig.reconciler.apply(kStart).changes == 1);

    CHECK(rig.reconciler.is_installed(route.key));
    CHECK(rig.routes.routes.size() == 1);
  }

  TEST_CASE("an interface recreated under its name gets its route again") {
    Rig rig;
    const RouteSpec route = pod_route("10.244.0.1", "mgy1");
    const LinkState old_link = rig.links.add_link("mgy1");
    rig.reconciler.set_desired(route);
    (void)rig.reconciler.apply(kStart);

    rig.links.remove_link("mgy1");
    rig.routes.routes.clear();
    CHECK(rig.reconciler.on_event(LinkRemoved{old_link.index, "mgy1"}));
    (void)rig.reconciler.apply(kStart);
    CHECK_FALSE(rig.reconciler.is_installed(route.key));
    rig.reconciler.on_event(LinkChanged{rig.links.add_link("mgy1")});
    (void)rig.reconciler.apply(kStart);

    CHECK(rig.reconciler.is_installed(route.key));
  }

  TEST_CASE("a route leaves an interface that loses its name, and comes back with the name") {
    Rig rig;
    const RouteSpec route = pod_route("10.244.0.1", "mgy1");
    LinkState link = rig.links.add_link("mgy1");
    rig.reconciler.set_desired(route);
    REQUIRE(rig.reconciler.apply(kStart).clean());

    link.name = "stolen0";
    CHECK(rig.reconciler.on_event(LinkChanged{link}));
    CHECK(rig.reconciler.apply(kStart).changes == 1);
    CHECK(rig.routes.routes.empty());
    CHECK(rig.reconciler.waiting() == std::vector<RouteSpec>{route});

    link.name = "mgy1";
    CHECK(rig.reconciler.on_event(LinkChanged{link}));
    (void)rig.reconciler.apply(kStart);
    CHECK(rig.reconciler.is_installed(route.key));
    CHECK(rig.routes.routes.size() == 1);
  }

  TEST_CASE("a removal that failed is forgotten when the route is wanted again") {
    Rig rig;
    rig.links.add_link("mgy1");
    const RouteSpec route = pod_route("10.244.0.1", "mgy1");
    rig.reconciler.set_desired(route);
    REQUIRE(rig.reconciler.apply(kStart).clean());
    rig.reconciler.remove_desired(route.key);
    rig.routes.failures.fail_call(1);
    REQUIRE_FALSE(rig.reconciler.apply(kStart).clean());
    rig.reconciler.set_desired(route);
    CHECK(rig.reconciler.apply(kStart + seconds(60)).clean());  // not tried again and again
    CHECK(rig.reconciler.is_installed(route.key));
  }

  TEST_CASE("add, remove and add again without an apply between writes nothing") {
    Rig rig;
    rig.links.add_link("mgy1");
    const RouteSpec route = pod_route("10.244.0.1", "mgy1");
    rig.reconciler.set_desired(route);
    (void)rig.reconciler.apply(kStart);
    const unsigned writes = rig.routes.writes;
    rig.reconciler.remove_desired(route.key);
    rig.reconciler.set_desired(route);
    CHECK(rig.reconciler.apply(kStart).clean());
    CHECK(rig.routes.writes == writes);
  }

  TEST_CASE(
      "a foreign route in the way is a conflict, never replaced, and ours follows when it leaves") {
    Rig rig;
    const RouteSpec ours = blackhole_route(*Prefix::parse("10.244.1.0/26"));
    RouteSpec foreign = ours;
    foreign.protocol = RouteProtocol(3);
    foreign = canonical(foreign);
    rig.routes.routes.emplace(foreign.key, foreign);
    rig.reconciler.set_desired(ours);

    const ApplyReport report = rig.reconciler.apply(kStart);
    CHECK(report.failures.size() == 1);
    CHECK(report.retry_after);
    CHECK(rig.reconciler.conflicts() == std::vector<RouteKey>{ours.key});
    CHECK(rig.routes.routes.at(ours.key).protocol == RouteProtocol(3));

    rig.routes.routes.clear();
    CHECK(rig.reconciler.on_event(RouteRemoved{foreign}));
    CHECK(rig.reconciler.apply(kStart).clean());
    CHECK(rig.reconciler.is_installed(ours.key));
  }

  TEST_CASE("a route of ours that someone deletes or changes is put back") {
    Rig rig;
    const RouteSpec route = canonical(blackhole_route(*Prefix::parse("10.244.1.0/26")));
    rig.reconciler.set_desired(route);
    (void)rig.reconciler.apply(kStart);

    rig.routes.routes.clear();
    CHECK(rig.reconciler.on_event(RouteRemoved{route}));
    (void)rig.reconciler.apply(kStart);
    CHECK(rig.routes.routes.contains(route.key));

    RouteSpec other = route;
    other.type = RouteType::kProhibit;
    rig.routes.routes.insert_or_assign(route.key, other);
    CHECK(rig.reconciler.on_event(RouteChanged{other, true}));
    (void)rig.reconciler.apply(kStart);
    CHECK(rig.routes.routes.at(route.key) == route);
  }

  TEST_CASE("the echo of our own change asks for nothing") {
    Rig rig;
    const RouteSpec route = canonical(blackhole_route(*Prefix::parse("10.244.1.0/26")));
    rig.reconciler.set_desired(route);
    (void)rig.reconciler.apply(kStart);
    CHECK_FALSE(rig.reconciler.on_event(RouteChanged{route, false}));
  }

  TEST_CASE("leftovers of an earlier run go only after the datastore is in sync") {
    Rig rig;
    rig.reconciler.set_in_sync(false);
    const RouteSpec stale = canonical(blackhole_route(*Prefix::parse("10.244.9.0/26")));
    rig.routes.routes.emplace(stale.key, stale);
    (void)rig.reconciler.apply(kStart);
    CHECK(rig.routes.routes.contains(stale.key));
    rig.reconciler.set_in_sync(true);
    (void)rig.reconciler.apply(kStart);
    CHECK(rig.routes.routes.empty());
  }

  TEST_CASE("a route that was wanted and is not any more goes also before the sync") {
    FakeRouteKernel routes;
    FakeLinkKernel links;
    RouteReconciler reconciler(routes, links, {{kProtocolBlackhole}, ""});
    const RouteSpec leftover = canonical(blackhole_route(*Prefix::parse("10.244.9.0/26")));
    const RouteSpec route = canonical(blackhole_route(*Prefix::parse("10.244.1.0/26")));
    routes.routes.emplace(leftover.key, leftover);
    reconciler.set_desired(route);
    (void)reconciler.apply(kStart);
    REQUIRE(routes.routes.size() == 2);

    reconciler.remove_desired(route.key);
    CHECK(reconciler.apply(kStart).changes == 1);
    CHECK(routes.routes.contains(leftover.key));
    CHECK(!routes.routes.contains(route.key));
  }

  TEST_CASE("a gateway route that leaves the interface to the kernel is not written twice") {
    FakeRouteKernel routes;
    FakeLinkKernel links;
    RouteReconciler reconciler(routes, links, {{kProtocolBgp}, "mgy", 512});
    reconciler.set_in_sync(true);
    const RouteSpec route =
        route_via(*Prefix::parse("10.244.2.0/26"), {*IpAddr::parse("192.0.2.1")}, kProtocolBgp);
    reconciler.set_desired(route);
    (void)reconciler.apply(kStart);
    // The kernel answers with the interface it chose.
    routes.routes.at(route.key).next_hops[0].ifindex = IfIndex(7);
    reconciler.resync();
    const unsigned writes = routes.writes;
    CHECK(reconciler.apply(kStart).clean());
    CHECK(routes.writes == writes);
  }

  TEST_CASE("whichever call fails, the end is the same after the retries") {
    for (unsigned fail_at = 1; fail_at <= 12; ++fail_at) {
      CAPTURE(fail_at);
      Rig rig;
      rig.links.add_link("mgy1");
      const RouteSpec stale = canonical(blackhole_route(*Prefix::parse("10.244.9.0/26")));
      rig.routes.routes.emplace(stale.key, stale);
      rig.reconciler.set_desired(pod_route("10.244.0.1", "mgy1"));
      rig.reconciler.set_desired(pod_route("10.244.0.2", "mgy1"));
      rig.reconciler.set_desired(blackhole_route(*Prefix::parse("10.244.0.0/26")));
      rig.routes.failures.fail_call(fail_at);

      TimePoint now = kStart;
      for (int tries = 0; tries < 4 && !rig.reconciler.apply(now).clean(); ++tries) {
        now += seconds(31);
      }

      CHECK(rig.routes.routes.size() == 3);
      CHECK_FALSE(rig.routes.routes.contains(stale.key));
    }
  }
}

}  // namespace
}  // namespace margay::felix
