// C1: the whole of a large cluster into the calculation and the renderer, time and memory, and how
// both grow. C2: one label of an endpoint. C3: one policy that applies to a hundred local
// endpoints. C4: a stream of endpoint updates. Calculation and rendering only: no store, no kernel.

#include "bench/support/results.h"
#include "felix/calc/calc_graph.h"
#include "felix/render/renderer.h"

#include <fmt/format.h>

#include <fstream>
#include <malloc.h>
#include <memory>
#include <random>
#include <string>
#include <unistd.h>
#include <vector>

namespace margay {
namespace {

using bench::Row;

constexpr unsigned kNamespaces = 1000;
constexpr unsigned kLocal = 200;
constexpr double kMiB = 1024.0 * 1024.0;

struct Size {
  unsigned endpoints;
  unsigned policies;
  unsigned namespaces;
};
constexpr Size kSmall{1000, 100, 100};
constexpr Size kLarge{100'000, 10'000, kNamespaces};

NodeName node(const std::string& name) {
  return *NodeName::parse(name);
}

double resident_bytes() {
  std::ifstream file("/proc/self/statm");
  double pages = 0;
  double resident = 0;
  file >> pages >> resident;
  return resident * static_cast<double>(::sysconf(_SC_PAGESIZE));
}

// A cluster: endpoints over the namespaces by turns, of 40 applications and 5 tiers of software;
// each namespace has its policies: peers by label, by namespace and by network.
class Cluster {
 public:
  explicit Cluster(const Size& size) : size_(size) {}

  [[nodiscard]] std::shared_ptr<const api::Resource> endpoint(unsigned number,
                                                              unsigned version = 0) const {
    api::WorkloadEndpoint spec;
    spec.orchestrator = "k8s";
    spec.node = node(number < kLocal ? "here" : fmt::format("node{}", number % 1000));
    spec.pod = fmt::format("pod-{}", number);
    spec.interface_name = *IfName::parse(fmt::format("mgy{:x}", number));
    const std::string ns = fmt::format("ns{}", number % size_.namespaces);
    spec.profiles = {"kns." + ns};
    spec.ip_networks = {Prefix::host(IpAddr::v4(0x0a000000U + number))};
    api::Metadata metadata{.name = spec.pod, .ns = ns};
    metadata.labels = {{"app", fmt::format("app{}", number / size_.namespaces % 40)},
                       {"layer", fmt::format("layer{}", number % 5)},
                       {"version", fmt::format("v{}", version)}};
    return std::make_shared<const api::Resource>(api::Resource{std::move(metadata), spec});
  }

  [[nodiscard]] std::shared_ptr<const api::Resource> policy(unsigned number,
                                                            unsigned port = 80) const {
    api::NetworkPolicy spec;
    spec.selector = fmt::format("app == 'app{}'", number / size_.namespaces % 40);
    spec.types = {api::PolicyType::kIngress, api::PolicyType::kEgress};
    api::Rule by_label;
    by_label.action = api::Action::kAllow;
    by_label.protocol = api::kTcp;
    by_label.source.selector = fmt::format("layer == 'layer{}'", number % 5);
    by_label.destination.ports = {
        api::PortRange{static_cast<std::uint16_t>(port), static_cast<std::uint16_t>(port)}};
    api::Rule by_namespace = by_label;
    by_namespace.source.selector = "has(app)";
    by_namespace.source.namespace_selector = fmt::format("team == 'team{}'", number % 50);
    api::Rule by_net;
    by_net.action = api::Action::kAllow;
    by_net.destination.nets = {*Prefix::parse("10.0.0.0/8")};
    spec.ingress = {by_label, by_namespace};
    spec.egress = {by_net};
    return std::make_shared<const api::Resource>(
        api::Resource{{.name = fmt::format("p{}", number / size_.namespaces),
                       .ns = fmt::format("ns{}", number % size_.namespaces)},
                      spec});
  }

  // Selects 120 of the 200 local endpoints. Its order changes with the port, so that their stacks
  // do.
  [[nodiscard]] static std::shared_ptr<const api::Resource> wide_policy(unsigned port) {
    api::GlobalNetworkPolicy spec;
    if (port % 2 == 0) {
      spec.order = 10;  // before the namespaces' own, else behind them by name
    }
    spec.selector = "layer in {'layer0', 'layer1'} || layer == 'layer2' && version contains 'v'";
    spec.types = {api::PolicyType::kIngress};
    api::Rule rule;
    rule.action = api::Action::kAllow;
    rule.protocol = api::kTcp;
    rule.source.selector = "app == 'app1'";
    rule.destination.ports = {
        api::PortRange{static_cast<std::uint16_t>(port), static_cast<std::uint16_t>(port)}};
    spec.ingress = {rule};
    return std::make_shared<const api::Resource>(api::Resource{{.name = "wide"}, spec});
  }

  [[nodiscard]] std::vector<std::shared_ptr<const api::Resource>> everything() const {
    std::vector<std::shared_ptr<const api::Resource>> all;
    for (unsigned i = 0; i < size_.namespaces; ++i) {
      api::Metadata metadata{.name = fmt::format("ns{}", i)};
      metadata.labels = {{"team", fmt::format("team{}", i % 50)}};
      all.push_back(
          std::make_shared<const api::Resource>(api::Resource{metadata, api::Namespace{}}));
    }
    for (unsigned i = 0; i < size_.policies; ++i) {
      all.push_back(policy(i));
    }
    for (unsigned i = 0; i < size_.endpoints; ++i) {
      all.push_back(endpoint(i));
    }
    return all;
  }

