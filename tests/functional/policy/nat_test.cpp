// natOutgoing by real packets: what leaves the cluster has the node's address, nothing else has.

#include "tests/functional/policy/policy_cluster.h"
#include "tests/lab/wait.h"

#include <doctest/doctest.h>

#include <chrono>
#include <string>

namespace margay::lab {
namespace {

using std::chrono::seconds;

std::string pools(const std::string& rest) {
  return "apiVersion: projectcalico.org/v3\nkind: IPPool\nmetadata: {name: pods}\n"
         "spec: {cidr: 10.244.0.0/16, blockSize: 26, " +
         rest +
         "}\n---\napiVersion: projectcalico.org/v3\nkind: IPPool\nmetadata: {name: pods6}\n"
         "spec: {cidr: 'fd00:10:244::/64', blockSize: 122, " +
         rest + "}\n---\n";
}
std::string felix(const std::string& spec) {
  return "apiVersion: projectcalico.org/v3\nkind: FelixConfiguration\nmetadata: {name: default}\n"
         "spec: {" +
         spec + "}\n---\n";
}

// The machine answers packets with this source alone (an nft match).
void answer_only(const Node& node, const std::string& match) {
  const ExecResult done = node.exec(
      {"nft",
       "table inet only\ndelete table inet only\ntable inet only {\nchain in { type filter hook "
       "input priority 0;\nct state established accept\nmeta l4proto { icmp, icmpv6 } accept\n" +
           match + " accept\ndrop\n}\n}\n"});
  REQUIRE_MESSAGE(done.ok(), done.err);
}

}  // namespace

TEST_SUITE("functional.nat") {
  TEST_CASE("natOutgoing masquerades what leaves the cluster, never what goes to pods or nodes") {
    const auto cluster = make_policy_cluster();
    for (const char* server : {"outside", "node2"}) {
      REQUIRE(cluster->lab().node(server).spawn(
          "serve", {"margay-probe", "serve", "--bind", "[::]", "--tcp", "8080"}));
    }
    const auto reaches = [&](const std::string& target) { return cluster->connects("xa", target); };
    const auto comes = [&](const std::string& target, bool passes) {
      return wait_until([&] { return reaches(target) == passes; }, seconds(10));
    };
    const Pod& far = cluster->lab().pod("xb");  // on node2
    REQUIRE(comes("198.51.100.2:8080", true));
    REQUIRE(comes("192.0.2.2:8080", true));
    const Node& outside = cluster->lab().node("outside");
    answer_only(outside, "ip saddr 198.51.100.1");
    CHECK(comes("198.51.100.2:8080", false));

    REQUIRE(cluster->apply(pools("natOutgoing: true")) == "");
    CHECK(comes("198.51.100.2:8080", true));
    answer_only(outside, "ip6 saddr 2001:db8:2::1");
    CHECK(comes("[2001:db8:2::2]:8080", true));

    // Pods and nodes see who it is.
    answer_only(cluster->lab().node("xb"),
                "ip saddr 10.244.0.0/16 accept\nip6 saddr fd00:10:244::/64");
    CHECK(reaches(far.address + ":80"));
    CHECK(reaches("[" + far.address6 + "]:80"));
    answer_only(cluster->lab().node("node2"), "ip saddr 10.244.0.0/16");
    CHECK(reaches("192.0.2.2:8080"));
    REQUIRE(cluster->apply(felix("natOutgoingExclusions: IPPoolsOnly")) == "");
    CHECK(comes("192.0.2.2:8080", false));
    CHECK(reaches(far.address + ":80"));

    // The ports of translated connections.
    REQUIRE(cluster->apply(felix("natPortRange: '40000:40099'")) == "");
    CHECK(comes("192.0.2.2:8080", true));
    answer_only(outside, "tcp sport 40000-40099");
    CHECK(comes("198.51.100.2:8080", true));

    REQUIRE(cluster->apply(pools("natOutgoing: false")) == "");
    answer_only(outside, "ip saddr 10.244.0.0/16");
    CHECK(comes("198.51.100.2:8080", true));
    CHECK(cluster->lab().node("node1").shell("! nft list ruleset | grep -q masquerade").ok());
  }
}

}  // namespace margay::lab
