#include "felix/revision_publisher.h"

#include "tests/support/memory_store.h"

#include <doctest/doctest.h>

#include <utility>
#include <vector>

namespace margay::felix {
namespace {

using datastore::Revision;

// The publisher with a worker that works at once, and a clock and timers by hand.
struct Bench {
  test::MemoryStore store;
  TimePoint now{std::chrono::hours(1)};
  std::vector<std::function<void()>> timers;
  NodeName node = *NodeName::parse("node1");
  RevisionPublisher publisher{
      {store,
       node,
       {"a1", "host1"},
       [](const std::function<void()>& task) { task(); },
       [](const std::function<void()>& task) { task(); },
       [this](std::chrono::milliseconds /*delay*/, std::function<void()> task) {
         timers.push_back(std::move(task));
       },
       [this] { return now; }}};

  explicit Bench(bool allowed = true) {
    if (allowed) {
      publisher.allow();
    }
  }
  std::uint64_t published() {
    const auto stored = store.get({api::Kind::kNodeStatus, {}, node.str()});
    return stored ? std::get<api::NodeStatus>(stored->resource->spec).enforced_revision : 0;
  }
  void run_timers() {
    now += RevisionPublisher::kInterval;
    for (const auto& task : std::exchange(timers, {})) {
      task();
    }
  }
};

}  // namespace

TEST_SUITE("felix.revision_publisher") {
  TEST_CASE("a lone change is told at once, a storm once in an interval with its newest revision") {
    Bench bench;
    bench.publisher.on_change(api::Kind::kNetworkPolicy, false, Revision(10));
    CHECK(bench.published() == 0);  // not in the kernel yet
    bench.publisher.on_enforced(Revision(10));
    CHECK(bench.published() == 10);
    for (std::uint64_t revision = 11; revision < 20; ++revision) {
      bench.publisher.on_change(api::Kind::kNetworkPolicy, false, Revision(revision));
      bench.publisher.on_enforced(Revision(revision));
    }
    CHECK(bench.published() == 10);
    REQUIRE(bench.timers.size() == 1);
    bench.run_timers();
    CHECK(bench.published() >= 11);
    bench.run_timers();
    CHECK(bench.published() == 19);
    CHECK(bench.timers.empty());
  }

  TEST_CASE("nothing is written before the node's name is this agent's") {
    Bench bench(false);
    bench.publisher.on_change(api::Kind::kNetworkPolicy, false, Revision(10));
    bench.publisher.on_enforced(Revision(10));
    CHECK(bench.published() == 0);
    bench.publisher.allow();
    CHECK(bench.published() == 10);
  }

  TEST_CASE("its own writes, addresses and endpoints elsewhere are nothing to tell") {
    Bench bench;
    for (const api::Kind kind : {api::Kind::kNodeStatus,
                                 api::Kind::kIPAMBlock,
                                 api::Kind::kIPAMHandle,
                                 api::Kind::kBlockAffinity,
                                 api::Kind::kWorkloadEndpoint}) {
      bench.publisher.on_change(kind, false, Revision(5));
    }
    bench.publisher.on_enforced(Revision(9));
    CHECK(bench.published() == 0);
    bench.publisher.on_change(api::Kind::kWorkloadEndpoint, true, Revision(10));
    bench.publisher.on_enforced(Revision(12));
    CHECK(bench.published() == 12);
  }
}

}  // namespace margay::felix
