#include "felix/calc/bgp_inputs.h"

#include "tests/support/resources.h"

#include <doctest/doctest.h>

#include <algorithm>

namespace margay::felix {
namespace {

using test::resource;

class World {
 public:
  World& add(const std::string& yaml) {
    state_.set(*resource(yaml));
    return *this;
  }
  World& node(const std::string& name, const std::string& bgp, const std::string& labels = "") {
    return add("{apiVersion: projectcalico.org/v3, kind: Node, metadata: {name: " + name +
               ", labels: {" + labels + "}}, spec: {bgp: {" + bgp + "}}}");
  }
  World& config(const std::string& spec) {
    return add(
        "{apiVersion: projectcalico.org/v3, kind: BGPConfiguration, metadata: {name: default}, "
        "spec: {" +
        spec + "}}");
  }
  World& peer(const std::string& name, const std::string& spec) {
    return add("{apiVersion: projectcalico.org/v3, kind: BGPPeer, metadata: {name: " + name +
               "}, spec: {" + spec + "}}");
  }
  World& block(const std::string& node,
               const std::string& cidr,
               const std::string& state = "confirmed") {
    return add("{apiVersion: projectcalico.org/v3, kind: BlockAffinity, metadata: {name: " + node +
               "-" + std::to_string(blocks_++) + "}, spec: {node: " + node + ", state: " + state +
               ", cidr: " + cidr + "}}");
  }
  [[nodiscard]] BgpInputs of(const std::string& node, const std::set<IpAddr>& local = {}) const {
    std::map<IpAddr, IfName> routes;
    for (const IpAddr& addr : local) {
      routes.emplace(addr, *IfName::parse("mgy1"));
    }
    return state_.compute(*NodeName::parse(node), routes);
  }

 private:
  BgpState state_;
  unsigned blocks_ = 0;
};

std::vector<std::string> names(const BgpInputs& inputs) {
  std::vector<std::string> out;
  for (const BgpPeerInput& peer : inputs.peers) {
    out.push_back(peer.name);
  }
  return out;
}

TEST_SUITE("felix.calc.bgp") {
  TEST_CASE("the mesh is every other node with an address of the same family") {
    World world;
    world.node("n1", "ipv4Address: 192.0.2.1/24, ipv6Address: '2001:db8::1/64'")
        .node("n2", "ipv4Address: 192.0.2.2/24");
    world.node("n3", "ipv4Address: 192.0.2.3/24, ipv6Address: '2001:db8::3/64', asNumber: 65003");
    const BgpInputs inputs = world.of("n1");
    CHECK(names(inputs) == std::vector<std::string>{"mesh-n2-v4", "mesh-n3-v4", "mesh-n3-v6"});
    CHECK(inputs.asn == Asn(64512));
    CHECK(inputs.router_id == RouterId(0xc0000201));
    CHECK(inputs.peers[1].asn == Asn(65003));
    CHECK(inputs.peers[0].source == IpAddr::v4(0xc0000201));
  }

  TEST_CASE("without the mesh, or as a reflector, there are only the configured peers") {
    World world;
    world.node("n1", "ipv4Address: 192.0.2.1/24").node("n2", "ipv4Address: 192.0.2.2/24");
    world.config("nodeToNodeMeshEnabled: false, asNumber: 65001");
    CHECK(world.of("n1").peers.empty());
    CHECK(world.of("n1").asn == Asn(65001));
    World reflected;
    reflected.node("n1", "ipv4Address: 192.0.2.1/24, routeReflectorClusterID: 1.0.0.1")
        .node("n2", "ipv4Address: 192.0.2.2/24");
    CHECK(reflected.of("n1").peers.empty());
    CHECK(reflected.of("n2").peers.empty());
  }

  TEST_CASE("a peer is for the node it names, or those its selector matches, or all") {
    World world;
    world.node("n1", "ipv4Address: 192.0.2.1/24", "rack: '1'")
        .node("n2", "ipv4Address: 192.0.2.2/24", "rack: '2'");
    world.config("nodeToNodeMeshEnabled: false");
    world.peer("named", "node: n1, peerIP: 198.51.100.1, asNumber: 65000");
    world.peer("rack2", "nodeSelector: rack == '2', peerIP: '198.51.100.2:1790', asNumber: 65000");
    world.peer("all", "peerIP: '2001:db8::9', asNumber: 65000");
    CHECK(names(world.of("n1")) == std::vector<std::string>{"all", "named"});
    CHECK(names(world.of("n2")) == std::vector<std::string>{"all", "rack2"});
    CHECK(world.of("n2").peers[1].port == 1790);
  }

  TEST_CASE("a peer selector makes sessions on both sides, and a reflector has clients") {
    World world;
    world.node("rr", "ipv4Address: 192.0.2.9/24, routeReflectorClusterID: 1.0.0.1", "role: rr")
        .node("n1", "ipv4Address: 192.0.2.1/24");
    world.config("nodeToNodeMeshEnabled: false");
    world.peer("to-rr", "nodeSelector: '!has(role)', peerSelector: role == 'rr'");
    const BgpInputs client = world.of("n1");
    const BgpInputs reflector = world.of("rr");
    REQUIRE(client.peers.size() == 1);
    REQUIRE(reflector.peers.size() == 1);
    CHECK(client.peers[0].address.str() == "192.0.2.9");
    CHECK_FALSE(client.peers[0].reflector_client);
    CHECK(reflector.peers[0].address.str() == "192.0.2.1");
    CHECK(reflector.peers[0].reflector_client);
  }

  TEST_CASE("originated are confirmed blocks of exported pools, and borrowed addresses") {
    World world;
    world.node("n1", "ipv4Address: 192.0.2.1/24");
    world.block("n1", "10.244.0.0/26")
        .block("n1", "10.244.0.64/26", "pending")
        .block("n2", "10.244.1.0/26")
        .block("n1", "10.9.0.0/26");
    world.add(
        "{apiVersion: projectcalico.org/v3, kind: IPPool, metadata: {name: hidden}, spec: {cidr: "
        "10.9.0.0/16, disableBGPExport: true}}");
    const BgpInputs inputs =
        world.of("n1", {IpAddr::v4(0x0af40001), IpAddr::v4(0x0af40107), IpAddr::v4(0x0a090001)});
    CHECK(inputs.originated ==
          std::vector<Prefix>{*Prefix::parse("10.244.0.0/26"), *Prefix::parse("10.244.1.7/32")});
  }

  TEST_CASE("a node without an object or without an address has no BGP") {
    World world;
    CHECK_FALSE(world.of("n1").enabled);
    world.node("n1", "asNumber: 65001");
    CHECK_FALSE(world.of("n1").enabled);
  }
}

}  // namespace
}  // namespace margay::felix