 private:
  Size size_;
};

// The agent without store and kernel.
struct Node {
  felix::CalcGraph graph{node("here")};
  felix::Renderer renderer{felix::LayoutOptions{}};

  void apply() {
    renderer.apply(graph.take_changes());
    (void)renderer.take_delta();
  }
};

struct Load {
  double seconds = 0;
  double bytes = 0;
};

Load load(Node& into, const Cluster& cluster) {
  ::malloc_trim(0);
  const double before = resident_bytes();
  auto all = cluster.everything();
  Load result;
  result.seconds = bench::time_us([&] {
                     for (const auto& object : all) {
                       into.graph.on_object(object);
                     }
                     into.graph.on_in_sync();
                     into.apply();
                   }) /
                   1e6;
  all.clear();
  all.shrink_to_fit();
  result.bytes = resident_bytes() - before;
  return result;
}

Row row(const char* id,
        const char* what,
        const char* unit,
        std::vector<double> samples,
        const char* goal,
        double limit,
        Row::Compare compare = Row::Compare::kOursP50) {
  return Row{.id = id,
             .what = what,
             .unit = unit,
             .ours = bench::summarize(std::move(samples)),
             .goal = goal,
             .limit = limit,
             .compare = compare};
}

void bench_load(unsigned rounds, std::vector<Row>& rows) {
  std::vector<double> seconds;
  std::vector<double> memory;
  std::vector<double> growth;
  for (unsigned round = 0; round < rounds; ++round) {
    double small_per_endpoint = 0;
    {
      Node small;
      small_per_endpoint = load(small, Cluster(kSmall)).seconds / kSmall.endpoints;
    }
    Node large;
    const Load loaded = load(large, Cluster(kLarge));
    seconds.push_back(loaded.seconds);
    memory.push_back(loaded.bytes / kMiB);
    growth.push_back(loaded.seconds / kLarge.endpoints / small_per_endpoint);
  }
  rows.push_back(row("C1", "load of 100k endpoints, 10k policies", "s", seconds, "< 10 s", 10));
  rows.push_back(row("C1", "memory of that", "MiB", memory, "< 1536 MiB", 1536));
  rows.push_back(
      row("C1", "cost per endpoint, 100k over 1k", "x", growth, "at most linear: <= 1", 1));
}

void bench_changes(unsigned rounds, std::vector<Row>& rows) {
  const Cluster cluster(kLarge);
  Node here;
  (void)load(here, cluster);
  std::mt19937 random(1);
  std::vector<double> labels;
  for (unsigned i = 0; i < rounds; ++i) {
    const unsigned number = static_cast<unsigned>(random() % kLarge.endpoints);
    // Another layer for this endpoint: it leaves sets and enters others.
    auto changed = *cluster.endpoint(number);
    changed.metadata.labels["layer"] = fmt::format("layer{}", random() % 5);
    const auto object = std::make_shared<const api::Resource>(std::move(changed));
    labels.push_back(bench::time_us([&] {
      here.graph.on_object(object);
      here.apply();
    }));
  }
  rows.push_back(row("C2",
                     "one endpoint's label at that size",
                     "us",
                     labels,
                     "p99 < 1000 us",
                     1000,
                     Row::Compare::kOursP99));
  std::vector<double> policies;
  here.graph.on_object(Cluster::wide_policy(999));
  here.apply();
  for (unsigned i = 0; i < rounds / 4; ++i) {
    const auto object = Cluster::wide_policy(1000 + i);
    policies.push_back(bench::time_us([&] {
      here.graph.on_object(object);
      here.apply();
    }));
  }
  rows.push_back(row("C3",
                     "rule and order of a policy, 120 local endpoints",
                     "us",
                     policies,
                     "p99 < 5000 us",
                     5000,
                     Row::Compare::kOursP99));
  std::vector<double> load_share;
  constexpr unsigned kUpdates = 1000;
  for (unsigned round = 0; round < 5; ++round) {
    std::vector<std::shared_ptr<const api::Resource>> updates;
    updates.reserve(kUpdates);
    for (unsigned i = 0; i < kUpdates; ++i) {
      updates.push_back(
          cluster.endpoint(static_cast<unsigned>(random() % kLarge.endpoints), round + 1));
    }
    load_share.push_back(bench::time_us([&] {
                           for (const auto& update : updates) {
                             here.graph.on_object(update);
                             here.apply();
                           }
                         }) /
                         1e6 * 100);
  }
  rows.push_back(
      row("C4", "1,000 endpoint updates a second", "% of a core", load_share, "< 20 %", 20));
}

Result<void> run_bench(const bench::Options& options) {
  std::vector<Row> rows;
  bench_load(options.quick ? 1 : 5, rows);
  bench_changes(options.quick ? 200 : 2000, rows);
  return bench::save(options.results, rows);
}

}  // namespace
}  // namespace margay

int main(int argc, char** argv) {
  return margay::bench::run_program(argc, argv, margay::run_bench);
}
