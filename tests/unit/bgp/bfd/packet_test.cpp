#include "bgp/bfd/packet.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

namespace margay::bfd {
namespace {

using std::chrono::microseconds;

// RFC 5880 section 4.1, written by hand: Up, poll, multiplier 3, 100 ms to send, 200 ms to receive.
const std::vector<std::uint8_t> kBytes{0x20, 0xe0, 3,    24,   0,    0,    0,    7,    0, 0, 0, 9,
                                       0x00, 0x01, 0x86, 0xa0, 0x00, 0x03, 0x0d, 0x40, 0, 0, 0, 0};

}  // namespace

TEST_SUITE("bgp.bfd.packet") {
  TEST_CASE("a packet as the RFC draws it") {
    const ControlPacket packet{.diagnostic = Diagnostic::kNone,
                               .state = State::kUp,
                               .poll = true,
                               .final = false,
                               .demand = false,
                               .detect_multiplier = 3,
                               .my_discriminator = 7,
                               .your_discriminator = 9,
                               .desired_min_tx = microseconds(100'000),
                               .required_min_rx = microseconds(200'000)};
    const auto bytes = encode(packet);
    CHECK(std::vector<std::uint8_t>(bytes.begin(), bytes.end()) == kBytes);
    const auto decoded = decode(kBytes);
    REQUIRE(decoded);
    CHECK(*decoded == packet);
    // More behind the packet than its length says is no error.
    auto longer = kBytes;
    longer.push_back(0xff);
    CHECK(decode(longer));
  }

  TEST_CASE("what section 6.8.6 discards") {
    struct Row {
      std::size_t at;
      std::uint8_t value;
      const char* why;
    };
    for (const Row& row : {Row{0, 0x40, "version 2"},
                           Row{1, 0xe4, "authentication"},
                           Row{1, 0xe1, "multipoint"},
                           Row{2, 0, "multiplier 0"},
                           Row{3, 23, "length 23"},
                           Row{3, 25, "length 25"},
                           Row{7, 0, "my discriminator"},
                           Row{11, 0, "your discriminator 0 in state Up"}}) {
      CAPTURE(row.why);
      auto bytes = kBytes;
      bytes[row.at] = row.value;
      const auto decoded = decode(bytes);
      REQUIRE_FALSE(decoded);
      CHECK(decoded.error().text.find(std::string(row.why).substr(0, 6)) != std::string::npos);
    }
    CHECK_FALSE(decode(std::span(kBytes).first(23)));
    CHECK_FALSE(decode({}));
    // A peer that does not know us yet.
    auto bytes = kBytes;
    bytes[1] = 0x40;
    bytes[11] = 0;
    CHECK(decode(bytes));
  }
}

}  // namespace margay::bfd
