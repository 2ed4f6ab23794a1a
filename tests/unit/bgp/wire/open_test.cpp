#include "bgp/wire/open.h"

#include "bgp/wire/message.h"

#include <doctest/doctest.h>

namespace margay::bgp {
namespace {

using Raw = std::vector<std::uint8_t>;

Raw body_of(const Raw& message) {
  return {message.begin() + kHeaderSize, message.end()};
}

// Version 4, AS 65001, hold time 90, 10.0.0.2, then the optional part given.
Raw open_body(const Raw& optional) {
  Raw body{4, 0xFD, 0xE9, 0, 90, 10, 0, 0, 2};
  body.insert(body.end(), optional.begin(), optional.end());
  return body;
}

Open full_open() {
  Open open{Asn{4200000001}, 9, RouterId{0x0A000002}, {}};
  open.capabilities = {
      MultiprotocolCapability{kIpv4Unicast},
      MultiprotocolCapability{kIpv6Unicast},
      RouteRefreshCapability{},
      EnhancedRefreshCapability{},
      ExtendedMessageCapability{},
      FourOctetAsCapability{Asn{4200000001}},
      ExtendedNextHopCapability{{{kIpv4Unicast, kAfiIpv6}}},
      RoleCapability{Role::kCustomer},
      GracefulRestartCapability{true, true, 120, {{kIpv4Unicast, true}, {kIpv6Unicast, false}}},
      LongLivedGracefulRestartCapability{{{kIpv6Unicast, true, 86400}}},
      AddPathCapability{{{kIpv4Unicast, AddPathCapability::Mode::kBoth}}},
      FqdnCapability{"node-1", "example.net"},
      UnknownCapability{200, {1, 2, 3}},
  };
  return open;
}

TEST_SUITE("bgp.wire") {
  TEST_CASE("an OPEN with every capability survives both ways") {
    const Open open = full_open();
    const auto decoded = decode_open(body_of(encode_open(open)));
    REQUIRE(decoded);
    CHECK(*decoded == open);
  }

  TEST_CASE("an OPEN without capabilities is these 29 bytes") {
    const Open open{Asn{65001}, 90, RouterId{0x0A000002}, {}};
    Raw expected(16, 0xFF);
    for (const int byte : {0, 29, 1, 4, 0xFD, 0xE9, 0, 90, 10, 0, 0, 2, 0}) {
      expected.push_back(static_cast<std::uint8_t>(byte));
    }
    CHECK(encode_open(open) == expected);
  }

  TEST_CASE("an AS number above 65535 leaves AS_TRANS in the 2-octet field") {
    const auto bytes = body_of(encode_open(full_open()));
    CHECK(bytes[1] == 0x5B);
    CHECK(bytes[2] == 0xA0);
  }

  TEST_CASE("more than 255 bytes of capabilities take the extended form of RFC 9072") {
    Open open = full_open();
    open.capabilities.emplace_back(UnknownCapability{201, Raw(250, 7)});
    const Raw bytes = body_of(encode_open(open));
    CHECK(bytes[9] == 255);
    CHECK(bytes[10] == 255);
    const auto decoded = decode_open(bytes);
    REQUIRE(decoded);
    CHECK(*decoded == open);
  }

  TEST_CASE("capabilities may be in one parameter or in several") {
    const auto one = decode_open(open_body({8, 2, 6, 2, 0, 1, 2, 200, 0}));
    CHECK(!one);  // the second capability is cut
    const auto several = decode_open(open_body({12, 2, 2, 2, 0, 2, 6, 1, 4, 0, 2, 0, 1}));
    REQUIRE(several);
    CHECK(several->capabilities ==
          std::vector<Capability>{RouteRefreshCapability{}, MultiprotocolCapability{kIpv6Unicast}});
  }

  TEST_CASE("every malformed OPEN ends with the NOTIFICATION of its RFC") {
    struct Row {
      std::string why;
      Raw body;
      OpenError subcode;
    };
    const auto head = [](std::size_t at, std::uint8_t a, std::uint8_t b) {
      Raw body = open_body({0});
      body[at] = a;
      body[at + 1] = b;
      return body;
    };
    Raw no_id = open_body({0});
    std::fill(no_id.begin() + 5, no_id.begin() + 9, std::uint8_t{0});
    const std::vector<Row> rows{
        {"version 3", head(0, 3, 0xFD), OpenError::kUnsupportedVersion},
        {"AS 0", head(1, 0, 0), OpenError::kBadPeerAs},
        {"hold time 1", head(3, 0, 1), OpenError::kUnacceptableHoldTime},
        {"hold time 2", head(3, 0, 2), OpenError::kUnacceptableHoldTime},
        {"identifier 0", no_id, OpenError::kBadIdentifier},
        {"parameters longer than the message", open_body({10, 2, 2, 2, 0}), OpenError::kUnspecific},
        {"message longer than the parameters", open_body({0, 2, 2}), OpenError::kUnspecific},
        {"parameter longer than all of them", open_body({4, 2, 9, 2, 0}), OpenError::kUnspecific},
        {"parameter cut after its type", open_body({1, 2}), OpenError::kUnspecific},
        {"unknown parameter", open_body({2, 9, 0}), OpenError::kUnsupportedParameter},
        {"authentication parameter", open_body({3, 1, 1, 0}), OpenError::kUnsupportedParameter},
        {"extended form with two bytes of length missing",
         open_body({255, 255}),
         OpenError::kUnspecific},
        {"extended form with one byte of length", open_body({255, 255, 0}), OpenError::kUnspecific},
        {"extended form longer than the message",
         open_body({255, 255, 0, 9, 2}),
         OpenError::kUnspecific},
        {"extended form, parameter cut", open_body({255, 255, 0, 2, 2, 0}), OpenError::kUnspecific},
        {"4-octet AS capability cut to 2 bytes",
         open_body({6, 2, 4, 65, 2, 0, 1}),
         OpenError::kUnspecific},
        {"4-octet AS capability runs past its parameter",
         open_body({4, 2, 2, 65, 4}),
         OpenError::kUnspecific},
        {"4-octet AS capability with AS 0",
         open_body({8, 2, 6, 65, 4, 0, 0, 0, 0}),
         OpenError::kBadPeerAs},
        {"multiprotocol capability of 3 bytes",
         open_body({7, 2, 5, 1, 3, 0, 1, 0}),
         OpenError::kUnspecific},
        {"route refresh capability with a value",
         open_body({5, 2, 3, 2, 1, 0}),
         OpenError::kUnspecific},
        {"one byte of a capability", open_body({3, 2, 1, 2}), OpenError::kUnspecific},
    };
    for (const Row& row : rows) {
      CAPTURE(row.why);
      const auto open = decode_open(row.body);
      REQUIRE(!open);
      CHECK(open.error().code == ErrorCode::kOpen);
      CHECK(unsigned{open.error().subcode} == static_cast<unsigned>(row.subcode));
    }
  }

  TEST_CASE("capabilities that their RFC says to ignore stay as bytes") {
    const std::vector<Raw> values{
        {69, 4, 0, 1, 1, 4},       // add-path with mode 4
        {69, 3, 0, 1, 1},          // add-path cut
        {64, 1, 0},                // graceful restart of one byte
        {64, 5, 0, 120, 0, 1, 1},  // graceful restart with half an entry
        {71, 3, 0, 1, 1},          // long-lived graceful restart cut
        {5, 5, 0, 1, 0, 1, 0},     // extended next hop cut
        {9, 2, 0, 0},              // role of two bytes
        {73, 2, 9, 'a'},           // FQDN longer than its value
    };
    for (const Raw& value : values) {
      CAPTURE(value[0]);
      const auto capabilities = decode_capabilities(value);
      REQUIRE(capabilities);
      CHECK(*capabilities ==
            std::vector<Capability>{UnknownCapability{value[0], {value.begin() + 2, value.end()}}});
      ByteWriter out;
      encode_capability(out, capabilities->front());
      CHECK(out.data() == value);
    }
  }

  TEST_CASE("the last graceful restart capability counts") {
    const auto capabilities = decode_capabilities(Raw{64, 2, 0, 60, 64, 2, 0x80, 90});
    REQUIRE(capabilities);
    const auto* found = find_capability<GracefulRestartCapability>(*capabilities);
    REQUIRE(found != nullptr);
    CHECK(found->restart_time_s == 90);
    CHECK(found->restarting);
  }

  TEST_CASE("capabilities print as people name them") {
    CHECK(to_string(Capability{MultiprotocolCapability{kIpv6Unicast}}) ==
          "multiprotocol ipv6-unicast");
    CHECK(to_string(Capability{FourOctetAsCapability{Asn{70000}}}) == "4-octet-as 70000");
    CHECK(to_string(Capability{UnknownCapability{77, {1}}}) == "capability 77, 1 bytes");
  }
}

}  // namespace
}  // namespace margay::bgp
