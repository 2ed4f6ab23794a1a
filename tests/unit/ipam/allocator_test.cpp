#include "ipam/allocator.h"

#include "tests/support/memory_store.h"

#include <doctest/doctest.h>

#include <set>

namespace margay::ipam {
namespace {

using test::MemoryStore;

api::Resource a_pool(const std::string& name, const char* cidr, unsigned block_size) {
  api::Resource resource;
  resource.metadata.name = name;
  api::IPPool pool;
  pool.cidr = *Prefix::parse(cidr);
  pool.block_size = block_size;
  resource.spec = pool;
  return resource;
}

// One cluster: a store, a clock, and allocators of nodes over it.
struct Cluster {
  MemoryStore store;
  std::int64_t now = 1000;

  explicit Cluster(const char* pool = "10.0.0.0/28", unsigned block_size = 30) {
    REQUIRE(store.create(a_pool("blue", pool, block_size)));
  }
  Allocator node(const char* name) {
    return Allocator(store,
                     {.node = *NodeName::parse(name),
                      .match = [](std::string_view, const api::Labels&) { return true; },
                      .unix_now = [this] { return now; },
                      .back_off = [](unsigned) {}});
  }
  void configure(const api::IPAMConfiguration& config) {
    api::Resource resource;
    resource.metadata.name = "default";
    resource.spec = config;
    REQUIRE(store.create(resource));
  }
  std::vector<api::IPAMBlock> blocks() {
    std::vector<api::IPAMBlock> out;
    const auto listing = store.list({.kind = api::Kind::kIPAMBlock, .ns = {}});
    for (const auto& object : listing->objects) {
      out.push_back(std::get<api::IPAMBlock>(object.resource->spec));
      REQUIRE(check_block(out.back()));
    }
    return out;
  }
  std::size_t count(api::Kind kind) { return store.list({.kind = kind, .ns = {}})->objects.size(); }
  // Addresses in use; every handle must count exactly what the blocks say.
  std::set<IpAddr> used() {
    std::set<IpAddr> addresses;
    std::map<std::string, std::map<Prefix, std::uint32_t>> counts;
    for (const auto& block : blocks()) {
      for (std::uint32_t i = 0; i < block_size(block); ++i) {
        const IpAddr addr = block.cidr.addr().add(i);
        if (const auto* holder = holder_of(block, addr)) {
          CHECK(addresses.insert(addr).second);
          ++counts[holder->handle_id][block.cidr];
        }
      }
    }
    const auto handles = store.list({.kind = api::Kind::kIPAMHandle, .ns = {}});
    CHECK(handles->objects.size() == counts.size());
    for (const auto& object : handles->objects) {
      const auto& handle = std::get<api::IPAMHandle>(object.resource->spec);
      CHECK(handle.blocks == counts[handle.handle_id]);
    }
    return addresses;
  }
};

AssignRequest one_for(const std::string& handle) {
  AssignRequest request;
  request.holder = {handle, {{"interface", "eth0"}}};
  request.ipv4 = 1;
  return request;
}

TEST_SUITE_BEGIN("ipam.allocator");

TEST_CASE("the first assignment claims a block and the next ones are one commit each") {
  Cluster cluster;
  auto allocator = cluster.node("node1");
  const auto first = allocator.assign(one_for("net.a"), nullptr);
  REQUIRE(first);
  CHECK(first->addresses.size() == 1);
  REQUIRE(cluster.blocks().size() == 1);
  CHECK(cluster.blocks()[0].affinity == "host:node1");
  const auto affinities = cluster.store.list({.kind = api::Kind::kBlockAffinity, .ns = {}});
  REQUIRE(affinities->objects.size() == 1);
  CHECK(std::get<api::BlockAffinity>(affinities->objects[0].resource->spec).state ==
        api::AffinityState::kConfirmed);
  const auto before = affinities->revision;
  REQUIRE(allocator.assign(one_for("net.b"), nullptr));
  // The handle and the block, nothing else.
  CHECK(cluster.store.list({.kind = {}, .ns = {}})->revision.value() == before.value() + 2);
  CHECK(cluster.used().size() == 2);
}

TEST_CASE("a burst of assignments is one commit behind its claims, each learns its revision") {
  Cluster cluster("10.0.0.0/26", 29);  // blocks of 8
  auto allocator = cluster.node("node1");
  std::vector<Allocator::Wanted> wanted;
  for (unsigned i = 0; i < 20; ++i) {
    wanted.push_back({one_for("net.c" + std::to_string(i)), [i](const std::vector<IpAddr>&) {
                        api::Resource companion;
                        companion.metadata.name = "ns" + std::to_string(i);
                        companion.spec = api::Namespace{};
                        return Result<std::vector<datastore::Change>>(
                            std::vector<datastore::Change>{datastore::Create{companion}});
                      }});
  }
  const unsigned before = cluster.store.commits();
  allocator.assign_all(wanted);
  std::set<IpAddr> given;
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    REQUIRE(wanted[i].outcome);
    REQUIRE(*wanted[i].outcome);
    given.insert((*wanted[i].outcome)->addresses.begin(), (*wanted[i].outcome)->addresses.end());
    const auto stored = cluster.store.get({api::Kind::kNamespace, {}, "ns" + std::to_string(i)});
    REQUIRE(stored);
    CHECK((*wanted[i].outcome)->revision == stored->revision);
  }
  CHECK(given.size() == 20);
  CHECK(cluster.used() == given);
  // Three blocks: two commits for each claim, one for all requests.
  CHECK(cluster.store.commits() - before == 7);
}

TEST_CASE("a burst counts up the handles that are stored already") {
  Cluster cluster("10.0.0.0/26", 29);
  auto allocator = cluster.node("node1");
  REQUIRE(allocator.assign(one_for("net.a"), nullptr));
  std::vector<Allocator::Wanted> wanted;
  wanted.push_back({one_for("net.b"), nullptr});
  wanted.push_back({one_for("net.a"), nullptr});  // the same container's other interface
  wanted.back().request.holder.secondary["interface"] = "eth1";
  const unsigned before = cluster.store.commits();
  allocator.assign_all(wanted);
  CHECK(*wanted[0].outcome);
  CHECK(*wanted[1].outcome);
  CHECK(cluster.store.commits() - before == 1);
  CHECK(allocator.held_by("net.a")->size() == 2);
  CHECK(cluster.used().size() == 3);
}

TEST_CASE("a stored block that does not decode is passed over, and nothing of it is given") {
  Cluster cluster("10.0.0.0/29", 30);  // two blocks
  auto other = cluster.node("node2");
  const auto theirs = other.assign(one_for("net.theirs"), nullptr);
  REQUIRE(theirs);
  const Prefix block = Prefix::masked(theirs->addresses.front(), 30);
  cluster.store.spoil({api::Kind::kIPAMBlock, {}, block_name(block)},
                      Error{Errc::kInvalid, "spoilt", 0});
  for (unsigned i = 0; i < 4; ++i) {
    const auto name = "node" + std::to_string(i + 3);  // each starts where its name says
    auto node = cluster.node(name.c_str());
    const auto assigned = node.assign(one_for("net." + name), nullptr);
    REQUIRE_MESSAGE(assigned, (assigned ? std::string() : assigned.error().text));
    CHECK_FALSE(block.contains(assigned->addresses.front()));
  }
}

TEST_CASE("in a burst each request has its own outcome") {
  Cluster cluster("10.0.0.0/30", 30);
  auto allocator = cluster.node("node1");
  std::vector<Allocator::Wanted> wanted;
  wanted.push_back({one_for("net.a"), nullptr});
  wanted.push_back({one_for("net.pool"), nullptr});
  wanted.back().request.ipv4_pools = {"red"};
  wanted.push_back({one_for("net.a"), nullptr});  // the same container's other interface
  wanted.back().request.holder.secondary["interface"] = "eth1";
  wanted.push_back({one_for("net.fixed"), nullptr});
  wanted.back().request.ipv4 = 0;
  wanted.back().request.addresses = {*IpAddr::parse("10.0.0.3")};
  wanted.push_back({one_for("net.refused"), [](const std::vector<IpAddr>&) {
                      return Result<std::vector<datastore::Change>>(fail(Errc::kInvalid, "no"));
                    }});
  wanted.push_back({one_for("net.b"), nullptr});
  wanted.push_back({one_for("net.too-many"), nullptr});
  allocator.assign_all(wanted);
  CHECK(*wanted[0].outcome);
  CHECK(wanted[1].outcome->error().text == "pool \"red\" does not exist");
  CHECK(*wanted[2].outcome);
  CHECK(*wanted[3].outcome);
  CHECK(wanted[4].outcome->error().text == "no");
  CHECK(*wanted[5].outcome);
  CHECK(wanted[6].outcome->error().code == Errc::kExhausted);
  CHECK(cluster.used().size() == 4);
}

TEST_CASE("a burst that meets somebody else's change is assigned all the same") {
  Cluster cluster("10.0.0.0/26", 29);
  auto allocator = cluster.node("node1");
  REQUIRE(allocator.assign(one_for("net.first"), nullptr));
  auto other = cluster.node("node1");  // another process for the same node
  REQUIRE(other.assign(one_for("net.other"), nullptr));
  std::vector<Allocator::Wanted> wanted;
  for (const char* handle : {"net.a", "net.b", "net.c"}) {
    wanted.push_back({one_for(handle), nullptr});
  }
  allocator.assign_all(wanted);
  for (const auto& one : wanted) {
    CHECK(*one.outcome);
  }
  CHECK(cluster.used().size() == 5);
}

TEST_CASE("what is reserved is not assigned, also when it is asked for, and the error counts it") {
  Cluster cluster("10.0.0.0/29", 30);
  api::Resource reservation;
  reservation.metadata.name = "static";
  reservation.spec =
      api::IPReservation{{*Prefix::parse("10.0.0.0/31"), *Prefix::parse("10.0.0.4/30")}};
  REQUIRE(cluster.store.create(reservation));
  auto allocator = cluster.node("node1");
  REQUIRE(allocator.assign(one_for("net.a"), nullptr));
  REQUIRE(allocator.assign(one_for("net.b"), nullptr));
  const auto third = allocator.assign(one_for("net.c"), nullptr);
  REQUIRE_FALSE(third);
  CHECK(third.error().code == Errc::kExhausted);
  CHECK_MESSAGE(third.error().text.find("2 addresses used, 0 released a moment ago, 2 reserved") !=
                    std::string::npos,
                third.error().text);
  CHECK(cluster.blocks().size() == 1);  // the other block is reserved as a whole
  AssignRequest fixed = one_for("net.d");
  fixed.ipv4 = 0;
  fixed.addresses = {*IpAddr::parse("10.0.0.1")};
  const auto refused = allocator.assign(fixed, nullptr);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().text.find("10.0.0.1 is reserved") != std::string::npos);
  CHECK(cluster.used().size() == 2);
  REQUIRE(cluster.store.remove(reservation.key()));
  CHECK(allocator.assign(fixed, nullptr));
}

