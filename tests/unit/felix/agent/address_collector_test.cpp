#include "felix/address_collector.h"

#include "api/resource.h"
#include "ipam/allocator.h"
#include "tests/support/memory_store.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <utility>
#include <vector>

namespace margay::felix {
namespace {

using std::chrono::seconds;

// A store with a pool and two nodes; the collector of node1, its clock and timers by hand.
struct Survey {
  test::MemoryStore store;
  TimePoint now{std::chrono::hours(1)};
  std::int64_t unix_now = 1'800'000'000;
  std::vector<std::pair<std::chrono::milliseconds, std::function<void()>>> timers;
  std::vector<std::string> lines;
  AddressCollector collector{{store,
                              *NodeName::parse("node1"),
                              [](const std::function<void()>& task) { task(); },
                              [](const std::function<void()>& task) { task(); },
                              [this](std::chrono::milliseconds delay, std::function<void()> task) {
                                timers.emplace_back(delay, std::move(task));
                              },
                              [this] { return now; },
                              [this] { return unix_now; },
                              [this](const std::string& line) { lines.push_back(line); }}};

  Survey() {
    api::IPPool pool;
    pool.cidr = *Prefix::parse("10.64.0.0/16");
    REQUIRE(store.create({{.name = "pool"}, pool}));
    for (const char* node : {"node1", "node2"}) {
      REQUIRE(store.create({{.name = node}, api::Node{}}));
    }
    collector.start();
  }
  // An address that the node gives to the pod of that name.
  IpAddr give(const std::string& node, const std::string& pod) {
    ipam::Allocator allocator(store,
                              {.node = *NodeName::parse(node),
                               .match = [](std::string_view, const api::Labels&) { return true; },
                               .unix_now = [this] { return unix_now; },
                               .back_off = [](unsigned) {}});
    ipam::AssignRequest request;
    request.holder = {.handle_id = "handle-" + pod, .secondary = {{"node", node}, {"pod", pod}}};
    request.ipv4 = 1;
    const auto assigned = allocator.assign(request, nullptr);
    REQUIRE_MESSAGE(assigned, (assigned ? "" : assigned.error().text));
    return assigned->addresses.front();
  }
  void use(const std::string& node, const std::string& pod, const IpAddr& addr) {
    api::WorkloadEndpoint endpoint;
    endpoint.node = *NodeName::parse(node);
    endpoint.pod = pod;
    endpoint.ip_networks = {Prefix::host(addr)};
    REQUIRE(store.create({{.name = pod, .ns = "default"}, endpoint}));
  }
  [[nodiscard]] bool held(const std::string& pod) {
    return store.get({api::Kind::kIPAMHandle, {}, "handle-" + pod}).has_value();
  }
  [[nodiscard]] bool has_blocks(const std::string& node) {
    const auto all = store.list({.kind = api::Kind::kBlockAffinity, .ns = {}});
    REQUIRE(all);
    return std::ranges::any_of(all->objects, [&node](const datastore::Object& object) {
      return std::get<api::BlockAffinity>(object.resource->spec).node.str() == node;
    });
  }
  void pass(seconds time) {
    for (seconds step(0); step < time; step += AddressCollector::kInterval) {
      now += AddressCollector::kInterval;
      for (auto& [delay, task] : std::exchange(timers, {})) {
        task();
      }
    }
  }
};

constexpr seconds kGraceTime = AddressCollector::kGrace;

}  // namespace

TEST_SUITE("felix.address_collector") {
  TEST_CASE("an address without an endpoint is freed after the grace time, one in use never") {
    Survey survey;
    const IpAddr leaked = survey.give("node1", "leaked");
    survey.use("node1", "used", survey.give("node1", "used"));
    survey.pass(kGraceTime);
    CHECK(survey.held("leaked"));  // seen first one interval after it was made
    CHECK(survey.lines.empty());
    survey.pass(AddressCollector::kInterval);
    CHECK_FALSE(survey.held("leaked"));
    REQUIRE(survey.lines.size() == 1);
    CHECK(survey.lines[0].find("address=" + leaked.str()) != std::string::npos);
    survey.pass(2 * kGraceTime);
    CHECK(survey.held("used"));
  }

  TEST_CASE("whoever got the address meanwhile has a grace time of its own") {
    Survey survey;
    survey.give("node1", "first");
    survey.pass(kGraceTime);
    // The same address, given to another: with the clock set far ahead, too.
    ipam::Allocator allocator(survey.store,
                              {.node = *NodeName::parse("node1"),
                               .match = [](std::string_view, const api::Labels&) { return true; },
                               .unix_now = [&] { return survey.unix_now; },
                               .back_off = [](unsigned) {}});
    REQUIRE(allocator.release("handle-first", nullptr, nullptr));
    survey.unix_now += 10 * 365 * 86400;
    const IpAddr again = survey.give("node1", "second");
    survey.pass(AddressCollector::kInterval);
    CHECK(survey.held("second"));
    survey.use("node1", "second", again);
    survey.pass(2 * kGraceTime);
    CHECK(survey.held("second"));
  }

  TEST_CASE("what other nodes gave is theirs; what a removed node held is anybody's to free") {
    Survey survey;
    survey.give("node2", "theirs");
    survey.pass(2 * kGraceTime);
    CHECK(survey.held("theirs"));
    CHECK(survey.has_blocks("node2"));

    REQUIRE(survey.store.remove({api::Kind::kNode, {}, "node2"}));
    survey.pass(kGraceTime);
    CHECK(survey.has_blocks("node2"));
    survey.pass(AddressCollector::kInterval);
    CHECK_FALSE(survey.held("theirs"));
    CHECK_FALSE(survey.has_blocks("node2"));
  }

  TEST_CASE("a node whose endpoints are still there is not gone") {
    Survey survey;
    survey.use("node2", "alive", survey.give("node2", "alive"));
    REQUIRE(survey.store.remove({api::Kind::kNode, {}, "node2"}));
    survey.pass(3 * kGraceTime);
    CHECK(survey.held("alive"));
    CHECK(survey.has_blocks("node2"));
  }

  TEST_CASE("an endpoint that decodes no more keeps its address, and one that never did all") {
    using Earlier = test::MemoryStore::Earlier;
    for (const Earlier earlier : {Earlier::kKept, Earlier::kForgotten}) {
      CAPTURE(earlier == Earlier::kKept);
      Survey survey;
      survey.use("node2", "used", survey.give("node2", "used"));
      survey.give("node1", "leaked");
      survey.store.spoil({api::Kind::kWorkloadEndpoint, "default", "used"},
                         {Errc::kInvalid, "no endpoint", 0},
                         earlier);
      REQUIRE(survey.store.remove({api::Kind::kNode, {}, "node2"}));
      survey.pass(3 * kGraceTime);
      CHECK(survey.held("used"));
      CHECK(survey.has_blocks("node2"));
      CHECK(survey.held("leaked") == (earlier == Earlier::kForgotten));
    }
  }

  TEST_CASE("a node whose object decodes no more is not gone") {
    Survey survey;
    survey.give("node2", "theirs");
    survey.store.spoil({api::Kind::kNode, {}, "node2"}, {Errc::kInvalid, "no node", 0});
    survey.pass(3 * kGraceTime);
    CHECK(survey.held("theirs"));
    CHECK(survey.has_blocks("node2"));
  }

  TEST_CASE("of a holder's two addresses only the one without an endpoint is freed") {
    Survey survey;
    survey.give("node1", "pod");
    const IpAddr used = survey.give("node1", "pod");
    survey.use("node1", "pod", used);
    survey.pass(2 * kGraceTime);
    REQUIRE(survey.held("pod"));
    const auto handle = survey.store.get({api::Kind::kIPAMHandle, {}, "handle-pod"});
    const auto& blocks = std::get<api::IPAMHandle>(handle->resource->spec).blocks;
    CHECK(blocks.begin()->second == 1);
    CHECK(survey.lines.size() == 1);
    survey.pass(2 * kGraceTime);
    CHECK(survey.lines.size() == 1);
  }

  TEST_CASE("a store that is away says nothing, and does not begin the time anew") {
    Survey survey;
    survey.give("node1", "leaked");
    survey.pass(kGraceTime);
    survey.store.set_away(true);
    survey.pass(kGraceTime);
    survey.store.set_away(false);
    CHECK(survey.held("leaked"));
    survey.pass(AddressCollector::kInterval);
    CHECK_FALSE(survey.held("leaked"));
  }

  TEST_CASE("period and grace are configured; no grace is never") {
    Survey survey;
    survey.give("node1", "leaked");
    api::KubeControllersConfiguration config;
    config.leak_grace_period_s = 0;
    survey.collector.on_object({{.name = "default"}, config});
    survey.pass(3 * kGraceTime);
    CHECK(survey.held("leaked"));
    config.leak_grace_period_s = 1;
    config.reconciler_period_s = 7;
    survey.timers.clear();
    survey.collector.on_object({{.name = "default"}, config});
    REQUIRE(survey.timers.size() == 1);
    CHECK(survey.timers[0].first == seconds(7));
    survey.pass(AddressCollector::kInterval);
    CHECK_FALSE(survey.held("leaked"));
  }
}

}  // namespace margay::felix
