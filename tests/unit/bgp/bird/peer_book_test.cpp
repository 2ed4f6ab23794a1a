#include "bgp/bird/peer_book.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

namespace margay::bgp::bird {
namespace {

using std::chrono::seconds;
using std::chrono::system_clock;

PeerConfig a_peer(const char* name, const char* address) {
  PeerConfig peer;
  peer.name = name;
  peer.address = *IpAddr::parse(address);
  peer.asn = Asn(64512);
  peer.local_asn = Asn(64512);
  return peer;
}

PeerBook book_of(std::vector<PeerConfig> peers) {
  SpeakerConfig config;
  config.peers = std::move(peers);
  PeerBook book;
  book.configure(config, render(config, {}));
  return book;
}

Session a_session(const char* protocol, PeerState state, int since = 1) {
  Session session;
  session.protocol = protocol;
  session.state = state;
  session.since = system_clock::time_point(seconds(since));
  session.counts = {3, 2, 1};
  return session;
}

std::string told(const std::vector<SpeakerEvent>& events) {
  std::string out;
  for (const SpeakerEvent& event : events) {
    out += to_string(event) + "\n";
  }
  return out;
}

}  // namespace

TEST_SUITE("bgp.bird.peers") {
  TEST_CASE("what happened between two questions is told once, and flaps are counted") {
    PeerBook book = book_of({a_peer("a", "10.0.0.2"), a_peer("b", "10.0.0.3")});
    CHECK(told(book.on_sessions({a_session("peer-a", PeerState::kEstablished),
                                 a_session("peer-b", PeerState::kActive)},
                                false)) == "session established peer=a\n");
    CHECK(told(book.on_sessions({a_session("peer-a", PeerState::kEstablished)}, false)) == "");
    Session lost = a_session("peer-a", PeerState::kActive, 2);
    lost.last_error = "Socket: Connection reset";
    CHECK(told(book.on_sessions({lost}, false)) ==
          "session lost peer=a err=\"Socket: Connection reset\"\n");
    const PeerStatus status = book.status(*book.find("10.0.0.2"));
    CHECK(status.flaps == 1);
    CHECK(status.last_error == "Socket: Connection reset");
    CHECK(status.state == PeerState::kActive);
  }

  TEST_CASE("a session that was lost and is back before the next question is a flap") {
    PeerBook book = book_of({a_peer("a", "10.0.0.2")});
    (void)book.on_sessions({a_session("peer-a", PeerState::kEstablished, 1)}, false);
    CHECK(told(book.on_sessions({a_session("peer-a", PeerState::kEstablished, 2)}, false)) ==
          "session lost peer=a err=\"\"\nsession established peer=a\n");
    CHECK(book.statuses()[0].flaps == 1);
  }

  TEST_CASE("the end of BIRD is the end of its sessions, said once") {
    PeerBook book = book_of({a_peer("a", "10.0.0.2"), a_peer("b", "10.0.0.3")});
    (void)book.on_sessions({a_session("peer-a", PeerState::kEstablished)}, false);
    const auto now = system_clock::time_point(seconds(9));
    CHECK(told(book.on_end(now)) == "session lost peer=a err=\"BIRD ended\"\n");
    CHECK(told(book.on_end(now)) == "");
    const PeerStatus status = book.status(*book.find("a"));
    CHECK(status.state == PeerState::kIdle);
    CHECK(status.since == now);
    CHECK(status.counts.received() == 0);
    CHECK(status.last_error == "BIRD ended");
  }

  TEST_CASE("held and refused peers are down with the reason, strangers are nobody") {
    PeerConfig held = a_peer("held", "10.0.0.2");
    held.held = "the password is missing: key leaf of Secret kube-system/bgp";
    PeerConfig refused = a_peer("refused", "10.0.0.3");
    refused.password = "\"";
    const PeerBook book = book_of({refused, held});
    REQUIRE(book.statuses().size() == 2);
    CHECK(book.statuses()[0].config.name == "held");
    CHECK(book.statuses()[0].last_error == held.held);
    CHECK(book.statuses()[1].last_error.find("quote") != std::string::npos);
    CHECK(book.find("10.0.0.9") == nullptr);
  }

  TEST_CASE("end-of-RIB has come when BIRD has recovered, for sessions that are up") {
    PeerBook book = book_of({a_peer("a", "10.0.0.2")});
    (void)book.on_sessions({a_session("peer-a", PeerState::kEstablished)}, true);
    CHECK_FALSE(book.statuses()[0].end_of_rib);
    (void)book.on_sessions({a_session("peer-a", PeerState::kEstablished)}, false);
    CHECK(book.statuses()[0].end_of_rib);
    (void)book.on_sessions({a_session("peer-a", PeerState::kConnect)}, false);
    CHECK_FALSE(book.statuses()[0].end_of_rib);
  }

  TEST_CASE("a peer that is configured no more is forgotten, the others are not") {
    PeerBook book = book_of({a_peer("a", "10.0.0.2"), a_peer("b", "10.0.0.3")});
    (void)book.on_sessions({a_session("peer-a", PeerState::kEstablished),
                            a_session("peer-b", PeerState::kEstablished)},
                           false);
    SpeakerConfig config;
    config.peers = {a_peer("b", "10.0.0.3")};
    book.configure(config, render(config, {}));
    REQUIRE(book.statuses().size() == 1);
    CHECK(book.statuses()[0].state == PeerState::kEstablished);
    CHECK(book.names() == std::vector<std::pair<PeerId, std::string>>{{PeerId(1), "b"}});
  }
}

}  // namespace margay::bgp::bird
