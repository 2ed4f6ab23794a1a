// Peers of a node that its own resources place: workloads of the node, and one behind a gateway.

#include "tests/functional/agent/world.h"
#include "tests/lab/wait.h"

#include <doctest/doctest.h>

#include <fstream>
#include <memory>
#include <string>

namespace margay::lab {
namespace {

using std::chrono::seconds;

constexpr auto kPeering = "169.254.0.179";
constexpr auto kFar = "198.51.100.1";

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

template <typename Holds>
bool becomes(const Holds& holds) {
  return wait_until(holds, seconds(30), std::chrono::milliseconds(100));
}

// margay-bgpd in a node or pod, with this configuration.
void start_bgpd(const Node& node, const std::string& yaml) {
  const std::filesystem::path file = node.dir() / "bgpd.yaml";
  std::ofstream(file) << yaml;
  const auto started = node.spawn("margay-bgpd", {"margay-bgpd", "--config", file.string()});
  REQUIRE_MESSAGE(started, (started ? "" : started.error().text));
}

std::string routes(const Node& node, const std::string& what) {
  return node.shell("ip route show " + what).out;
}

std::string workload_peer(const std::string& selector) {
  return "apiVersion: projectcalico.org/v3\nkind: BGPPeer\nmetadata: {name: nested}\n"
         "spec: {localWorkloadSelector: \"" +
         selector + "\", asNumber: 65401}\n";
}

}  // namespace

TEST_SUITE("functional.agent.bgp_peers") {
  TEST_CASE("a workload that is selected tells its routes to its node, and no other may") {
    const auto cluster = make_pair("ft-bgp-peers");
    const Node& node = cluster->lab().node("node1");
    REQUIRE(cluster->add_server(
                "node1", {.name = "speaker", .labels = {{"role", "bgp"}}}, {{"tcp", 80}}) == "");
    const std::string address = cluster->lab().pod("speaker").address;
    start_bgpd(cluster->lab().node("speaker"),
               "router: {asn: 65401, id: 10.9.9.9, listen: [\"127.0.0.1:179\"]}\n"
               "peers:\n  - {address: 169.254.0.179, asn: 64512, import: accept, export: accept, "
               "hold_time_s: 9}\n"
               "networks: [10.123.0.0/26]\ncontrol: \"\"\n");
    REQUIRE(
        cluster->apply(std::string("apiVersion: projectcalico.org/v3\nkind: BGPConfiguration\n"
                                   "metadata: {name: default}\nspec: {localWorkloadPeeringIPV4: ") +
                       kPeering + "}\n") == "");
    const std::string port = std::string(kPeering) + ":179";
    CHECK_FALSE(cluster->connects("speaker", port));

    REQUIRE(cluster->apply(workload_peer("role == 'bgp'")) == "");
    const auto learnt = [&] { return routes(node, "10.123.0.0/26 proto 91"); };
    CHECK_MESSAGE(becomes([&] { return contains(learnt(), "via " + address + " dev mgy"); }),
                  learnt(),
                  cluster->ctl({"bgp", "peers"}).out,
                  routes(node, "table local proto 93"),
                  node.read_log("margayd"),
                  cluster->lab().node("speaker").read_log("margay-bgpd"));
    const std::string peers = cluster->ctl({"bgp", "peers", "-o", "json"}).out;
    CHECK_MESSAGE(contains(peers, "nested-default.speaker-" + address), peers);
    CHECK(contains(routes(node, "table local proto 93"), kPeering));

    MESSAGE("the node's address and port are open to that workload alone");
    CHECK_FALSE(cluster->connects("near", port));
    REQUIRE(cluster->add_server(
                "node1", {.name = "second", .labels = {{"role", "bgp"}}}, {{"tcp", 80}}) == "");
    CHECK(becomes([&] { return cluster->connects("second", port); }));
    CHECK_FALSE(cluster->connects("near", port));

    MESSAGE("everything goes with the last peer");
    REQUIRE(cluster->apply(workload_peer("role == 'none'")) == "");
    CHECK(becomes([&] { return learnt().empty(); }));
    CHECK(becomes([&] { return routes(node, "table local proto 93").empty(); }));
    CHECK(becomes([&] { return !cluster->connects("second", port); }));

    MESSAGE("and a workload that is removed takes its session and routes along");
    REQUIRE(cluster->apply(workload_peer("role == 'bgp'")) == "");
    REQUIRE(becomes([&] { return !learnt().empty(); }));
    REQUIRE(cluster->lab().remove_pod("speaker"));
    CHECK(becomes([&] { return learnt().empty(); }));
  }

  TEST_CASE("a peer behind a gateway has a route of its own, for as long as it is wanted") {
    const auto cluster = make_pair("ft-bgp-peers");
    const Node& node = cluster->lab().node("node1");
    const Node& gateway = cluster->lab().node("node2");
    REQUIRE(gateway.exec({"ip", "addr", "add", std::string(kFar) + "/32", "dev", "lo"}).ok());
    start_bgpd(gateway,
               "router: {asn: 65009, id: 198.51.100.1, listen: [\"198.51.100.1:179\"]}\n"
               "peers:\n  - {address: 192.0.2.1, asn: 64512, import: accept, export: accept, "
               "hold_time_s: 9, local_address: 198.51.100.1}\n"
               "networks: [10.99.0.0/24]\ncontrol: \"\"\n");
    const std::string peer =
        "apiVersion: projectcalico.org/v3\nkind: BGPPeer\nmetadata: {name: far-router}\n"
        "spec: {node: node1, peerIP: 198.51.100.1, asNumber: 65009, reachableBy: 192.0.2.2}\n";
    REQUIRE(cluster->apply(peer) == "");
    CHECK_MESSAGE(becomes([&] { return !routes(node, "10.99.0.0/24 proto 91").empty(); }),
                  cluster->ctl({"bgp", "peers"}).out,
                  node.read_log("margayd"));
    CHECK(contains(routes(node, "proto 93"), "198.51.100.1 via 192.0.2.2"));
    REQUIRE(node.exec({"ip", "route", "del", kFar}).ok());
    CHECK(becomes([&] { return contains(routes(node, "proto 93"), kFar); }));  // put back

    REQUIRE(cluster->remove(peer) == "");
    CHECK(becomes([&] { return routes(node, "proto 93").empty(); }));
    CHECK(becomes([&] { return routes(node, "10.99.0.0/24 proto 91").empty(); }));
  }
}

}  // namespace margay::lab
