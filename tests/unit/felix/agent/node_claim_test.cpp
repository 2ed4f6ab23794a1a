#include "felix/node_claim.h"

#include "tests/support/memory_store.h"

#include <doctest/doctest.h>

#include <memory>
#include <utility>
#include <vector>

namespace margay::felix {
namespace {

using datastore::Revision;
using std::chrono::milliseconds;

const NodeName& node1() {
  static const NodeName name = *NodeName::parse("node1");
  return name;
}

// Agents of one node name over one store, which tells each what any of them writes; timers by hand.
struct Wire {
  struct Agent {
    Agent(Wire& wire, const std::string& id)
        : claim({wire.store,
                 node1(),
                 {id, "host-" + id},
                 [](const std::function<void()>& task) { task(); },
                 [](const std::function<void()>& task) { task(); },
                 [this](milliseconds delay, std::function<void()> task) {
                   timers.emplace_back(delay, std::move(task));
                 },
                 [this] { ++held; },
                 [this](const std::string& why) { lost = why; },
                 [this](const std::string& line) { lines.push_back(line); }}) {}
    std::vector<std::pair<milliseconds, std::function<void()>>> timers;
    int held = 0;
    std::string lost;
    std::vector<std::string> lines;
    NodeClaim claim;
    bool running = true;
  };

  Agent& start(const std::string& id) {
    Agent& agent = *agents.emplace_back(std::make_unique<Agent>(*this, id));
    if (const auto stored = store.get(key())) {
      agent.claim.on_status(std::get<api::NodeStatus>(stored->resource->spec), stored->revision);
    }
    agent.claim.on_in_sync();
    return agent;
  }
  static api::ResourceKey key() { return {api::Kind::kNodeStatus, {}, node1().str()}; }
  // What an agent does from time to time.
  void publish(const std::string& id) {
    REQUIRE(write_node_status(store, node1(), {id, "host-" + id}, [](api::NodeStatus& status) {
      ++status.enforced_revision;
    }));
  }
  // Every agent sees the newest status, until nobody writes any more.
  void tell() {
    for (int rounds = 0; rounds < 10; ++rounds) {
      const auto stored = store.get(key());
      if (!stored || stored->revision == told) {
        return;
      }
      told = stored->revision;
      for (const auto& agent : agents) {
        if (agent->running && agent->lost.empty()) {
          agent->claim.on_status(std::get<api::NodeStatus>(stored->resource->spec),
                                 stored->revision);
        }
      }
    }
  }
  void pass(milliseconds time) {
    for (const auto& agent : agents) {
      for (auto& [delay, task] : std::exchange(agent->timers, {})) {
        if (delay <= time) {
          task();
        } else {
          agent->timers.emplace_back(delay - time, std::move(task));
        }
      }
    }
    tell();
  }
  std::string owner() {
    const auto stored = store.get(key());
    return stored ? std::get<api::NodeStatus>(stored->resource->spec).agent : "";
  }

  test::MemoryStore store;
  Revision told;
  std::vector<std::unique_ptr<Agent>> agents;
};

}  // namespace

TEST_SUITE("felix.node_claim") {
  TEST_CASE("a name that nobody has, or that was this agent's, is held at once") {
    Wire wire;
    CHECK(wire.start("a").held == 1);
    wire.publish("a");
    CHECK(wire.start("a").held == 1);
    CHECK(wire.owner() == "a");
  }

  TEST_CASE("the name of an agent that is gone is held after a while") {
    Wire wire;
    wire.publish("a");
    Wire::Agent& b = wire.start("b");
    wire.tell();
    CHECK(b.held == 0);
    CHECK(wire.owner() == "b");
    wire.pass(NodeClaim::kSettle);
    CHECK(b.held == 1);
    CHECK(b.lost.empty());
    CHECK(b.claim.conflict().empty());
  }

  TEST_CASE("of two agents the one that came later ends, however often it starts") {
    Wire wire;
    Wire::Agent& a = wire.start("a");
    wire.publish("a");
    wire.tell();
    for (int i = 0; i < 3; ++i) {
      Wire::Agent& b = wire.start("b");
      wire.tell();
      wire.pass(NodeClaim::kRepeat);
      wire.pass(NodeClaim::kSettle);
      CHECK(b.held == 0);
      CHECK(b.lost.find("host-a") != std::string::npos);
      CHECK(wire.owner() == "a");
    }
    CHECK(a.lost.empty());
    CHECK(a.lines.size() == 1);  // said once
    CHECK(a.claim.conflict().find("host-b") != std::string::npos);
    wire.pass(NodeClaim::kQuiet);
    CHECK(a.claim.conflict().empty());
  }

  TEST_CASE("two that both hold the name go on, and both say so") {
    Wire wire;
    Wire::Agent& a = wire.start("a");
    wire.publish("a");
    wire.tell();
    a.running = false;  // cut off
    Wire::Agent& b = wire.start("b");
    wire.tell();
    wire.pass(NodeClaim::kSettle);
    REQUIRE(b.held == 1);
    a.running = true;
    wire.publish("b");
    for (int i = 0; i < 5; ++i) {
      wire.pass(NodeClaim::kRepeat);
    }
    for (const Wire::Agent* agent : {&a, &b}) {
      CHECK(agent->lost.empty());
      CHECK_FALSE(agent->claim.conflict().empty());
    }
  }

  TEST_CASE("a store that does not take the claim is tried again; nothing is held meanwhile") {
    Wire wire;
    wire.publish("a");
    wire.store.set_away(true);
    Wire::Agent& b = *wire.agents.emplace_back(std::make_unique<Wire::Agent>(wire, "b"));
    b.claim.on_status({.agent = "a", .host = "host-a"}, Revision(1));
    b.claim.on_in_sync();
    wire.pass(NodeClaim::kSettle);
    CHECK(b.held == 0);
    wire.store.set_away(false);
    wire.pass(NodeClaim::kRetry);
    CHECK(wire.owner() == "b");
    wire.pass(NodeClaim::kSettle);
    CHECK(b.held == 1);
  }
}

}  // namespace margay::felix
