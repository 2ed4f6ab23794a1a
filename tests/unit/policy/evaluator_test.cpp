#include "policy/evaluator.h"

#include <doctest/doctest.h>

#include <string>
#include <utility>
#include <vector>

namespace api = margay::api;
using api::Action;
using margay::IpAddr;
using margay::NodeName;
using margay::Prefix;
using margay::policy::Evaluator;
using margay::policy::Flow;
using margay::policy::Verdict;
using margay::policy::World;

namespace {

IpAddr ip(std::string_view text) {
  const auto addr = IpAddr::parse(text);
  REQUIRE(addr);
  return *addr;
}

NodeName node(std::string_view text) {
  const auto name = NodeName::parse(text);
  REQUIRE(name);
  return *name;
}

// Namespaces x, y, z with pods a, b, c: 10.0.NS.POD, all on node1 but those of z. Node addresses
// are 192.0.2.1 and 192.0.2.2.
class Cluster {
 public:
  Cluster() {
    for (int i = 0; i < 3; ++i) {
      const std::string ns(1, static_cast<char>('x' + i));
      world_.namespaces[ns] = {{"ns", ns}};
      for (int j = 0; j < 3; ++j) {
        const std::string pod(1, static_cast<char>('a' + j));
        api::WorkloadEndpoint spec;
        spec.pod = pod;
        spec.node = node(i == 2 ? "node2" : "node1");
        spec.profiles = {"kns." + ns};
        spec.ip_networks = {Prefix::host(address(i, j)), Prefix::host(address6(i, j))};
        spec.ports = {{"serve-80-tcp", api::kTcp, 80}, {"dns", api::kUdp, 53}};
        world_.endpoints.push_back(margay::policy::make_endpoint(
            {{.name = ns + "-" + pod, .ns = ns, .labels = {{"pod", pod}}}, spec}));
      }
    }
    world_.nodes = {{ip("192.0.2.1"), node("node1")}, {ip("192.0.2.2"), node("node2")}};
  }

  static IpAddr address(int ns, int pod) {
    return ip("10.0." + std::to_string(ns) + "." + std::to_string(pod));
  }
  static IpAddr address6(int ns, int pod) {
    return ip("fd00::" + std::to_string(ns + 1) + ":" + std::to_string(pod));
  }

  World& world() { return world_; }

  template <typename Spec>
  Cluster& with(std::string name, std::string ns, Spec spec) {
    auto policy = margay::policy::compile({{.name = std::move(name), .ns = std::move(ns)}, spec});
    REQUIRE(policy);
    world_.policies.push_back(std::move(*policy));
    return *this;
  }

  [[nodiscard]] Verdict verdict(const Flow& flow) const { return Evaluator(world_).verdict(flow); }

  // "xa yb" -> allowed? Letters name namespace and pod.
  [[nodiscard]] bool passes(std::string_view pair,
                            std::uint16_t port = 80,
                            api::Protocol protocol = api::kTcp) const {
    const Flow flow{.source = address(pair[0] - 'x', pair[1] - 'a'),
                    .destination = address(pair[3] - 'x', pair[4] - 'a'),
                    .protocol = protocol,
                    .destination_port = port};
    return verdict(flow).allowed;
  }
  // All pods that reach the pod, as "xa xb ...".
  [[nodiscard]] std::string reaching(std::string_view pod, std::uint16_t port = 80) const {
    std::string found;
    for (char ns = 'x'; ns <= 'z'; ++ns) {
      for (char name = 'a'; name <= 'c'; ++name) {
        const std::string source{ns, name};
        if (passes(source + " " + std::string(pod), port)) {
          found += (found.empty() ? "" : " ") + source;
        }
      }
    }
    return found;
  }

