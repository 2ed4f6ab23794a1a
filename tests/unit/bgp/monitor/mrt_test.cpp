#include "bgp/monitor/mrt.h"

#include <doctest/doctest.h>

#include <array>
#include <string>
#include <vector>

namespace margay::bgp {
namespace {

std::vector<std::uint8_t> bytes(const std::string& text) {
  std::vector<std::uint8_t> out;
  std::string digits;
  for (const char letter : text) {
    if (letter != ' ') {
      digits += letter;
    }
  }
  for (std::size_t at = 0; at + 1 < digits.size(); at += 2) {
    out.push_back(static_cast<std::uint8_t>(std::stoi(digits.substr(at, 2), nullptr, 16)));
  }
  return out;
}

const std::string kMarker = "ffffffff ffffffff ffffffff ffffffff ";
constexpr mrt::UnixTime kTime = 0x01020304;

mrt::Ends ends4() {
  return {.peer_asn = Asn(70000),
          .local_asn = Asn(65000),
          .peer = *IpAddr::parse("192.0.2.2"),
          .local = *IpAddr::parse("192.0.2.1")};
}

AttributeSet attributes(std::string_view next_hop) {
  AttributeSet set;
  set.next_hop.address = *IpAddr::parse(next_hop);
  set.as_path = AsPath::sequence(std::array{Asn(70000)});
  return set;
}

TEST_SUITE("bgp.monitor.mrt") {
  TEST_CASE("a message of a session is BGP4MP_MESSAGE_AS4, with the message whole") {
    ByteWriter out;
    mrt::write_message(out, kTime, ends4(), MessageType::kKeepalive, {});
    // RFC 6396 section 4.4.3: time, type 16, subtype 4, length; AS numbers, interface, AFI.
    CHECK(out.data() == bytes("01020304 0010 0004 00000027"
                              "00011170 0000fde8 0000 0001 c0000202 c0000201" +
                              kMarker + "0013 04"));
  }

  TEST_CASE("of a session without 4-octet AS numbers it is BGP4MP_MESSAGE, with AS_TRANS") {
    mrt::Ends ends = ends4();
    ends.four_octet_as = false;
    ByteWriter out;
    mrt::write_message(out, kTime, ends, MessageType::kKeepalive, {});
    CHECK(out.data() == bytes("01020304 0010 0001 00000023"
                              "5ba0 fde8 0000 0001 c0000202 c0000201" +
                              kMarker + "0013 04"));
  }

  TEST_CASE("path identifiers have subtypes of their own (RFC 8050)") {
    mrt::Ends ends = ends4();
    ends.add_path = true;
    for (const auto& [four, subtype] : {std::pair(true, 9), {false, 8}}) {
      ends.four_octet_as = four;
      ByteWriter out;
      mrt::write_message(out, kTime, ends, MessageType::kKeepalive, {});
      CHECK(out.data()[7] == subtype);
    }
  }

  TEST_CASE("a change of state is BGP4MP_STATE_CHANGE_AS4; without a connection our end is zero") {
    mrt::Ends ends = ends4();
    ends.peer = *IpAddr::parse("2001:db8::2");
    ByteWriter out;
    mrt::write_state_change(out, kTime, ends, SessionState::kIdle, SessionState::kEstablished);
    CHECK(out.data() == bytes("01020304 0010 0005 00000030"
                              "00011170 0000fde8 0000 0002"
                              "20010db8000000000000000000000002"
                              "00000000000000000000000000000000"
                              "0001 0006"));
  }

  TEST_CASE("TABLE_DUMP_V2 begins with its peers") {
    const std::array peers{
        mrt::IndexedPeer{*IpAddr::parse("192.0.2.2"), Asn(70000), RouterId(0x0A000002)},
        mrt::IndexedPeer{*IpAddr::parse("2001:db8::2"), Asn(65001), RouterId(0x0A000003)}};
    ByteWriter out;
    mrt::write_peer_index(out, kTime, RouterId(0x0A000001), "v", peers);
    // Section 4.3.1; peer type: bit 0 IPv6, bit 1 an AS number of four octets.
    CHECK(out.data() == bytes("01020304 000d 0001 0000002f"
                              "0a000001 0001 76 0002"
                              "02 0a000002 c0000202 00011170"
                              "03 0a000003 20010db8000000000000000000000002 0000fde9"));
  }

  TEST_CASE("an IPv4 prefix has NEXT_HOP and an AS_PATH of four octets") {
    const AttributeSet set = attributes("192.0.2.2");
    const std::array entries{mrt::RibEntry{1, 0x0a0b0c0d, 0, &set}};
    ByteWriter out;
    mrt::write_rib(out, kTime, 7, *Prefix::parse("198.51.100.0/22"), entries);
    CHECK(out.data() == bytes("01020304 000d 0002 00000026"
                              "00000007 16 c63364 0001"
                              "0001 0a0b0c0d 0014"
                              "400101 00"
                              "400206 0201 00011170"
                              "400304 c0000202"));
  }

  TEST_CASE("an IPv6 prefix has MP_REACH_NLRI cut down to its next hop") {
    const AttributeSet set = attributes("2001:db8::2");
    const std::array entries{mrt::RibEntry{0, 0, 0, &set}};
    ByteWriter out;
    mrt::write_rib(out, kTime, 0, *Prefix::parse("2001:db8:98::/48"), entries);
    // Section 4.3.4.
    CHECK(out.data() == bytes("01020304 000d 0004 00000036"
                              "00000000 30 20010db80098 0001"
                              "0000 00000000 0021"
                              "800e11 10 20010db8000000000000000000000002"
                              "400101 00"
                              "400206 0201 00011170"));
    // One of our own has the unspecified address, not one of the other family.
    const AttributeSet own;
    const std::array own_entries{mrt::RibEntry{0, 0, 0, &own}};
    out = ByteWriter();
    mrt::write_rib(out, kTime, 0, *Prefix::parse("2001:db8:98::/48"), own_entries);
    CHECK(out.data()[35] == 0x11);
    out = ByteWriter();
    mrt::write_rib(out, kTime, 0, *Prefix::parse("198.51.100.0/22"), own_entries);
    CHECK(out.data() == bytes("01020304 000d 0002 00000020"
                              "00000000 16 c63364 0001"
                              "0000 00000000 000e"
                              "400101 00"
                              "400200"
                              "400304 00000000"));
  }

  TEST_CASE("with path identifiers each entry has its own (RFC 8050)") {
    const AttributeSet set = attributes("192.0.2.2");
    const std::array entries{mrt::RibEntry{1, 0, 5, &set}, mrt::RibEntry{2, 0, 0, &set}};
    ByteWriter out;
    mrt::write_rib(out, kTime, 0, *Prefix::parse("198.51.0.0/16"), entries);
    CHECK(out.data()[7] == 8);
    const std::vector<std::uint8_t> first(out.data().begin() + 21, out.data().begin() + 33);
    CHECK(first == bytes("0001 00000000 00000005 0014"));
  }
}

}  // namespace
}  // namespace margay::bgp