TEST_CASE("changes of the caller are in the same commit, and their failure assigns nothing") {
  Cluster cluster;
  auto allocator = cluster.node("node1");
  api::Resource companion;
  companion.metadata.name = "web";
  companion.spec = api::Namespace{};
  const auto with = [&companion](const std::vector<IpAddr>&) {
    return Result<std::vector<datastore::Change>>(
        std::vector<datastore::Change>{datastore::Create{companion}});
  };
  REQUIRE(allocator.assign(one_for("net.a"), with));
  CHECK(cluster.count(api::Kind::kNamespace) == 1);
  // The same object again: never possible, so it ends after its tries without an address.
  const auto again = allocator.assign(one_for("net.b"), with);
  REQUIRE_FALSE(again);
  CHECK(again.error().code == Errc::kExists);
  CHECK(cluster.used().size() == 1);
  const auto refused = allocator.assign(
      one_for("net.c"), [](const std::vector<IpAddr>&) -> Result<std::vector<datastore::Change>> {
        return fail(Errc::kInvalid, "no");
      });
  REQUIRE_FALSE(refused);
  CHECK(refused.error().text == "no");
  CHECK(cluster.used().size() == 1);
}

TEST_CASE("nodes take different blocks, then borrow, then the error counts what there is") {
  Cluster cluster("10.0.0.0/29", 30);
  auto one = cluster.node("node1");
  auto two = cluster.node("node2");
  std::set<IpAddr> given;
  for (int i = 0; i < 8; ++i) {
    auto& node = i % 4 == 3 ? two : one;  // node1 needs more than its block
    const auto assigned = node.assign(one_for("net.c" + std::to_string(i)), nullptr);
    REQUIRE(assigned);
    CHECK(given.insert(assigned->addresses[0]).second);
  }
  CHECK(cluster.used() == given);
  const auto none = one.assign(one_for("net.last"), nullptr);
  REQUIRE_FALSE(none);
  CHECK(none.error().code == Errc::kExhausted);
  CHECK(none.error().text.find("pool \"blue\" 10.0.0.0/29: 2 of 2 blocks of /30 claimed, 8 "
                               "addresses used") != std::string::npos);
}

