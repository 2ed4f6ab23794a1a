#include "felix/render/net_set.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <random>

namespace margay::felix {
namespace {

Prefix net(const char* text) {
  const auto prefix = Prefix::parse(text);
  REQUIRE(prefix);
  return *prefix;
}

// The outermost of the networks, found in the plainest way.
std::set<Prefix> outermost(const std::set<Prefix>& all) {
  std::set<Prefix> out;
  for (const Prefix& candidate : all) {
    const bool inside = std::ranges::any_of(
        all, [&](const Prefix& other) { return other != candidate && other.contains(candidate); });
    if (!inside) {
      out.insert(candidate);
    }
  }
  return out;
}

TEST_SUITE("felix.render.net_set") {
  TEST_CASE("a network inside another one is not told, until the other one is gone") {
    NetSet set;
    CHECK(set.insert(net("10.1.0.0/16")).add == std::vector{net("10.1.0.0/16")});
    const NetSet::Change wider = set.insert(net("10.0.0.0/8"));
    CHECK(wider.add == std::vector{net("10.0.0.0/8")});
    CHECK(wider.remove == std::vector{net("10.1.0.0/16")});
    CHECK(set.insert(net("10.1.2.0/24")).add.empty());
    CHECK(set.insert(net("10.0.0.0/8")).add.empty());
    const NetSet::Change narrower = set.erase(net("10.0.0.0/8"));
    CHECK(narrower.remove == std::vector{net("10.0.0.0/8")});
    CHECK(narrower.add == std::vector{net("10.1.0.0/16")});
    CHECK(set.erase(net("192.0.2.0/24")).remove.empty());
  }

  TEST_CASE("random networks: what is told adds up to the outermost ones") {
    for (unsigned seed = 1; seed <= 20; ++seed) {
      CAPTURE(seed);
      std::mt19937 random(seed);
      NetSet set;
      std::set<Prefix> all;
      std::set<Prefix> told;
      for (int step = 0; step < 300; ++step) {
        const auto length = static_cast<unsigned>(random() % 33);
        const Prefix prefix =
            Prefix::masked(IpAddr::v4(static_cast<std::uint32_t>(random() % 8) << 29U), length);
        const bool insert = random() % 2 == 0;
        const NetSet::Change change = insert ? set.insert(prefix) : set.erase(prefix);
        if (insert) {
          all.insert(prefix);
        } else {
          all.erase(prefix);
        }
        for (const Prefix& gone : change.remove) {
          REQUIRE(told.erase(gone) == 1);
        }
        for (const Prefix& come : change.add) {
          REQUIRE(told.insert(come).second);
        }
        REQUIRE(told == outermost(all));
        REQUIRE(set.outermost() == told);
      }
    }
  }
}

}  // namespace
}  // namespace margay::felix
