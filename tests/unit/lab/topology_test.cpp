#include "tests/lab/topology.h"

#include <doctest/doctest.h>

namespace margay::lab {
namespace {

constexpr auto kSmall = R"(
name: small
mgmt: {network: custom}
topology:
  defaults: {env: {A: "1", B: "1"}}
  kinds: {linux: {image: x, env: {B: "2"}}}
  groups: {router: {labels: {margay-kind: bird}, exec: [ip addr add 10.0.0.1/32 dev lo]}}
  nodes:
    r1: {kind: linux, group: router, env: {C: "3"}, binds: ["r1.conf:/etc/bird/bird.conf:ro", "/tmp:/data"]}
    n1: {kind: linux, labels: {margay-kind: margay}, ports: ["80:80"]}
    p1: {kind: linux, network-mode: none, labels: {margay-kind: pod, margay-node: n1, app: web}}
  links:
    - endpoints: ["r1:eth1", "n1:eth1"]
      mtu: 9000
)";

std::string error_of(const std::string& nodes, const std::string& links = "[]") {
  const auto parsed = parse_topology(
      "name: t\ntopology:\n  nodes: " + nodes + "\n  links: " + links + "\n", "/x/t.clab.yml");
  return parsed ? "" : parsed.error().text;
}

}  // namespace

TEST_SUITE("lab.topology") {
  TEST_CASE("settings cascade from defaults over kind and group to the node") {
    const auto parsed = parse_topology(kSmall, "/x/small.clab.yml");
    REQUIRE_MESSAGE(parsed, (parsed ? "" : parsed.error().text));
    const NodeSpec* router = parsed->find("r1");
    REQUIRE(router != nullptr);
    CHECK(router->kind == NodeKind::kBird);
    CHECK(router->env == std::map<std::string, std::string>{{"A", "1"}, {"B", "2"}, {"C", "3"}});
    CHECK(router->exec == std::vector<std::string>{"ip addr add 10.0.0.1/32 dev lo"});
    CHECK(router->binds ==
          std::vector<Bind>{{"r1.conf", "/etc/bird/bird.conf", true}, {"/tmp", "/data", false}});
    CHECK(parsed->links == std::vector<LinkSpec>{{{"r1", "eth1"}, {"n1", "eth1"}, 9000}});
    CHECK(parsed->find("p1")->label("app") == "web");
    CHECK(parsed->find("p2") == nullptr);
  }

  TEST_CASE("a mistake is named by file and field") {
    struct Row {
      std::string nodes;
      std::string links;
      std::string error;
    };
    const std::vector<Row> rows{
        {"{a: {kind: linux}}",
         "[{endpoints: ['a:e1', 'b:e1']}]",
         "t.clab.yml: topology.links[0].endpoints[1]: node \"b\" is not in topology.nodes"},
        {"{a: {kind: linux}}",
         "[{endpoints: ['a:e1']}]",
         "t.clab.yml: topology.links[0].endpoints: 1 entries, expected two NODE:INTERFACE"},
        {"{a: {kind: linux}}",
         "[{endpoints: ['a:e1', 'a:e1']}]",
         "t.clab.yml: topology.links[0]: a:e1 is used twice"},
        {"{a: {kind: linux}}",
         "[{endpoints: ['a:e1', 'a:e2'], mtu: big}]",
         "t.clab.yml: topology.links[0].mtu: expected a number"},
        {"{a: {kind: linux, binds: [x]}}",
         "[]",
         "t.clab.yml: topology.nodes.a.binds[0]: \"x\": expected SOURCE:TARGET[:ro]"},
        {"{a: {kind: linux, exec: {x: y}}}",
         "[]",
         "t.clab.yml: topology.nodes.a.exec: expected a list"},
        {"{a: {kind: linux, labels: {margay-kind: cisco}}}",
         "[]",
         "t.clab.yml: topology.nodes.a.labels.margay-kind: \"cisco\": expected linux, bird, frr, "
         "gobgp, margay, margay-bgpd or pod"},
        {"{a: {kind: arista_ceos}}",
         "[]",
         "t.clab.yml: topology.nodes.a.kind: \"arista_ceos\" cannot be built from a network "
         "namespace; expected linux "
         "(with a label margay-kind)"},
        {"{a: {kind: linux, labels: {margay-kind: pod}}}",
         "[]",
         "t.clab.yml: topology.nodes.a.labels.margay-node: \"\": a pod names the margay node it "
         "runs on"},
    };
    for (const Row& row : rows) {
      CAPTURE(row.nodes);
      CHECK(error_of(row.nodes, row.links) == row.error);
    }
    CHECK(parse_topology("a: [", "t.yml")
              .error()
              .text.starts_with("t.yml: yaml-cpp: error at line 1"));
  }

  TEST_CASE("a command line is split like a shell would, without expansion") {
    CHECK(*split_command("ip addr  add '10.0.0.1/32' dev lo") ==
          std::vector<std::string>{"ip", "addr", "add", "10.0.0.1/32", "dev", "lo"});
    CHECK(*split_command(R"(sh -c "echo \"a b\" $X" '')") ==
          std::vector<std::string>{"sh", "-c", "echo \"a b\" $X", ""});
    CHECK(!split_command("echo 'a"));
    CHECK(!split_command("  "));
  }

  TEST_CASE("containerlab's magic variables are replaced") {
    CHECK(expand_magic("__clabDir__/store:__clabNodeDir__:__clabNodeName__", "n1", "/lab") ==
          "/lab/store:/lab/n1:n1");
  }

  TEST_CASE("the topologies of this repository are valid") {
    for (const char* name : {"single", "pair", "mesh", "leaf-spine", "leaf-spine-unnumbered"}) {
      const auto parsed = load_topology(std::filesystem::path(MARGAY_SOURCE_DIR) / "containerlab" /
                                        name / (std::string(name) + ".clab.yml"));
      CHECK_MESSAGE(parsed, (parsed ? "" : parsed.error().text));
    }
  }
}

}  // namespace margay::lab
