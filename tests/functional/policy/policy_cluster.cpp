#include "tests/functional/policy/policy_cluster.h"

#include <boost/json.hpp>
#include <doctest/doctest.h>

#include <algorithm>
#include <cctype>

namespace margay::lab {

const std::vector<Service> kServices{
    {"tcp", 80}, {"tcp", 81}, {"tcp", 82}, {"udp", 80}, {"udp", 81}, {"sctp", 80}, {"sctp", 81}};

const std::vector<std::string> kPods{"xa", "xb", "xc", "ya", "yb", "yc", "za", "zb", "zc"};

namespace {

// Ports of the endpoint's record, as a pod's container ports would make them: serve-80-tcp and the
// like, and "web" for 80, 81 and 82 in pods a, b and c.
void name_ports(Cluster& cluster, const PodSpec& spec) {
  const auto got = cluster.ctl({"get", "wep", "-n", spec.ns, "-o", "json"});
  REQUIRE(got.ok());
  const boost::json::value list = boost::json::parse(got.out);
  for (const boost::json::value& item : list.at("items").as_array()) {
    if (item.at("spec").at("pod").as_string() != spec.name) {
      continue;
    }
    boost::json::object record = item.as_object();
    boost::json::array ports;
    for (const Service& service : kServices) {
      std::string protocol = service.protocol;
      std::ranges::transform(protocol, protocol.begin(), ::toupper);
      ports.push_back({{"name", fmt::format("serve-{}-{}", service.port, service.protocol)},
                       {"protocol", protocol},
                       {"port", service.port}});
    }
    ports.push_back({{"name", "web"}, {"protocol", "TCP"}, {"port", web_port(spec.name)}});
    record["spec"].as_object()["ports"] = ports;
    REQUIRE(cluster.apply(boost::json::serialize(record)) == "");
    return;
  }
  FAIL("no endpoint record of ", spec.name);
}

}  // namespace

int web_port(std::string_view pod) {
  return 80 + (pod.back() - 'a');
}

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
    spec.ipv6 = true;
    REQUIRE(cluster->add_server(i % 2 == 0 ? "node1" : "node2", spec, kServices) == "");
    name_ports(*cluster, spec);
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
