// Host endpoints by real packets: node1's interface eth2 leads to a host outside.

#include "tests/functional/policy/policy_cluster.h"
#include "tests/lab/wait.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <set>

namespace margay::lab {
namespace {

using std::chrono::seconds;

constexpr const char* kHost = "198.51.100.1";  // node1 on eth2
constexpr const char* kGuest = "198.51.100.2";
constexpr const char* kOtherGuest = "198.51.100.3";

std::string host_endpoint(const std::string& spec) {
  return "apiVersion: projectcalico.org/v3\nkind: HostEndpoint\n"
         "metadata: {name: uplink, labels: {role: host}}\nspec: {node: node1, " +
         spec + "}\n---\n";
}
std::string global_policy(const std::string& name, const std::string& spec) {
  return "apiVersion: projectcalico.org/v3\nkind: GlobalNetworkPolicy\nmetadata: {name: " + name +
         "}\nspec: {selector: role == 'host', " + spec + "}\n---\n";
}

// The fabric with servers on node1 itself and on the host outside.
class HostLab {
 public:
  HostLab() : cluster_(make_policy_cluster()) {
    serve("node1", "8080,22,2379,2380,6443,5473");
    serve("outside", "8080,2379");
    REQUIRE(outside_reaches(kHost, 8080));
    REQUIRE(outside_reaches(kHost, 22));
    REQUIRE(outside_reaches(pod(), 80));
    REQUIRE(node_reaches_outside());
  }

  Cluster& cluster() { return *cluster_; }
  std::string pod() { return cluster_->lab().pod("xa").address; }
  bool outside_reaches(const std::string& address, int port, const std::string& source = kGuest) {
    return cluster_->lab()
        .node("outside")
        .exec({"margay-probe",
               "connect",
               fmt::format("{}:{}", address, port),
               "--timeout=400ms",
               "--source=" + source})
        .ok();
  }
  bool node_reaches_outside() {
    return cluster_->connects("node1", fmt::format("{}:8080", kGuest));
  }
  // Applies and waits until both kernels have it, so that the next packet meets it.
  void apply(const std::string& documents, const std::string& kind, const std::string& name) {
    REQUIRE(cluster_->apply(documents) == "");
    const auto waited = cluster_->ctl({"wait", kind, name, "--enforced", "--timeout", "10s"});
    REQUIRE_MESSAGE(waited.ok(), waited.err);
  }
  void remove(const std::string& kind, const std::string& name) {
    REQUIRE(cluster_->ctl({"delete", kind, name}).ok());
  }

 private:
  void serve(const std::string& node, const std::string& ports) {
    Node& place = cluster_->lab().node(node);
    REQUIRE(place.spawn("serve", {"margay-probe", "serve", "--tcp", ports}));
    REQUIRE(wait_until([&] { return place.read_log("serve") == "ready\n"; }, seconds(5)));
  }

