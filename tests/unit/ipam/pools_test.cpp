#include "ipam/pools.h"

#include <doctest/doctest.h>

#include <set>
#include <string>
#include <unordered_set>

namespace margay::ipam {
namespace {

Pool a_pool(const std::string& name, const char* cidr, unsigned block_size = 26) {
  Pool pool{name, {}};
  pool.spec.cidr = *Prefix::parse(cidr);
  pool.spec.block_size = block_size;
  return pool;
}

// "all()" and "has(LABEL)" are all that these tests need.
bool simple_match(std::string_view selector, const api::Labels& labels) {
  return selector == "all()" ||
         labels.contains(std::string(selector.substr(4, selector.size() - 5)));
}

NodeName node(const char* name) {
  return *NodeName::parse(name);
}

TEST_SUITE_BEGIN("ipam.pools");

TEST_CASE("only enabled pools of the family that select node and namespace count") {
  auto disabled = a_pool("disabled", "10.1.0.0/16");
  disabled.spec.disabled = true;
  auto rack = a_pool("rack", "10.2.0.0/16");
  rack.spec.node_selector = "has(rack)";
  auto team = a_pool("team", "10.3.0.0/16");
  team.spec.namespace_selector = "has(team)";
  auto tunnels = a_pool("tunnels", "10.4.0.0/16");
  tunnels.spec.allowed_uses = {api::AllowedUse::kTunnel};
  const std::vector pools{disabled, rack, team, tunnels, a_pool("six", "fd00::/64", 122)};

  const auto none = eligible_pools(pools, {}, simple_match);
  REQUIRE_FALSE(none);
  CHECK(none.error().code == Errc::kExhausted);
  CHECK(none.error().text ==
        "no ipv4 pool for this node and namespace: \"disabled\": it is disabled; \"rack\": "
        "nodeSelector \"has(rack)\" does not select the node; \"team\": namespaceSelector "
        "\"has(team)\" does not select the namespace; \"tunnels\": allowedUses does not name this "
        "use");
  const auto by_rack = eligible_pools(pools, {.node_labels = {{"rack", "1"}}}, simple_match);
  REQUIRE(by_rack);
  REQUIRE(by_rack->size() == 1);
  CHECK(by_rack->front().name == "rack");
  const auto by_team = eligible_pools(pools, {.namespace_labels = {{"team", "a"}}}, simple_match);
  REQUIRE(by_team);
  CHECK(by_team->front().name == "team");
  const auto six = eligible_pools(pools, {.family = Family::kIpv6}, simple_match);
  REQUIRE(six);
  CHECK(six->front().name == "six");
}

TEST_CASE("pools asked for by name or CIDR skip the selectors but must fit") {
  auto rack = a_pool("rack", "10.2.0.0/16");
  rack.spec.node_selector = "has(rack)";
  auto disabled = a_pool("disabled", "10.1.0.0/16");
  disabled.spec.disabled = true;
  const std::vector pools{rack, disabled};
  CHECK(eligible_pools(pools, {.requested = {"rack"}}, simple_match));
  CHECK(eligible_pools(pools, {.requested = {"10.2.0.0/16"}}, simple_match));
  const auto unknown = eligible_pools(pools, {.requested = {"blue"}}, simple_match);
  REQUIRE_FALSE(unknown);
  CHECK(unknown.error().text == "pool \"blue\" does not exist");
  const auto family =
      eligible_pools(pools, {.family = Family::kIpv6, .requested = {"rack"}}, simple_match);
  REQUIRE_FALSE(family);
  CHECK(family.error().text == "pool \"rack\" (10.2.0.0/16) is not ipv6");
  const auto off = eligible_pools(pools, {.requested = {"disabled"}}, simple_match);
  REQUIRE_FALSE(off);
  CHECK(off.error().text == "pool \"disabled\" is disabled");
}

TEST_CASE("a node walks every block of a pool once, from a start of its own") {
  const auto pool = a_pool("small", "10.0.0.0/24", 28);
  std::unordered_set<std::string> taken;
  for (int i = 0; i < 16; ++i) {
    const auto next = next_free_block(pool, node("node1"), taken);
    REQUIRE(next);
    CHECK(pool.spec.cidr.contains(*next));
    CHECK(next->length() == 28);
    CHECK(taken.insert(block_name(*next)).second);
  }
  CHECK_FALSE(next_free_block(pool, node("node1"), taken));
}

TEST_CASE("blocks that are reserved as a whole are passed over, however many they are") {
  const auto pool = a_pool("small", "10.0.0.0/24", 28);
  const std::vector reserved{*Prefix::parse("10.0.0.0/25"),
                             *Prefix::parse("10.0.0.128/26"),
                             *Prefix::parse("10.0.0.208/29")};
  std::unordered_set<std::string> taken;
  for (int i = 0; i < 4; ++i) {
    const auto next = next_free_block(pool, node("node1"), taken, reserved);
    REQUIRE(next);
    CHECK(next->addr() >= *IpAddr::parse("10.0.0.192"));
    CHECK(taken.insert(block_name(*next)).second);
  }
  CHECK_FALSE(next_free_block(pool, node("node1"), taken, reserved));
  CHECK_FALSE(next_free_block(pool, node("node1"), {}, {*Prefix::parse("10.0.0.0/16")}));
  const auto big = a_pool("big", "10.0.0.0/8", 32);
  const auto rest = next_free_block(
      big, node("node1"), {}, {*Prefix::parse("10.0.0.0/9"), *Prefix::parse("10.128.0.0/10")});
  REQUIRE(rest);
  CHECK(rest->addr() >= *IpAddr::parse("10.192.0.0"));
}

TEST_CASE("nodes seldom start at the same block") {
  const auto pool = a_pool("big", "10.244.0.0/16");
  std::set<Prefix> starts;
  for (int i = 0; i < 100; ++i) {
    starts.insert(*next_free_block(pool, node(("node" + std::to_string(i)).c_str()), {}));
  }
  CHECK(starts.size() > 85);
}

TEST_CASE("blocks of an IPv6 pool") {
  const auto pool = a_pool("six", "fd00:10:244::/64", 122);
  const auto block = next_free_block(pool, node("node1"), {});
  REQUIRE(block);
  CHECK(pool.spec.cidr.contains(*block));
  CHECK(block->size() == 64);
  CHECK(block_cidr(pool, block->addr().add(63)) == *block);
}

TEST_CASE("stored names are those of Calico") {
  CHECK(block_name(*Prefix::parse("10.244.3.64/26")) == "10-244-3-64-26");
  CHECK(block_name(*Prefix::parse("fd00:10:244::40/122")) == "fd00-10-244--40-122");
  CHECK(affinity_name(node("node1"), *Prefix::parse("10.244.3.64/26")) == "node1-10-244-3-64-26");
}

TEST_SUITE_END();

}  // namespace
}  // namespace margay::ipam
