// BGPFilters between nodes and a leaf that is BIRD: what a filter keeps back or changes is seen on
// the other side, and no session is closed for it.

#include "tests/functional/agent/world.h"
#include "tests/lab/wait.h"

#include <doctest/doctest.h>

#include <memory>
#include <string>

namespace margay::lab {
namespace {

using std::chrono::seconds;

class FilterLab {
 public:
  explicit FilterLab(const Environment& env)
      : cluster_(make_cluster("leaf-spine", "ft-filter", true, env)) {
    for (const char* node : {"node1", "node3"}) {
      REQUIRE_MESSAGE(cluster_->wait_ready(node), cluster_->lab().node(node).read_log("margayd"));
      REQUIRE(cluster_->add_server(node, {.name = std::string("on-") + node}, {{"tcp", 80}}) == "");
    }
    block_ = block_of("node1");
    far_block_ = block_of("node3");
    REQUIRE(leaf_has_block());
    REQUIRE(node_has(far_block_));
  }

  Cluster& cluster() { return *cluster_; }
  const std::string& block() const { return block_; }
  const std::string& far_block() const { return far_block_; }
  void filter(const std::string& spec) {
    REQUIRE(cluster_->apply("apiVersion: projectcalico.org/v3\nkind: BGPFilter\n"
                            "metadata: {name: rack}\nspec: " +
                            spec + "\n") == "");
  }
  void use_filter(bool used) {
    REQUIRE(
        cluster_->apply("apiVersion: projectcalico.org/v3\nkind: BGPPeer\n"
                        "metadata: {name: rack1-leaf}\n"
                        "spec: {nodeSelector: rack == '1', peerIP: 172.16.1.1, asNumber: 65001" +
                        std::string(used ? ", filters: [rack]" : "") + "}\n") == "");
  }
  bool leaf_has_block() {
    return becomes([this] { return leaf().find(block_) != std::string::npos; });
  }
  bool leaf_lacks_block() {
    return becomes([this] { return leaf().find(block_) == std::string::npos; });
  }
  bool node_has(const std::string& block) {
    return becomes([&] { return learnt().find(block) != std::string::npos; });
  }
  bool node_lacks(const std::string& block) {
    return becomes([&] { return learnt().find(block) == std::string::npos; });
  }
  // All that BIRD knows of the block.
  std::string told() {
    return cluster_->lab().node("leaf1").exec({"birdc", "show", "route", "all", block_}).out;
  }
  std::string sessions() { return cluster_->ctl({"bgp", "peers", "-o", "json"}).out; }

 private:
  template <typename Holds>
  static bool becomes(const Holds& holds) {
    return wait_until(holds, seconds(30));
  }
  std::string block_of(const std::string& node) {
    const std::string line =
        cluster_->lab().node(node).exec({"ip", "route", "show", "proto", "92"}).out;
    const auto begin = line.find("10.244.");
    REQUIRE(begin != std::string::npos);
    return line.substr(begin, line.find(' ', begin) - begin);
  }
  std::string leaf() { return cluster_->lab().node("leaf1").exec({"ip", "route"}).out; }
  std::string learnt() {
    return cluster_->lab().node("node1").exec({"ip", "route", "show", "proto", "91"}).out;
  }

  std::unique_ptr<Cluster> cluster_;
  std::string block_;
  std::string far_block_;
};

}  // namespace

TEST_SUITE("functional.agent.filters") {
  TEST_CASE("filters take effect on a running session, and one that is missing lets nothing pass") {
    FilterLab lab(with_each_speaker());
    lab.filter("{exportV4: [{cidr: " + lab.block() + ", matchOperator: Equal, action: Reject}]}");
    CHECK(lab.leaf_has_block());  // no peer names it yet
    lab.use_filter(true);
    CHECK(lab.leaf_lacks_block());
    CHECK(lab.node_has(lab.far_block()));

    lab.filter(
        "{exportV4: [{action: Accept, operations: [{addCommunity: {value: '65001:77'}}]}], "
        "importV4: [{cidr: " +
        lab.far_block() + ", matchOperator: In, action: Reject}]}");
    CHECK(lab.leaf_has_block());
    CHECK_MESSAGE(lab.told().find("(65001,77)") != std::string::npos, lab.told());
    CHECK(lab.node_lacks(lab.far_block()));
    CHECK(lab.cluster().ctl({"bgp", "routes", lab.far_block()}).out.find("import filter") !=
          std::string::npos);

    REQUIRE(lab.cluster().ctl({"delete", "bgpfilter", "rack"}).ok());
    CHECK(lab.leaf_lacks_block());
    CHECK(lab.node_lacks(lab.far_block()));
    CHECK(lab.cluster().lab().node("node1").read_log("margayd").find("filter=rack") !=
          std::string::npos);
    CHECK(lab.cluster().ctl({"doctor"}).out.find("BGPFilter rack: is not there: nothing passes") !=
          std::string::npos);

    lab.use_filter(false);
    CHECK(lab.leaf_has_block());
    CHECK(lab.node_has(lab.far_block()));
    const std::string sessions = lab.sessions();
    CHECK_MESSAGE(sessions.find("\"flaps\": 0") != std::string::npos, sessions);
  }
}

}  // namespace margay::lab