TEST_CASE("strictAffinity forbids to borrow") {
  Cluster cluster("10.0.0.0/30", 30);
  cluster.configure({.strict_affinity = true});
  auto one = cluster.node("node1");
  auto two = cluster.node("node2");
  REQUIRE(one.assign(one_for("net.a"), nullptr));
  const auto refused = two.assign(one_for("net.b"), nullptr);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == Errc::kExhausted);
  CHECK(refused.error().text.find("strictAffinity forbids to borrow") != std::string::npos);
}

TEST_CASE("a node claims no more blocks than it may") {
  Cluster cluster("10.0.0.0/28", 30);
  cluster.configure({.strict_affinity = true, .max_blocks_per_host = 1});
  auto node = cluster.node("node1");
  for (int i = 0; i < 4; ++i) {
    REQUIRE(node.assign(one_for("net.c" + std::to_string(i)), nullptr));
  }
  CHECK_FALSE(node.assign(one_for("net.more"), nullptr));
  CHECK(cluster.blocks().size() == 1);
}

TEST_CASE("both families or none") {
  Cluster cluster;
  auto node = cluster.node("node1");
  auto request = one_for("net.a");
  request.ipv6 = 1;
  CHECK_FALSE(node.assign(request, nullptr));
  CHECK(cluster.used().empty());
  REQUIRE(cluster.store.create(a_pool("six", "fd00::/120", 122)));
  const auto both = node.assign(request, nullptr);
  REQUIRE(both);
  REQUIRE(both->addresses.size() == 2);
  CHECK(both->addresses[0].is_v4());
  CHECK(both->addresses[1].is_v6());
  CHECK(cluster.used().size() == 2);
}

