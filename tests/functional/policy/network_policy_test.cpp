#include "tests/functional/policy/cases.h"
#include "tests/functional/policy/policy_cluster.h"
#include "tests/lab/wait.h"

#include <doctest/doctest.h>

namespace margay::lab {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

std::map<std::string, std::string> addresses(Cluster& cluster, Family family) {
  std::map<std::string, std::string> out;
  for (const Pod& pod : cluster.lab().pods()) {
    out[pod.name] = family == Family::kIpv4 ? pod.address : pod.address6;
  }
  return out;
}

std::set<Reach> expected_of(bool (*allowed)(const Flow&)) {
  std::set<Reach> expected;
  for (const std::string& from : kPods) {
    for (const std::string& to : kPods) {
      for (const Service& service : kServices) {
        if (from == to || allowed(Flow{from, to, service.protocol, service.port})) {
          expected.insert(Reach{from, to, service.protocol, service.port});
        }
      }
    }
  }
  return expected;
}

std::string difference(const std::set<Reach>& seen, const std::set<Reach>& expected) {
  std::string text;
  for (const Reach& reach : seen) {
    if (!expected.contains(reach)) {
      text += fmt::format(
          "passed, should not: {}->{} {} {}\n", reach.from, reach.to, reach.protocol, reach.port);
    }
  }
  for (const Reach& reach : expected) {
    if (!seen.contains(reach)) {
      text += fmt::format(
          "denied, should pass: {}->{} {} {}\n", reach.from, reach.to, reach.protocol, reach.port);
    }
  }
  return text;
}

// The matrix as expected, within the time a change may take; else what differs.
std::string settle(Cluster& cluster,
                   const std::set<Reach>& expected,
                   const std::vector<Family>& families = {Family::kIpv4, Family::kIpv6}) {
  std::string left;
  const auto settled = [&] {
    left.clear();
    for (const Family family : families) {
      left += difference(cluster.reach(kPods, kPods, kServices, family), expected);
    }
    return left.empty();
  };
  return wait_until(settled, seconds(10)) ? "" : left;
}

// Those that cases may leave.
const std::vector<std::pair<std::string, std::string>> kAdminPolicies{
    {"AdminNetworkPolicy", "a"},
    {"AdminNetworkPolicy", "b"},
    {"ClusterNetworkPolicy", "a"},
    {"BaselineAdminNetworkPolicy", "default"}};

// In IPv4 and IPv6 at once, or with the documents of one family.
void run_case(Cluster& cluster, const PolicyCase& one, const std::vector<Family>& families) {
  CAPTURE(one.name);
  CAPTURE(families.size());
  std::string applied;
  for (const Step& step : one.steps) {
    const std::string documents =
        in_family(step.policies, families.front(), addresses(cluster, families.front()));
    if (step.remove) {
      CHECK(cluster.remove(documents) == "");
      applied.clear();
    } else if (!documents.empty()) {
      CHECK(cluster.apply(documents) == "");
      applied += documents;
    }
    CHECK(settle(cluster, expected_of(step.allowed), families) == "");
  }
  for (const auto& [kind, name] : kAdminPolicies) {
    if (applied.find(fmt::format("kind: {}\nmetadata: {{name: {}}}", kind, name)) !=
        std::string::npos) {
      CHECK(cluster.ctl({"delete", kind, name}).ok());
    }
  }
  // A policy that a later step changed stands in the documents twice; it is deleted once.
  for (const char* name : {"p", "q"}) {
    for (const char* ns : {"x", "y"}) {
      if (applied.find(fmt::format("{{name: {}, namespace: {}}}", name, ns)) != std::string::npos) {
        CHECK(cluster.ctl({"delete", "networkpolicy.networking.k8s.io", name, "-n", ns}).ok());
      }
    }
  }
}

}  // namespace

TEST_SUITE("functional.policy") {
  TEST_CASE(
      "NetworkPolicy: real packets between nine pods on two nodes pass and stop as the policies "
      "say") {
    const auto cluster = make_policy_cluster();
    const auto all = expected_of([](const Flow&) { return true; });
    REQUIRE(settle(*cluster, all) == "");
    for (const PolicyCase& one : policy_cases()) {
      if (names_addresses(one)) {
        run_case(*cluster, one, {Family::kIpv4});
        run_case(*cluster, one, {Family::kIpv6});
      } else {
        run_case(*cluster, one, {Family::kIpv4, Family::kIpv6});
      }
    }
    CHECK(settle(*cluster, all) == "");
  }

  TEST_CASE("NetworkPolicy: hosts outside are told apart by address and are not pods (39, 7)") {
    const auto cluster = make_policy_cluster();
    const std::string target = cluster->lab().pod("xa").address + ":80";
    const auto from = [&](const std::string& source) {
      return cluster->lab()
          .node("outside")
          .exec({"margay-probe", "connect", target, "--timeout=400ms", "--source=" + source})
          .ok();
    };
    CHECK(from("198.51.100.2"));
    CHECK(from("198.51.100.3"));
    REQUIRE(cluster->apply(admit_into_xa("ipBlock: {cidr: 198.51.100.2/32}")) == "");
    CHECK(wait_until([&] { return !from("198.51.100.3"); }, seconds(5)));
    CHECK(from("198.51.100.2"));
    REQUIRE(cluster->apply(admit_into_xa("namespaceSelector: {}")) == "");
    CHECK(wait_until([&] { return !from("198.51.100.2"); }, seconds(5)));
    CHECK(cluster->connects("zb", target));
  }

  TEST_CASE("an isolated pod answers its own node and itself, not the other node") {
    const auto cluster = make_policy_cluster();
    const std::string target = cluster->lab().pod("xa").address + ":80";  // on node1
    REQUIRE(cluster->apply(admit_into_xa("podSelector: {matchLabels: {pod: nobody}}")) == "");
    CHECK(wait_until([&] { return !cluster->connects("zb", target); }, seconds(5)));
    CHECK(cluster->connects("node1", target));
    CHECK(cluster->connects("xa", target));
    CHECK(!cluster->connects("node2", target));
  }

  TEST_CASE("labels of namespaces and of policies' subjects are followed (25, 28)") {
    const auto cluster = make_policy_cluster();
    const std::string target = cluster->lab().pod("xa").address + ":80";
    const auto label_y = [&](const std::string& extra) {
      return cluster->apply("apiVersion: v1\nkind: Namespace\nmetadata: {name: y, labels: {ns: y" +
                            extra + "}}\n");
    };
    REQUIRE(cluster->apply(admit_into_xa("namespaceSelector: {matchLabels: {foo: '1'}}")) == "");
    CHECK(wait_until([&] { return !cluster->connects("ya", target); }, seconds(5)));
    REQUIRE(label_y(", foo: '1'") == "");
    CHECK(wait_until([&] { return cluster->connects("ya", target); }, seconds(5)));
    CHECK(!cluster->connects("za", target));
    REQUIRE(label_y("") == "");
    CHECK(wait_until([&] { return !cluster->connects("ya", target); }, seconds(5)));
  }
}

}  // namespace margay::lab
