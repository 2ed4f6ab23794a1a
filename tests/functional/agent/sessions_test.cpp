// What the store says of BGP sessions and of what is told on them, with a leaf that is BIRD:
// passwords, addresses of services, communities.

#include "tests/functional/agent/world.h"
#include "tests/lab/wait.h"

#include <doctest/doctest.h>

#include <string>

namespace margay::lab {
namespace {

using std::chrono::seconds;

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

std::string leaf_peer(const std::string& rest) {
  return "apiVersion: projectcalico.org/v3\nkind: BGPPeer\nmetadata: {name: rack1-leaf}\n"
         "spec: {nodeSelector: rack == '1', peerIP: 172.16.1.1, asNumber: 65001" +
         rest + "}\n";
}

std::string secret(const std::string& password) {
  return "apiVersion: v1\nkind: Secret\nmetadata: {name: bgp, namespace: kube-system}\n"
         "stringData: {leaf: " +
         password + "}\n";
}

// BIRD takes a changed configuration from beside its own; an empty password: none.
void key_leaf(const Node& leaf, const std::string& password) {
  const std::string line =
      password.empty() ? "" : "; s/^template bgp node {/&\\n  password \"" + password + "\";/";
  const ExecResult done =
      leaf.shell("sed 's/^$//" + line +
                 "' /etc/bird/bird.conf > /run/bird/new.conf && birdc configure "
                 "'\"/run/bird/new.conf\"'");
  REQUIRE_MESSAGE(done.ok(), done.out, done.err);
}

}  // namespace

TEST_SUITE("functional.agent.sessions") {
  TEST_CASE("a session with a password needs it on both sides, and a missing one keeps it down") {
    const auto cluster = make_cluster("leaf-spine", "ft-sessions", true, with_each_speaker());
    REQUIRE_MESSAGE(cluster->wait_ready("node1"), cluster->lab().node("node1").read_log("margayd"));
    const Node& leaf = cluster->lab().node("leaf1");
    const auto up = [&] {
      return contains(leaf.exec({"birdc", "show", "protocols", "node1"}).out, "Established");
    };
    const auto becomes = [&](bool wanted) {
      return wait_until([&] { return up() == wanted; }, seconds(30));
    };
    REQUIRE(becomes(true));

    const std::string with_password =
        leaf_peer(", password: {secretKeyRef: {name: bgp, key: leaf}}");
    REQUIRE(cluster->apply(with_password) == "");
    CHECK(becomes(false));
    CHECK(contains(cluster->ctl({"bgp", "peers", "-o", "json"}).out,
                   "the password is missing: key leaf of Secret kube-system/bgp"));

    key_leaf(leaf, "deep");
    REQUIRE(cluster->apply(secret("deep")) == "");
    CHECK(becomes(true));
    REQUIRE(cluster->apply(secret("shallow")) == "");
    CHECK(becomes(false));
    REQUIRE(cluster->apply(secret("deep")) == "");
    CHECK(becomes(true));

    key_leaf(leaf, "");
    REQUIRE(cluster->apply(leaf_peer("")) == "");
    CHECK(becomes(true));
  }

  TEST_CASE("a drained node says so, then is silent on sessions that stay up, and comes back") {
    const auto cluster = make_cluster("leaf-spine", "ft-sessions", true, with_each_speaker());
    REQUIRE_MESSAGE(cluster->wait_ready("node1"), cluster->lab().node("node1").read_log("margayd"));
    REQUIRE(cluster->add_server("node1", {.name = "web"}, {{"tcp", 80}}) == "");
    const Node& leaf = cluster->lab().node("leaf1");
    const std::string block = [&] {
      const std::string line =
          cluster->lab().node("node1").exec({"ip", "route", "show", "proto", "92"}).out;
      const auto begin = line.find("10.244.");
      return line.substr(begin, line.find(' ', begin) - begin);
    }();
    const auto told = [&] { return leaf.exec({"birdc", "show", "route", "all", block}).out; };
    const auto becomes = [&](const auto& holds) { return wait_until(holds, seconds(30)); };
    REQUIRE(becomes([&] { return contains(told(), "172.16.1.11"); }));

    CHECK(cluster->ctl({"node", "drain-bgp", "node9"}).rc != 0);
    REQUIRE(cluster->ctl({"node", "drain-bgp", "node1"}).ok());
    CHECK(becomes([&] { return contains(told(), "(65535,0)"); }));
    CHECK(becomes([&] { return !contains(told(), "172.16.1.11"); }));
    CHECK(contains(leaf.exec({"birdc", "show", "protocols", "node1"}).out, "Established"));

    // An agent that starts on a drained node stays silent.
    REQUIRE(cluster->lab().node("node1").kill());
    REQUIRE(cluster->lab().node("node1").start());
    REQUIRE(cluster->wait_ready("node1"));
    CHECK(becomes([&] {
      return contains(leaf.exec({"birdc", "show", "protocols", "node1"}).out, "Established");
    }));
    CHECK_FALSE(contains(told(), "172.16.1.11"));

    CHECK(contains(cluster->ctl({"node", "status"}).out, "drained: peers are told no route"));
    CHECK(
        contains(cluster->ctl({"doctor"}).out, "node node1: is drained: peers are told no route"));

    REQUIRE(cluster->ctl({"node", "undrain-bgp", "node1"}).ok());
    CHECK(becomes([&] { return contains(told(), "172.16.1.11"); }));
    CHECK_FALSE(contains(told(), "(65535,0)"));

    // What kubectl says of a cordoned node drains it, too, where that is asked for.
    const auto kubernetes_node = [](const std::string& spec) {
      return "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Node, metadata: {name: "
             "node1}, spec: {" +
             spec + "}}\n";
    };
    REQUIRE(cluster->apply(kubernetes_node("unschedulable: true")) == "");
    REQUIRE(cluster->apply("apiVersion: projectcalico.org/v3\nkind: BGPConfiguration\n"
                           "metadata: {name: node.node1}\n"
                           "spec: {margay: {drainCordonedNodes: true}}\n") == "");
    CHECK(becomes([&] { return !contains(told(), "172.16.1.11"); }));
    REQUIRE(cluster->apply(kubernetes_node("")) == "");
    CHECK(becomes([&] { return contains(told(), "172.16.1.11"); }));
  }

  TEST_CASE("addresses of services and communities reach the fabric, and go with their reason") {
    const auto cluster = make_cluster("leaf-spine", "ft-sessions", true, with_each_speaker());
    for (const char* node : {"node1", "node3"}) {
      REQUIRE_MESSAGE(cluster->wait_ready(node), cluster->lab().node(node).read_log("margayd"));
    }
    REQUIRE(cluster->add_server("node1", {.name = "web"}, {{"tcp", 80}}) == "");
    const std::string web = cluster->lab().pod("web").address;
    const Node& leaf = cluster->lab().node("leaf1");
    const auto told = [&](const std::string& prefix) {
      return leaf.exec({"birdc", "show", "route", "all", prefix}).out;
    };
    const auto comes = [&](const std::string& prefix, const std::string& what) {
      return wait_until([&] { return contains(told(prefix), what); }, seconds(20));
    };
    const auto goes = [&](const std::string& prefix, const std::string& what) {
      return wait_until([&] { return !contains(told(prefix), what); }, seconds(20));
    };
    // The store has one of its own; it keeps what it says.
    const auto configure = [&](const std::string& spec) {
      const ExecResult done = cluster->ctl(
          {"patch", "bgpconfiguration", "default", "-p", "{\"spec\": {" + spec + "}}"});
      REQUIRE_MESSAGE(done.ok(), done.err);
    };
    configure(
        "\"serviceClusterIPs\": [{\"cidr\": \"10.96.0.0/16\"}], "
        "\"communities\": [{\"name\": \"services\", \"value\": \"65001:96\"}], "
        "\"prefixAdvertisements\": [{\"cidr\": \"10.96.0.0/16\", \"communities\": "
        "[\"services\"]}]");
    CHECK(comes("10.96.0.0/16", "(65001,96)"));

    REQUIRE(cluster->apply(
                "apiVersion: v1\nkind: Service\nmetadata: {name: web}\n"
                "spec: {type: NodePort, externalTrafficPolicy: Local, clusterIPs: [10.96.0.7]}\n"
                "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n"
                "metadata: {name: web-1, labels: {kubernetes.io/service-name: web}}\n"
                "addressType: IPv4\nendpoints: [{addresses: [" +
                web + "]}]\n") == "");
    CHECK(comes("10.96.0.7/32", "172.16.1.11"));
    CHECK_FALSE(contains(told("10.96.0.7/32"), "node2"));
    CHECK(contains(told("10.96.0.7/32"), "(65001,96)"));

    REQUIRE(cluster->lab().remove_pod("web"));
    CHECK(goes("10.96.0.7/32", "172.16.1.11"));
    configure("\"serviceClusterIPs\": null");
    CHECK(goes("10.96.0.0/16", "(65001,96)"));
  }
}

}  // namespace margay::lab
