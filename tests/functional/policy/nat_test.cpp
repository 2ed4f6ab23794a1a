// Translation by real packets. natOutgoing: what leaves the cluster has the node's address, nothing
// else has. Published ports: who reaches them, from where, as whom.

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

constexpr const char* kPublished = R"({"portMappings": [
    {"hostPort": 8080, "containerPort": 80, "protocol": "tcp"},
    {"hostPort": 8053, "containerPort": 80, "protocol": "udp"},
    {"hostPort": 8081, "containerPort": 81, "protocol": "tcp", "hostIP": "198.51.100.1"}]})";

PodSpec publishing(const std::string& name) {
  PodSpec spec;
  spec.name = name;
  spec.ns = "x";
  spec.labels = {{"pod", name}};
  spec.ipv6 = true;
  spec.runtime_config = kPublished;
  return spec;
}

// From a port of its own, so that tracked connections are the same as before.
bool datagrams_pass(const Node& from, const std::string& source, const std::string& target) {
  return from
      .exec({"margay-probe",
             "connect",
             "--protocol=udp",
             "--timeout=400ms",
             "--source=" + source,
             target})
      .ok();
}

}  // namespace

TEST_SUITE("functional.nat") {
  TEST_CASE("published ports lead to the workload from everywhere, with the source as it was") {
    const auto cluster = make_policy_cluster();
    Lab& lab = cluster->lab();
    const Node& node1 = lab.node("node1");
    const auto reaches = [&](const std::string& from, const std::string& target) {
      return cluster->connects(from, target);
    };
    REQUIRE(
        node1.spawn("private", {"margay-probe", "serve", "--bind", "127.0.0.1", "--tcp", "7777"}));
    // Tracked before the port is published, and kept alive.
    CHECK_FALSE(datagrams_pass(lab.node("outside"), "198.51.100.2:5000", "198.51.100.1:8053"));

    REQUIRE(cluster->add_server("node1", publishing("pub"), kServices) == "");
    const Node& pub = lab.node("pub");
    for (const char* from : {"outside", "node1", "node2", "xa", "xb", "pub"}) {
      CAPTURE(from);
      CHECK(reaches(from, "192.0.2.1:8080"));
      CHECK(reaches(from, "198.51.100.1:8081"));
      CHECK_FALSE(reaches(from, "192.0.2.1:8081"));
      CHECK(cluster->connects(from, "192.0.2.1:8053", "udp"));
    }
    for (const char* from : {"outside", "node1", "xa", "pub"}) {
      CAPTURE(from);
      CHECK(reaches(from, "[2001:db8:2::1]:8080"));
    }
    CHECK(reaches("node1", "127.0.0.1:8080"));
    CHECK(wait_until(
        [&] {
          return datagrams_pass(lab.node("outside"), "198.51.100.2:5000", "198.51.100.1:8053");
        },
        seconds(5)));

    // The source is who it is.
    answer_only(pub, "ip saddr 198.51.100.2 accept\nip6 saddr { 2001:db8:2::2, 2001:db8:2::3 }");
    CHECK(reaches("outside", "198.51.100.1:8080"));
    CHECK(reaches("outside", "[2001:db8:2::1]:8080"));
    CHECK_FALSE(reaches("node2", "192.0.2.1:8080"));
    REQUIRE(pub.exec({"nft", "delete", "table", "inet", "only"}).ok());

    // What is bound to the node's loopback stays the node's own.
    REQUIRE(
        pub.shell("sysctl -qw net.ipv4.conf.eth0.route_localnet=1 && ip route del table local "
                  "local 127.0.0.0/8 dev lo && ip route del table local local 127.0.0.1 dev lo; "
                  "ip route add 127.0.0.1 via 169.254.1.1 dev eth0 src " +
                  lab.pod("pub").address)
            .ok());
    REQUIRE(lab.node("node1").spawn(
        "open", {"margay-probe", "serve", "--bind", "198.51.100.1", "--tcp", "7778"}));
    REQUIRE(cluster->apply(felix("defaultEndpointToHostAction: Accept")) == "");
    CHECK(wait_until([&] { return reaches("pub", "198.51.100.1:7778"); }, seconds(10)));
    CHECK(reaches("node1", "127.0.0.1:7777"));
    CHECK_FALSE(reaches("pub", "127.0.0.1:7777"));
    // Its kernel may have dropped the answer: not even the first packet came in.
    const ExecResult tracked =
        node1.exec({"conntrack", "-L", "--src", lab.pod("pub").address, "--dst", "127.0.0.1"});
    CHECK(tracked.ok());
    CHECK(tracked.out == "");
  }

  TEST_CASE("a published port obeys policy, belongs to one workload, and goes with it") {
    const auto cluster = make_policy_cluster();
    Lab& lab = cluster->lab();
    REQUIRE(cluster->add_server("node1", publishing("pub"), kServices) == "");
    REQUIRE(cluster->connects("outside", "198.51.100.1:8080"));
    const auto second = lab.add_pod("node1", publishing("late"));
    REQUIRE_FALSE(second);
    CHECK(second.error().text.find("host port 8080/TCP belongs to WorkloadEndpoint x/") !=
          std::string::npos);
    REQUIRE(lab.add_pod("node2", publishing("late")));  // another node, another port 8080

    REQUIRE(lab.node("node1").kill());
    CHECK(cluster->connects("outside", "198.51.100.1:8080"));
    REQUIRE(lab.node("node1").start());
    REQUIRE(cluster->wait_ready("node1"));
    CHECK(cluster->connects("outside", "198.51.100.1:8080"));

    const std::string deny =
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: p, namespace: x}\n"
        "spec: {podSelector: {matchLabels: {pod: pub}}, policyTypes: [Ingress]}\n";
    REQUIRE(cluster->apply(deny) == "");
    CHECK(wait_until([&] { return !cluster->connects("outside", "198.51.100.1:8080"); },
                     seconds(10)));
    CHECK(cluster->connects("node1", "198.51.100.1:8080"));  // its own node
    REQUIRE(cluster->remove(deny) == "");
    CHECK(
        wait_until([&] { return cluster->connects("outside", "198.51.100.1:8080"); }, seconds(10)));

    REQUIRE(lab.remove_pod("pub"));
    CHECK_FALSE(cluster->connects("outside", "198.51.100.1:8080"));
    CHECK(wait_until(
        [&] { return lab.node("node1").shell("! nft list ruleset | grep -q -i publish").ok(); },
        seconds(10)));
  }

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
