// Peers of ClusterNetworkPolicy that no pod is: nodes (80) and domain names (88), and what holds
// for hosts under it (84, 89).

#include "tests/functional/policy/policy_cluster.h"
#include "tests/lab/wait.h"

#include <doctest/doctest.h>

#include <chrono>
#include <string>

namespace margay::lab {
namespace {

using std::chrono::seconds;

// What x/a may go to by an administrator's word.
std::string accept_from_xa(const std::string& peers) {
  return "apiVersion: policy.networking.k8s.io/v1alpha2\nkind: ClusterNetworkPolicy\n"
         "metadata: {name: names}\n"
         "spec: {tier: Admin, priority: 10, subject: {pods: {namespaceSelector: {matchLabels: {ns: "
         "x}}, podSelector: {matchLabels: {pod: a}}}}, egress: [{action: Accept, to: [" +
         peers + "]}]}\n---\n";
}

// And nothing else.
std::string confine_xa(const std::string& egress) {
  return "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: p, namespace: "
         "x}\n"
         "spec: {podSelector: {matchLabels: {pod: a}}, policyTypes: [Egress], egress: [" +
         egress + "]}\n---\n";
}

std::string node2(const std::string& labels) {
  return "apiVersion: projectcalico.org/v3\nkind: Node\nmetadata: {name: node2, labels: {" +
         labels +
         "}}\nspec: {bgp: {ipv4Address: 192.0.2.2/30, ipv6Address: '2001:db8:1::2/64'}}\n---\n";
}

const std::string kAskDns =
    "{to: [{ipBlock: {cidr: 198.51.100.0/30}}], ports: [{protocol: UDP, port: 53}]}";
const std::string kTrust =
    "apiVersion: projectcalico.org/v3\nkind: FelixConfiguration\nmetadata: {name: default}\n"
    "spec: {dnsTrustedServers: [198.51.100.2]}\n---\n";

// A name server outside on `address`, one on each.
void serve_names(const Node& node, const std::string& address, std::vector<std::string> records) {
  std::vector<std::string> argv{"dnsmasq",
                                "--keep-in-foreground",
                                "--conf-file=/dev/null",
                                "--no-resolv",
                                "--no-hosts",
                                "--user=root",
                                "--group=root",
                                "--pid-file",
                                "--bind-interfaces",
                                "--except-interface=lo",
                                "--listen-address=" + address};
  argv.insert(argv.end(), records.begin(), records.end());
  REQUIRE(node.spawn("names-" + address, argv));
  const auto answers = [&] {
    return node.exec({"dig", "+tries=1", "+timeout=1", "@" + address, "www.example.org"}).ok();
  };
  REQUIRE_MESSAGE(wait_until(answers, seconds(10)), node.read_log("names-" + address));
}

struct Names {
  Names() : cluster(make_policy_cluster()) {
    Node& outside = cluster->lab().node("outside");
    for (int last = 4; last <= 12; ++last) {
      REQUIRE(outside.shell(fmt::format("ip addr add 198.51.100.{}/24 dev eth1", last)).ok());
    }
    REQUIRE(outside.shell("ip addr add 2001:db8:2::4/64 dev eth1 nodad").ok());
    REQUIRE(outside.spawn("serve", {"margay-probe", "serve", "--bind", "[::]", "--tcp", "80"}));
    REQUIRE(wait_until([&] { return outside.read_log("serve") == "ready\n"; }, seconds(5)));
    serve_names(outside,
                "198.51.100.2",
                {"--host-record=www.example.org,198.51.100.4,2001:db8:2::4,300",
                 "--host-record=other.example.org,198.51.100.6,300",
                 "--host-record=a.b.example.net,198.51.100.5,300",
                 "--host-record=example.net,198.51.100.7,300",
                 "--host-record=target.example.info,198.51.100.8,300",
                 "--cname=alias.example.com,target.example.info,300",
                 "--host-record=short.example.org,198.51.100.10,3"});
    serve_names(outside, "198.51.100.3", {"--host-record=www.example.org,198.51.100.9,300"});
    REQUIRE(cluster->apply(kTrust + confine_xa(kAskDns) +
                           accept_from_xa("{domainNames: [www.example.org, '*.example.net', "
                                          "alias.example.com, short.example.org]}")) == "");
    REQUIRE(wait_until([&] { return !reaches("zc"); }, seconds(5)));
  }
  [[nodiscard]] bool reaches(const std::string& pod) {
    return cluster->connects("xa", cluster->lab().pod(pod).address + ":80");
  }
  [[nodiscard]] bool reaches_outside(int last) {
    return cluster->connects("xa", fmt::format("198.51.100.{}:80", last));
  }
  // As a program would do that asks, and then connects; TCP sends its first packet again.
  [[nodiscard]] bool comes_to_reach(int last) {
    return wait_until([&] { return reaches_outside(last); }, seconds(5));
  }
  std::string ask(const std::string& name,
                  const std::string& type = "A",
                  const std::string& server = "198.51.100.2") {
    return cluster->lab()
        .node("xa")
        .exec({"dig", "+short", "+tries=1", "+timeout=2", "@" + server, name, type})
        .out;
  }

