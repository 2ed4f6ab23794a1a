#include "bgp/net/router_discovery.h"

#include <doctest/doctest.h>

#include <string>

namespace margay::bgp {
namespace {

using Bytes8 = std::vector<std::uint8_t>;

constexpr MacAddress kMac{2, 0, 0, 1, 2, 3};

TEST_SUITE("bgp.net.router_discovery") {
  TEST_CASE("an advertisement has no lifetime, and the address of its sender") {
    const Bytes8 expected{134, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 0, 0, 1, 2, 3};
    CHECK(encode_discovery(Discovery::kAdvertisement, kMac) == expected);
    CHECK(encode_discovery(Discovery::kSolicitation, std::nullopt) ==
          Bytes8{133, 0, 0, 0, 0, 0, 0, 0});
  }

  TEST_CASE("what is encoded is decoded") {
    for (const Discovery type : {Discovery::kAdvertisement, Discovery::kSolicitation}) {
      CHECK(decode_discovery(encode_discovery(type, kMac)) == type);
      CHECK(decode_discovery(encode_discovery(type, std::nullopt)) == type);
    }
  }

  TEST_CASE("malformed messages and others are nothing") {
    const Bytes8 good = encode_discovery(Discovery::kAdvertisement, kMac);
    const auto changed = [&good](std::size_t place, std::uint8_t value) {
      Bytes8 out = good;
      out[place] = value;
      return out;
    };
    const auto cut = [&good](std::size_t size) {
      return Bytes8(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(size));
    };
    struct Row {
      std::string why;
      Bytes8 bytes;
    };
    const Row rows[] = {
        {"empty", {}},
        {"a type alone", {134}},
        {"another type", changed(0, 135)},
        {"another code", changed(1, 1)},
        {"too short for an advertisement", cut(15)},
        {"an option of no length", changed(17, 0)},
        {"an option past the end", changed(17, 2)},
        {"half an option", cut(17)},
        {"an option cut short", cut(20)},
    };
    for (const Row& row : rows) {
      CAPTURE(row.why);
      CHECK_FALSE(decode_discovery(row.bytes));
    }
  }
}

}  // namespace
}  // namespace margay::bgp
