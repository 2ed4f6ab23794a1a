// A day of somebody who looks after policy: 40 policies of ten teams are written anew in another
// dialect, and nothing may change; what is wrong is to be found before it is applied.

#include "tests/functional/policy/policy_cluster.h"
#include "tests/lab/wait.h"

#include <boost/json.hpp>
#include <doctest/doctest.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <string>

namespace margay::lab {
namespace {

namespace fs = std::filesystem;
using std::chrono::seconds;

struct Role {
  const char* pod;   // the label
  const char* from;  // whose pods may come; empty: everybody
  int port;
};
constexpr Role kRoles[] = {{"a", "", 80}, {"b", "a", 81}, {"c", "b", 82}, {"d", "b", 83}};

// Team x has real pods; the others are on a node that is away.
std::vector<std::string> teams() {
  std::vector<std::string> out{"x"};
  for (int i = 1; i < 10; ++i) {
    out.push_back(fmt::format("team{}", i));
  }
  return out;
}

std::string endpoints_elsewhere() {
  std::string out;
  int host = 0;
  for (const std::string& team : teams()) {
    for (const Role& role : kRoles) {
      for (int i = 0; i < 3 && team != "x"; ++i) {
        ++host;
        out += fmt::format(
            "apiVersion: projectcalico.org/v3\nkind: WorkloadEndpoint\n"
            "metadata: {{name: 'node9-k8s-{0}{1}-eth0', namespace: {2}, labels: {{pod: {0}}}}}\n"
            "spec: {{orchestrator: k8s, node: node9, pod: {0}{1}, endpoint: eth0, interfaceName: "
            "mgy{3}, ipNetworks: [10.244.200.{3}/32], profiles: [kns.{2}]}}\n---\n",
            role.pod,
            i,
            team,
            host);
      }
    }
  }
  return out;
}

std::string calico_policies() {
  std::string out;
  for (const std::string& team : teams()) {
    for (const Role& role : kRoles) {
      const std::string source =
          *role.from == '\0' ? "" : fmt::format("source: {{selector: pod == '{}'}}, ", role.from);
      out += fmt::format(
          "apiVersion: projectcalico.org/v3\nkind: NetworkPolicy\n"
          "metadata: {{name: role-{0}, namespace: {1}}}\n"
          "spec: {{selector: pod == '{0}', types: [Ingress], ingress: [{{action: Allow, protocol: "
          "TCP, {2}destination: {{ports: [{3}]}}}}]}}\n---\n",
          role.pod,
          team,
          source,
          role.port);
    }
  }
  return out;
}

// The same for Kubernetes. `too_far`: where the databases of team3 are concerned, up to this port.
std::string kubernetes_policies(int too_far = 0) {
  std::string out;
  for (const std::string& team : teams()) {
    for (const Role& role : kRoles) {
      const std::string peers =
          *role.from == '\0'
              ? ""
              : fmt::format("from: [{{podSelector: {{matchLabels: {{pod: {}}}}}}}], ", role.from);
      const bool wrong = too_far != 0 && team == "team3" && role.port == 82;
      out += fmt::format(
          "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n"
          "metadata: {{name: role-{0}, namespace: {1}}}\n"
          "spec: {{podSelector: {{matchLabels: {{pod: {0}}}}}, ingress: [{{{2}ports: [{{port: "
          "{3}{4}}}]}}]}}\n---\n",
          role.pod,
          team,
          peers,
          role.port,
          wrong ? fmt::format(", endPort: {}", too_far) : "");
    }
  }
  return out;
}

const char* const kTests =
    "tests:\n"
    "- name: applications reach databases on their port alone\n"
    "  from: {selector: pod == 'b', namespace: team3}\n"
    "  to: {selector: pod == 'c', namespace: team3}\n"
    "  expect: [{port: 82, verdict: allow}, {port: 83, verdict: deny}, {port: 81, verdict: deny}]\n"
    "- name: nobody else does\n"
    "  from: {selector: pod != 'b'}\n"
    "  to: {selector: \"pod == 'c' && projectcalico.org/namespace not in {'y', 'z'}\"}\n"
    "  expect: [{port: 82, verdict: deny}]\n"
    "- name: the world reaches the fronts\n"
    "  from: {address: 198.51.100.9}\n"
    "  to: {selector: \"pod == 'a' && projectcalico.org/namespace not in {'y', 'z'}\"}\n"
    "  expect: [{port: 80, verdict: allow}, {port: 22, verdict: deny}]\n";

class Desk {
 public:
  explicit Desk(Cluster& cluster)
      : cluster_(cluster), folder_(fs::temp_directory_path() / fmt::format("desk-{}", ::getpid())) {
    fs::create_directories(folder_);
  }
  ~Desk() { fs::remove_all(folder_); }
  Desk(const Desk&) = delete;
  Desk& operator=(const Desk&) = delete;

