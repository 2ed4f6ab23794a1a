// Cases of the table that need more than a matrix of pods: labels that come and go, addresses that
// change hands, pods that start and end under a policy, ICMP, services. Numbers as in cases.cpp.

#include "tests/functional/policy/policy_cluster.h"
#include "tests/lab/wait.h"

#include <boost/json.hpp>
#include <doctest/doctest.h>

#include <chrono>
#include <csignal>
#include <sstream>
#include <string>

namespace margay::lab {
namespace {

namespace json = boost::json;
using std::chrono::milliseconds;
using std::chrono::seconds;

// The endpoint's record as it is stored.
json::object endpoint_of(Cluster& cluster, const std::string& pod) {
  const auto got = cluster.ctl({"get", "wep", "-n", cluster.lab().pod(pod).ns, "-o", "json"});
  REQUIRE(got.ok());
  const json::value list = json::parse(got.out);
  for (const json::value& item : list.at("items").as_array()) {
    if (item.at("spec").at("pod").as_string() == pod) {
      return item.as_object();
    }
  }
  FAIL("no endpoint record of ", pod);
  return {};
}

// The pod ended; another of that namespace, labelled "new", has its address, interface and node.
void hand_over(Cluster& cluster, const std::string& pod, const std::string& ns) {
  json::object record = endpoint_of(cluster, pod);
  const std::string name(record["metadata"].as_object()["name"].as_string());
  REQUIRE(cluster.ctl({"delete", "wep", name, "-n", cluster.lab().pod(pod).ns}).ok());
  json::object& metadata = record["metadata"].as_object();
  metadata["namespace"] = ns;
  metadata["labels"] = {{"pod", "new"}};
  for (const char* stored : {"uid", "resourceVersion", "creationTimestamp"}) {
    metadata.erase(stored);
  }
  record["spec"].as_object()["profiles"] = {"kns." + ns};
  REQUIRE(cluster.apply(json::serialize(record)) == "");
}

std::uint64_t packets_into(Cluster& cluster, const std::string& pod) {
  const auto count =
      cluster.lab().node(pod).exec({"cat", "/sys/class/net/eth0/statistics/rx_packets"});
  REQUIRE(count.ok());
  return std::stoull(count.out);
}

void label(Cluster& cluster, const std::string& pod, const std::string& key, const char* value) {
  json::object record = endpoint_of(cluster, pod);
  json::object& labels = record["metadata"].as_object()["labels"].as_object();
  if (value == nullptr) {
    labels.erase(key);
  } else {
    labels[key] = value;
  }
  REQUIRE(cluster.apply(json::serialize(record)) == "");
}

std::string on_x(const std::string& selector, const std::string& rest) {
  return "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: p, namespace: "
         "x}\n"
         "spec: {podSelector: {" +
         selector + "}, " + rest + "}\n";
}

std::string target(Cluster& cluster, const std::string& pod, bool v6 = false) {
  const Pod& to = cluster.lab().pod(pod);
  return v6 ? "[" + to.address6 + "]:80" : to.address + ":80";
}

}  // namespace

TEST_SUITE("functional.policy.change") {
  TEST_CASE("labels of pods are followed, of the peer (26) and of the subject (28)") {
    const auto cluster = make_policy_cluster();
    const auto comes = [&](const std::string& from, bool passes) {
      return wait_until([&] { return cluster->connects(from, target(*cluster, "xa")) == passes; },
                        seconds(5)) &&
             wait_until(
                 [&] { return cluster->connects(from, target(*cluster, "xa", true)) == passes; },
                 seconds(5));
    };
    REQUIRE(cluster->apply(admit_into_xa("podSelector: {matchLabels: {foo: '1'}}")) == "");
    CHECK(comes("xb", false));
    label(*cluster, "xb", "foo", "1");
    CHECK(comes("xb", true));
    CHECK_FALSE(cluster->connects("xc", target(*cluster, "xa")));
    label(*cluster, "xb", "foo", nullptr);
    CHECK(comes("xb", false));

    REQUIRE(cluster->apply(on_x("matchLabels: {role: isolated}", "policyTypes: [Ingress]")) == "");
    CHECK(comes("xb", true));
    label(*cluster, "xa", "role", "isolated");
    CHECK(comes("xb", false));
    CHECK(cluster->connects("xa", target(*cluster, "xb")));
  }

  TEST_CASE("of a thousand policies one changes: the matrix is right, its rules alone moved (62)") {
    const auto cluster = make_policy_cluster();
    std::string thousand;
    for (int i = 0; i < 1000; ++i) {
      thousand += fmt::format(
          "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n"
          "metadata: {{name: n{0}, namespace: x}}\n"
          "spec: {{podSelector: {{matchLabels: {{pod: a}}}}, ingress: [{{from: [{{podSelector: "
          "{{matchLabels: {{pod: b}}}}}}], ports: [{{port: {1}}}]}}]}}\n---\n",
          i,
          2000 + i);
    }
    REQUIRE(cluster->apply(thousand + admit_into_xa("podSelector: {matchLabels: {pod: b}}")) == "");
    const auto only = [&](const std::string& admitted) {
      return wait_until(
          [&] {
            for (const std::string& from : kPods) {
              const bool passes = cluster->connects(from, target(*cluster, "xa"));
              if (passes != (from == admitted || from == "xa")) {
                return false;
              }
            }
            return true;
          },
          seconds(20));
    };
    REQUIRE(only("xb"));
    const Node& node = cluster->lab().node("node1");
    const auto monitor = node.spawn("monitor", {"nft", "monitor"});
    REQUIRE(monitor);
    REQUIRE(wait_until(
        [&] {
          REQUIRE(node.shell("nft add table inet probe; nft delete table inet probe").ok());
          return node.read_log("monitor").find("delete table inet probe") != std::string::npos;
        },
        seconds(5)));
    REQUIRE(cluster->apply(admit_into_xa("podSelector: {matchLabels: {pod: c}}")) == "");
    CHECK(only("xc"));
    REQUIRE(node.shell("nft add table inet end").ok());
    REQUIRE(wait_until(
        [&] { return node.read_log("monitor").find("table inet end") != std::string::npos; },
        seconds(5)));
    std::istringstream log(node.read_log("monitor"));
    std::string others;
    int rules = 0;
    for (std::string line; std::getline(log, line);) {
      rules += line.find("rule inet margay") != std::string::npos ? 1 : 0;
      const bool known = line.find("inet margay") == std::string::npos ||
                         line.find("in/knp/x/p ") != std::string::npos ||
                         line.find(" set ") != std::string::npos ||
                         line.find("element") != std::string::npos;
      others += known ? "" : line + "\n";
    }
    CHECK(others == "");
    CHECK(rules >= 1);
    CHECK(rules <= 4);  // a rule for each family, and the ones they replace
    send_signal(*monitor, SIGTERM);
  }

  TEST_CASE("an address that changes hands brings its new owner's rights alone (54)") {
    const auto cluster = make_policy_cluster();
    REQUIRE(cluster->apply(admit_into_xa("podSelector: {matchLabels: {pod: b}}")) == "");
    const auto reaches = [&] { return cluster->connects("xb", target(*cluster, "xa")); };
    CHECK(wait_until([&] { return !cluster->connects("xc", target(*cluster, "xa")); }, seconds(5)));
    CHECK(reaches());
    hand_over(*cluster, "xb", "z");
    CHECK(wait_until([&] { return !reaches(); }, seconds(5)));
    REQUIRE(cluster->apply(admit_into_xa("namespaceSelector: {matchLabels: {ns: z}}")) == "");
    CHECK(wait_until(reaches, seconds(5)));
  }

  TEST_CASE("connections of an address's earlier owner do not go on with the next one (54)") {
    const auto cluster = make_policy_cluster();
    // x/a admits z; whoever is labelled "new" admits nobody.
    REQUIRE(cluster->apply(admit_into_xa("namespaceSelector: {matchLabels: {ns: z}}") +
                           "\n---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n"
                           "metadata: {name: new, namespace: y}\n"
                           "spec: {podSelector: {matchLabels: {pod: new}}, policyTypes: "
                           "[Ingress]}\n") == "");
    REQUIRE(
        wait_until([&] { return cluster->connects("zb", target(*cluster, "xa")); }, seconds(5)));
    const auto stream =
        cluster->start_stream("zb", target(*cluster, "xa"), "stream", {"--rate=200"});
    REQUIRE(stream);
    hand_over(*cluster, "xa", "y");
    REQUIRE(
        wait_until([&] { return !cluster->connects("zb", target(*cluster, "xa")); }, seconds(5)));
    // Of the same flow nothing more comes through.
    std::uint64_t before = packets_into(*cluster, "xa");
    CHECK(wait_until(
        [&] {
          const std::uint64_t now = packets_into(*cluster, "xa");
          return std::exchange(before, now) == now;
        },
        seconds(5),
        std::chrono::milliseconds(200)));
    const auto report = cluster->end_stream("zb", "stream", *stream);
    REQUIRE(report);
    CHECK(report->received > 0);
    CHECK(report->lost > 20);
  }

  TEST_CASE(
      "no packet escapes a pod that starts (56) or enters one that ends (55) under a policy") {
    const auto cluster = make_policy_cluster();
    REQUIRE(cluster->apply(on_x("matchLabels: {app: shut}", "policyTypes: [Ingress, Egress]")) ==
            "");
    const std::string open = target(*cluster, "zb");
    REQUIRE(cluster->connects("ya", open));
    for (int i = 0; i < 20; ++i) {
      PodSpec spec;
      spec.name = fmt::format("shut{}", i);
      spec.ns = "x";
      spec.labels = {{"app", "shut"}};
      REQUIRE(cluster->lab().add_pod(i % 2 == 0 ? "node1" : "node2", spec));
      // Its first instruction.
      CHECK_FALSE(cluster->connects(spec.name, open, "tcp", milliseconds(150)));
    }
    REQUIRE(cluster->lab().node("shut0").spawn("serve", {"margay-probe", "serve", "--udp", "80"}));
    REQUIRE(wait_until([&] { return cluster->lab().node("shut0").read_log("serve") == "ready\n"; },
                       seconds(5)));
    const auto stream = cluster->start_stream("yb", target(*cluster, "shut0"), "stream");
    REQUIRE(stream);
    REQUIRE(cluster->lab().remove_pod("shut0"));
    const auto report = cluster->end_stream("yb", "stream", *stream);
    REQUIRE(report);
    CHECK(report->sent > 0);
    CHECK(report->received == 0);
  }

  TEST_CASE("errors about an allowed flow come back, an echo to an isolated pod does not (59)") {
    const auto cluster = make_policy_cluster();
    REQUIRE(cluster->apply(on_x("", "policyTypes: [Ingress]")) == "");
    const Node& xb = cluster->lab().node("xb");  // on node2; outside is behind node1
    const auto ping = [&](const std::string& from, const std::string& to) {
      return cluster->lab().node(from).exec({"ping", "-c", "1", "-W", "1", to});
    };
    CHECK(
        wait_until([&] { return !ping("yb", cluster->lab().pod("xb").address).ok(); }, seconds(5)));
    CHECK_FALSE(ping("yb", cluster->lab().pod("xb").address6).ok());
    CHECK(ping("xb", "198.51.100.2").ok());
    CHECK(ping("xb", "2001:db8:2::2").ok());
    REQUIRE(cluster->lab().node("node1").shell("ip link set eth2 mtu 1300").ok());
    const ExecResult large =
        xb.exec({"ping", "-M", "do", "-s", "1400", "-c", "2", "-W", "1", "198.51.100.2"});
    CHECK_FALSE(large.ok());
    CHECK_MESSAGE(large.out.find("Frag needed and DF set (mtu = 1300)") != std::string::npos,
                  large.out,
                  large.err);
    const ExecResult large6 =
        xb.exec({"ping", "-6", "-M", "do", "-s", "1400", "-c", "2", "-W", "1", "2001:db8:2::2"});
    CHECK_MESSAGE(
        large6.out.find("Packet too big: mtu=1300") != std::string::npos, large6.out, large6.err);
  }

  TEST_CASE("a host is matched by its address, not by pods it could be (53, 39 in IPv6)") {
    const auto cluster = make_policy_cluster();
    REQUIRE(cluster->apply(on_x("matchLabels: {pod: a}",
                                "ingress: [{from: [{podSelector: {}, namespaceSelector: {}}]}]")) ==
            "");
    CHECK(wait_until([&] { return !cluster->connects("node2", target(*cluster, "xa")); },
                     seconds(5)));
    CHECK(cluster->connects("zb", target(*cluster, "xa")));
    REQUIRE(cluster->apply(admit_into_xa("ipBlock: {cidr: 192.0.2.2/32}")) == "");
    CHECK(
        wait_until([&] { return cluster->connects("node2", target(*cluster, "xa")); }, seconds(5)));
    CHECK_FALSE(cluster->connects("zb", target(*cluster, "xa")));

    const auto from = [&](const std::string& source) {
      return cluster->lab()
          .node("outside")
          .exec({"margay-probe",
                 "connect",
                 target(*cluster, "xa", true),
                 "--timeout=400ms",
                 "--source=" + source})
          .err;
    };
    REQUIRE(cluster->apply(admit_into_xa("ipBlock: {cidr: '2001:db8:2::2/128'}")) == "");
    CHECK(wait_until([&] { return from("2001:db8:2::2").empty(); }, seconds(5)));
    CHECK(from("2001:db8:2::2") == "");
    CHECK(from("2001:db8:2::3") == "TIMEOUT\n");
  }

  TEST_CASE("an isolated pod reaches itself, by its address and by way of a service (52)") {
    const auto cluster = make_policy_cluster();
    REQUIRE(cluster->apply(on_x("matchLabels: {pod: a}", "policyTypes: [Ingress, Egress]")) == "");
    const Pod& xa = cluster->lab().pod("xa");
    CHECK(wait_until([&] { return !cluster->connects("xa", target(*cluster, "yb")); }, seconds(5)));
    CHECK(cluster->connects("xa", target(*cluster, "xa")));
    // What kube-proxy does for 10.96.0.1: to the pod, and masqueraded where it is the pod's own.
    const ExecResult made = cluster->lab().node("node1").exec(
        {"nft",
         fmt::format("table ip services {{\n"
                     "chain to {{ type nat hook prerouting priority dstnat;\n"
                     "  ip daddr 10.96.0.1 dnat to {0}\n}}\n"
                     "chain from {{ type nat hook postrouting priority srcnat;\n"
                     "  ip saddr {0} ip daddr {0} masquerade\n}}\n}}\n",
                     xa.address)});
    REQUIRE_MESSAGE(made.ok(), made.err);
    CHECK(cluster->connects("xa", "10.96.0.1:80"));
    CHECK_FALSE(cluster->connects("xc", "10.96.0.1:80"));  // on node1, too
  }
}

}  // namespace margay::lab