 private:
  World world_;
};

api::LabelSelector labelled(const std::string& key, const std::string& value) {
  return {{{key, value}}, {}};
}

api::KubernetesNetworkPolicy on_pod(const std::string& pod) {
  api::KubernetesNetworkPolicy policy;
  if (!pod.empty()) {
    policy.pod_selector = labelled("pod", pod);
  }
  policy.types = {api::PolicyType::kIngress};
  return policy;
}

api::KubernetesNetworkPolicy from(std::vector<api::KubernetesPeer> peers,
                                  std::vector<api::KubernetesPort> ports = {}) {
  auto policy = on_pod("a");
  policy.ingress.push_back({std::move(peers), std::move(ports)});
  return policy;
}

constexpr const char* kAll = "xa xb xc ya yb yc za zb zc";

api::GlobalNetworkPolicy global(std::vector<api::Rule> rules, std::optional<double> order = 10) {
  api::GlobalNetworkPolicy policy;
  policy.order = order;
  policy.types = {api::PolicyType::kIngress};
  policy.selector = "projectcalico.org/namespace == 'x' && pod == 'a'";
  policy.ingress = std::move(rules);
  return policy;
}

api::Rule rule(Action action, const std::string& source = "") {
  api::Rule rule;
  rule.action = action;
  rule.source.selector = source;
  return rule;
}

}  // namespace

