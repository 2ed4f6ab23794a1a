#include "bgp/wire/open.h"

#include "bgp/wire/message.h"
#include "tests/support/bgp_malformed.h"

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
    for (const test::MalformedOpen& row : test::malformed_opens()) {
      CAPTURE(row.why);
      const auto open = decode_open(Bytes(row.message).subspan(kHeaderSize));
      REQUIRE(!open);
      CHECK(open.error().code == ErrorCode::kOpen);
      CHECK(unsigned{open.error().subcode} == unsigned{row.subcode});
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