  std::string file(const std::string& name, const std::string& text) {
    std::ofstream(folder_ / name) << text;
    return (folder_ / name).string();
  }
  ExecResult ctl(std::vector<std::string> arguments) { return cluster_.ctl(std::move(arguments)); }

 private:
  Cluster& cluster_;
  fs::path folder_;
};

}  // namespace

TEST_SUITE("functional.policy.day") {
  TEST_CASE(
      "forty policies change their dialect: diff and test find a port too many, lint a shadowed "
      "rule, explain the rule that decides; then nothing differs, and no packet notices") {
    const auto cluster = make_policy_cluster();
    REQUIRE(cluster->apply(endpoints_elsewhere()) == "");
    REQUIRE(cluster->apply(calico_policies()) == "");
    const std::string database = cluster->lab().pod("xc").address + ":82";
    const auto as_ever = [&] {
      return cluster->connects("xb", database) && !cluster->connects("xa", database);
    };
    REQUIRE(wait_until(as_ever, seconds(10)));
    Desk desk(*cluster);
    const std::string old_file = desk.file("old.yaml", calico_policies());
    const std::string tests = desk.file("tests.yaml", kTests);
    const ExecResult before = desk.ctl({"policy", "test", "-f", tests});
    REQUIRE_MESSAGE(before.out.ends_with("3 passed, 0 failed\n"), before.out, before.err);

    // The first attempt lets the applications of one team in on a port too many.
    const std::string wrong = desk.file("wrong.yaml", kubernetes_policies(83));
    const ExecResult differs = desk.ctl({"policy", "diff", "-f", wrong, "--remove", old_file});
    CHECK(differs.out ==
          "team3/b0 (and 2 alike) -> team3/c0 (and 2 alike)  TCP 83: deny -> allow  "
          "(ingress: tier default: NetworkPolicy team3/role-c rule 1: the rule matches: Allow)\n1 "
          "change\n");
    const ExecResult tested = desk.ctl({"policy", "test", "-f", tests, "--with", wrong});
    CHECK(tested.rc == 1);
    CHECK_MESSAGE(tested.out.find("FAIL  applications reach databases on their port alone (9 of "
                                  "27)\n      team3/b0 -> team3/c0 TCP 83: expected deny, is "
                                  "allow") != std::string::npos,
                  tested.out);
    // Somebody adds a rule behind one that matches all that it matches.
    const std::string shadow = desk.file(
        "shadow.yaml",
        "apiVersion: projectcalico.org/v3\nkind: NetworkPolicy\n"
        "metadata: {name: role-c, namespace: team3}\n"
        "spec: {selector: pod == 'c', types: [Ingress], ingress: [{action: Allow, protocol: TCP, "
        "source: {selector: pod == 'b'}, destination: {ports: ['80:90']}}, {action: Deny, "
        "protocol: TCP, source: {selector: pod == 'b'}, destination: {ports: [83]}}]}\n");
    const ExecResult linted = desk.ctl({"policy", "lint", "-f", shadow});
    CHECK(linted.rc == 1);
    CHECK_MESSAGE(
        linted.out.find("NetworkPolicy team3/role-c: spec.ingress[1]: never reached: "
                        "spec.ingress[0] matches everything that it matches") != std::string::npos,
        linted.out);
    // Why was it closed before?
    const ExecResult why =
        desk.ctl({"policy", "explain", "team3/b0", "team3/c0", "--port", "83", "-o", "json"});
    const boost::json::value answer = boost::json::parse(why.out);
    CHECK(answer.at("verdict").as_string() == "deny");
    CHECK(answer.at("ingress").at("path").at(0).at("policy").as_string() ==
          "NetworkPolicy team3/role-c");

    // The second attempt changes nothing, and is applied beside the old ones before they go.
    const std::string right = desk.file("right.yaml", kubernetes_policies());
    CHECK(desk.ctl({"policy", "diff", "-f", right, "--remove", old_file}).out ==
          "no verdict changes\n");
    const auto stream =
        cluster->start_stream("xb", database, "stream", {"--rate=500", "--protocol=tcp"});
    REQUIRE(stream);
    REQUIRE(desk.ctl({"apply", "-f", right}).ok());
    REQUIRE(desk.ctl({"delete", "-f", old_file}).ok());
    REQUIRE(desk.ctl({"wait",
                      "networkpolicy.networking.k8s.io",
                      "role-c",
                      "-n",
                      "x",
                      "--enforced",
                      "--timeout",
                      "20s"})
                .ok());
    const auto report = cluster->end_stream("xb", "stream", *stream);
    REQUIRE(report);
    CHECK(report->received > 0);
    CHECK(report->lost == 0);
    CHECK(as_ever());
    CHECK(desk.ctl({"policy", "test", "-f", tests}).out.ends_with("3 passed, 0 failed\n"));
  }
}

}  // namespace margay::lab
