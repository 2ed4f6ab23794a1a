#include "bgp/rib/prefix_table.h"

#include <doctest/doctest.h>

#include <map>
#include <random>

using margay::IpAddr;
using margay::Prefix;
using margay::bgp::PrefixTable;

TEST_SUITE("bgp.rib.prefix_table") {
  TEST_CASE("random inserts and erases agree with a map") {
    constexpr unsigned kSeed = 11;
    CAPTURE(kSeed);
    std::mt19937 random(kSeed);
    PrefixTable table;
    std::map<Prefix, std::uint32_t> model;
    for (int step = 0; step < 20'000; ++step) {
      const Prefix prefix = Prefix::masked(
          IpAddr::v4(0x0A000000U + static_cast<std::uint32_t>(random() % 3000U) * 64U), 26);
      if (random() % 2U == 0) {
        const std::uint32_t slot = table.insert(prefix);
        const auto [known, made] = model.insert({prefix, slot});
        REQUIRE(known->second == slot);
        REQUIRE(table.prefix(slot) == prefix);
      } else if (const auto known = model.find(prefix); known != model.end()) {
        table.erase(known->second);
        model.erase(known);
      }
      REQUIRE(table.size() == model.size());
      REQUIRE((table.find(prefix) != margay::bgp::kNoIndex) == model.contains(prefix));
    }
    for (const auto& [prefix, slot] : model) {
      REQUIRE(table.find(prefix) == slot);
    }
  }

  TEST_CASE("an empty table finds nothing") {
    CHECK(PrefixTable().find(Prefix()) == margay::bgp::kNoIndex);
  }
}
