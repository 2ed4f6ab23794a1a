#include "tests/functional/agent/world.h"
#include "tests/lab/wait.h"

#include <doctest/doctest.h>

#include <cstdio>
#include <fcntl.h>

// What an agent needs may come late or go away for a while.

namespace margay::lab {
namespace {

using std::chrono::seconds;
namespace fs = std::filesystem;

bool can_reach(Cluster& cluster) {
  return cluster.connects("near", cluster.lab().pod("far").address + ":80", "tcp", seconds(1));
}

// What the agents have to say when something did not work out.
std::string story(Cluster& cluster) {
  std::string text;
  for (const char* node : {"node1", "node2"}) {
    text += fmt::format("{}:\n{}{}",
                        node,
                        cluster.lab().node(node).read_log("margayd"),
                        cluster.ctl_on(node, {"bgp", "peers"}).out);
    text += cluster.lab().node(node).exec({"ip", "route"}).out;
  }
  return text;
}

}  // namespace

TEST_SUITE("functional.agent.outage") {
  TEST_CASE(
      "an agent that starts before its store, its peer and its interface converges when they "
      "come") {
    const auto cluster = make_cluster("pair", "ft-early", false);
    // What the topology put into the store is not there yet.
    const fs::path store = cluster->lab().dir() / "store/db";
    const fs::path hidden = cluster->lab().dir() / "store/hidden";
    fs::rename(store, hidden);
    Node& node1 = cluster->lab().node("node1");
    REQUIRE(node1.shell("ip addr flush dev eth1; ip link set eth1 down").ok());
    REQUIRE(node1.start());
    REQUIRE_MESSAGE(cluster->wait_ready("node1"),
                    node1.read_log("margayd"));  // with an empty store of its own

    // The store comes, as if it were mounted over what was there.
    REQUIRE(::renameat2(AT_FDCWD, hidden.c_str(), AT_FDCWD, store.c_str(), RENAME_EXCHANGE) == 0);
    REQUIRE(node1.running());
    REQUIRE_MESSAGE(cluster->wait_ready("node1"), node1.read_log("margayd"));
    // The interface comes, then the peer.
    REQUIRE(node1.shell("ip link set eth1 up; ip addr add 192.0.2.1/30 dev eth1").ok());
    REQUIRE(cluster->lab().node("node2").start());
    REQUIRE_MESSAGE(cluster->wait_ready("node2"), cluster->lab().node("node2").read_log("margayd"));
    REQUIRE(cluster->add_server("node1", {.name = "near"}, {{"tcp", 80}}) == "");
    REQUIRE(cluster->add_server("node2", {.name = "far"}, {{"tcp", 80}}) == "");
    CHECK_MESSAGE(wait_until([&] { return can_reach(*cluster); }, seconds(60)), story(*cluster));
    CHECK(cluster->all_sessions_up("node1"));
  }

  TEST_CASE("a peer that lost power is back at once, not when the next keepalive finds out") {
    const auto cluster = make_pair("ft-power");
    REQUIRE(wait_until([&] { return cluster->all_sessions_up("node1"); }, seconds(60)));
    Node& node2 = cluster->lab().node("node2");
    const auto established = [&] {
      return cluster->ctl({"bgp", "peers"}).out.find("Established") != std::string::npos;
    };
    // It dies without a word: what its kernel says about the end of its connections is lost.
    REQUIRE(node2
                .shell("sysctl -qw net.ipv4.tcp_orphan_retries=1 && nft 'add table inet power; add "
                       "chain inet power out { type filter hook output priority 0; }; add rule "
                       "inet power out tcp flags & (fin | rst) != 0 drop'")
                .ok());
    REQUIRE(node2.kill());
    REQUIRE(
        wait_until([&] { return node2.shell("ss -Htan 'dport = 179 or sport = 179'").out.empty(); },
                   seconds(30)));
    REQUIRE(established());  // as far as node1 can know
    REQUIRE(node2.shell("nft delete table inet power").ok());
    const auto begun = std::chrono::steady_clock::now();
    REQUIRE(node2.start());
    CHECK(wait_until([&] { return cluster->all_sessions_up("node2"); }, seconds(60)));
    CHECK_MESSAGE(std::chrono::steady_clock::now() - begun < seconds(10), story(*cluster));
    CHECK(wait_until([&] { return can_reach(*cluster); }, seconds(20)));
  }

  TEST_CASE(
      "while the store is gone for 30 s traffic and policy go on, and what changed meanwhile "
      "arrives after") {
    const auto cluster = make_pair("ft-gone");
    const std::string target = cluster->lab().pod("far").address + ":80";
    REQUIRE(cluster->apply(admit("far-admits-near", "far", "near")) == "");
    REQUIRE(wait_until([&] { return !cluster->connects("node1", target); }, seconds(10)));
    const auto stream = cluster->start_stream("near", target, "stream", {"--rate=1000"});
    REQUIRE(stream);

    const fs::path store = cluster->lab().dir() / "store/db";
    const fs::path away = cluster->lab().dir() / "store/away";
    fs::rename(store, away);
    const auto gone_until = std::chrono::steady_clock::now() + seconds(30);
    bool policy_held = true;
    bool traffic_held = true;
    while (std::chrono::steady_clock::now() < gone_until) {
      policy_held = policy_held && !cluster->connects("node1", target);
      traffic_held = traffic_held && can_reach(*cluster);
    }
    CHECK(policy_held);
    CHECK_MESSAGE(traffic_held, story(*cluster));
    // A change made while the store is not where the agents look for it.
    const ExecResult changed =
        cluster->lab().node("node1").exec({"margayctl",
                                           "--datastore",
                                           "sqlite:///var/lib/margay/store/away/margay.db",
                                           "apply",
                                           "-f",
                                           "-"},
                                          {.input = admit("far-admits-near", "far", "nobody")});
    REQUIRE_MESSAGE(changed.ok(), changed.err << story(*cluster));
    REQUIRE(!fs::exists(store));  // nobody made an empty one in its place
    fs::rename(away, store);
    CHECK(wait_until([&] { return !can_reach(*cluster); }, seconds(30)));
    const auto report = cluster->end_stream("near", "stream", *stream);
    REQUIRE(report);
    CHECK(report->lost == 0);  // established before the change: it goes on
  }
}

}  // namespace margay::lab
