#include "policy/model.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

using namespace std::string_literals;
namespace api = margay::api;
using margay::Prefix;
using margay::policy::Policy;
using margay::policy::Rule;
using margay::policy::Tier;

namespace {

Policy compiled(const api::Resource& resource) {
  auto policy = margay::policy::compile(resource);
  REQUIRE_MESSAGE(policy, (policy ? ""s : policy.error().text));
  return *policy;
}

Prefix net(std::string_view text) {
  const auto prefix = Prefix::parse(text);
  REQUIRE(prefix);
  return *prefix;
}

// A policy with one ingress rule whose source is `side`.
template <typename Spec>
Rule rule_with_source(const api::EntityRule& side, const std::string& ns) {
  Spec spec;
  spec.types = {api::PolicyType::kIngress};
  spec.ingress.emplace_back().source = side;
  return compiled({{.name = "p", .ns = ns}, spec}).ingress.at(0);
}

std::string text_of(const std::optional<margay::policy::Selector>& selector) {
  return selector ? selector->text() : "-";
}

api::KubernetesNetworkPolicy isolate() {
  return {.pod_selector = {}, .types = {api::PolicyType::kIngress}, .ingress = {}, .egress = {}};
}

Policy order_of(std::optional<double> order, std::string name, std::string ns, api::Kind kind) {
  Policy policy;
  policy.order = order;
  policy.key = {kind, std::move(ns), std::move(name)};
  return policy;
}

// All pairs both ways, then every permutation sorts to the same.
template <typename T>
void check_order(const std::vector<T>& ascending) {
  const auto is_before = [](const T& a, const T& b) { return margay::policy::before(a, b); };
  for (std::size_t i = 0; i < ascending.size(); ++i) {
    for (std::size_t j = 0; j < ascending.size(); ++j) {
      CAPTURE(i);
      CAPTURE(j);
      CHECK(is_before(ascending[i], ascending[j]) == (i < j));
    }
  }
  std::vector<std::size_t> order(ascending.size());
  for (std::size_t i = 0; i < order.size(); ++i) {
    order[i] = i;
  }
  do {
    std::vector<T> shuffled;
    for (const std::size_t i : order) {
      shuffled.push_back(ascending[i]);
    }
    std::ranges::sort(shuffled, is_before);
    REQUIRE(shuffled == ascending);
  } while (std::next_permutation(order.begin(), order.end()));
}

}  // namespace