TEST_CASE("release by handle is idempotent and the address rests before it comes back") {
  Cluster cluster("10.0.0.0/30", 30);
  cluster.configure({.strict_affinity = true, .ip_cooldown_s = 60});
  auto node = cluster.node("node1");
  for (int i = 0; i < 4; ++i) {
    REQUIRE(node.assign(one_for("net.c" + std::to_string(i)), nullptr));
  }
  const auto freed = node.release("net.c2", nullptr, nullptr);
  REQUIRE(freed);
  CHECK(freed->size() == 1);
  const auto again = node.release("net.c2", nullptr, nullptr);
  REQUIRE(again);
  CHECK(again->empty());
  CHECK(cluster.used().size() == 3);
  CHECK_FALSE(node.assign(one_for("net.new"), nullptr));
  cluster.now += 60;
  const auto reused = node.assign(one_for("net.new"), nullptr);
  REQUIRE(reused);
  CHECK(reused->addresses == *freed);
}

TEST_CASE("a release limited to one interface leaves the other interface's address") {
  Cluster cluster;
  auto node = cluster.node("node1");
  auto request = one_for("net.a");
  const auto first = node.assign(request, nullptr);
  request.holder.secondary["interface"] = "eth1";
  const auto second = node.assign(request, nullptr);
  REQUIRE((first && second));
  const auto freed = node.release(
      "net.a",
      [](const api::AllocationAttribute& holder) {
        return holder.secondary.at("interface") == "eth0";
      },
      nullptr);
  REQUIRE(freed);
  CHECK(*freed == first->addresses);
  CHECK(*node.held_by("net.a") == second->addresses);
  cluster.used();
}

