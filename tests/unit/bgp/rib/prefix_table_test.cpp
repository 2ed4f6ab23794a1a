#include "bgp/rib/prefix_table.h"

#include <doctest/doctest.h>

#include <array>
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

  // Neighbours lie side by side, whatever the length; what goes leaves marks that others step over
  // and take.
  TEST_CASE("prefixes of all lengths and both families come and go, over and over") {
    constexpr unsigned kSeed = 12;
    CAPTURE(kSeed);
    std::mt19937 engine(kSeed);
    const auto random = [&engine] { return static_cast<std::uint32_t>(engine()); };
    PrefixTable table(kSeed);
    std::map<Prefix, std::uint32_t> model;
    const auto some_prefix = [&random] {
      std::array<std::uint8_t, 16> bytes{};
      for (std::uint8_t& byte : bytes) {
        byte = static_cast<std::uint8_t>(random() % 5U == 0 ? random() : 0U);
      }
      return random() % 2U == 0 ? Prefix::masked(IpAddr::v4(random()), random() % 33U)
                                : Prefix::masked(IpAddr::v6(bytes), random() % 129U);
    };
    for (int round = 0; round < 6; ++round) {
      for (int step = 0; step < 3'000; ++step) {
        const Prefix prefix = some_prefix();
        const std::uint32_t slot = table.insert(prefix);
        REQUIRE(model.insert({prefix, slot}).first->second == slot);
        REQUIRE(table.prefix(slot) == prefix);
        if (random() % 3U == 0) {
          const auto any = model.begin();
          table.erase(any->second);
          model.erase(any);
        }
      }
      REQUIRE(table.size() == model.size());
      for (const auto& [prefix, slot] : model) {
        REQUIRE(table.find(prefix) == slot);
        REQUIRE(table.insert(prefix) == slot);
      }
      for (const auto& [prefix, slot] : model) {
        table.erase(slot);
        REQUIRE(table.find(prefix) == margay::bgp::kNoIndex);
      }
      model.clear();
      REQUIRE(table.size() == 0);
    }
  }

  TEST_CASE("an empty table finds nothing") {
    CHECK(PrefixTable().find(Prefix()) == margay::bgp::kNoIndex);
  }
}
