#include "ipam/block.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <set>

namespace margay::ipam {
namespace {

api::AllocationAttribute holder(const std::string& handle, const std::string& interface = "eth0") {
  return {handle, {{"interface", interface}}};
}

HolderMatch held_by(const std::string& handle) {
  return
      [handle](const api::AllocationAttribute& attribute) { return attribute.handle_id == handle; };
}

api::IPAMBlock a_block(const char* cidr = "10.0.0.0/30") {
  return make_block(*Prefix::parse(cidr), "host:node1");
}

Moment at(std::int64_t seconds) {
  return {.unix_s = seconds, .cooldown_s = 60};
}

TEST_SUITE_BEGIN("ipam.block");

TEST_CASE("a new block is free and in order") {
  const auto block = a_block();
  CHECK(check_block(block));
  CHECK(block_size(block) == 4);
  CHECK(used_count(block) == 0);
  CHECK(is_empty(block));
  CHECK(available_count(block, at(0)) == 4);
}

TEST_CASE("addresses are given in order and never twice") {
  auto block = a_block();
  const auto first = allocate(block, 3, holder("a"), at(0));
  const auto second = allocate(block, 3, holder("b"), at(0));
  REQUIRE(first.size() == 3);
  REQUIRE(second.size() == 1);
  CHECK(first[0].str() == "10.0.0.0");
  CHECK(second[0].str() == "10.0.0.3");
  CHECK(check_block(block));
  CHECK(available_count(block, at(0)) == 0);
  CHECK(holder_of(block, second[0])->handle_id == "b");
}

TEST_CASE("a released address is last in line and not given within its cool-down") {
  auto block = a_block();
  const auto given = allocate(block, 4, holder("a"), at(0));
  REQUIRE(release_address(block, given[2], at(100)));
  REQUIRE(release_address(block, given[0], at(110)));
  CHECK(allocate(block, 1, holder("b"), at(159)).empty());
  const auto next = allocate(block, 2, holder("b"), at(160));
  REQUIRE(next.size() == 1);
  CHECK(next[0] == given[2]);
  CHECK(allocate(block, 1, holder("b"), at(170)) == std::vector<IpAddr>{given[0]});
  CHECK(check_block(block));
}

TEST_CASE("release by holder frees all of it and nothing else, and may run twice") {
  auto block = a_block("10.0.0.0/29");
  CHECK(allocate(block, 2, holder("a"), at(0)).size() == 2);
  CHECK(allocate(block, 3, holder("b"), at(0)).size() == 3);
  CHECK(release_held(block, held_by("a"), at(1)).size() == 2);
  CHECK(release_held(block, held_by("a"), at(1)).empty());
  CHECK(used_count(block) == 3);
  CHECK(block.attributes == std::vector{holder("b")});
  CHECK(check_block(block));
}

TEST_CASE("an explicit address is given once, also within its cool-down") {
  auto block = a_block();
  const auto addr = *IpAddr::parse("10.0.0.2");
  CHECK(allocate_address(block, addr, holder("a"), at(0)));
  const auto again = allocate_address(block, addr, holder("b"), at(0));
  REQUIRE_FALSE(again);
  CHECK(again.error().code == Errc::kExists);
  CHECK(again.error().text == "address 10.0.0.2 of block 10.0.0.0/30 is in use by handle \"a\"");
  CHECK(release_address(block, addr, at(5)));
  CHECK_FALSE(release_address(block, addr, at(5)));
  CHECK(allocate_address(block, addr, holder("b"), at(0)));
  CHECK(check_block(block));
  const auto outside = allocate_address(block, *IpAddr::parse("10.0.0.4"), holder("b"), at(0));
  REQUIRE_FALSE(outside);
  CHECK(outside.error().code == Errc::kNotFound);
}

TEST_CASE("reserved addresses are given to nobody, and the others all are") {
  auto block = a_block("10.0.0.0/29");
  Moment now = at(0);
  now.reserved = std::make_shared<const std::vector<Prefix>>(std::vector{
      *Prefix::parse("10.0.0.0/31"), *Prefix::parse("10.0.0.5/32"), *Prefix::parse("10.9.0.0/16")});
  CHECK(available_count(block, now) == 5);
  CHECK(reserved_count(block, now) == 3);
  const auto refused = allocate_address(block, *IpAddr::parse("10.0.0.5"), holder("a"), now);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().text == "address 10.0.0.5 is reserved by an IPReservation");
  const auto given = allocate(block, 8, holder("a"), now);
  CHECK(given.size() == 5);
  CHECK(std::ranges::find(given, *IpAddr::parse("10.0.0.5")) == given.end());
  CHECK(available_count(block, now) == 0);
  CHECK(check_block(block));
  // Whoever has an address keeps it when it is reserved later.
  now.reserved = std::make_shared<const std::vector<Prefix>>(std::vector{block.cidr});
  CHECK(release_held(block, held_by("a"), now).size() == 5);
  CHECK(allocate(block, 1, holder("b"), at(1000)).size() == 1);
}

TEST_CASE("every change raises the sequence number and allocations remember theirs") {
  auto block = a_block();
  const auto given = allocate(block, 1, holder("a"), at(0));
  CHECK(block.sequence_number == 1);
  CHECK(block.sequence_number_for_allocation.at(0) == 1);
  release_address(block, given[0], at(0));
  CHECK(block.sequence_number == 2);
  CHECK(block.sequence_number_for_allocation.empty());
}

TEST_CASE("a block that a wrong writer broke is told from a right one") {
  auto twice_free = a_block();
  twice_free.unallocated.push_back(0);
  CHECK_FALSE(check_block(twice_free));
  auto lost = a_block();
  lost.unallocated.pop_back();
  CHECK_FALSE(check_block(lost));
  auto taken_and_free = a_block();
  taken_and_free.allocations[1] = 0;
  CHECK_FALSE(check_block(taken_and_free));
  auto no_attribute = a_block();
  no_attribute.unallocated.pop_back();
  no_attribute.allocations[3] = 7;
  CHECK_FALSE(check_block(no_attribute));
  auto short_of_slots = a_block();
  short_of_slots.allocations.pop_back();
  CHECK_FALSE(check_block(short_of_slots));
}

TEST_CASE("random sequences keep the invariants and agree with a plain set") {
  for (std::uint32_t seed = 1; seed <= 50; ++seed) {
    CAPTURE(seed);
    std::mt19937 random(seed);
    auto block = a_block("10.1.0.0/27");
    std::map<std::string, std::set<IpAddr>> held;
    std::int64_t now = 0;
    for (int step = 0; step < 300; ++step) {
      now += static_cast<std::int64_t>(random() % 20);
      const std::string handle = "h" + std::to_string(random() % 6);
      switch (random() % 3) {
        case 0:
          for (const IpAddr& addr : allocate(block, random() % 4, holder(handle), at(now))) {
            for (const auto& [other, addresses] : held) {
              CHECK_FALSE(addresses.contains(addr));
            }
            held[handle].insert(addr);
          }
          break;
        case 1: {
          const auto freed = release_held(block, held_by(handle), at(now));
          CHECK(std::set<IpAddr>(freed.begin(), freed.end()) == held[handle]);
          held[handle].clear();
          break;
        }
        default: {
          const IpAddr addr = block.cidr.addr().add(random() % 32);
          if (allocate_address(block, addr, holder(handle), at(now))) {
            held[handle].insert(addr);
          }
        }
      }
      REQUIRE(check_block(block));
      std::size_t used = 0;
      for (const auto& entry : held) {
        used += entry.second.size();
      }
      CHECK(used_count(block) == used);
    }
  }
}

TEST_SUITE_END();

}  // namespace
}  // namespace margay::ipam
