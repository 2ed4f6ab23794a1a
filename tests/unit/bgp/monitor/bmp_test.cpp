#include "bgp/monitor/bmp.h"

#include "bgp/wire/message.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

namespace margay::bgp {
namespace {

using std::chrono::microseconds;

// Bytes as a person writes them: "03 00 00". Letters in quotes stand for themselves.
std::vector<std::uint8_t> bytes(const std::string& text) {
  std::vector<std::uint8_t> out;
  for (std::size_t at = 0; at < text.size();) {
    if (text[at] == ' ' || text[at] == '\n') {
      ++at;
    } else if (text[at] == '\'') {
      out.push_back(static_cast<std::uint8_t>(text[at + 1]));
      at += 3;
    } else {
      out.push_back(static_cast<std::uint8_t>(std::stoi(text.substr(at, 2), nullptr, 16)));
      at += 2;
    }
  }
  return out;
}

const std::string kMarker = "ffffffff ffffffff ffffffff ffffffff ";

// 2001:db8::2, AS 70000, 10.0.0.2, 5 us after 0x6a20a880: RFC 7854 section 4.2.
const std::string kPeer6 =
    "0000000000000000 20010db8000000000000000000000002 00011170 0a000002 6a20a880 00000005 ";
bmp::PeerHeader peer6() {
  return {.address = *IpAddr::parse("2001:db8::2"),
          .asn = Asn(70000),
          .router_id = RouterId(0x0A000002),
          .time = microseconds(1'780'525'184'000'005)};
}
// 192.0.2.2, AS 65001, 10.0.0.3, at a time that is not known.
const std::string kPeer4 =
    "0000000000000000 000000000000000000000000c0000202 0000fde9 0a000003 00000000 00000000 ";
bmp::PeerHeader peer4() {
  return {
      .address = *IpAddr::parse("192.0.2.2"), .asn = Asn(65001), .router_id = RouterId(0x0A000003)};
}

TEST_SUITE("bgp.monitor.bmp") {
  TEST_CASE("Initiation has sysDescr and sysName") {
    ByteWriter out;
    bmp::write_initiation(out, "abc", "r1");
    // Version 3, length, type 4; type 1 length 3, type 2 length 2.
    CHECK(out.data() == bytes("03 00000013 04  0001 0003 'a''b''c' 0002 0002 'r''1'"));
  }

  TEST_CASE("Termination has its reason, and a text when there is one") {
    ByteWriter out;
    bmp::write_termination(out, bmp::TerminationReason::kAdministrativelyClosed, "");
    bmp::write_termination(out, bmp::TerminationReason::kOutOfResources, "x");
    CHECK(out.data() == bytes("03 0000000c 05  0001 0002 0000"
                              "03 00000011 05  0001 0002 0002  0000 0001 'x'"));
  }

  TEST_CASE("Route Monitoring has the UPDATE as it came, and flags that say what it is") {
    const std::vector<std::uint8_t> body{0, 0, 0, 0};
    const std::string update = kMarker + "0017 02 00000000";
    ByteWriter out;
    bmp::write_route_monitoring(out, peer6(), body);
    CHECK(out.data() == bytes("03 00000047 00  00 80 " + kPeer6 + update));

    out = ByteWriter();
    auto peer = peer4();
    bmp::write_route_monitoring(out, peer, body);
    peer.post_policy = true;
    bmp::write_route_monitoring(out, peer, body);
    peer.two_octet_as = true;
    bmp::write_route_monitoring(out, peer, body);
    CHECK(out.data() == bytes("03 00000047 00  00 00 " + kPeer4 + update +  //
                              "03 00000047 00  00 40 " + kPeer4 + update +  //
                              "03 00000047 00  00 60 " + kPeer4 + update));
  }

  TEST_CASE("Peer Up has our address, both ports and both OPENs, ours first") {
    const std::vector<std::uint8_t> sent = encode_open({Asn(65000), 90, RouterId(1), {}});
    const std::vector<std::uint8_t> received = encode_open({Asn(65001), 30, RouterId(2), {}});
    ByteWriter out;
    bmp::write_peer_up(out,
                       peer4(),
                       {.local = *IpAddr::parse("192.0.2.1"),
                        .local_port = 179,
                        .remote_port = 40000,
                        .sent_open = sent,
                        .received_open = received});
    // RFC 7854 section 4.10; each OPEN is 29 bytes.
    CHECK(out.data() == bytes("03 0000007e 03  00 00 " + kPeer4 +
                              "000000000000000000000000c0000201 00b3 9c40 " +  //
                              kMarker + "001d 01 04 fde8 005a 00000001 00" +   //
                              kMarker + "001d 01 04 fde9 001e 00000002 00"));
  }

  TEST_CASE("Peer Down says who ended the session, and how") {
    struct Row {
      const char* why;
      bmp::PeerDownReason reason;
      std::string length;
      std::string tail;
    };
    const Notification cease = Notification::cease(CeaseError::kPeerDeconfigured);
    for (const Row& row : {
             Row{"we, with a NOTIFICATION",
                 bmp::LocalNotification{cease},
                 "00000046",
                 "01 " + kMarker + "0015 03 06 03"},
             Row{"we, without one", bmp::LocalEvent{24}, "00000033", "02 0018"},
             Row{"the peer, with a NOTIFICATION",
                 bmp::RemoteNotification{cease},
                 "00000046",
                 "03 " + kMarker + "0015 03 06 03"},
             Row{"the peer, without one", bmp::RemoteClosed{}, "00000031", "04"},
             Row{"nobody", bmp::NoLongerMonitored{}, "00000031", "05"},
         }) {
      CAPTURE(row.why);
      ByteWriter out;
      bmp::write_peer_down(out, peer4(), row.reason);
      CHECK(out.data() == bytes("03 " + row.length + " 02  00 00 " + kPeer4 + row.tail));
    }
  }

  TEST_CASE("a Stats Report has gauges of 64 bits and counters of 32") {
    ByteWriter out;
    bmp::write_statistics(out,
                          peer4(),
                          {.adj_rib_in = 0x100000001,
                           .loc_rib = 2,
                           .updates_as_withdraw = 3,
                           .prefixes_as_withdraw = 4});
    CHECK(out.data() == bytes("03 0000005c 01  00 00 " + kPeer4 +
                              "00000004"
                              "0007 0008 0000000100000001"
                              "0008 0008 0000000000000002"
                              "000b 0004 00000003"
                              "000c 0004 00000004"));
  }
}

}  // namespace
}  // namespace margay::bgp