  std::unique_ptr<Cluster> cluster_;
};

}  // namespace

TEST_SUITE("functional.policy.host") {
  TEST_CASE("a host endpoint closes the host but for failsafe ports, and never what it passes on") {
    HostLab lab;
    lab.apply(host_endpoint("interfaceName: eth2"), "hep", "uplink");
    CHECK_FALSE(lab.outside_reaches(kHost, 8080));
    CHECK(lab.outside_reaches(kHost, 22));
    CHECK_FALSE(lab.node_reaches_outside());
    CHECK(lab.outside_reaches(lab.pod(), 80));
    CHECK(lab.cluster().connects("node1", lab.pod() + ":80"));  // its own workload
    CHECK(lab.cluster().connects("ya", lab.pod() + ":80"));     // from node2, by eth1

    lab.apply(global_policy("web",
                            "types: [Ingress, Egress], ingress: [{action: Allow, protocol: TCP, "
                            "destination: {ports: [8080]}}], egress: [{action: Allow}]"),
              "gnp",
              "web");
    CHECK(lab.outside_reaches(kHost, 8080));
    CHECK(lab.node_reaches_outside());
    lab.apply(global_policy("web",
                            "ingress: [{action: Allow, protocol: TCP, source: {nets: "
                            "[198.51.100.3/32]}, destination: {ports: [8080]}}]"),
              "gnp",
              "web");
    CHECK_FALSE(lab.outside_reaches(kHost, 8080));
    CHECK(lab.outside_reaches(kHost, 8080, kOtherGuest));

    lab.remove("hep", "uplink");
    CHECK(wait_until([&] { return lab.outside_reaches(kHost, 8080); }, seconds(5)));
    CHECK(lab.node_reaches_outside());
  }

  TEST_CASE("forward, pre-DNAT and untracked policies are asked where Calico asks them") {
    HostLab lab;
    lab.apply(host_endpoint("interfaceName: eth2, profiles: [projectcalico-default-allow]"),
              "hep",
              "uplink");
    CHECK(lab.outside_reaches(kHost, 8080));
    lab.apply(global_policy("forward",
                            "applyOnForward: true, ingress: [{action: Allow, source: {nets: "
                            "[198.51.100.2/32]}}]"),
              "gnp",
              "forward");
    CHECK(lab.outside_reaches(lab.pod(), 80));
    CHECK_FALSE(lab.outside_reaches(lab.pod(), 80, kOtherGuest));
    CHECK_FALSE(lab.outside_reaches(kHost, 8080, kOtherGuest));  // it is asked for the host, too
    lab.remove("gnp", "forward");

    lab.apply(global_policy("early",
                            "applyOnForward: true, preDNAT: true, ingress: [{action: Deny, source: "
                            "{nets: [198.51.100.3/32]}, protocol: TCP, destination: {ports: [80, "
                            "8080, 22]}}]"),
              "gnp",
              "early");
    CHECK(lab.outside_reaches(kHost, 8080));
    CHECK_FALSE(lab.outside_reaches(kHost, 8080, kOtherGuest));
    CHECK_FALSE(lab.outside_reaches(lab.pod(), 80, kOtherGuest));
    CHECK(lab.outside_reaches(kHost, 22, kOtherGuest));  // failsafe
    lab.remove("gnp", "early");

    // The normal policy denies; what doNotTrack allows both ways never gets there.
    lab.apply(global_policy("closed", "order: 10, types: [Ingress, Egress]"), "gnp", "closed");
    CHECK_FALSE(lab.outside_reaches(kHost, 8080));
    lab.apply(global_policy("untracked",
                            "applyOnForward: true, doNotTrack: true, types: [Ingress, Egress], "
                            "ingress: [{action: Allow, protocol: TCP, destination: {ports: "
                            "[8080]}}], egress: [{action: Allow, protocol: TCP, source: {ports: "
                            "[8080]}}]"),
              "gnp",
              "untracked");
    CHECK(lab.outside_reaches(kHost, 8080));
    CHECK_FALSE(lab.node_reaches_outside());
  }

  TEST_CASE(
      "a host that denies everything is still reached by ssh, BGP, etcd and the API servers") {
    HostLab lab;
    Cluster& cluster = lab.cluster();
    constexpr const char* kUplink = "192.0.2.1";  // node1 on eth1, where node2 is
    REQUIRE(cluster.lab().pod("ya").node == "node2");
    REQUIRE(wait_until([&] { return cluster.all_sessions_up("node1"); }, seconds(30)));
    lab.apply(host_endpoint("interfaceName: '*'") +
                  global_policy("closed", "order: 1, types: [Ingress, Egress]"),
              "gnp",
              "closed");
    const std::set<int> failsafe{22, 2379, 2380, 6443, 5473};
    for (const int port : {22, 2379, 2380, 6443, 5473, 8080}) {
      CAPTURE(port);
      const bool open = failsafe.contains(port);
      CHECK(lab.outside_reaches(kHost, port) == open);
      CHECK(cluster.connects("node2", fmt::format("{}:{}", kUplink, port)) == open);
      CHECK(cluster.connects("ya", fmt::format("{}:{}", kUplink, port)) == open);
      // A workload's way to its own host is defaultEndpointToHostAction: Drop.
      CHECK_FALSE(cluster.connects("xa", fmt::format("{}:{}", kUplink, port)));
    }
    CHECK_FALSE(lab.node_reaches_outside());
    CHECK(cluster.connects("node1", fmt::format("{}:2379", kGuest)));  // to an etcd elsewhere
    // Through the host goes what went before.
    CHECK(lab.outside_reaches(lab.pod(), 80));
    CHECK(cluster.connects("ya", lab.pod() + ":80"));
    CHECK(cluster.connects("xa", fmt::format("{}:8080", kGuest)));
    // BGP comes up anew, from either side.
    for (const char* node : {"node1", "node2"}) {
      REQUIRE(cluster.lab().node(node).stop());
      REQUIRE(cluster.lab().node(node).start());
      REQUIRE(cluster.wait_ready(node));
      CHECK(wait_until([&] { return cluster.all_sessions_up("node1"); }, seconds(30)));
    }
    // Failsafe ports that only a network may use.
    REQUIRE(cluster.apply("apiVersion: projectcalico.org/v3\nkind: FelixConfiguration\n"
                          "metadata: {name: default}\nspec:\n  failsafeInboundHostPorts:\n"
                          "  - {protocol: TCP, port: 22, net: 198.51.100.3/32}\n"
                          "  - {protocol: TCP, port: 179}\n") == "");
    CHECK(wait_until([&] { return !lab.outside_reaches(kHost, 22); }, seconds(5)));
    CHECK(lab.outside_reaches(kHost, 22, kOtherGuest));
    CHECK_FALSE(lab.outside_reaches(kHost, 2379));
  }

  TEST_CASE("a port of the node that leads to a workload: before and after its translation") {
    HostLab lab;
    Cluster& cluster = lab.cluster();
    constexpr int kNodePort = 30080;
    REQUIRE(
        cluster.lab()
            .node("node1")
            .shell(fmt::format("nft 'add table ip services; add chain ip services prerouting {{ "
                               "type nat hook prerouting priority -100; }}; add rule ip services "
                               "prerouting ip daddr {} tcp dport {} dnat to {}:80'",
                               kHost,
                               kNodePort,
                               lab.pod()))
            .ok());
    REQUIRE(lab.outside_reaches(kHost, kNodePort));
    // Closed to the host, which passes this port on: as Calico has it.
    lab.apply(host_endpoint("interfaceName: eth2"), "hep", "uplink");
    CHECK_FALSE(lab.outside_reaches(kHost, 8080));
    CHECK(lab.outside_reaches(kHost, kNodePort));

    lab.apply(global_policy("before",
                            "applyOnForward: true, preDNAT: true, ingress: [{action: Deny, source: "
                            "{nets: [198.51.100.3/32]}, protocol: TCP, destination: {ports: "
                            "[30080]}}]"),
              "gnp",
              "before");
    CHECK(lab.outside_reaches(kHost, kNodePort));
    CHECK_FALSE(lab.outside_reaches(kHost, kNodePort, kOtherGuest));
    CHECK(lab.outside_reaches(lab.pod(), 80, kOtherGuest));  // not by way of the port
    lab.remove("gnp", "before");

    // The tier passes what it does not deny, or the host would be closed by it.
    REQUIRE(cluster.apply("apiVersion: projectcalico.org/v3\nkind: Tier\nmetadata: {name: border}\n"
                          "spec: {order: 50, defaultAction: Pass}\n") == "");
    lab.apply(
        global_policy("border.after",
                      "tier: border, applyOnForward: true, ingress: [{action: Deny, source: "
                      "{nets: [198.51.100.3/32]}, protocol: TCP, destination: {ports: [80]}}]"),
        "gnp",
        "border.after");
    CHECK(lab.outside_reaches(kHost, kNodePort));
    CHECK_FALSE(lab.outside_reaches(kHost, kNodePort, kOtherGuest));
    CHECK_FALSE(lab.outside_reaches(lab.pod(), 80, kOtherGuest));
    // The policy of the workload itself sees the translated packet with its true source.
    lab.remove("gnp", "border.after");
    REQUIRE(cluster.apply(admit_into_xa("ipBlock: {cidr: 198.51.100.2/32}")) == "");
    CHECK(wait_until([&] { return !lab.outside_reaches(kHost, kNodePort, kOtherGuest); },
                     seconds(5)));
    CHECK(lab.outside_reaches(kHost, kNodePort));
  }

  TEST_CASE(
      "automatic host endpoints let pass what no policy selects, and carry the node's labels") {
    HostLab lab;
    REQUIRE(lab.cluster().apply(
                "apiVersion: projectcalico.org/v3\nkind: KubeControllersConfiguration\nmetadata: "
                "{name: default}\nspec: {controllers: {node: {hostEndpoint: {autoCreate: "
                "Enabled}}}}\n") == "");
    const auto endpoints = [&lab] { return lab.cluster().ctl({"get", "hep", "-o", "name"}).out; };
    CHECK(wait_until(
        [&] {
          return endpoints().find("node1-auto-hep") != std::string::npos &&
                 endpoints().find("node2-auto-hep") != std::string::npos;
        },
        seconds(5)));
    CHECK(lab.outside_reaches(kHost, 8080));
    lab.apply(
        "apiVersion: projectcalico.org/v3\nkind: GlobalNetworkPolicy\nmetadata: {name: hosts}\n"
        "spec: {selector: projectcalico.org/created-by == 'calico-kube-controllers', types: "
        "[Ingress], ingress: [{action: Allow, protocol: TCP, destination: {ports: "
        "[2379]}}]}\n",
        "gnp",
        "hosts");
    CHECK_FALSE(lab.outside_reaches(kHost, 8080));
    CHECK(lab.outside_reaches(kHost, 2379));
    CHECK(lab.outside_reaches(lab.pod(), 80));
    lab.remove("kcc", "default");
    CHECK(wait_until([&] { return lab.outside_reaches(kHost, 8080); }, seconds(10)));
    CHECK(endpoints().find("auto-hep") == std::string::npos);
  }

  TEST_CASE("a change that locks people out takes itself back when nobody confirms it") {
    HostLab lab;
    const auto on_trial = [&lab](const std::string& documents) {
      return lab.cluster().ctl({"apply", "--confirm", "3s", "-f", "-"}, documents);
    };
    const std::string closed = host_endpoint("interfaceName: eth2");
    const auto applied = on_trial(closed);
    REQUIRE_MESSAGE(applied.ok(), applied.err);
    CHECK(applied.err.find("unless `margayctl confirm` comes") != std::string::npos);
    // The command is gone, and whoever gave it cannot come back in: only agents are left.
    CHECK(wait_until([&] { return !lab.outside_reaches(kHost, 8080); }, seconds(2)));
    CHECK_FALSE(on_trial(closed).ok());  // one at a time
    CHECK(wait_until([&] { return lab.outside_reaches(kHost, 8080); }, seconds(10)));
    CHECK_FALSE(lab.cluster().ctl({"get", "hep", "uplink"}).ok());

    // An agent that was killed meanwhile does it when it is back.
    REQUIRE(on_trial(closed).ok());
    CHECK(wait_until([&] { return !lab.outside_reaches(kHost, 8080); }, seconds(2)));
    for (const char* node : {"node1", "node2"}) {
      REQUIRE(lab.cluster().lab().node(node).kill());
    }
    const auto pending = lab.cluster().ctl({"get", "pending", "-o", "name"});
    CHECK(pending.out.find("default") != std::string::npos);
    CHECK_FALSE(lab.outside_reaches(kHost, 8080));
    for (const char* node : {"node1", "node2"}) {
      REQUIRE(lab.cluster().lab().node(node).start());
    }
    CHECK(wait_until([&] { return lab.outside_reaches(kHost, 8080); }, seconds(10)));

    REQUIRE(on_trial(closed).ok());
    CHECK(lab.cluster().ctl({"confirm"}).out == "confirmed: 1 object\n");
    CHECK_FALSE(lab.cluster().ctl({"confirm"}).ok());
    CHECK(wait_until([&] { return !lab.outside_reaches(kHost, 8080); }, seconds(5)));
  }

  TEST_CASE("an endpoint for all interfaces, and one that follows an address") {
    HostLab lab;
    lab.apply(host_endpoint("interfaceName: '*'"), "hep", "uplink");
    CHECK_FALSE(lab.outside_reaches(kHost, 8080));
    CHECK(lab.outside_reaches(kHost, 22));
    CHECK(lab.outside_reaches(lab.pod(), 80));
    CHECK(lab.cluster().connects("yb", lab.pod() + ":80"));
    lab.remove("hep", "uplink");
    CHECK(wait_until([&] { return lab.outside_reaches(kHost, 8080); }, seconds(5)));

    lab.apply(host_endpoint("expectedIPs: [198.51.100.9]"), "hep", "uplink");
    CHECK(lab.outside_reaches(kHost, 8080));  // nobody has the address
    Node& node = lab.cluster().lab().node("node1");
    REQUIRE(node.exec({"ip", "addr", "add", "198.51.100.9/24", "dev", "eth2"}).ok());
    CHECK(wait_until([&] { return !lab.outside_reaches(kHost, 8080); }, seconds(5)));
    REQUIRE(node.exec({"ip", "addr", "del", "198.51.100.9/24", "dev", "eth2"}).ok());
    CHECK(wait_until([&] { return lab.outside_reaches(kHost, 8080); }, seconds(5)));
  }
}

}  // namespace margay::lab