TEST_SUITE("policy.evaluator") {
  TEST_CASE("Kubernetes NetworkPolicy: who reaches x/a on TCP 80") {
    using Requirement = api::LabelSelectorRequirement;
    const api::LabelSelector ns_y = labelled("ns", "y");
    const api::LabelSelector pod_b = labelled("pod", "b");
    const api::LabelSelector not_x{{}, {{"ns", Requirement::Operator::kNotIn, {"x"}}}};
    const api::LabelSelector empty;
    auto block = api::IPBlock{*Prefix::parse("10.0.0.0/16"), {*Prefix::parse("10.0.1.0/24")}};
    struct Row {
      std::string why;
      api::KubernetesNetworkPolicy policy;
      std::string expected;
    };
    const Row rows[] = {
        {"2: ingress nothing", on_pod(""), "xa"},
        {"5: pod=b of the same namespace", from({{.pod_selector = pod_b}}), "xa xb"},
        {"7: any pod of any namespace", from({{.namespace_selector = empty}}), kAll},
        {"8: ns=y", from({{.namespace_selector = ns_y}}), "xa ya yb yc"},
        {"11: ns NotIn x, or pod=b",
         from({{.namespace_selector = not_x}, {.pod_selector = pod_b}}),
         "xa xb ya yb yc za zb zc"},
        {"12: ns NotIn x and pod=b",
         from({{.pod_selector = pod_b, .namespace_selector = not_x}}),
         "xa yb zb"},
        {"16: the port is another one",
         from({{.namespace_selector = ns_y}}, {{api::kTcp, api::PortRange{81, 81}}}),
         "xa"},
        {"18: an empty rule allows all", from({}), kAll},
        {"20: named port",
         from({{.namespace_selector = ns_y}}, {{api::kTcp, std::string("serve-80-tcp")}}),
         "xa ya yb yc"},
        {"23: the name exists with another protocol",
         from({}, {{api::kTcp, std::string("dns")}}),
         "xa"},
        {"32: a protocol without port", from({}, {{api::kTcp, std::nullopt}}), kAll},
        {"43: another protocol", from({}, {{api::kUdp, api::PortRange{80, 80}}}), "xa"},
        {"44: the namespace's own name",
         from({{.namespace_selector = labelled("kubernetes.io/metadata.name", "y")}}),
         "xa ya yb yc"},
        {"37: ipBlock with except", from({{.ip_block = block}}), "xa xb xc za zb zc"},
        {"46: a range", from({}, {{api::kTcp, api::PortRange{79, 81}}}), kAll},
    };
    for (const Row& row : rows) {
      CAPTURE(row.why);
      Cluster cluster;
      cluster.with("p", "x", row.policy);
      CHECK(cluster.reaching("xa") == row.expected);
      CHECK(cluster.reaching("yc") == kAll);
    }
  }

  TEST_CASE("Kubernetes policies add up; egress and ingress must both allow") {
    Cluster cluster;
    cluster.with("deny", "x", on_pod(""));
    cluster.with("allow", "x", from({{.pod_selector = labelled("pod", "b")}}));
    CHECK(cluster.reaching("xa") == "xa xb");
    CHECK(cluster.reaching("xb") == "xb");

    auto egress = on_pod("b");
    egress.types = {api::PolicyType::kEgress};
    cluster.with("closed", "x", egress);
    CHECK(cluster.reaching("xa") == "xa");
    CHECK_FALSE(cluster.passes("xb yc"));
    CHECK(cluster.passes("xa yc"));
  }

  TEST_CASE("tiers, orders and actions decide in the documented order") {
    struct Row {
      std::string why;
      std::vector<std::pair<std::string, api::GlobalNetworkPolicy>> policies;
      bool expected;
    };
    const auto in_tier = [](std::string tier, api::GlobalNetworkPolicy policy) {
      policy.tier = std::move(tier);
      return policy;
    };
    const Row rows[] = {
        {"no policy: the profile allows", {}, true},
        {"a policy without a matching rule: end of tier denies",
         {{"p", global({rule(Action::kAllow, "pod == 'c'")})}},
         false},
        {"just a Log rule denies", {{"p", global({rule(Action::kLog)})}}, false},
        {"Log goes on", {{"p", global({rule(Action::kLog), rule(Action::kAllow)})}}, true},
        {"first match wins", {{"p", global({rule(Action::kDeny), rule(Action::kAllow)})}}, false},
        {"lower order first",
         {{"z", global({rule(Action::kAllow)}, 1)}, {"a", global({rule(Action::kDeny)}, 2)}},
         true},
        {"no order comes last",
         {{"a", global({rule(Action::kAllow)}, std::nullopt)},
          {"z", global({rule(Action::kDeny)}, 1e9)}},
         false},
        {"names break ties",
         {{"b", global({rule(Action::kDeny)})}, {"a", global({rule(Action::kAllow)})}},
         true},
        {"Pass in the last tier: profiles", {{"p", global({rule(Action::kPass)})}}, true},
        {"an earlier tier decides",
         {{"p", in_tier("first", global({rule(Action::kAllow)}))},
          {"q", global({rule(Action::kDeny)})}},
         true},
        {"Pass hands over to the next tier",
         {{"p", in_tier("first", global({rule(Action::kPass), rule(Action::kAllow)}))},
          {"q", global({rule(Action::kDeny)})}},
         false},
        {"default action Pass goes on",
         {{"p", in_tier("passing", global({rule(Action::kDeny, "pod == 'c'")}))},
          {"q", global({rule(Action::kAllow)})}},
         true},
        {"a tier that does not exist comes last and denies at its end",
         {{"p", in_tier("nowhere", global({rule(Action::kAllow, "pod == 'c'")}))}},
         false},
        {"a tier that does not exist comes after the others",
         {{"p", in_tier("nowhere", global({rule(Action::kDeny)}))},
          {"q", global({rule(Action::kAllow)})}},
         true},
    };
    for (const Row& row : rows) {
      CAPTURE(row.why);
      Cluster cluster;
      cluster.world().tiers = {{"passing", 200, Action::kPass}, {"first", 100, Action::kDeny}};
      for (const auto& [name, policy] : row.policies) {
        cluster.with(name, "", policy);
      }
      CHECK(cluster.passes("yb xa") == row.expected);
    }
  }

  TEST_CASE("fields of a rule") {
    const auto allows = [](const api::Rule& written, const Flow& flow) {
      Cluster cluster;
      cluster.with("p", "", global({written}));
      return cluster.verdict(flow).allowed;
    };
    const Flow tcp{.source = ip("10.0.1.1"),
                   .destination = ip("10.0.0.0"),
                   .source_port = 4000,
                   .destination_port = 80};
    Flow outside = tcp;
    outside.source = ip("198.51.100.1");
    Flow six = tcp;
    six.source = ip("fd00::2:1");
    six.destination = ip("fd00::1:0");
    Flow ping = tcp;
    ping.protocol = api::kIcmp;
    ping.destination_port = 0;

    api::Rule allow = rule(Action::kAllow);
    CHECK(allows(allow, tcp));
    allow.source.not_selector = "pod == 'b'";
    CHECK_FALSE(allows(allow, tcp));
    CHECK(allows(allow, outside));
    allow = rule(Action::kAllow, "!has(nothing)");
    CHECK(allows(allow, tcp));
    CHECK_FALSE(allows(allow, outside));
    allow = rule(Action::kAllow);
    allow.source.nets = {*Prefix::parse("10.0.0.0/8")};
    CHECK(allows(allow, tcp));
    CHECK_FALSE(allows(allow, six));
    CHECK_FALSE(allows(allow, outside));
    allow.source.not_nets = {*Prefix::parse("10.0.1.1/32")};
    CHECK_FALSE(allows(allow, tcp));
    allow = rule(Action::kAllow);
    allow.ip_version = margay::Family::kIpv6;
    CHECK(allows(allow, six));
    CHECK_FALSE(allows(allow, tcp));
    allow = rule(Action::kAllow);
    allow.protocol = api::kTcp;
    allow.destination.not_ports = {api::PortRange{80, 90}};
    CHECK_FALSE(allows(allow, tcp));
    allow.destination.not_ports = {std::string("serve-80-tcp")};
    CHECK_FALSE(allows(allow, tcp));
    allow.destination.not_ports = {api::PortRange{81, 90}};
    CHECK(allows(allow, tcp));
    allow.source.ports = {api::PortRange{4000, 4000}};
    CHECK(allows(allow, tcp));
    allow.source.ports = {api::PortRange{1, 3999}};
    CHECK_FALSE(allows(allow, tcp));
    allow = rule(Action::kAllow);
    allow.not_protocol = api::kTcp;
    CHECK_FALSE(allows(allow, tcp));
    CHECK(allows(allow, ping));
    allow = rule(Action::kAllow);
    allow.protocol = api::kIcmp;
    allow.icmp = api::IcmpMatch{8, 0};
    CHECK(allows(allow, ping));
    CHECK_FALSE(allows(allow, tcp));
    allow.icmp = api::IcmpMatch{3, std::nullopt};
    CHECK_FALSE(allows(allow, ping));
    allow.icmp.reset();
    allow.not_icmp = api::IcmpMatch{8, std::nullopt};
    CHECK_FALSE(allows(allow, ping));
  }

  TEST_CASE("a service as source is its endpoints' addresses, and nobody without endpoints") {
    api::Rule services = rule(Action::kAllow);
    services.source.services = api::ServiceMatch{"s", "x"};
    Cluster cluster;
    cluster.with("p", "", global({services}));
    CHECK_FALSE(cluster.passes("yb xa"));
    cluster.world().services["x/s"] = {{Cluster::address(1, 1), api::kTcp, 9999}};
    CHECK(cluster.passes("yb xa"));
    CHECK_FALSE(cluster.passes("yc xa"));
    services.action = Action::kDeny;
    Cluster denying;
    denying.with("p", "", global({services, rule(Action::kAllow)}));
    denying.world().services["x/s"] = {{Cluster::address(1, 1), api::kTcp, 9999}};
    CHECK_FALSE(denying.passes("yb xa"));
    CHECK(denying.passes("yc xa"));
  }

  TEST_CASE("a service as destination is its endpoints' addresses with their ports") {
    api::GlobalNetworkPolicy policy;
    policy.types = {api::PolicyType::kEgress};
    policy.selector = "pod == 'a'";
    api::Rule services = rule(Action::kAllow);
    services.destination.services = api::ServiceMatch{"s", "y"};
    policy.egress = {services};
    Cluster cluster;
    cluster.with("p", "", policy);
    cluster.world().services["y/s"] = {{Cluster::address(1, 1), api::kTcp, 80}};
    CHECK(cluster.passes("xa yb", 80));
    CHECK_FALSE(cluster.passes("xa yb", 81));
    CHECK_FALSE(cluster.passes("xa yb", 80, api::kUdp));
    CHECK_FALSE(cluster.passes("xa yc", 80));
  }

  TEST_CASE("selectors match addresses in network sets, of their own namespace or global") {
    Cluster cluster;
    cluster.world().network_sets = {
        {"partners", "", {{"who", "partner"}}, {*Prefix::parse("198.51.100.0/24")}},
        {"x/lab",
         "x",
         {{"who", "lab"}, {"projectcalico.org/namespace", "x"}},
         {*Prefix::parse("203.0.113.0/24")}}};
    cluster.with("p", "", global({rule(Action::kAllow, "who == 'partner'")}));
    const auto from = [&](const char* source) {
      return cluster
          .verdict(
              {.source = ip(source), .destination = Cluster::address(0, 0), .destination_port = 80})
          .allowed;
    };
    CHECK(from("198.51.100.7"));
    CHECK_FALSE(from("198.51.101.7"));
    CHECK_FALSE(from("203.0.113.7"));
    cluster.with("q", "", global({rule(Action::kAllow, "pcns.ns == 'x' && has(who)")}, 5));
    CHECK(from("203.0.113.7"));
  }

  TEST_CASE("hosts and their own workloads") {
    Cluster cluster;
    cluster.with("deny", "x", on_pod(""));
    Flow flow{
        .source = ip("192.0.2.1"), .destination = Cluster::address(0, 0), .destination_port = 80};
    CHECK(cluster.verdict(flow).allowed);
    flow.source = ip("192.0.2.2");
    CHECK_FALSE(cluster.verdict(flow).allowed);

    flow = {
        .source = Cluster::address(0, 0), .destination = ip("192.0.2.1"), .destination_port = 80};
    CHECK_FALSE(cluster.verdict(flow).allowed);
    cluster.world().endpoint_to_host = api::EndpointToHostAction::kAccept;
    CHECK(cluster.verdict(flow).allowed);
    flow.destination = ip("192.0.2.2");
    cluster.world().endpoint_to_host = api::EndpointToHostAction::kDrop;
    CHECK(cluster.verdict(flow).allowed);
  }

  TEST_CASE("an endpoint without profiles is closed unless policy opens it") {
    Cluster cluster;
    cluster.world().endpoints[0].profiles.clear();
    CHECK_FALSE(cluster.passes("yb xa"));
    CHECK_FALSE(cluster.passes("xa yb"));
    cluster.with("p", "", global({rule(Action::kAllow)}));
    CHECK(cluster.passes("yb xa"));
  }

  TEST_CASE("two endpoints with one address: a selector matches if either does") {
    Cluster cluster;
    auto twin = cluster.world().endpoints[4];
    twin.labels["pod"] = "twin";
    cluster.world().endpoints.push_back(twin);
    cluster.with("p", "", global({rule(Action::kAllow, "pod == 'twin'")}));
    CHECK(cluster.passes("yb xa"));
  }

  TEST_CASE("the path names every tier, policy and rule on the way") {
    Cluster cluster;
    cluster.world().tiers = {{"first", 100, Action::kDeny}};
    auto pass = global({rule(Action::kDeny, "pod == 'c'"), rule(Action::kPass)});
    pass.tier = "first";
    cluster.with("hand-over", "", pass);
    cluster.with("deny", "x", on_pod("a"));
    const Flow flow{.source = Cluster::address(1, 1),
                    .destination = Cluster::address(0, 0),
                    .destination_port = 80};

    const Verdict verdict = cluster.verdict(flow);

    using margay::policy::Step;
    const api::ResourceKey hand_over{api::Kind::kGlobalNetworkPolicy, "", "hand-over"};
    const api::ResourceKey deny{api::Kind::kKubernetesNetworkPolicy, "x", "deny"};
    CHECK_FALSE(verdict.allowed);
    CHECK_FALSE(verdict.ingress.allowed);
    CHECK(verdict.ingress.path ==
          std::vector<Step>{
              {"first", hand_over, 1, Action::kPass, "the rule matches"},
              {"default", deny, std::nullopt, std::nullopt, "applies, no rule matches"},
              {"default", std::nullopt, std::nullopt, Action::kDeny, "end of tier, default action"},
          });
    CHECK(verdict.egress.allowed);
    CHECK(
        verdict.egress.path ==
        std::vector<Step>{
            {"", std::nullopt, std::nullopt, Action::kAllow, "no policy decided: profile kns.y"}});
  }
}
