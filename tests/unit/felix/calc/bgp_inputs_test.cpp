#include "felix/calc/bgp_inputs.h"

#include "felix/calc/calc_graph.h"
#include "tests/support/resources.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <fstream>
#include <iterator>

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
  [[nodiscard]] BgpInputs of(const std::string& node,
                             const std::set<IpAddr>& local = {},
                             const BgpWorkloads& workloads = {}) const {
    std::map<IpAddr, IfName> routes;
    for (const IpAddr& addr : local) {
      routes.emplace(addr, *IfName::parse("mgy1"));
    }
    return state_.compute(*NodeName::parse(node), routes, workloads);
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

  TEST_CASE(
      "nodes that a peer selector names have the session, too, but with reversePeering Manual") {
    for (const bool manual : {false, true}) {
      CAPTURE(manual);
      World world;
      world.node("rr", "ipv4Address: 192.0.2.9/24", "role: rr")
          .node("n1", "ipv4Address: 192.0.2.1/24");
      world.config("nodeToNodeMeshEnabled: false");
      world.peer("to-rr",
                 std::string("nodeSelector: '!has(role)', peerSelector: role == 'rr'") +
                     (manual ? ", reversePeering: Manual" : ""));
      CHECK(world.of("n1").peers.size() == 1);
      CHECK(world.of("rr").peers.size() == (manual ? 0 : 1));
    }
  }

  TEST_CASE("unnumbered peers are told apart by their interfaces, and have no source address") {
    World world;
    world.node("n1", "ipv4Address: 192.0.2.1/24");
    world.peer("a", "asNumber: 65001, margay: {interface: eth1, role: Customer}");
    world.peer("b", "margay: {interface: eth2, remoteAS: External, description: 'rack 7'}");
    world.peer("c", "peerIP: 'fe80::2', asNumber: 65001, margay: {interface: eth3}");
    world.peer("d", "peerIP: 198.51.100.1, asNumber: 65001, reachableBy: 192.0.2.254");
    const BgpInputs inputs = world.of("n1");
    REQUIRE(names(inputs) == std::vector<std::string>{"a", "b", "c", "d"});
    CHECK(inputs.peers[0].margay_peer.interface == "eth1");
    CHECK(inputs.peers[0].address.is_unspecified());
    CHECK_FALSE(inputs.peers[0].source);
    CHECK(inputs.peers[0].margay_peer.role == api::BgpRole::kCustomer);
    CHECK(inputs.peers[1].margay_peer.remote_as == api::RemoteAs::kExternal);
    CHECK(inputs.peers[2].address.str() == "fe80::2");
    CHECK(inputs.peers[3].reachable_by->str() == "192.0.2.254");
    CHECK_FALSE(inputs.peers[0].reachable_by);
  }

  TEST_CASE("workloads that a peer selects come over their own interface to the peering address") {
    World world;
    world.node("n1", "ipv4Address: 192.0.2.1/24").node("n2", "ipv4Address: 192.0.2.2/24");
    world.config("nodeToNodeMeshEnabled: false, localWorkloadPeeringIPV4: 169.254.0.179");
    world.peer("speakers", "node: n1, localWorkloadSelector: role == 'bgp', asNumber: 65401");
    const BgpWorkloads workloads{{"speakers",
                                  {{"default.w",
                                    *IfName::parse("mgy1"),
                                    {*IpAddr::parse("10.1.0.2"), *IpAddr::parse("fd00::2")}}}}};
    const BgpInputs inputs = world.of("n1", {}, workloads);
    REQUIRE(inputs.peers.size() == 1);  // there is no peering address for IPv6
    const BgpPeerInput& peer = inputs.peers[0];
    CHECK(peer.name == "speakers-default.w-10.1.0.2");
    CHECK(peer.address.str() == "10.1.0.2");
    CHECK(peer.asn == Asn(65401));
    CHECK(peer.source->str() == "169.254.0.179");
    CHECK(peer.arrives_on == *IfName::parse("mgy1"));
    CHECK(inputs.peering_addresses == std::vector{*IpAddr::parse("169.254.0.179")});
    CHECK(world.of("n2", {}, workloads).peers.empty());
    CHECK(world.of("n1").peering_addresses.empty());
  }

  TEST_CASE("a workload is a peer while its labels, also inherited ones, match, and it is here") {
    CalcGraph graph(*NodeName::parse("n1"));
    const auto add = [&graph](const std::string& yaml) { graph.on_object(resource(yaml)); };
    const auto workload = [](const std::string& node) {
      return "{apiVersion: projectcalico.org/v3, kind: WorkloadEndpoint, metadata: {name: w, "
             "namespace: prod, labels: {role: bgp}}, spec: {orchestrator: cni, workload: w, "
             "node: " +
             node +
             ", containerID: c, pod: w, endpoint: eth0, ipNetworks: [10.1.0.2/32], "
             "interfaceName: mgy1}}";
    };
    const auto ns = [](const std::string& tenant) {
      return "{apiVersion: v1, kind: Namespace, metadata: {name: prod, labels: {tenant: " + tenant +
             "}}}";
    };
    // The peers of the last change; nothing when they did not change.
    const auto peers = [&graph]() -> std::optional<std::vector<std::string>> {
      const CalcChanges changes = graph.take_changes();
      return changes.bgp ? std::optional(names(*changes.bgp)) : std::nullopt;
    };
    using Names = std::vector<std::string>;
    add("{apiVersion: projectcalico.org/v3, kind: Node, metadata: {name: n1}, spec: {bgp: "
        "{ipv4Address: 192.0.2.1/24}}}");
    add("{apiVersion: projectcalico.org/v3, kind: BGPConfiguration, metadata: {name: default}, "
        "spec: {localWorkloadPeeringIPV4: 169.254.0.179}}");
    add("{apiVersion: projectcalico.org/v3, kind: BGPPeer, metadata: {name: p}, spec: "
        "{localWorkloadSelector: \"role == 'bgp' && pcns.tenant == 'red'\", asNumber: 65401}}");
    add(ns("red"));
    graph.on_in_sync();
    CHECK(peers() == Names{});
    add(workload("n1"));
    CHECK(peers() == Names{"p-prod.w-10.1.0.2"});
    add(ns("blue"));
    CHECK(peers() == Names{});
    add(ns("red"));
    CHECK(peers() == Names{"p-prod.w-10.1.0.2"});
    add(workload("n2"));
    CHECK(peers() == Names{});
    add(workload("n1"));
    CHECK(peers() == Names{"p-prod.w-10.1.0.2"});
    graph.on_deleted({api::Kind::kBGPPeer, "", "p"});
    CHECK(peers() == Names{});
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

  TEST_CASE("a node tells of its own addresses where it is to, with their communities") {
    World world;
    world.node("n1", "ipv4Address: 10.255.1.1/32, ipv6Address: '2001:db8::1/128'");
    world.node("n2", "ipv4Address: 10.255.1.2/32");
    CHECK(world.of("n1").node_addresses.empty());
    world.config(
        "margay: {advertiseNodeAddress: true}, prefixAdvertisements: [{cidr: 10.255.0.0/16, "
        "communities: ['65000:7']}]");
    const BgpInputs inputs = world.of("n1");
    CHECK(inputs.node_addresses ==
          std::vector{*Prefix::parse("10.255.1.1/32"), *Prefix::parse("2001:db8::1/128")});
    CHECK(inputs.originated.empty());
    CHECK(inputs.communities.contains(*Prefix::parse("10.255.1.1/32")));
    world.add(
        "{apiVersion: projectcalico.org/v3, kind: BGPConfiguration, metadata: {name: node.n1}, "
        "spec: {margay: {advertiseNodeAddress: false}}}");
    CHECK(world.of("n1").node_addresses.empty());
    CHECK(world.of("n2").node_addresses.size() == 1);
  }

  TEST_CASE("a cordoned Kubernetes node is drained where that is asked for") {
    const auto kubernetes = [](const std::string& name, const std::string& spec) {
      return "{apiVersion: v1, kind: Node, metadata: {name: " + name + "}, spec: {" + spec + "}}";
    };
    World world;
    world.node("n1", "ipv4Address: 10.255.1.1/32").node("n2", "ipv4Address: 10.255.1.2/32");
    world.add(kubernetes("n1", "podCIDR: 10.244.0.0/24, unschedulable: true"));
    world.add(kubernetes("n2", ""));
    CHECK_FALSE(world.of("n1").drained);
    world.config("margay: {drainCordonedNodes: true}");
    CHECK(world.of("n1").drained);
    CHECK_FALSE(world.of("n2").drained);
    world.add(kubernetes("n1", ""));
    CHECK_FALSE(world.of("n1").drained);
    // Where the node says so itself, an uncordoned Kubernetes node changes nothing.
    world.add(
        "{apiVersion: projectcalico.org/v3, kind: Node, metadata: {name: n1, annotations: "
        "{margay.io/drain-bgp: 'true'}}, spec: {bgp: {ipv4Address: 10.255.1.1/32}}}");
    CHECK(world.of("n1").drained);
    world.add(kubernetes("n2", "unschedulable: true"));
    world.add(
        "{apiVersion: projectcalico.org/v3, kind: BGPConfiguration, metadata: {name: node.n2}, "
        "spec: {margay: {drainCordonedNodes: false}}}");
    CHECK_FALSE(world.of("n2").drained);
  }

  TEST_CASE("passwords come from Secrets, and a missing one keeps the session down") {
    World world;
    world.node("n1", "ipv4Address: 192.0.2.1/24").node("n2", "ipv4Address: 192.0.2.2/24");
    world.config(
        "nodeMeshPassword: {secretKeyRef: {name: bgp, key: mesh}}, nodeMeshMaxRestartTime: 30s");
    world.peer("leaf",
               "peerIP: 198.51.100.1, asNumber: 65000, maxRestartTime: 5m, password: "
               "{secretKeyRef: {name: bgp, key: leaf}}");
    BgpInputs inputs = world.of("n1");
    REQUIRE(names(inputs) == std::vector<std::string>{"leaf", "mesh-n2-v4"});
    CHECK(inputs.peers[0].missing_password == "key leaf of Secret kube-system/bgp");
    CHECK(inputs.peers[0].restart_time_s == 300U);
    CHECK(inputs.peers[1].restart_time_s == 30U);
    world.add(
        "{apiVersion: v1, kind: Secret, metadata: {name: bgp, namespace: default}, stringData: "
        "{leaf: other}}");
    CHECK(world.of("n1").peers[0].password.empty());
    world.add(
        "{apiVersion: v1, kind: Secret, metadata: {name: bgp, namespace: kube-system}, data: "
        "{leaf: c2VjcmV0}, stringData: {mesh: deep}}");
    inputs = world.of("n1");
    CHECK(inputs.peers[0].password == "secret");
    CHECK(inputs.peers[0].missing_password.empty());
    CHECK(inputs.peers[1].password == "deep");
  }

  TEST_CASE("communities of a prefix and of what lies in it, by name and by value") {
    World world;
    world.node("n1", "ipv4Address: 192.0.2.1/24");
    world.block("n1", "10.244.0.0/26").block("n1", "10.9.0.0/26");
    world.config(
        "communities: [{name: pods, value: '65000:7'}], prefixAdvertisements: [{cidr: "
        "10.244.0.0/16, communities: [pods, '65000:1:2']}, {cidr: 10.244.0.0/26, communities: "
        "['65000:7', '65000:3']}]");
    const BgpInputs inputs = world.of("n1");
    CHECK(inputs.originated.size() == 2);
    REQUIRE(inputs.communities.size() == 1);
    std::vector<std::string> values;
    for (const auto& value : inputs.communities.at(*Prefix::parse("10.244.0.0/26"))) {
      values.push_back(value.str());
    }
    CHECK(values == std::vector<std::string>{"65000:1:2", "65000:3", "65000:7"});
  }

  TEST_CASE("addresses of services: ranges by every node, Local ones where their endpoints are") {
    World world;
    world.node("n1", "ipv4Address: 192.0.2.1/24")
        .node("n2", "ipv4Address: 192.0.2.2/24")
        .node("n3",
              "ipv4Address: 192.0.2.3/24",
              "node.kubernetes.io/exclude-from-external-load-balancers: ''");
    const auto service = [&world](const std::string& name, const std::string& rest) {
      world.add("{apiVersion: v1, kind: Service, metadata: {name: " + name + "}, " + rest + "}");
    };
    const auto slice = [&world](const std::string& name, const std::string& endpoints) {
      world.add("{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: " + name +
                "-1, labels: {kubernetes.io/service-name: " + name +
                "}}, addressType: IPv4, endpoints: [" + endpoints + "]}");
    };
    const auto told = [&world](const std::string& node, const std::set<IpAddr>& local = {}) {
      std::vector<std::string> out;
      for (const Prefix& prefix : world.of(node, local).originated) {
        out.push_back(prefix.str());
      }
      return out;
    };
    using Texts = std::vector<std::string>;
    service("web", "spec: {clusterIPs: [10.96.0.5], externalIPs: [198.51.100.5]}");
    slice("web", "{addresses: [10.244.0.5], nodeName: n2}");
    CHECK(told("n1").empty());
    world.config(
        "serviceClusterIPs: [{cidr: 10.96.0.0/12}], serviceExternalIPs: [{cidr: 198.51.100.5/32}], "
        "serviceLoadBalancerIPs: [{cidr: 203.0.113.0/24}]");
    CHECK(told("n1") == Texts{"10.96.0.0/12", "198.51.100.5/32", "203.0.113.0/24"});
    CHECK(told("n3").empty());

    service("local",
            "spec: {type: LoadBalancer, externalTrafficPolicy: Local, clusterIP: 10.96.0.9}, "
            "status: {loadBalancer: {ingress: [{ip: 203.0.113.9}, {hostname: x}]}}");
    slice("local",
          "{addresses: [10.244.0.7], nodeName: n1, conditions: {ready: false}}, {addresses: "
          "[10.244.0.8], nodeName: n2}");
    CHECK(told("n1") == Texts{"10.96.0.0/12", "198.51.100.5/32", "203.0.113.0/24"});
    CHECK(
        told("n2") ==
        Texts{
            "10.96.0.0/12", "10.96.0.9/32", "198.51.100.5/32", "203.0.113.0/24", "203.0.113.9/32"});
    // An endpoint that names no node is where its address is.
    slice("local", "{addresses: [10.244.0.7]}");
    world.block("n1", "10.244.0.0/26");
    CHECK(told("n1", {IpAddr::v4(0x0af40007)}).size() == 6);
    CHECK(told("n2").size() == 3);

    // One by one, while an endpoint is ready anywhere; an address of two services while one is.
    world.config(
        "serviceLoadBalancerIPs: [{cidr: 203.0.113.0/24}], serviceLoadBalancerAggregation: "
        "Disabled");
    CHECK(told("n2").empty());
    for (const char* name : {"lb", "twin"}) {
      service(name,
              "spec: {type: LoadBalancer}, status: {loadBalancer: {ingress: [{ip: "
              "203.0.113.20}]}}");
      slice(name, "{addresses: [10.244.9.9], nodeName: n9}");
    }
    CHECK(told("n2") == Texts{"203.0.113.20/32"});
    slice("lb", "{addresses: [10.244.9.9], nodeName: n9, conditions: {ready: false}}");
    CHECK(told("n2") == Texts{"203.0.113.20/32"});
    slice("twin", "");
    CHECK(told("n2").empty());
  }

  TEST_CASE(
      "collectors and MRT files are those of the node's own configuration, else the default's") {
    World world;
    world.node("n1", "asNumber: 65001, ipv4Address: 10.0.0.1/24");
    world.node("n2", "asNumber: 65001, ipv4Address: 10.0.0.2/24");
    world.config(
        "margay: {bmp: [{address: 192.0.2.50}], mrt: {directory: /a}, record: {directory: /r}}");
    world.add(
        "{apiVersion: projectcalico.org/v3, kind: BGPConfiguration, metadata: {name: node.n2}, "
        "spec: {margay: {bmp: [{address: 192.0.2.51, port: 5000}]}}}");
    const BgpInputs first = world.of("n1");
    REQUIRE(first.monitoring.bmp.size() == 1);
    CHECK(first.monitoring.bmp[0].address.str() == "192.0.2.50");
    REQUIRE(first.monitoring.mrt);
    CHECK(first.monitoring.mrt->directory == "/a");
    REQUIRE(first.peers.size() == 1);
    CHECK(first.peers[0].margay.record == api::BgpRecord{.directory = "/r"});
    const BgpInputs second = world.of("n2");
    REQUIRE(second.monitoring.bmp.size() == 1);
    CHECK(second.monitoring.bmp[0].port == 5000);
    CHECK(second.monitoring.mrt->directory == "/a");
  }

  TEST_CASE("the documents of docs/bgp.md are valid") {
    std::ifstream page(MARGAY_SOURCE_DIR "/docs/bgp.md");
    REQUIRE(page);
    const std::string text((std::istreambuf_iterator<char>(page)),
                           std::istreambuf_iterator<char>());
    const std::string fence = "```yaml\napiVersion";
    unsigned documents = 0;
    for (std::size_t at = text.find(fence); at != std::string::npos; at = text.find(fence, at)) {
      at += std::string("```yaml\n").size();
      for (const api::Document& document :
           api::decode_documents(text.substr(at, text.find("\n```", at) - at))) {
        CHECK_MESSAGE(document.resource, (document.resource ? "" : document.resource.error().text));
        ++documents;
      }
    }
    CHECK(documents >= 4);
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
