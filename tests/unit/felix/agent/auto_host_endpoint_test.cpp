#include "felix/auto_host_endpoint.h"

#include "tests/support/memory_store.h"
#include "tests/support/resources.h"

#include <doctest/doctest.h>

#include <utility>
#include <vector>

namespace margay::felix {
namespace {

constexpr const char* kNode =
    "{apiVersion: projectcalico.org/v3, kind: Node, metadata: {name: n1, labels: {rack: r1}}, "
    "spec: {bgp: {ipv4Address: 192.0.2.1/24}, addresses: [{address: 192.0.2.1, type: InternalIP}, "
    "{address: 2001:db8::1, type: InternalIP}]}}";

std::string configuration(const char* host_endpoint) {
  return std::string(
             "{apiVersion: projectcalico.org/v3, kind: KubeControllersConfiguration, "
             "metadata: {name: default}, spec: {controllers: {node: {hostEndpoint: {") +
         host_endpoint + "}}}}}";
}

// The store's watch, timers and the worker by hand.
struct Bench {
  test::MemoryStore store;
  std::vector<std::function<void()>> timers;
  std::vector<std::string> lines;
  AutoHostEndpoint endpoint{
      {store,
       *NodeName::parse("n1"),
       [](const std::function<void()>& task) { task(); },
       [](const std::function<void()>& task) { task(); },
       [this](std::chrono::milliseconds /*delay*/, std::function<void()> task) {
         timers.push_back(std::move(task));
       },
       [this](const std::string& line) { lines.push_back(line); }}};
  const api::ResourceKey key{api::Kind::kHostEndpoint, {}, "n1-auto-hep"};

  void take(const std::string& text) {
    endpoint.on_object(test::resource(text));
    settle();
  }
  // Everything that was written comes back through the watch.
  void settle() {
    for (int round = 0; round < 3; ++round) {
      endpoint.reconcile();
      for (const auto& task : std::exchange(timers, {})) {
        if (const auto stored = store.get(key)) {
          endpoint.on_object(stored->resource);
        } else {
          endpoint.on_deleted(key);
        }
        task();
      }
    }
  }
  std::shared_ptr<const api::Resource> stored() {
    const auto object = store.get(key);
    return object ? object->resource : nullptr;
  }
};

}  // namespace

TEST_SUITE("felix.auto_host_endpoint") {
  TEST_CASE("made, followed and removed as the configuration says") {
    Bench bench;
    bench.take(kNode);
    CHECK_FALSE(bench.stored());  // nobody asked
    bench.take(configuration("autoCreate: Enabled"));
    REQUIRE(bench.stored());
    const auto& spec = std::get<api::HostEndpoint>(bench.stored()->spec);
    CHECK(spec.node.str() == "n1");
    CHECK(spec.interface_name.str() == "*");
    CHECK(spec.expected_ips ==
          std::vector<IpAddr>{*IpAddr::parse("192.0.2.1"), *IpAddr::parse("2001:db8::1")});
    CHECK(spec.profiles == std::vector<std::string>{"projectcalico-default-allow"});
    CHECK(bench.stored()->metadata.labels ==
          api::Labels{{"rack", "r1"}, {"projectcalico.org/created-by", "calico-kube-controllers"}});

    std::string moved(kNode);
    moved.replace(moved.find("r1}"), 2, "r2");
    bench.take(moved);
    CHECK(bench.stored()->metadata.labels.at("rack") == "r2");
    const unsigned calls = bench.store.calls();
    bench.settle();
    CHECK(bench.store.calls() == calls);  // nothing to do, nothing asked

    bench.take(configuration("autoCreate: Enabled, createDefaultHostEndpoint: Disabled"));
    CHECK_FALSE(bench.stored());
    bench.take(configuration("autoCreate: Enabled"));
    CHECK(bench.stored());
    bench.take(configuration("autoCreate: Disabled"));
    CHECK_FALSE(bench.stored());
  }

  TEST_CASE("one that a person made under the name stays as it is") {
    Bench bench;
    const auto own = test::resource(
        "{apiVersion: projectcalico.org/v3, kind: HostEndpoint, metadata: {name: n1-auto-hep}, "
        "spec: {node: n1, interfaceName: eth0}}");
    REQUIRE(bench.store.create(*own));
    bench.take(kNode);
    bench.take(configuration("autoCreate: Enabled"));
    CHECK(std::get<api::HostEndpoint>(bench.stored()->spec).interface_name.str() == "eth0");
    bench.take(configuration("autoCreate: Disabled"));
    CHECK(bench.stored());
  }

  TEST_CASE("a store that is away is tried again") {
    Bench bench;
    bench.store.set_away(true);
    bench.take(kNode);
    bench.endpoint.on_object(test::resource(configuration("autoCreate: Enabled")));
    bench.endpoint.reconcile();
    CHECK(bench.lines.size() == 1);
    bench.store.set_away(false);
    bench.settle();
    CHECK(bench.stored());
  }
}

}  // namespace margay::felix
