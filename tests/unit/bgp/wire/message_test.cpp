#include "bgp/wire/message.h"

#include <doctest/doctest.h>

namespace margay::bgp {
namespace {

using Raw = std::vector<std::uint8_t>;

Bytes body_of(const Raw& message) {
  return Bytes(message).subspan(kHeaderSize);
}

Raw header(std::size_t length, std::uint8_t type) {
  Raw out(16, 0xFF);
  out.push_back(static_cast<std::uint8_t>(length >> 8U));
  out.push_back(static_cast<std::uint8_t>(length));
  out.push_back(type);
  return out;
}

TEST_SUITE("bgp.wire") {
  TEST_CASE("frames are taken one by one and a part of one waits for more") {
    Raw buffer = encode_keepalive();
    const Raw refresh = encode_route_refresh({kIpv6Unicast, RouteRefresh::Subtype::kRequest});
    buffer.insert(buffer.end(), refresh.begin(), refresh.end() - 1);

    const auto first = next_frame(buffer, false);
    REQUIRE(first);
    REQUIRE(first->has_value());
    CHECK((*first)->type == MessageType::kKeepalive);
    CHECK((*first)->size == kHeaderSize);

    const auto second = next_frame(Bytes(buffer).subspan(kHeaderSize), false);
    REQUIRE(second);
    CHECK(!second->has_value());
    CHECK(next_frame(Bytes(buffer).first(5), false)->has_value() == false);
  }

  TEST_CASE("a bad header is reported before its body has come") {
    const auto frame = next_frame(header(5000, 2), false);
    REQUIRE(!frame);
    CHECK(frame.error() == Notification::header(HeaderError::kBadLength, Raw{0x13, 0x88}));
  }

  TEST_CASE("messages above 4,096 bytes need the extended message capability") {
    struct Row {
      std::string why;
      std::size_t length;
      std::uint8_t type;
      bool extended;
      bool good;
    };
    const std::vector<Row> rows{
        {"UPDATE of 4096", 4096, 2, false, true},
        {"UPDATE of 4097", 4097, 2, false, false},
        {"UPDATE of 4097, extended", 4097, 2, true, true},
        {"UPDATE of 65535, extended", 65535, 2, true, true},
        {"OPEN of 4097 is never allowed", 4097, 1, true, false},
        {"KEEPALIVE of 4097 is never allowed", 4097, 4, true, false},
        {"NOTIFICATION of 4097, extended", 4097, 3, true, true},
    };
    for (const Row& row : rows) {
      CAPTURE(row.why);
      Raw message = header(row.length, row.type);
      message.resize(row.length);
      const auto frame = next_frame(message, row.extended);
      CHECK(frame.has_value() == row.good);
      if (frame && row.good) {
        CHECK((*frame)->body.size() == row.length - kHeaderSize);
      }
    }
  }

  TEST_CASE("NOTIFICATION survives both ways") {
    const Notification sent = Notification::update(UpdateError::kMalformedAsPath, Raw{1, 2, 3});
    const Raw bytes = encode_notification(sent);
    CHECK(bytes.size() == kHeaderSize + 5);
    CHECK(decode_notification(body_of(bytes)) == sent);
    CHECK(to_string(sent) == "update message error: malformed AS_PATH (3/11)");
  }

  TEST_CASE("the data of a NOTIFICATION is cut at 4,096 bytes") {
    const Notification sent = Notification::header(HeaderError::kBadType, Raw(9000, 1));
    CHECK(encode_notification(sent).size() == kMaxMessageSize);
  }

  TEST_CASE("a shutdown communication is carried, cut and made harmless") {
    const Notification sent =
        Notification::cease(CeaseError::kAdministrativeShutdown, "maintenance at 10\n\x1b[31m");
    CHECK(shutdown_communication(sent) == "maintenance at 10??[31m");
    CHECK(to_string(sent) == "cease: administrative shutdown (6/2): \"maintenance at 10??[31m\"");

    std::string umlauts;
    for (int i = 0; i < 200; ++i) {
      umlauts += "\xC3\xA4";
    }
    const Notification cut = Notification::cease(CeaseError::kAdministrativeReset, umlauts);
    CHECK(cut.data.size() == 1 + 254);  // a character is not split
    CHECK(shutdown_communication(cut).size() == 254);
  }

  TEST_CASE("a shutdown communication with a wrong length or bad UTF-8 is no danger") {
    const auto shutdown = [](Raw data) {
      return Notification{ErrorCode::kCease, 2, std::move(data)};
    };
    CHECK(shutdown_communication(shutdown({200, 'a'})).empty());
    CHECK(shutdown_communication(shutdown({})).empty());
    CHECK(shutdown_communication(shutdown({3, 'a', 0xC3, 'b'})) == "a?b");
    CHECK(shutdown_communication(shutdown({3, 0xED, 0xA0, 0x80})) == "???");
    Raw longest(256, 'x');
    longest[0] = 255;
    CHECK(shutdown_communication(shutdown(longest)).size() == 255);
  }

  TEST_CASE("ROUTE-REFRESH survives both ways") {
    const RouteRefresh refresh{kIpv6Unicast, RouteRefresh::Subtype::kBegin};
    const Raw bytes = encode_route_refresh(refresh);
    CHECK(Raw(bytes.end() - 4, bytes.end()) == Raw{0, 2, 1, 1});
    const auto decoded = decode_route_refresh(body_of(bytes));
    REQUIRE(decoded);
    CHECK(*decoded == refresh);
  }

  TEST_CASE("communities are written and read as people do") {
    CHECK(to_string(*parse_community("65001:100")) == "65001:100");
    CHECK(*parse_community("65001:100") == Community{(65001U << 16U) | 100U});
    CHECK(to_string(*parse_large_community("4200000000:1:2")) == "4200000000:1:2");
    for (const char* bad : {"", "1", "1:", "65536:1", "1:2:3", "a:b", "1:-2", " 1:2"}) {
      CAPTURE(bad);
      CHECK(!parse_community(bad));
    }
  }
}

}  // namespace
}  // namespace margay::bgp
