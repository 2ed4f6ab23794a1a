// What BIRD 2.0.12 said on its control socket, recorded in tests/golden/bird/replies, and what is
// made of it. The recording: three peers, one of another AS; the session "peer-e" rejects
// 10.50.0.0/16.

#include "bgp/bird/reply.h"
#include "bgp/bird/routes.h"
#include "bgp/bird/sessions.h"
#include "bgp/bird/table.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <string>

namespace margay::bgp::bird {
namespace {

std::string recorded(const std::string& name) {
  std::ifstream file(std::string(MARGAY_SOURCE_DIR) + "/tests/golden/bird/replies/" + name +
                     ".reply");
  REQUIRE(file);
  return {std::istreambuf_iterator<char>(file), {}};
}

Reply reply(const std::string& name) {
  ReplyReader reader;
  REQUIRE(reader.feed(recorded(name)));
  return reader.take();
}

Prefix net(const char* text) {
  return *Prefix::parse(text);
}

const ListedRoute& route(const std::vector<ListedRoute>& table, const char* prefix) {
  const auto found = std::ranges::find(table, net(prefix), &ListedRoute::prefix);
  REQUIRE(found != table.end());
  return *found;
}

// The peers of the recording.
PathSources sources() {
  PathSources out;
  out["peer-mesh-node-2.x-v4"] = {PeerId(1), false, RouterId(0x0A000002), IpAddr::v4(0x7F000002)};
  out["peer-c"] = {PeerId(2), false, RouterId(0x0A000003), IpAddr::v4(0x7F000003)};
  out["peer-e"] = {PeerId(3), true, RouterId(0x0A000004), IpAddr::v4(0x7F000004)};
  return out;
}

const RouteView& view(const std::vector<RouteView>& all, const char* prefix) {
  const auto found = std::ranges::find(all, net(prefix), &RouteView::prefix);
  REQUIRE(found != all.end());
  return *found;
}

}  // namespace

TEST_SUITE("bgp.bird.replies") {
  TEST_CASE("an answer is the same however its bytes come, and ends at its last line") {
    const std::string text = recorded("routes");
    const Reply whole = reply("routes");
    ReplyReader reader;
    for (std::size_t i = 0; i < text.size(); ++i) {
      CHECK(reader.feed(text.substr(i, 1)) == (i + 1 == text.size()));
    }
    CHECK(reader.take().lines == whole.lines);
  }

  TEST_CASE("what is no answer breaks the connection") {
    for (const char* text :
         {"HTTP/1.1 400 Bad Request\n", "12\n", " before any code\n", "0013x\n"}) {
      CAPTURE(text);
      ReplyReader reader;
      CHECK_FALSE(reader.feed(text));
      CHECK(reader.broken());
    }
  }

  TEST_CASE("taken, refused and misunderstood commands are told apart") {
    CHECK_FALSE(reply("configured").failed());
    CHECK(reply("configured").code() == 3);
    CHECK(reply("refused").failed());
    CHECK(reply("refused").failure() ==
          "/run/margay/bird.conf.new:1:38 syntax error, unexpected CF_SYM_UNDEFINED");
    CHECK(reply("misunderstood").failed());
    CHECK(reply("digest").lines.back().text == "0123456789abcdef");
  }

  TEST_CASE("the daemon's state") {
    CHECK(read_status(reply("status")).version == "2.0.12");
    CHECK_FALSE(read_status(reply("status")).recovering);
    CHECK(read_status(reply("status-recovering")).recovering);
  }

  TEST_CASE("sessions with their state, time, numbers and what the peer can do") {
    const Protocols found = read_protocols(reply("protocols"));
    REQUIRE(found.sessions.size() == 3);
    const Session& session = found.sessions[0];
    CHECK(session.protocol == "peer-mesh-node-2.x-v4");
    CHECK(session.state == PeerState::kEstablished);
    CHECK(session.router_id == RouterId(0x0A000002));
    CHECK(session.local_address == "127.0.0.1");
    CHECK(session.hold_time == std::chrono::seconds(90));
    CHECK(session.counts.received() == 4);
    CHECK(session.counts.accepted() == 4);
    CHECK(session.counts.advertised() == 1);
    CHECK(session.capabilities ==
          std::vector<std::string>{"multiprotocol ipv4-unicast ipv6-unicast",
                                   "route-refresh",
                                   "graceful-restart 120 s ipv4-unicast ipv6-unicast",
                                   "4-octet-as-numbers",
                                   "enhanced-refresh",
                                   "long-lived-graceful-restart"});
    CHECK(found.sessions[2].protocol == "peer-e");
    CHECK(found.sessions[2].counts.received() == found.sessions[2].counts.accepted() + 1);
    CHECK_FALSE(session.no_listener);
    const auto since = std::chrono::system_clock::to_time_t(session.since);
    CHECK(since > 1'700'000'000);
  }

  TEST_CASE("a session that is down says why, and one that cannot listen is known") {
    ReplyReader reader;
    REQUIRE(reader.feed(
        "1002-peer-c     BGP        ---        start  2026-11-22 03:20:01.655  Active        "
        "Socket: Connection refused\n"
        "1006-  Description:    mesh\n   BGP state:          Active\n"
        "     Last error:       Socket: Connection refused\n \n"
        "1002-peer-e     BGP        ---        down   2026-11-22 03:20:01.655  Error: No listening "
        "socket\n1006-  BGP state:          Down\n \n0000 \n"));
    const Protocols found = read_protocols(reader.take());
    REQUIRE(found.sessions.size() == 2);
    CHECK(found.sessions[0].state == PeerState::kActive);
    CHECK(found.sessions[0].last_error == "Socket: Connection refused");
    CHECK(found.sessions[1].state == PeerState::kIdle);
    CHECK(found.sessions[1].no_listener);
  }

  TEST_CASE("counters that move are seen, timers that run are not") {
    std::string text = recorded("protocols");
    const auto fingerprint = [](const std::string& from) {
      ReplyReader reader;
      REQUIRE(reader.feed(from));
      return read_protocols(reader.take()).fingerprint;
    };
    const std::string before = fingerprint(text);
    const auto replace = [&text](const std::string& what, const std::string& with) {
      const auto at = text.find(what);
      REQUIRE(at != std::string::npos);
      text.replace(at, what.size(), with);
    };
    replace("Hold timer:       80.", "Hold timer:       79.");
    CHECK(fingerprint(text) == before);
    replace("Import updates:              3", "Import updates:              4");
    CHECK(fingerprint(text) != before);
  }

  TEST_CASE("routes with all their paths and attributes") {
    const std::vector<ListedRoute> table = read_routes(reply("routes"));
    REQUIRE(table.size() == 8);
    const ListedRoute& shared = route(table, "10.244.2.0/26");
    REQUIRE(shared.paths.size() == 3);
    const ListedPath& best = shared.paths[0];
    CHECK(best.best);
    CHECK(best.from_peer);
    CHECK(best.protocol == "peer-mesh-node-2.x-v4");
    CHECK(best.attributes.as_path.str() == "65009");
    CHECK(best.attributes.next_hop.address.str() == "127.0.0.2");
    CHECK(best.attributes.med == 20);
    CHECK(best.attributes.local_pref == 100);
    CHECK(best.attributes.has(kGracefulShutdown));
    CHECK(best.attributes.large_communities == std::vector<LargeCommunity>{{65001, 77, 88}});
    CHECK_FALSE(shared.paths[1].best);
    CHECK(shared.paths[2].attributes.as_path.str() == "64999 65009");
    const ListedRoute& own = route(table, "10.244.1.0/26");
    REQUIRE(own.paths.size() == 1);
    CHECK_FALSE(own.paths[0].from_peer);
    CHECK(route(table, "fd00:4::/64").paths[0].attributes.next_hop.address.str() == "fd01::2");
  }

  TEST_CASE("lists that go on in the next line, sets, and next hops that do not work are read") {
    ReplyReader reader;
    REQUIRE(
        reader.feed("1007-Table master4:\n"
                    " 10.1.0.0/16          unreachable [peer-a 2026-11-22 03:20:05.461 from "
                    "fd00::1] * s (100/-) "
                    "[AS1e]\n"
                    "1008-\tType: BGP univ\n"
                    "1012-\tBGP.origin: EGP\n \tBGP.as_path: 1 2 {4 3}\n"
                    " \tBGP.next_hop: fd00::1 fe80::1\n \tBGP.originator_id: 10.0.0.9\n"
                    " \tBGP.cluster_list: 10.0.0.7 10.0.0.8\n"
                    " \tBGP.community: (1,1) (1,2)\n \t\t(1,3)\n \tunknown.attribute: x\n0000 \n"));
    const std::vector<ListedRoute> table = read_routes(reader.take());
    REQUIRE(table.size() == 1);
    const ListedPath& path = table[0].paths.at(0);
    CHECK(path.best);
    CHECK(path.stale);
    CHECK(path.unreachable);
    CHECK(path.attributes.origin == Origin::kEgp);
    CHECK(path.attributes.as_path.str() == "1 2 {3,4}");
    CHECK(path.attributes.next_hop.link_local->str() == "fe80::1");
    CHECK(path.attributes.originator_id == RouterId(0x0A000009));
    CHECK(path.attributes.cluster_list.size() == 2);
    CHECK(path.attributes.communities.size() == 3);
  }

  TEST_CASE("a table cut off at any byte, or with bytes missing, is no reason to fall") {
    const std::string text = recorded("routes");
    for (std::size_t length = 0; length < text.size(); length += 7) {
      ReplyReader reader;
      if (!reader.feed(text.substr(0, length) + text.substr(std::min(length + 5, text.size())))) {
        (void)reader.feed("\n0000 \n");
      }
      (void)read_routes(reader.take());
    }
  }

  TEST_CASE("views say who is best, who is used beside it, and why the others lost") {
    const auto views =
        route_views(read_routes(reply("routes")), read_routes(reply("filtered")), sources());
    const RouteView& shared = view(views, "10.244.3.0/26");
    REQUIRE(shared.paths.size() == 3);
    CHECK(shared.paths[0].best);
    CHECK(shared.paths[0].peer == PeerId(1));
    CHECK(shared.paths[0].multipath);
    CHECK(shared.paths[1].peer == PeerId(2));
    CHECK(shared.paths[1].multipath);
    CHECK(shared.paths[1].lost_at == DecisionStep::kRouterId);
    CHECK(shared.paths[2].lost_at == DecisionStep::kAsPathLength);
    const RouteView& rejected = view(views, "10.50.0.0/16");
    CHECK(rejected.paths.back().rejected == kFiltered);
    CHECK(view(views, "10.244.1.0/26").paths[0].peer == kLocalPeer);
  }

  TEST_CASE("the kernel gets learnt routes with all equal next hops, and none of our own") {
    const NextHops hops = next_hops(route_views(read_routes(reply("routes")), {}, sources()), 16);
    CHECK_FALSE(hops.contains(net("10.244.1.0/26")));
    REQUIRE(hops.contains(net("10.244.3.0/26")));
    CHECK(hops.at(net("10.244.3.0/26")).size() == 2);
    CHECK(hops.at(net("10.9.0.0/16")).size() == 1);
    CHECK(next_hops(route_views(read_routes(reply("routes")), {}, sources()), 1)
              .at(net("10.244.3.0/26"))
              .size() == 1);
  }

  TEST_CASE("where BIRD prefers another path than we would, its choice stands alone") {
    std::vector<ListedRoute> table = read_routes(reply("routes"));
    for (ListedRoute& one : table) {
      if (one.prefix == net("10.244.3.0/26")) {
        one.paths[0].best = false;
        one.paths[2].best = true;
      }
    }
    const NextHops hops = next_hops(route_views(table, {}, sources()), 16);
    REQUIRE(hops.at(net("10.244.3.0/26")).size() == 1);
    CHECK(hops.at(net("10.244.3.0/26"))[0].address.str() == "127.0.0.4");
  }

  TEST_CASE("changes are what differs, and nothing is taken away while BIRD recovers") {
    const NextHop one{IpAddr::v4(1), {}};
    const NextHop two{IpAddr::v4(2), {}};
    const NextHops before{{net("10.0.0.0/8"), {one}}, {net("10.1.0.0/16"), {one}}};
    const NextHops after{{net("10.0.0.0/8"), {two}}, {net("10.2.0.0/16"), {one}}};
    CHECK(changes(before, after) == std::vector<FibChange>{{net("10.0.0.0/8"), {two}},
                                                           {net("10.1.0.0/16"), {}},
                                                           {net("10.2.0.0/16"), {one}}});
    CHECK(changes(before, held(before, after)) ==
          std::vector<FibChange>{{net("10.0.0.0/8"), {two}}, {net("10.2.0.0/16"), {one}}});
    const NextHops both{{net("10.0.0.0/8"), {one, two}}};
    CHECK(held(both, {{net("10.0.0.0/8"), {two}}}) == both);
  }

  TEST_CASE("BFD sessions by address") {
    CHECK(read_bfd(reply("bfd")) == std::map<std::string, std::string>{{"127.0.0.2", "Init"}});
  }

  TEST_CASE("what peers said and were told") {
    const auto said = plain_views(read_routes(reply("import")), sources());
    REQUIRE(said.size() == 3);
    CHECK(said[0].paths[0].peer == PeerId(3));
    const auto told = plain_views(read_routes(reply("export")), sources());
    CHECK(std::ranges::find(told, net("10.244.1.0/26"), &RouteView::prefix) != told.end());
  }
}

}  // namespace margay::bgp::bird