  std::unique_ptr<Cluster> cluster;
};

}  // namespace

TEST_SUITE("functional.policy.names") {
  TEST_CASE("a domain name leads where the trusted server says, and nowhere else (88)") {
    Names names;
    CHECK_FALSE(names.reaches_outside(4));
    CHECK(names.ask("WWW.example.org") == "198.51.100.4\n");
    CHECK(names.comes_to_reach(4));
    CHECK(names.ask("www.example.org", "AAAA") == "2001:db8:2::4\n");
    CHECK(wait_until([&] { return names.cluster->connects("xa", "[2001:db8:2::4]:80"); },
                     seconds(5)));

    // Names that nobody allowed, the name above a wildcard, and a server that nobody trusts; what
    // is asked after them is learnt, so they were not.
    CHECK(names.ask("other.example.org") == "198.51.100.6\n");
    CHECK(names.ask("example.net") == "198.51.100.7\n");
    CHECK(names.ask("www.example.org", "A", "198.51.100.3") == "198.51.100.9\n");
    CHECK(names.ask("a.b.example.net") == "198.51.100.5\n");
    CHECK(names.comes_to_reach(5));
    for (const int last : {6, 7, 9}) {
      CAPTURE(last);
      CHECK_FALSE(names.reaches_outside(last));
    }
    CHECK(names.ask("alias.example.com") == "target.example.info.\n198.51.100.8\n");
    CHECK(names.comes_to_reach(8));
    CHECK(names.cluster->connects("yb", "198.51.100.6:80"));  // others are not confined
  }

  TEST_CASE("a name's time runs out for new connections, and an agent's restart keeps it (88)") {
    Names names;
    CHECK(names.ask("www.example.org") == "198.51.100.4\n");
    CHECK(names.ask("short.example.org") == "198.51.100.10\n");
    CHECK(names.comes_to_reach(10));
    const auto stream = names.cluster->start_stream(
        "xa", "198.51.100.10:80", "stream", {"--rate=100", "--protocol=tcp"});
    REQUIRE(stream);
    CHECK(wait_until([&] { return !names.reaches_outside(10); }, seconds(10)));
    const auto report = names.cluster->end_stream("xa", "stream", *stream);
    REQUIRE(report);
    CHECK(report->received > 0);
    CHECK(report->lost == 0);

    Node& node = names.cluster->lab().node("node1");
    REQUIRE(wait_until(
        [&] { return node.shell("grep -q www.example.org /var/lib/margay/domain-names").ok(); },
        seconds(5)));
    REQUIRE(node.kill());
    CHECK(names.reaches_outside(4));
    REQUIRE(node.start());
    REQUIRE(names.cluster->wait_ready("node1"));
    CHECK(names.reaches_outside(4));
    CHECK_FALSE(names.reaches_outside(10));
    CHECK(names.ask("short.example.org") == "198.51.100.10\n");
    CHECK(names.comes_to_reach(10));
  }

  TEST_CASE("a peer of nodes follows their labels and addresses (80)") {
    const auto cluster = make_policy_cluster();
    REQUIRE(cluster->lab().node("node2").spawn(
        "serve", {"margay-probe", "serve", "--bind", "[::]", "--tcp", "80"}));
    const auto reaches = [&](const std::string& target) { return cluster->connects("xa", target); };
    REQUIRE(wait_until([&] { return reaches("192.0.2.2:80"); }, seconds(5)));
    REQUIRE(cluster->apply(confine_xa("") + node2("rack: '2'") +
                           accept_from_xa("{nodes: {matchLabels: {rack: '1'}}}")) == "");
    CHECK(wait_until([&] { return !reaches("192.0.2.2:80"); }, seconds(5)));
    REQUIRE(cluster->apply(node2("rack: '1'")) == "");
    CHECK(wait_until([&] { return reaches("192.0.2.2:80"); }, seconds(5)));
    CHECK(reaches("[2001:db8:1::2]:80"));
    CHECK_FALSE(reaches(cluster->lab().pod("xb").address + ":80"));  // a pod of that node
    CHECK_FALSE(reaches("198.51.100.2:80"));
    REQUIRE(cluster->apply(node2("")) == "");
    CHECK(wait_until([&] { return !reaches("192.0.2.2:80"); }, seconds(5)));
  }

  TEST_CASE(
      "hosts are never subject to an administrator's policy (84), and a Deny is silent (89)") {
    const auto cluster = make_policy_cluster();
    REQUIRE(
        cluster->apply("apiVersion: policy.networking.k8s.io/v1alpha2\nkind: ClusterNetworkPolicy\n"
                       "metadata: {name: shut}\n"
                       "spec: {tier: Admin, priority: 10, subject: {namespaces: {}}, "
                       "ingress: [{action: Deny, from: [{namespaces: {}}]}], "
                       "egress: [{action: Deny, to: [{networks: [0.0.0.0/0, '::/0']}]}]}\n") == "");
    const Pod& far = cluster->lab().pod("xb");  // on node2
    const auto asked = [&](const std::string& from, const std::string& address) {
      return cluster->lab()
          .node(from)
          .exec({"margay-probe", "connect", address + ":80", "--timeout=500ms"})
          .err;
    };
    CHECK(wait_until([&] { return asked("xa", far.address) == "TIMEOUT\n"; }, seconds(5)));
    CHECK(asked("xa", "[" + far.address6 + "]") == "TIMEOUT\n");
    CHECK(asked("xa", "192.0.2.2") == "TIMEOUT\n");
    CHECK(asked("node1", far.address) == "");  // no pod: not among "namespaces: {}", nor confined
    CHECK(asked("outside", far.address) == "");
    CHECK(asked("node1", "192.0.2.2") == "REFUSED\n");  // nobody listens, and nothing drops it
    CHECK(asked("xa", cluster->lab().pod("xa").address) == "");  // itself (85)
  }
}

}  // namespace margay::lab