TEST_CASE("one address is released alone and the handle still counts right") {
  Cluster cluster;
  auto node = cluster.node("node1");
  auto request = one_for("net.a");
  request.ipv4 = 2;
  const auto assigned = node.assign(request, nullptr);
  REQUIRE(assigned);
  CHECK(*node.release_address(assigned->addresses[0], request.holder));
  CHECK_FALSE(*node.release_address(assigned->addresses[0], request.holder));
  CHECK_FALSE(*node.release_address(assigned->addresses[1], one_for("net.b").holder));
  CHECK(cluster.used() == std::set<IpAddr>{assigned->addresses[1]});
}

TEST_CASE("an address is released although its handle is gone or does not count its block") {
  for (const bool gone : {true, false}) {
    CAPTURE(gone);
    Cluster cluster;
    auto node = cluster.node("node1");
    const auto assigned = node.assign(one_for("net.a"), nullptr);
    REQUIRE(assigned);
    const auto handle = cluster.store.get({api::Kind::kIPAMHandle, {}, "net.a"});
    REQUIRE(handle);
    if (gone) {
      REQUIRE(cluster.store.remove(handle->key));
    } else {
      api::Resource changed = *handle->resource;
      std::get<api::IPAMHandle>(changed.spec).blocks = {{*Prefix::parse("10.9.0.0/30"), 1}};
      REQUIRE(cluster.store.update(changed));
    }
    CHECK(*node.release_address(assigned->addresses[0], one_for("net.a").holder));
    CHECK(cluster.used().empty());
    // It rests like any other.
    REQUIRE(cluster.blocks().size() == 1);
    CHECK(cluster.blocks().front().released_at.size() == 1);
  }
}

TEST_CASE("the last address of a block without an owner takes the block with it") {
  Cluster cluster;
  auto node = cluster.node("node1");
  const auto assigned = node.assign(one_for("net.a"), nullptr);
  REQUIRE(assigned);
  REQUIRE(release_affinities(cluster.store, *NodeName::parse("node1")));
  CHECK(cluster.blocks().size() == 1);
  CHECK(*node.release_address(assigned->addresses[0], one_for("net.a").holder));
  CHECK(cluster.blocks().empty());
  CHECK(cluster.count(api::Kind::kIPAMHandle) == 0);
}

TEST_CASE("explicit addresses: given once, and refused with the reason") {
  Cluster cluster("10.0.0.0/28", 30);
  auto node = cluster.node("node1");
  AssignRequest request;
  request.holder = {"net.a", {}};
  request.addresses = {*IpAddr::parse("10.0.0.9")};
  REQUIRE(node.assign(request, nullptr));
  CHECK(cluster.used() == std::set<IpAddr>{*IpAddr::parse("10.0.0.9")});
  request.holder = {"net.b", {}};
  const auto taken = node.assign(request, nullptr);
  REQUIRE_FALSE(taken);
  CHECK(taken.error().text.find("is in use by handle \"net.a\"") != std::string::npos);
  request.addresses = {*IpAddr::parse("192.0.2.1")};
  const auto outside = node.assign(request, nullptr);
  REQUIRE_FALSE(outside);
  CHECK(outside.error().text == "address 192.0.2.1: outside every pool");
}

