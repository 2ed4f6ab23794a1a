#include "bgp/wire/message.h"
#include "tests/support/bgp_malformed.h"

#include <doctest/doctest.h>

#include <algorithm>

namespace margay::bgp {
namespace {

using test::Expected;
using test::PeerKind;

CodecContext context_of(PeerKind peer) {
  CodecContext context;
  context.ipv6.enabled = true;
  context.internal = peer == PeerKind::kInternal;
  context.four_octet_as = peer != PeerKind::kExternalTwoOctet;
  context.local_asn = test::kSpeakerAsn;
  context.peer_asn = context.internal ? test::kSpeakerAsn : test::kSenderAsn;
  context.local_ipv4 = *IpAddr::parse(test::kSpeaker4);
  return context;
}

// What became of the row, in the words of the table.
Expected seen(const Update& update) {
  const bool noted = !update.notes.empty();
  if (!update.announced.empty()) {
    return noted ? Expected::kDiscard : Expected::kAccept;
  }
  return update.withdrawn.empty() ? Expected::kIgnore : Expected::kWithdraw;
}

TEST_SUITE("bgp.wire") {
  TEST_CASE("every malformed UPDATE ends as RFC 7606 says") {
    for (const test::MalformedRow& row : test::malformed_updates()) {
      CAPTURE(row.why);
      const auto frame = next_frame(row.message, false);
      REQUIRE(frame);
      REQUIRE(frame->has_value());
      const auto update = decode_update((*frame)->body, context_of(row.peer));
      if (row.expected == Expected::kReset) {
        REQUIRE(!update);
        CHECK(static_cast<unsigned>(update.error().code) == row.code);
        CHECK(unsigned{update.error().subcode} == row.subcode);
        continue;
      }
      REQUIRE(update);
      CHECK(seen(*update) == row.expected);
    }
  }

  TEST_CASE("every malformed message ends with the NOTIFICATION of its RFC") {
    for (const test::MalformedRow& row : test::malformed_messages()) {
      CAPTURE(row.why);
      const auto frame = next_frame(row.message, false);
      Notification got;
      if (!frame) {
        got = frame.error();
      } else {
        REQUIRE(frame->has_value());
        const auto message = decode_message(**frame, CodecContext{});
        REQUIRE(!message);
        got = message.error();
      }
      CHECK(static_cast<unsigned>(got.code) == row.code);
      CHECK(unsigned{got.subcode} == row.subcode);
    }
  }

  TEST_CASE("no UPDATE that is cut short or has one byte changed does more than fail") {
    for (const test::MalformedRow& row : test::malformed_updates()) {
      const Bytes body = Bytes(row.message).subspan(kHeaderSize);
      const std::size_t step = std::max<std::size_t>(1, body.size() / 64);
      for (std::size_t i = 0; i < body.size(); i += step) {
        (void)decode_update(body.first(i), context_of(row.peer));
        std::vector<std::uint8_t> changed(body.begin(), body.end());
        changed[i] = static_cast<std::uint8_t>(changed[i] ^ 0xA5U);
        (void)decode_update(changed, context_of(row.peer));
      }
    }
  }

  TEST_CASE("the data of a NOTIFICATION is cut from the bad attribute") {
    const auto message =
        test::RawUpdate::valid().attribute(0x40, 100, {1, 2}).nlri(test::test_nlri4()).message();
    const auto update =
        decode_update(Bytes(message).subspan(kHeaderSize), context_of(PeerKind::kExternal));
    REQUIRE(!update);
    CHECK(update.error() == Notification::update(UpdateError::kUnrecognizedWellKnown,
                                                 std::array<std::uint8_t, 5>{0x40, 100, 2, 1, 2}));
  }
}

}  // namespace
}  // namespace margay::bgp
