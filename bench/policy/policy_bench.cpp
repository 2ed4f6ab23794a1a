// C5: what an administrator waits for: policy diff and policy explain over a cluster of 10,000
// endpoints in 500 classes with 1,000 policies. In memory: what the commands add is reading the
// store.

#include "bench/support/results.h"
#include "policy/diff.h"
#include "policy/world.h"

#include <fmt/format.h>

#include <cstdio>
#include <string>
#include <vector>

namespace margay {
namespace {

using bench::Row;

constexpr unsigned kEndpoints = 10'000;
constexpr unsigned kNamespaces = 50;
constexpr unsigned kApps = 10;  // classes: namespaces x applications
constexpr unsigned kPolicies = 1000;

api::Resource endpoint(unsigned number) {
  api::WorkloadEndpoint spec;
  spec.orchestrator = "k8s";
  spec.node = *NodeName::parse(fmt::format("node{}", number % 100));
  spec.pod = fmt::format("pod-{}", number);
  spec.interface_name = *IfName::parse(fmt::format("mgy{}", number));
  spec.ip_networks = {Prefix::host(IpAddr::v4(0x0AF40000U + number))};
  const std::string ns = fmt::format("ns-{}", number % kNamespaces);
  spec.profiles = {"kns." + ns};
  const unsigned app = number / kNamespaces % kApps;
  return {{.name = spec.pod, .ns = ns, .labels = {{"app", fmt::format("app-{}", app)}}}, spec};
}

// Policies over the namespaces by turns: on one application, from another one of some namespace or
// a network, to two ports. `version` moves the ports of the first policy.
api::Resource policy_of(unsigned number, unsigned version) {
  api::NetworkPolicy spec;
  const unsigned app = number / kNamespaces % kApps;
  spec.selector = fmt::format("app == 'app-{}'", app);
  spec.types = {api::PolicyType::kIngress};
  api::Rule from_app;
  from_app.action = api::Action::kAllow;
  from_app.protocol = api::kTcp;
  from_app.source.selector = fmt::format("app == 'app-{}'", (app + 1 + number % 3) % kApps);
  from_app.source.namespace_selector =
      fmt::format("kubernetes.io/metadata.name == 'ns-{}'", number % 7);
  const auto port = static_cast<std::uint16_t>(8000 + number % 40 + (number == 0 ? version : 0));
  from_app.destination.ports = {
      api::PortRange{port, port},
      api::PortRange{9000, static_cast<std::uint16_t>(9000 + number % 9)}};
  api::Rule from_net = from_app;
  from_net.source = {};
  from_net.source.nets = {Prefix::masked(IpAddr::v4(0xC0000000U + (number % 64 << 16U)), 16)};
  spec.ingress = {from_app, from_net};
  return {
      {.name = fmt::format("policy-{}", number), .ns = fmt::format("ns-{}", number % kNamespaces)},
      spec};
}

policy::World world(unsigned version) {
  policy::World out;
  const auto add = [&out](const api::Resource& resource) {
    if (const auto added = policy::add(resource, out); !added) {
      std::fprintf(stderr, "bench_policy: %s\n", added.error().text.c_str());
      std::abort();
    }
  };
  for (unsigned i = 0; i < kNamespaces; ++i) {
    add({{.name = fmt::format("ns-{}", i)}, api::Namespace{}});
  }
  for (unsigned i = 0; i < kEndpoints; ++i) {
    add(endpoint(i));
  }
  for (unsigned i = 0; i < kPolicies; ++i) {
    add(policy_of(i, version));
  }
  return out;
}

// A refactoring: the same policies with their rules in another order and another name.
policy::World refactored() {
  policy::World out = world(0);
  for (policy::Policy& each : out.policies) {
    each.key.name = "new-" + each.key.name;
    std::swap(each.ingress.front(), each.ingress.back());
  }
  return out;
}

std::vector<double> diff_times(const policy::World& before,
                               const policy::World& after,
                               unsigned rounds,
                               bool expect_changes) {
  std::vector<double> seconds;
  for (unsigned round = 0; round < rounds; ++round) {
    std::size_t changes = 0;
    seconds.push_back(
        bench::time_us([&] {
          changes = policy::diff(policy::Evaluator(before), policy::Evaluator(after)).size();
        }) /
        1e6);
    if ((changes != 0) != expect_changes) {
      std::fprintf(stderr, "bench_policy: %zu changes\n", changes);
      std::abort();
    }
  }
  return seconds;
}

std::vector<double> explain_times(unsigned rounds) {
  std::vector<double> ms;
  for (unsigned round = 0; round < rounds; ++round) {
    const policy::Evaluator evaluator(world(0));
    ms.push_back(bench::time_us([&] {
                   const auto verdict =
                       evaluator.verdict({.source = IpAddr::v4(0x0AF40000U + 17 * (round + 1)),
                                          .destination = IpAddr::v4(0x0AF40000U + 23 * (round + 1)),
                                          .source_port = 40000,
                                          .destination_port = 8000});
                   if (verdict.ingress.path.empty()) {
                     std::abort();
                   }
                 }) /
                 1e3);
  }
  return ms;
}

Row row(const char* what, const char* unit, std::vector<double> samples, double limit) {
  Row out;
  out.id = "C5";
  out.what = what;
  out.unit = unit;
  out.ours = bench::summarize(std::move(samples));
  out.goal = fmt::format("< {} {}", limit, unit);
  out.limit = limit;
  out.compare = Row::Compare::kOursP50;
  return out;
}

}  // namespace
}  // namespace margay

int main(int argc, char** argv) {
  using namespace margay;
  const auto options = bench::parse_options(argc, argv);
  if (!options) {
    std::fprintf(stderr, "bench_policy: %s\n", options.error().text.c_str());
    return 2;
  }
  const unsigned rounds = options->quick ? 1 : 5;
  const policy::World before = world(0);
  const auto saved = bench::save(
      options->results,
      {row("policy diff, one of 1,000 policies changed, 10,000 endpoints in 500 classes",
           "s",
           diff_times(before, world(1), rounds, true),
           10),
       row("policy diff, all 1,000 policies rewritten without a change of meaning",
           "s",
           diff_times(before, refactored(), rounds, false),
           10),
       row("policy explain, the first question to a world in memory",
           "ms",
           explain_times(rounds),
           50)});
  if (!saved) {
    std::fprintf(stderr, "bench_policy: %s\n", saved.error().text.c_str());
    return 1;
  }
  return 0;
}