TEST_CASE("an address that is refused by name claims no block") {
  Cluster cluster("10.0.0.0/24", 28);
  auto node = cluster.node("node1");
  api::Resource tunnels = a_pool("tunnels", "10.1.0.0/24", 28);
  std::get<api::IPPool>(tunnels.spec).allowed_uses = {api::AllowedUse::kTunnel};
  REQUIRE(cluster.store.create(tunnels));
  api::Resource kept;
  kept.metadata.name = "kept";
  kept.spec = api::IPReservation{{*Prefix::parse("10.0.0.64/28")}};
  REQUIRE(cluster.store.create(kept));
  AssignRequest request;
  request.holder = {"net.a", {}};
  struct Row {
    std::vector<const char*> addresses;
    const char* part;
  };
  const std::vector<Row> rows{
      {{"10.1.0.5"}, "pool \"tunnels\" is not for workloads"},
      {{"10.0.0.65"}, "reserved"},
      {{"10.0.0.5", "10.0.0.65"}, "reserved"},
      {{"10.0.0.5", "192.0.2.1"}, "outside every pool"},
      {{"10.0.0.5", "10.0.0.5"}, "in use"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.part);
    request.addresses.clear();
    for (const char* addr : row.addresses) {
      request.addresses.push_back(*IpAddr::parse(addr));
    }
    const auto refused = node.assign(request, nullptr);
    REQUIRE_FALSE(refused);
    CHECK_MESSAGE(refused.error().text.find(row.part) != std::string::npos, refused.error().text);
  }
  request.addresses = {*IpAddr::parse("10.0.0.5")};
  CHECK_FALSE(node.assign(request, [](const std::vector<IpAddr>&) {
    return Result<std::vector<datastore::Change>>(fail(Errc::kExists, "the port is taken"));
  }));
  CHECK(cluster.blocks().empty());
  CHECK(cluster.count(api::Kind::kBlockAffinity) == 0);
  REQUIRE(node.assign(request, nullptr));
  CHECK(cluster.blocks().size() == 1);
  CHECK(cluster.blocks().front().affinity == "host:node1");
}

TEST_CASE("with strictAffinity an address by name is no way into the block of another node") {
  for (const bool strict : {true, false}) {
    CAPTURE(strict);
    Cluster cluster;
    api::IPAMConfiguration config;
    config.strict_affinity = strict;
    cluster.configure(config);
    auto owner = cluster.node("node1");
    AssignRequest request;
    request.holder = {"net.a", {}};
    request.addresses = {*IpAddr::parse("10.0.0.9")};
    REQUIRE(owner.assign(request, nullptr));
    request.holder = {"net.b", {}};
    request.addresses = {*IpAddr::parse("10.0.0.10")};
    const auto other = cluster.node("node2").assign(request, nullptr);
    CHECK(other.has_value() != strict);
    if (!other) {
      CHECK(other.error().text ==
            "address 10.0.0.10: block 10.0.0.8/30 belongs to host:node1, and strictAffinity "
            "forbids to borrow");
    }
    request.addresses = {*IpAddr::parse("10.0.0.11")};
    REQUIRE(owner.assign(request, nullptr));
  }
}

TEST_CASE("a family without a block to claim is borrowed, and the other one claims its own") {
  Cluster cluster("10.0.0.0/29", 29);
  REQUIRE(cluster.store.create(a_pool("green", "fd00::/120", 122)));
  REQUIRE(cluster.node("node1").assign(one_for("net.a"), nullptr));
  auto request = one_for("net.b");
  request.ipv6 = 1;
  auto node = cluster.node("node2");
  const auto both = node.assign(request, nullptr);
  REQUIRE_MESSAGE(both, (both ? "" : both.error().text));
  REQUIRE(both->addresses.size() == 2);
  CHECK(both->addresses[0].is_v4());
  CHECK_FALSE(both->addresses[1].is_v4());
  CHECK(cluster.count(api::Kind::kBlockAffinity) == 2);
}

TEST_CASE("a crash at any store call leaves a state that the next start goes on from") {
  for (unsigned broken = 1; broken < 20; ++broken) {
    CAPTURE(broken);
    Cluster cluster;
    {
      auto dying = cluster.node("node1");
      cluster.store.fail_call(broken, {Errc::kUnavailable, "gone", 0});
      const auto assigned = dying.assign(one_for("net.dying"), nullptr);
      cluster.store.fail_call(0, {});
      CHECK(cluster.used().size() == (assigned ? 1U : 0U));
    }
    auto next = cluster.node("node1");
    REQUIRE(next.assign(one_for("net.next"), nullptr));
    const auto affinities = cluster.store.list({.kind = api::Kind::kBlockAffinity, .ns = {}});
    CHECK(affinities->objects.size() == cluster.blocks().size());
    for (const auto& object : affinities->objects) {
      CHECK(std::get<api::BlockAffinity>(object.resource->spec).state ==
            api::AffinityState::kConfirmed);
    }
  }
}

