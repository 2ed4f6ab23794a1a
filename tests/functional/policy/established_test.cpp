// What becomes of established connections when policy changes, and when a change is in force.

#include "tests/functional/policy/policy_cluster.h"
#include "tests/lab/wait.h"

#include <doctest/doctest.h>

#include <chrono>
#include <string>

namespace margay::lab {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

const std::string kNobody = "podSelector: {matchLabels: {pod: nobody}}";
const std::string kZ = "namespaceSelector: {matchLabels: {ns: z}}";

std::string reevaluating(std::string policy) {
  const std::string name = "{name: p, ";
  return policy.replace(policy.find(name),
                        name.size(),
                        "{name: p, annotations: {margay.io/established-connections: Reevaluate}, ");
}

void wait_enforced(Cluster& cluster) {
  const auto waited = cluster.ctl({"wait",
                                   "networkpolicy.networking.k8s.io",
                                   "p",
                                   "-n",
                                   "x",
                                   "--enforced",
                                   "--timeout",
                                   "10s"});
  REQUIRE_MESSAGE(waited.ok(), waited.err);
}

// A TCP stream from z/b to x/a, and whether it still flows.
class Flowing {
 public:
  explicit Flowing(Cluster& cluster)
      : cluster_(cluster),
        process_(cluster.start_stream("zb",
                                      cluster.lab().pod("xa").address + ":80",
                                      "stream",
                                      {"--rate=200", "--protocol=tcp"})) {
    REQUIRE(process_);
  }
  StreamReport end() {
    const auto report = cluster_.end_stream("zb", "stream", *process_);
    REQUIRE(report);
    return *report;
  }

 private:
  Cluster& cluster_;
  std::optional<ProcessId> process_;
};

}  // namespace

TEST_SUITE("functional.policy.established") {
  TEST_CASE("wait --enforced returns when the next packet on every node meets the policy") {
    const auto cluster = make_policy_cluster();
    const std::string target = cluster->lab().pod("xa").address + ":80";
    for (int i = 0; i < 10; ++i) {
      REQUIRE(cluster->apply(admit_into_xa(kNobody)) == "");
      wait_enforced(*cluster);
      CHECK_FALSE(cluster->connects("zb", target));
      REQUIRE(cluster->apply(admit_into_xa(kZ)) == "");
      wait_enforced(*cluster);
      CHECK(cluster->connects("zb", target));
    }
    // A node whose agent is gone holds it up, and is named.
    REQUIRE(cluster->lab().node("node2").kill());
    REQUIRE(cluster->apply(admit_into_xa(kNobody)) == "");
    const auto late = cluster->ctl({"wait",
                                    "networkpolicy.networking.k8s.io",
                                    "p",
                                    "-n",
                                    "x",
                                    "--enforced",
                                    "--timeout",
                                    "1s"});
    CHECK_FALSE(late.ok());
    CHECK(late.err.find("not enforced yet on node2") != std::string::npos);
  }

  TEST_CASE("Keep leaves established connections alone, Reevaluate ends those no longer allowed") {
    const auto cluster = make_policy_cluster();
    const std::string target = cluster->lab().pod("xa").address + ":80";
    Flowing kept(*cluster);
    REQUIRE(cluster->apply(admit_into_xa(kNobody)) == "");
    wait_enforced(*cluster);
    CHECK_FALSE(cluster->connects("zb", target));
    const StreamReport untouched = kept.end();
    CHECK(untouched.sent > 50);
    CHECK(untouched.lost == 0);

    // The annotation of one policy.
    REQUIRE(cluster->apply(reevaluating(admit_into_xa(kZ))) == "");
    wait_enforced(*cluster);
    Flowing annotated(*cluster);
    REQUIRE(cluster->connects("zb", target));
    REQUIRE(cluster->apply(reevaluating(admit_into_xa(kNobody))) == "");
    wait_enforced(*cluster);
    const auto ended = [&](const std::string& node) {
      return cluster->lab().node(node).read_log("margayd").find("established connection refused");
    };
    CHECK(wait_until([&] { return ended("node1") != std::string::npos; }, seconds(5)));
    CHECK(annotated.end().lost > 0);

    // All policies.
    REQUIRE(cluster->apply(admit_into_xa(kZ)) == "");
    wait_enforced(*cluster);
    REQUIRE(cluster->apply("apiVersion: projectcalico.org/v3\nkind: FelixConfiguration\n"
                           "metadata: {name: default}\n"
                           "spec: {establishedConnections: Reevaluate}\n") == "");
    Flowing everywhere(*cluster);
    REQUIRE(cluster->connects("zb", target));
    REQUIRE(cluster->apply(admit_into_xa(kNobody)) == "");
    wait_enforced(*cluster);
    CHECK(wait_until(
        [&] {
          const std::string log = cluster->lab().node("node1").read_log("margayd");
          const auto first = log.find("established connection refused");
          return log.find("established connection refused", first + 1) != std::string::npos;
        },
        seconds(5)));
    CHECK(everywhere.end().lost > 0);
  }
}

}  // namespace margay::lab