TEST_SUITE("policy.model") {
  TEST_CASE("policies are ordered by order, name, namespace, kind, each on its own") {
    using enum api::Kind;
    check_order<Policy>({
        order_of(-1, "z", "", kGlobalNetworkPolicy),
        order_of(0, "z", "", kGlobalNetworkPolicy),
        order_of(10, "a", "b", kNetworkPolicy),
        // "a" before "a-b", which a joined string "a/..." would turn round.
        order_of(10, "a-b", "a", kNetworkPolicy),
        order_of({}, "a", "", kGlobalNetworkPolicy),
        order_of({}, "a", "ns", kNetworkPolicy),
        order_of({}, "a", "ns", kKubernetesNetworkPolicy),
    });
  }

  TEST_CASE("tiers are ordered by order, absent last, then name") {
    const auto tier = [](std::string name, std::optional<double> order) {
      return Tier{std::move(name), order, api::Action::kDeny};
    };
    check_order<Tier>({tier("z", -5),
                       tier("b", 100),
                       tier("c", 100),
                       *margay::policy::builtin_tier("default"),
                       tier("a", std::nullopt),
                       tier("b", std::nullopt)});
  }

  TEST_CASE("the namespace restricts a side only where it names endpoints") {
    struct Row {
      std::string why;
      api::EntityRule side;
      std::string in_namespace;  // the compiled selector in NetworkPolicy of "prod"
      std::string global;        // in GlobalNetworkPolicy
      std::string global_not;
    };
    const std::string home = R"(projectcalico.org/namespace == "prod")";
    const Row rows[] = {
        {"nothing", {}, "-", "-", "-"},
        {"nets only", {.nets = {net("10.0.0.0/8")}}, "-", "-", "-"},
        {"selector", {.selector = "has(a)"}, "has(a) && " + home, "has(a)", "-"},
        {"all() in a namespace", {.selector = "all()"}, home, "all()", "-"},
        {"notSelector", {.not_selector = "has(a)"}, "!has(a) && " + home, "-", "has(a)"},
        {"selector and notSelector",
         {.selector = "has(b)", .not_selector = "has(a)"},
         "!has(a) && has(b) && " + home,
         "!has(a) && has(b)",
         "-"},
        {"namespaceSelector",
         {.namespace_selector = "team == 'red'"},
         R"(pcns.team == "red")",
         R"(pcns.team == "red")",
         "-"},
        {"namespaceSelector all()",
         {.namespace_selector = "all()"},
         "has(projectcalico.org/namespace)",
         "has(projectcalico.org/namespace)",
         "-"},
        {"namespaceSelector global()",
         {.selector = "has(a)", .namespace_selector = "global()"},
         "!has(projectcalico.org/namespace) && has(a)",
         "!has(projectcalico.org/namespace) && has(a)",
         "-"},
        {"a value that looks like all()",
         {.namespace_selector = "team == 'all()'"},
         "pcns.team == \"all()\"",
         "pcns.team == \"all()\"",
         "-"},
        {"service accounts",
         {.service_accounts = api::ServiceAccountMatch{{"x", "a"}, "role == 'db'"}},
         "pcsa.role == \"db\" && " + home + R"( && projectcalico.org/serviceaccount in {"a", "x"})",
         R"(pcsa.role == "db" && projectcalico.org/serviceaccount in {"a", "x"})",
         "-"},
    };
    for (const Row& row : rows) {
      CAPTURE(row.why);
      const Rule in_namespace = rule_with_source<api::NetworkPolicy>(row.side, "prod");
      const Rule global = rule_with_source<api::GlobalNetworkPolicy>(row.side, "");
      CHECK(text_of(in_namespace.source.selector) == row.in_namespace);
      CHECK(text_of(in_namespace.source.not_selector) == "-");
      CHECK(text_of(global.source.selector) == row.global);
      CHECK(text_of(global.source.not_selector) == row.global_not);
      CHECK(global.source.nets == row.side.nets);
    }
  }

  TEST_CASE("the subject of a policy gathers its selectors") {
    api::GlobalNetworkPolicy global;
    global.selector = "has(a)";
    global.namespace_selector = "team == 'red'";
    global.service_account_selector = "role == 'db'";
    CHECK(compiled({{.name = "p"}, global}).subject.text() ==
          R"(has(a) && pcns.team == "red" && pcsa.role == "db")");

    CHECK(compiled({{.name = "p", .ns = "prod"}, api::NetworkPolicy()}).subject.text() ==
          R"(projectcalico.org/namespace == "prod")");
    CHECK(compiled({{.name = "p"}, api::GlobalNetworkPolicy()}).subject.is_all());
  }

  TEST_CASE("rules of a direction that types leave out are dropped, but checked") {
    api::GlobalNetworkPolicy global;
    global.types = {api::PolicyType::kIngress};
    global.egress.emplace_back();
    const Policy policy = compiled({{.name = "p"}, global});
    CHECK(policy.ingress_applies);
    CHECK_FALSE(policy.egress_applies);
    CHECK(policy.egress.empty());

    global.egress[0].destination.selector = "a =";
    const auto refused = margay::policy::compile({{.name = "p"}, global});
    REQUIRE_FALSE(refused);
    CHECK(refused.error().text.find("spec.egress[0].destination.selector: \"a =\": column 3: ") ==
          0);
  }

  TEST_CASE("ports are sorted and merged, names kept apart") {
    api::EntityRule side;
    side.ports = {api::PortRange{443, 443},
                  std::string("web"),
                  api::PortRange{1, 10},
                  api::PortRange{11, 20},
                  api::PortRange{5, 7},
                  std::string("dns"),
                  std::string("web"),
                  api::PortRange{65535, 65535}};
    const Rule rule = rule_with_source<api::GlobalNetworkPolicy>(side, "");
    CHECK(rule.source.ports == std::vector<api::PortRange>{{1, 20}, {443, 443}, {65535, 65535}});
    CHECK(rule.source.named_ports == std::vector<std::string>{"dns", "web"});
  }

  TEST_CASE("a rule applies to the families it can match") {
    using enum margay::Family;
    const auto families = [](const Rule& rule) {
      return std::pair(rule.applies_to(kIpv4), rule.applies_to(kIpv6));
    };
    Rule rule;
    CHECK(families(rule) == std::pair(true, true));
    rule.source.nets = {net("10.0.0.0/8")};
    CHECK(families(rule) == std::pair(true, false));
    rule.source.nets = {net("10.0.0.0/8"), net("fd00::/8")};
    CHECK(families(rule) == std::pair(true, true));
    rule.protocol = api::kIcmpv6;
    CHECK(families(rule) == std::pair(false, true));
    rule = Rule{.family = kIpv4};
    CHECK(families(rule) == std::pair(true, false));
  }

  TEST_CASE("a service is named by namespace and name; the policy's own namespace is the default") {
    api::EntityRule side;
    side.services = api::ServiceMatch{"dns", "kube-system"};
    CHECK(rule_with_source<api::GlobalNetworkPolicy>(side, "").source.service == "kube-system/dns");
    side.services->ns.clear();
    CHECK(rule_with_source<api::NetworkPolicy>(side, "prod").source.service == "prod/dns");
  }

  TEST_CASE("a Kubernetes policy stands in tier default with order 1000") {
    const Policy policy = compiled({{.name = "p", .ns = "x"}, isolate()});
    CHECK(policy.tier == "default");
    CHECK(policy.order == 1000.0);
    CHECK(policy.subject.text() == R"(projectcalico.org/namespace == "x")");
    CHECK(policy.ingress_applies);
    CHECK(policy.ingress.empty());
  }

  TEST_CASE("Kubernetes peers: absent and empty selectors differ") {
    using Requirement = api::LabelSelectorRequirement;
    const api::LabelSelector empty;
    const api::LabelSelector pod_b{{{"pod", "b"}}, {}};
    const api::LabelSelector ns_not_x{{}, {{"ns", Requirement::Operator::kNotIn, {"x"}}}};
    const api::LabelSelector others{{},
                                    {{"a", Requirement::Operator::kIn, {"2", "1"}},
                                     {"b", Requirement::Operator::kExists, {}},
                                     {"c", Requirement::Operator::kDoesNotExist, {}}}};
    struct Row {
      std::string why;
      api::KubernetesPeer peer;
      std::string selector;
    };
    const Row rows[] = {
        {"pods of the own namespace",
         {.pod_selector = pod_b},
         R"(has(projectcalico.org/orchestrator) && pod == "b" && projectcalico.org/namespace == "x")"},
        {"every pod of the own namespace",
         {.pod_selector = empty},
         R"(has(projectcalico.org/orchestrator) && projectcalico.org/namespace == "x")"},
        {"every pod of every namespace",
         {.namespace_selector = empty},
         "has(projectcalico.org/orchestrator)"},
        {"NotIn on namespaces",
         {.namespace_selector = ns_not_x},
         R"(has(projectcalico.org/orchestrator) && pcns.ns != "x")"},
        {"both",
         {.pod_selector = pod_b, .namespace_selector = ns_not_x},
         R"(has(projectcalico.org/orchestrator) && pcns.ns != "x" && pod == "b")"},
        {"all operators",
         {.pod_selector = others, .namespace_selector = empty},
         R"(!has(c) && a in {"1", "2"} && has(b) && has(projectcalico.org/orchestrator))"},
    };
    for (const Row& row : rows) {
      CAPTURE(row.why);
      auto spec = isolate();
      spec.ingress.push_back({.peers = {row.peer}, .ports = {}});
      const Policy policy = compiled({{.name = "p", .ns = "x"}, spec});
      REQUIRE(policy.ingress.size() == 1);
      CHECK(text_of(policy.ingress[0].source.selector) == row.selector);
      CHECK(policy.ingress[0].action == api::Action::kAllow);
    }
  }

  TEST_CASE("Kubernetes rules: one per peer and protocol") {
    auto spec = isolate();
    api::KubernetesRule rule;
    rule.peers.push_back(
        {.ip_block = api::IPBlock{net("10.0.0.0/8"), {net("10.2.0.0/16"), net("10.1.0.0/16")}}});
    rule.peers.push_back({.pod_selector = api::LabelSelector()});
    rule.ports = {{api::kTcp, api::PortRange{80, 80}},
                  {api::kTcp, std::string("web")},
                  {api::kUdp, std::nullopt},
                  {api::kUdp, api::PortRange{53, 53}}};
    spec.ingress = {{}, rule};

    const Policy policy = compiled({{.name = "p", .ns = "x"}, spec});

    REQUIRE(policy.ingress.size() == 5);
    CHECK(policy.ingress[0] == Rule{.action = api::Action::kAllow, .written_index = 0});
    const Rule& tcp = policy.ingress[1];
    CHECK(tcp.protocol == api::kTcp);
    CHECK(tcp.written_index == 1);
    CHECK(tcp.source.nets == std::vector{net("10.0.0.0/8")});
    CHECK(tcp.source.not_nets == std::vector{net("10.1.0.0/16"), net("10.2.0.0/16")});
    CHECK(tcp.destination.ports == std::vector<api::PortRange>{{80, 80}});
    CHECK(tcp.destination.named_ports == std::vector<std::string>{"web"});
    const Rule& udp = policy.ingress[2];
    CHECK(udp.protocol == api::kUdp);
    CHECK_FALSE(udp.destination.has_ports());
    CHECK(policy.ingress[3].source.selector.has_value());
  }

  TEST_CASE("labels of endpoints and namespaces") {
    api::WorkloadEndpoint endpoint;
    endpoint.orchestrator = "cni";
    endpoint.service_account = "sa";
    const api::Resource resource{{.name = "e", .ns = "prod", .labels = {{"app", "web"}}}, endpoint};
    CHECK(margay::policy::endpoint_labels(resource) ==
          api::Labels{{"app", "web"},
                      {"projectcalico.org/namespace", "prod"},
                      {"projectcalico.org/orchestrator", "cni"},
                      {"projectcalico.org/serviceaccount", "sa"}});
    CHECK(margay::policy::namespace_labels("prod", {{"team", "red"}}) ==
          api::Labels{{"pcns.kubernetes.io/metadata.name", "prod"},
                      {"pcns.projectcalico.org/name", "prod"},
                      {"pcns.team", "red"}});
  }

  TEST_CASE("whoever labels a pod cannot say what labels its namespace and account have") {
    const api::Labels spoofed{{"app", "web"},
                              {"pcns.team", "red"},
                              {"pcsa.role", "admin"},
                              {"projectcalico.org/namespace", "kube-system"},
                              {"projectcalico.org/serviceaccount", "root"}};
    api::WorkloadEndpoint endpoint;
    endpoint.service_account = "sa";
    CHECK(margay::policy::endpoint_labels(
              {{.name = "e", .ns = "prod", .labels = spoofed}, endpoint}) ==
          api::Labels{{"app", "web"},
                      {"projectcalico.org/namespace", "prod"},
                      {"projectcalico.org/orchestrator", "cni"},
                      {"projectcalico.org/serviceaccount", "sa"}});
    endpoint.service_account.clear();
    CHECK_FALSE(
        margay::policy::endpoint_labels({{.name = "e", .ns = "prod", .labels = spoofed}, endpoint})
            .contains("projectcalico.org/serviceaccount"));
    const api::Labels set = margay::policy::network_set_labels(
        {{.name = "s", .ns = "prod", .labels = spoofed}, api::NetworkSet{}});
    CHECK_FALSE(set.contains("pcns.team"));
    CHECK_FALSE(set.contains("pcsa.role"));
    CHECK(set.at("projectcalico.org/namespace") == "prod");
  }
}