TEST_CASE("a pending affinity whose block went to another node is given up") {
  Cluster cluster("10.0.0.0/30", 30);
  auto one = cluster.node("node1");
  REQUIRE(one.assign(one_for("net.a"), nullptr));
  api::Resource pending;
  const Prefix cidr = *Prefix::parse("10.0.0.0/30");
  pending.metadata.name = affinity_name(*NodeName::parse("node2"), cidr);
  pending.spec = api::BlockAffinity{.node = *NodeName::parse("node2"), .cidr = cidr};
  REQUIRE(cluster.store.create(pending));
  auto two = cluster.node("node2");
  REQUIRE(two.assign(one_for("net.b"), nullptr));  // borrowed
  CHECK(cluster.count(api::Kind::kBlockAffinity) == 1);
  CHECK(cluster.blocks()[0].affinity == "host:node1");
}

TEST_CASE("what another writer changed meanwhile is read again") {
  Cluster cluster;
  auto one = cluster.node("node1");
  auto twin = cluster.node("node1");  // as a second process of the same node
  REQUIRE(one.assign(one_for("net.a"), nullptr));
  REQUIRE(twin.assign(one_for("net.b"), nullptr));
  REQUIRE(one.assign(one_for("net.c"), nullptr));
  REQUIRE(twin.release("net.a", nullptr, nullptr));
  REQUIRE(one.assign(one_for("net.d"), nullptr));
  CHECK(cluster.used().size() == 3);
}

TEST_CASE("removing a node frees its empty blocks and orphans the others until they empty") {
  Cluster cluster("10.0.0.0/28", 30);
  auto node = cluster.node("node1");
  for (int i = 0; i < 5; ++i) {
    REQUIRE(node.assign(one_for("net.c" + std::to_string(i)), nullptr));
  }
  REQUIRE(cluster.blocks().size() == 2);
  const std::string alone =
      holder_of(cluster.blocks()[0], cluster.blocks()[0].cidr.addr()) &&
              used_count(cluster.blocks()[0]) == 1
          ? holder_of(cluster.blocks()[0], cluster.blocks()[0].cidr.addr())->handle_id
          : "net.c4";
  REQUIRE(node.release(alone, nullptr, nullptr));
  REQUIRE(release_affinities(cluster.store, *NodeName::parse("node1")));
  CHECK(cluster.count(api::Kind::kBlockAffinity) == 0);
  REQUIRE(cluster.blocks().size() == 1);
  CHECK_FALSE(cluster.blocks()[0].affinity);
  auto other = cluster.node("node2");
  for (int i = 0; i < 5; ++i) {
    REQUIRE(other.release("net.c" + std::to_string(i), nullptr, nullptr));
  }
  CHECK(cluster.blocks().empty());
  CHECK(cluster.count(api::Kind::kIPAMHandle) == 0);
}

TEST_CASE("a block is claimed ahead when the last addresses go") {
  Cluster cluster("10.0.0.0/24", 28);
  auto node = cluster.node("node1");
  REQUIRE(node.claim_ahead(one_for("")));
  CHECK(cluster.blocks().size() == 1);
  REQUIRE(node.claim_ahead(one_for("")));
  CHECK(cluster.blocks().size() == 1);
  for (int i = 0; i < 9; ++i) {
    REQUIRE(node.assign(one_for("net.c" + std::to_string(i)), nullptr));
  }
  REQUIRE(node.claim_ahead(one_for("")));
  CHECK(cluster.blocks().size() == 2);
}

TEST_SUITE_END();

}  // namespace
}  // namespace margay::ipam
