#include "tests/functional/policy/policy_cluster.h"

#include <doctest/doctest.h>

namespace margay::lab {

const std::vector<Service> kServices{
    {"tcp", 80}, {"tcp", 81}, {"tcp", 82}, {"udp", 80}, {"udp", 81}};

const std::vector<std::string> kPods{"xa", "xb", "xc", "ya", "yb", "yc", "za", "zb", "zc"};

std::unique_ptr<Cluster> make_policy_cluster() {
  LabOptions options;
  options.name = "ft-policy";
  options.replace = true;
  auto lab =
      Lab::up(std::filesystem::path(MARGAY_SOURCE_DIR) / "tests/functional/policy/cluster.clab.yml",
              options);
  REQUIRE_MESSAGE(lab, (lab ? "" : lab.error().text));
  auto cluster = std::make_unique<Cluster>(std::move(*lab));
  for (const char* node : {"node1", "node2"}) {
    REQUIRE_MESSAGE(cluster->wait_ready(node), cluster->lab().node(node).read_log("margayd"));
  }
  for (std::size_t i = 0; i < kPods.size(); ++i) {
    PodSpec spec;
    spec.name = kPods[i];
    spec.ns = kPods[i].substr(0, 1);
    spec.labels = {{"pod", kPods[i].substr(1)}};
    REQUIRE(cluster->add_server(i % 2 == 0 ? "node1" : "node2", spec, kServices) == "");
  }
  return cluster;
}

std::string admit_into_xa(const std::string& peer) {
  return "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: p, namespace: "
         "x}\n"
         "spec: {podSelector: {matchLabels: {pod: a}}, ingress: [{from: [{" +
         peer + "}]}]}\n";
}

}  // namespace margay::lab
