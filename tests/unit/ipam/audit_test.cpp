#include "ipam/audit.h"

#include "ipam/block.h"

#include <doctest/doctest.h>

#include <functional>
#include <string>
#include <vector>

namespace margay::ipam {
namespace {

constexpr std::int64_t kNow = 1'000'000;
const Prefix kBlock = *Prefix::parse("10.244.0.0/29");

api::AllocationAttribute holder(const std::string& handle, std::int64_t since) {
  return {handle,
          {{"node", "n1"},
           {"namespace", "default"},
           {"pod", handle},
           {"type", "workload"},
           {"timestamp", std::to_string(since)}}};
}

// A node with one block and two containers; nothing is wrong.
struct World {
  AuditInput input;
  api::IPAMBlock block = make_block(kBlock, "host:n1");

  World() {
    input.unix_now = kNow;
    input.pools = {*Prefix::parse("10.244.0.0/16")};
    input.nodes = {"n1"};
    input.affinities = {{api::AffinityState::kConfirmed, *NodeName::parse("n1"), kBlock, false}};
    for (const char* name : {"a", "b"}) {
      const auto given = allocate(block, 1, holder(name, kNow - 2 * kLeakGraceS), {});
      input.endpoints[given.front()] = {std::string("default/") + name};
      input.handles.push_back({name, {{kBlock, 1}}, false});
    }
  }
  IpAddr first() const { return input.endpoints.begin()->first; }
  std::vector<Finding> findings() {
    input.blocks = {block};
    return audit(input);
  }
  // The one finding there should be.
  Finding only() {
    const auto all = findings();
    REQUIRE(all.size() == 1);
    return all.front();
  }
};

TEST_SUITE("ipam.audit") {
  TEST_CASE("a sound store has no findings") {
    World world;
    CHECK(world.findings().empty());
  }

  TEST_CASE("an address without an endpoint is leaked, a young one is not yet") {
    World world;
    const IpAddr addr = world.first();
    world.input.endpoints.erase(addr);
    const Finding leak = world.only();
    CHECK(leak.kind == FindingKind::kLeakedAddress);
    CHECK(leak.object == addr.str());
    CHECK(leak.holder.handle_id == "a");
    CHECK(leak.text ==
          "no endpoint has it, given 1970-01-12T13:16:40Z: pod default/a on n1, handle a");
    CHECK(leak.is_problem());

    world.input.unix_now = kNow - kLeakGraceS - 1;
    CHECK(world.only().kind == FindingKind::kYoungAddress);
    CHECK_FALSE(world.only().is_problem());
  }

  TEST_CASE("with an endpoint that cannot be read no address is called leaked") {
    World world;
    world.input.endpoints.erase(world.first());
    world.input.unreadable = {"default/a"};
    const Finding finding = world.only();
    CHECK(finding.kind == FindingKind::kUnreadable);
    CHECK(finding.object == "default/a");
    CHECK(finding.is_problem());
  }

  TEST_CASE("an address that has no endpoint by its nature is not leaked") {
    World world;
    world.input.endpoints.erase(world.first());
    for (const char* type : {kAddressOnly, "vxlanTunnelAddress", "ipipTunnelAddress"}) {
      world.block.attributes.front().secondary["type"] = type;
      CHECK(world.findings().empty());
    }
    world.block.attributes.front().secondary.erase("type");  // as Calico's workloads
    CHECK_FALSE(world.findings().empty());
  }

  TEST_CASE("each contradiction between objects is found, and nothing beside it") {
    struct Case {
      FindingKind kind;
      std::function<void(World&)> breaks;
    };
    const std::vector<Case> cases{
        {FindingKind::kUnallocated,
         [](World& world) { world.input.endpoints[*IpAddr::parse("10.244.9.9")] = {"default/x"}; }},
        {FindingKind::kSharedAddress,
         [](World& world) { world.input.endpoints.begin()->second.push_back("default/x"); }},
        {FindingKind::kHandleMismatch,
         [](World& world) { world.input.handles.front().blocks[kBlock] = 2; }},
        {FindingKind::kHandleMismatch, [](World& world) { world.input.handles.pop_back(); }},
        {FindingKind::kHandleMismatch,
         [](World& world) {
           world.input.handles.push_back({"gone", {{kBlock, 1}}, false});
         }},
        {FindingKind::kAffinityMismatch, [](World& world) { world.input.affinities.clear(); }},
        {FindingKind::kAffinityMismatch, [](World& world) { world.block.affinity.reset(); }},
        {FindingKind::kOwnerUnknown, [](World& world) { world.input.nodes.clear(); }},
    };
    for (const Case& one : cases) {
      World world;
      one.breaks(world);
      CAPTURE(to_string(one.kind));
      CHECK(world.only().kind == one.kind);
    }
    World outside;
    outside.input.pools.clear();
    CHECK(outside.findings().size() == 2);
    CHECK(outside.findings().front().kind == FindingKind::kOutsidePools);
    World broken;
    broken.block.unallocated.push_back(0);  // taken and free
    CHECK(broken.findings().front().kind == FindingKind::kBrokenBlock);
  }
}

}  // namespace
}  // namespace margay::ipam
