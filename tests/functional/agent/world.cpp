#include "tests/functional/agent/world.h"

#include "tests/lab/wait.h"

#include <doctest/doctest.h>

namespace margay::lab {

std::unique_ptr<Cluster> make_cluster(const std::string& topology,
                                      const std::string& name,
                                      bool start,
                                      const Environment& env) {
  LabOptions options;
  options.name = name;
  options.replace = true;
  options.start = start;
  options.env = env;
  auto lab = Lab::up(std::filesystem::path(MARGAY_SOURCE_DIR) / "containerlab" / topology /
                         (topology + ".clab.yml"),
                     options);
  REQUIRE_MESSAGE(lab, (lab ? "" : lab.error().text));
  return std::make_unique<Cluster>(std::move(*lab));
}

Environment with_each_speaker() {
  Environment env;
  DOCTEST_SUBCASE("with the embedded speaker") {
    env = {{"MARGAY_BGP", "embedded"}};
  }
  DOCTEST_SUBCASE("with BIRD") {
    env = {{"MARGAY_BGP", "bird"}};
  }
  return env;
}

std::unique_ptr<Cluster> make_pair(const std::string& name, const Environment& env) {
  auto cluster = make_cluster("pair", name, true, env);
  for (const std::string node : {"node1", "node2"}) {
    REQUIRE_MESSAGE(cluster->wait_ready(node), cluster->lab().node(node).read_log("margayd"));
    const std::string pod = node == "node1" ? "near" : "far";
    REQUIRE(cluster->add_server(
                node, {.name = pod, .labels = {{"app", pod}}}, {{"tcp", 80}, {"udp", 80}}) == "");
  }
  const std::string target = cluster->lab().pod("far").address + ":80";
  REQUIRE(wait_until([&] { return cluster->connects("near", target); }, std::chrono::seconds(20)));
  return cluster;
}

std::string admit(const std::string& policy, const std::string& app, const std::string& peer) {
  return fmt::format(R"(---
apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata: {{name: {}, namespace: default}}
spec:
  selector: app == '{}'
  types: [Ingress]
  ingress:
    - action: Allow
      source: {{selector: app == '{}'}}
)",
                     policy,
                     app,
                     peer);
}

std::string many_policies(unsigned count) {
  std::string all;
  for (unsigned i = 0; i < count; ++i) {
    all += admit(
        fmt::format("many-{:04}", i), "far", i == count / 2 ? "near" : fmt::format("peer-{}", i));
  }
  return all;
}

}  // namespace margay::lab
