#include "bgp/fsm/peer.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <deque>
#include <utility>

namespace margay::bgp {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

const TimePoint kStart{seconds(1000)};
const Endpoints kEnds{IpAddr::v4(0x0A000001), IpAddr::v4(0x0A000002)};

PeerSettings settings(std::uint32_t local, std::uint32_t remote, std::uint32_t id) {
  PeerSettings out;
  out.session.local_asn = Asn{local};
  out.session.remote_asn = Asn{remote};
  out.session.local_id = RouterId{id};
  return out;
}

Open open_of(std::uint32_t asn, std::uint32_t id) {
  return Open{Asn{asn},
              90,
              RouterId{id},
              {MultiprotocolCapability{kIpv4Unicast},
               RouteRefreshCapability{},
               FourOctetAsCapability{Asn{asn}}}};
}

template <typename T>
std::vector<T> only(const Actions& actions) {
  std::vector<T> out;
  for (const Action& action : actions) {
    if (const T* typed = std::get_if<T>(&action)) {
      out.push_back(*typed);
    }
  }
  return out;
}

// The NOTIFICATION among the bytes sent, "-" when there is none.
std::string sent_notification(const Actions& actions) {
  for (const SendBytes& send : only<SendBytes>(actions)) {
    const auto frame = next_frame(send.bytes, true);
    if (frame && frame->has_value() && (*frame)->type == MessageType::kNotification) {
      const Notification notification = decode_notification((*frame)->body);
      return fmt::format("{}/{}", static_cast<unsigned>(notification.code), notification.subcode);
    }
  }
  return "-";
}

// A peer 65000 (identifier 5) -> 65001 with one connection, and its actions so far taken.
struct OneSide {
  Peer peer;
  TimePoint now = kStart;
  Side side = Side::kOutgoing;

  explicit OneSide(Side used = Side::kOutgoing,
                   const PeerSettings& with = settings(65000, 65001, 5))
      : peer(with), side(used) {
    peer.start(now);
    peer.on_connected(side, kEnds, now);
    (void)peer.take_actions();
  }
  Actions feed(const std::vector<std::uint8_t>& bytes) {
    peer.on_bytes(side, bytes, now);
    return peer.take_actions();
  }
  Actions establish(const Open& open) {
    (void)feed(encode_open(open));
    return feed(encode_keepalive());
  }
  Actions wait(Duration duration) {
    now += duration;
    peer.on_deadline(now);
    return peer.take_actions();
  }
};

TEST_SUITE("bgp.fsm") {
  TEST_CASE("a peer connects, exchanges OPEN and KEEPALIVE and is established") {
    Peer peer(settings(65000, 65001, 5));
    CHECK(peer.state() == SessionState::kIdle);
    peer.start(kStart);
    CHECK(peer.state() == SessionState::kConnect);
    CHECK(only<StartConnect>(peer.take_actions()).size() == 1);

    peer.on_connected(Side::kOutgoing, kEnds, kStart);
    CHECK(peer.state() == SessionState::kOpenSent);
    const auto sent = only<SendBytes>(peer.take_actions());
    REQUIRE(sent.size() == 1);
    CHECK(sent[0].bytes[18] == 1);

    const auto open = encode_open(open_of(65001, 9));
    CHECK(peer.on_bytes(Side::kOutgoing, Bytes(open).first(10), kStart) == 0);
    CHECK(peer.on_bytes(Side::kOutgoing, open, kStart) == open.size());
    CHECK(peer.state() == SessionState::kOpenConfirm);
    CHECK(only<SendBytes>(peer.take_actions()).front().bytes == encode_keepalive());

    peer.on_bytes(Side::kOutgoing, encode_keepalive(), kStart);
    CHECK(peer.state() == SessionState::kEstablished);
    const auto up = only<SessionUp>(peer.take_actions());
    REQUIRE(up.size() == 1);
    CHECK(up[0].facts.peer.id == RouterId{9});
    CHECK(up[0].facts.hold_time_s == 90);
    CHECK(up[0].facts.route_refresh);
    CHECK(up[0].facts.codec.four_octet_as);
    CHECK(up[0].facts.codec.ipv4.enabled);
    CHECK(!up[0].facts.codec.ipv6.enabled);
    CHECK(!up[0].facts.codec.internal);
    CHECK(up[0].facts.codec.local_ipv4 == kEnds.local);
  }

  TEST_CASE("graceful restart is offered with the families and the restart bit of the moment") {
    PeerSettings with = settings(65000, 65001, 5);
    with.session.graceful_restart_s = 120;
    for (const bool restarting : {true, false}) {
      Peer peer(with);
      peer.set_restarting(restarting);
      peer.start(kStart);
      peer.on_connected(Side::kOutgoing, kEnds, kStart);
      const auto sent = only<SendBytes>(peer.take_actions());
      REQUIRE(sent.size() == 1);
      const auto open = decode_open(Bytes(sent[0].bytes).subspan(kHeaderSize));
      REQUIRE(open);
      const auto* offered = find_capability<GracefulRestartCapability>(open->capabilities);
      REQUIRE(offered != nullptr);
      CHECK(*offered == GracefulRestartCapability{
                            restarting, true, 120, {{kIpv4Unicast, true}, {kIpv6Unicast, true}}});
      const auto* long_lived =
          find_capability<LongLivedGracefulRestartCapability>(open->capabilities);
      REQUIRE(long_lived != nullptr);
      CHECK(long_lived->entries.empty());  // we help, and do not ask for it
    }
  }

  TEST_CASE("add-path is agreed where one side sends what the other receives") {
    using enum AddPathCapability::Mode;
    struct Row {
      bool send;
      bool receive;
      AddPathCapability::Mode theirs;
      bool agreed_send;
      bool agreed_receive;
    };
    for (const Row& row : {Row{true, true, kBoth, true, true},
                           Row{true, true, kReceive, true, false},
                           Row{true, true, kSend, false, true},
                           Row{true, false, kBoth, true, false},
                           Row{false, true, kReceive, false, false},
                           Row{false, false, kBoth, false, false}}) {
      PeerSettings with = settings(65000, 65001, 5);
      with.session.add_path_send = row.send;
      with.session.add_path_receive = row.receive;
      OneSide one(Side::kOutgoing, with);
      Open open = open_of(65001, 9);
      open.capabilities.emplace_back(AddPathCapability{{{kIpv4Unicast, row.theirs}}});
      const auto up = only<SessionUp>(one.establish(open));
      REQUIRE(up.size() == 1);
      CHECK(up[0].facts.codec.ipv4.add_path_send == row.agreed_send);
      CHECK(up[0].facts.codec.ipv4.add_path_receive == row.agreed_receive);
    }
  }

  TEST_CASE("where NOTIFICATIONs are restarts, the end for good is a hard reset") {
    for (const bool both : {true, false}) {
      PeerSettings with = settings(65000, 65001, 5);
      with.session.graceful_restart_s = 120;
      OneSide one(Side::kOutgoing, with);
      Open open = open_of(65001, 9);
      open.capabilities.emplace_back(
          GracefulRestartCapability{false, both, 60, {{kIpv4Unicast, true}}});
      const auto up = only<SessionUp>(one.establish(open));
      REQUIRE(up.size() == 1);
      CHECK(up[0].facts.notification_restart == both);
      one.peer.stop(Notification::cease(CeaseError::kPeerDeconfigured));
      const Actions actions = one.peer.take_actions();
      CHECK(sent_notification(actions) == (both ? "6/9" : "6/3"));
      const auto down = only<SessionDown>(actions);
      REQUIRE(down.size() == 1);
      CHECK(down[0].sent == Notification::cease(CeaseError::kPeerDeconfigured));
    }
    CHECK(to_string(Notification::hard_reset(Notification::cease(CeaseError::kPeerDeconfigured)))
              .find("(6/3)") != std::string::npos);
  }

  TEST_CASE("a peer of any other AS is taken with the AS that it says, one of ours is not") {
    for (const std::uint32_t theirs : {65001U, 4200000001U, 65000U}) {
      CAPTURE(theirs);
      Peer peer(settings(65000, 0, 5));
      peer.start(kStart);
      peer.on_connected(Side::kOutgoing, kEnds, kStart);
      (void)peer.take_actions();
      peer.on_bytes(Side::kOutgoing, encode_open(open_of(theirs, 9)), kStart);
      peer.on_bytes(Side::kOutgoing, encode_keepalive(), kStart);
      const Actions actions = peer.take_actions();
      const auto up = only<SessionUp>(actions);
      if (theirs == 65000U) {
        CHECK(up.empty());
        CHECK(sent_notification(actions) == "2/2");
      } else {
        REQUIRE(up.size() == 1);
        CHECK(up[0].facts.codec.peer_asn == Asn{theirs});
        CHECK_FALSE(up[0].facts.codec.internal);
      }
    }
  }

  TEST_CASE("IPv6 next hops for IPv4 routes are offered on connections over IPv6 alone") {
    const Endpoints over_ipv6{*IpAddr::parse("fe80::1"), *IpAddr::parse("fe80::2"), IfIndex{7}};
    for (const bool v6 : {true, false}) {
      CAPTURE(v6);
      PeerSettings with = settings(65000, 65001, 5);
      with.session.extended_next_hop = true;
      Peer peer(with);
      peer.start(kStart);
      peer.on_connected(Side::kOutgoing, v6 ? over_ipv6 : kEnds, kStart);
      const auto sent = only<SendBytes>(peer.take_actions());
      REQUIRE(sent.size() == 1);
      const auto open = decode_open(Bytes(sent[0].bytes).subspan(kHeaderSize));
      REQUIRE(open);
      CHECK((find_capability<ExtendedNextHopCapability>(open->capabilities) != nullptr) == v6);

      Open theirs = open_of(65001, 9);
      theirs.capabilities.emplace_back(ExtendedNextHopCapability{{{kIpv4Unicast, kAfiIpv6}}});
      peer.on_bytes(Side::kOutgoing, encode_open(theirs), kStart);
      peer.on_bytes(Side::kOutgoing, encode_keepalive(), kStart);
      const auto up = only<SessionUp>(peer.take_actions());
      REQUIRE(up.size() == 1);
      CHECK(up[0].facts.codec.ipv4.extended_next_hop == v6);
      CHECK(up[0].facts.codec.link == (v6 ? IfIndex{7} : IfIndex{}));
    }
  }

  TEST_CASE("a peer that connects and says nothing is let go after the time for its OPEN") {
    PeerSettings with = settings(65000, 65001, 5);
    with.passive = true;
    with.session.open_time = seconds(20);
    Peer peer(with);
    peer.start(kStart);
    peer.on_connected(Side::kIncoming, kEnds, kStart);
    (void)peer.take_actions();
    peer.on_deadline(kStart + seconds(19));
    CHECK(peer.has_session());
    peer.on_deadline(kStart + seconds(20));
    CHECK(sent_notification(peer.take_actions()) == "4/0");
    CHECK_FALSE(peer.has_session());
  }

  TEST_CASE("roles that fit make a session, others end with 2/11 (RFC 9234)") {
    struct Row {
      std::string why;
      std::optional<Role> ours;
      bool strict;
      std::vector<Role> theirs;
      bool internal;
      const char* sent;
    };
    const Row rows[] = {
        {"customer and provider", Role::kCustomer, true, {Role::kProvider}, false, "-"},
        {"provider and customer", Role::kProvider, true, {Role::kCustomer}, false, "-"},
        {"equals", Role::kPeer, true, {Role::kPeer}, false, "-"},
        {"server and client", Role::kRouteServer, true, {Role::kRouteServerClient}, false, "-"},
        {"client and server", Role::kRouteServerClient, true, {Role::kRouteServer}, false, "-"},
        {"two customers", Role::kCustomer, false, {Role::kCustomer}, false, "2/11"},
        {"provider and equal", Role::kProvider, false, {Role::kPeer}, false, "2/11"},
        {"an unknown one", Role::kPeer, false, {static_cast<Role>(9)}, false, "2/11"},
        {"none, which is enough", Role::kCustomer, false, {}, false, "-"},
        {"none, strictly", Role::kCustomer, true, {}, false, "2/11"},
        {"the same twice", Role::kPeer, true, {Role::kPeer, Role::kPeer}, false, "-"},
        {"two at once", Role::kPeer, false, {Role::kCustomer, Role::kPeer}, false, "2/11"},
        {"we have none", std::nullopt, false, {Role::kCustomer}, false, "-"},
        {"internal sessions have none", Role::kCustomer, true, {}, true, "-"},
    };
    for (const Row& row : rows) {
      CAPTURE(row.why);
      const std::uint32_t remote = row.internal ? 65000 : 65001;
      PeerSettings with = settings(65000, remote, 5);
      with.session.role = row.ours;
      with.session.strict_role = row.strict;
      Peer peer(with);
      peer.start(kStart);
      peer.on_connected(Side::kOutgoing, kEnds, kStart);
      const auto sent = only<SendBytes>(peer.take_actions());
      REQUIRE(sent.size() == 1);
      const auto open = decode_open(Bytes(sent[0].bytes).subspan(kHeaderSize));
      REQUIRE(open);
      const auto* said = find_capability<RoleCapability>(open->capabilities);
      CHECK((said != nullptr) == (row.ours && !row.internal));
      Open theirs = open_of(remote, 9);
      for (const Role role : row.theirs) {
        theirs.capabilities.emplace_back(RoleCapability{role});
      }
      peer.on_bytes(Side::kOutgoing, encode_open(theirs), kStart);
      CHECK(sent_notification(peer.take_actions()) == row.sent);
    }
  }

  TEST_CASE("an OPEN that does not fit ends with the NOTIFICATION of the RFC") {
    struct Row {
      std::string why;
      Open open;
      std::string notification;
    };
    Open other_family = open_of(65001, 9);
    other_family.capabilities = {MultiprotocolCapability{AfiSafi{25, 70}},
                                 FourOctetAsCapability{Asn{65001}}};
    const std::vector<Row> rows{
        {"another AS", open_of(65009, 9), "2/2"},
        {"AS_TRANS without its capability", Open{kAsTrans, 90, RouterId{9}, {}}, "2/2"},
        {"no common family", other_family, "2/7"},
    };
    for (const Row& row : rows) {
      CAPTURE(row.why);
      OneSide one;
      const Actions actions = one.feed(encode_open(row.open));
      CHECK(sent_notification(actions) == row.notification);
      CHECK(only<CloseConnection>(actions).size() == 1);
      CHECK(!only<SessionDown>(actions).front().was_established);
      CHECK(one.peer.state() == SessionState::kIdle);
    }
  }

  TEST_CASE("an internal peer with our own identifier is refused") {
    Peer peer(settings(65000, 65000, 5));
    peer.start(kStart);
    peer.on_connected(Side::kOutgoing, kEnds, kStart);
    (void)peer.take_actions();
    peer.on_bytes(Side::kOutgoing, encode_open(open_of(65000, 5)), kStart);
    CHECK(sent_notification(peer.take_actions()) == "2/3");
  }

  TEST_CASE("a peer without capabilities speaks IPv4 with 2-octet AS numbers") {
    OneSide one;
    const auto up = only<SessionUp>(one.establish(Open{Asn{65001}, 30, RouterId{9}, {}}));
    REQUIRE(up.size() == 1);
    CHECK(up[0].facts.codec.ipv4.enabled);
    CHECK(!up[0].facts.codec.ipv6.enabled);
    CHECK(!up[0].facts.codec.four_octet_as);
    CHECK(up[0].facts.hold_time_s == 30);
    CHECK(!one.peer.request_refresh(kIpv4Unicast));
  }

  TEST_CASE("hold timer expiry in Established sends 4/0 and goes Idle") {
    OneSide one;
    (void)one.establish(open_of(65001, 9));
    const Actions actions = one.wait(seconds(90));
    CHECK(sent_notification(actions) == "4/0");
    CHECK(only<SessionDown>(actions).front().was_established);
    CHECK(one.peer.state() == SessionState::kIdle);
  }

  TEST_CASE("hold timer expiry in OpenSent comes after four minutes") {
    OneSide one;
    CHECK(sent_notification(one.wait(seconds(239))) == "-");
    CHECK(sent_notification(one.wait(seconds(1))) == "4/0");
  }

  TEST_CASE("keepalives go out in time, jittered, and theirs keep the session") {
    OneSide one;
    (void)one.establish(open_of(65001, 9));
    unsigned sent = 0;
    for (int second = 0; second < 300; ++second) {
      sent += static_cast<unsigned>(only<SendBytes>(one.wait(seconds(1))).size());
      if (second % 30 == 0) {
        (void)one.feed(encode_keepalive());
      }
    }
    CHECK(one.peer.state() == SessionState::kEstablished);
    CHECK(sent >= 10);
    CHECK(sent <= 14);
  }

  TEST_CASE("hold time 0 means no keepalives and no expiry") {
    OneSide one;
    Open open = open_of(65001, 9);
    open.hold_time_s = 0;
    (void)one.establish(open);
    CHECK(!one.peer.next_deadline().has_value());
    CHECK(one.wait(seconds(100'000)).empty());
    CHECK(one.peer.state() == SessionState::kEstablished);
  }

  TEST_CASE("a peer that takes no bytes is closed by the send hold timer") {
    OneSide one;
    (void)one.establish(open_of(65001, 9));
    one.peer.on_send_progress(Side::kOutgoing, false, true, one.now);
    for (int minute = 0; minute < 8; ++minute) {
      CHECK(one.peer.state() == SessionState::kEstablished);
      (void)one.feed(encode_keepalive());
      (void)one.wait(seconds(59));
      (void)one.feed(encode_keepalive());
      if (minute == 7) {
        CHECK(sent_notification(one.wait(seconds(8))) == "8/0");
      }
    }
    CHECK(one.peer.state() == SessionState::kIdle);
  }

  TEST_CASE("unexpected messages end with 5/1, 5/2 and 5/3") {
    const auto update = [] {
      UpdatePacker packer{CodecContext{}};
      packer.end_of_rib(kIpv4Unicast);
      return packer.take();
    };
    OneSide open_sent;
    CHECK(sent_notification(open_sent.feed(update())) == "5/1");
    OneSide open_confirm;
    (void)open_confirm.feed(encode_open(open_of(65001, 9)));
    CHECK(sent_notification(open_confirm.feed(update())) == "5/2");
    OneSide established;
    (void)established.establish(open_of(65001, 9));
    CHECK(sent_notification(established.feed(encode_open(open_of(65001, 9)))) == "5/3");
  }

  TEST_CASE("a NOTIFICATION closes without an answer and says why") {
    OneSide one;
    (void)one.establish(open_of(65001, 9));
    const Actions actions = one.feed(
        encode_notification(Notification::cease(CeaseError::kAdministrativeShutdown, "bye")));
    CHECK(only<SendBytes>(actions).empty());
    CHECK(only<CloseConnection>(actions).size() == 1);
    CHECK(only<SessionDown>(actions).front().reason ==
          "peer sent cease: administrative shutdown (6/2): \"bye\"");
  }

  TEST_CASE("updates and refreshes are handed on in order") {
    OneSide one;
    (void)one.establish(open_of(65001, 9));
    UpdatePacker packer{CodecContext{}};
    packer.end_of_rib(kIpv4Unicast);
    auto bytes = packer.take();
    const auto refresh = encode_route_refresh({kIpv4Unicast});
    bytes.insert(bytes.end(), refresh.begin(), refresh.end());
    const Actions actions = one.feed(bytes);
    REQUIRE(actions.size() == 2);
    CHECK(std::holds_alternative<UpdateReceived>(actions[0]));
    CHECK(std::get<RefreshReceived>(actions[1]).refresh.family == kIpv4Unicast);
    CHECK(one.peer.request_refresh(kIpv4Unicast));
    CHECK(only<SendBytes>(one.peer.take_actions()).front().bytes == refresh);
  }

  TEST_CASE("the table's refusal of an UPDATE ends the session with its NOTIFICATION") {
    OneSide one;
    (void)one.establish(open_of(65001, 9));
    one.peer.on_update_error(Notification::update(UpdateError::kInvalidNetwork), one.now);
    CHECK(sent_notification(one.peer.take_actions()) == "3/10");
    CHECK(one.peer.state() == SessionState::kIdle);
  }

  TEST_CASE("a peer over its limit is left alone for a minute, whoever connects") {
    OneSide one;
    (void)one.establish(open_of(65001, 9));
    one.peer.on_update_error(Notification::cease(CeaseError::kMaximumPrefixes), one.now);
    (void)one.peer.take_actions();
    CHECK_FALSE(one.peer.accepts_incoming());
    CHECK(one.peer.holds_off());
    CHECK(only<StartConnect>(one.wait(seconds(40))).empty());
    CHECK_FALSE(one.peer.accepts_incoming());
    CHECK(only<StartConnect>(one.wait(seconds(20))).size() == 1);
    CHECK(one.peer.accepts_incoming());
  }

  TEST_CASE("sessions that end for bad UPDATEs are tried later and later, until one was of use") {
    OneSide one;
    const auto refused_after = [&](Duration lasted) {
      (void)one.establish(open_of(65001, 9));
      for (Duration passed{}; passed < lasted; passed += seconds(20)) {
        (void)one.wait(seconds(20));
        (void)one.feed(encode_keepalive());
      }
      one.peer.on_update_error(Notification::update(UpdateError::kInvalidNetwork), one.now);
      (void)one.peer.take_actions();
      const Duration hold = *one.peer.next_deadline() - one.now;
      (void)one.wait(hold);
      one.peer.on_connected(one.side, kEnds, one.now);
      (void)one.peer.take_actions();
      return hold;
    };
    CHECK(refused_after(Duration{}) <= seconds(1));
    CHECK(refused_after(Duration{}) > seconds(1));
    CHECK(refused_after(Duration{}) > seconds(2));
    CHECK(refused_after(seconds(80)) <= seconds(1));
  }

  TEST_CASE("after a failed attempt it tries again, after ended sessions later and later") {
    Peer peer(settings(65000, 65001, 5));
    TimePoint now = kStart;
    peer.start(now);
    (void)peer.take_actions();
    peer.on_connect_failed(now);
    CHECK(peer.state() == SessionState::kActive);
    REQUIRE(peer.next_deadline().has_value());
    CHECK(*peer.next_deadline() >= now + milliseconds(3750));
    CHECK(*peer.next_deadline() <= now + seconds(5));
    now = *peer.next_deadline();
    peer.on_deadline(now);
    CHECK(only<StartConnect>(peer.take_actions()).size() == 1);

    Duration last{};
    for (int round = 0; round < 5; ++round) {
      peer.on_connected(Side::kOutgoing, kEnds, now);
      peer.on_closed(Side::kOutgoing, "connection reset", now);
      CHECK(peer.state() == SessionState::kIdle);
      const Duration hold = *peer.next_deadline() - now;
      CHECK(hold > last);
      last = hold;
      now = *peer.next_deadline();
      peer.on_deadline(now);
      CHECK(peer.state() == SessionState::kConnect);
      (void)peer.take_actions();
    }
  }

  TEST_CASE("a passive peer waits and takes the incoming connection") {
    PeerSettings passive = settings(65000, 65001, 5);
    passive.passive = true;
    Peer peer(passive);
    CHECK(!peer.accepts_incoming());
    peer.start(kStart);
    CHECK(peer.take_actions().empty());
    CHECK(peer.state() == SessionState::kActive);
    CHECK(peer.accepts_incoming());
    peer.on_connected(Side::kIncoming, kEnds, kStart);
    CHECK(!peer.accepts_incoming());
    CHECK(peer.state() == SessionState::kOpenSent);
  }

  TEST_CASE("an incoming connection that says nothing gives way to the next one") {
    PeerSettings passive = settings(65000, 65001, 5);
    passive.passive = true;
    Peer peer(passive);
    peer.start(kStart);
    peer.on_connected(Side::kIncoming, kEnds, kStart);
    (void)peer.take_actions();
    peer.give_up_silent(kStart);
    CHECK(only<CloseConnection>(peer.take_actions()).size() == 1);
    CHECK(peer.accepts_incoming());

    peer.on_connected(Side::kIncoming, kEnds, kStart);
    peer.on_bytes(Side::kIncoming, encode_open(open_of(65001, 9)), kStart);
    (void)peer.take_actions();
    peer.give_up_silent(kStart);
    CHECK(peer.take_actions().empty());
    peer.on_bytes(Side::kIncoming, encode_keepalive(), kStart);
    CHECK(peer.state() == SessionState::kEstablished);
  }

  TEST_CASE("stop says why, closes everything and stays Idle") {
    OneSide one;
    (void)one.establish(open_of(65001, 9));
    one.peer.stop(Notification::cease(CeaseError::kPeerDeconfigured));
    CHECK(sent_notification(one.peer.take_actions()) == "6/3");
    CHECK(one.peer.state() == SessionState::kIdle);
    CHECK(!one.peer.next_deadline().has_value());
    CHECK(!one.peer.accepts_incoming());
  }

  TEST_CASE("of two colliding connections the one of the higher identifier stays") {
    struct Row {
      std::uint32_t their_id;
      Side stays;
    };
    for (const Row& row : {Row{9, Side::kIncoming}, Row{2, Side::kOutgoing}}) {
      for (const Side first : {Side::kOutgoing, Side::kIncoming}) {
        CAPTURE(row.their_id);
        OneSide one;
        one.peer.on_connected(Side::kIncoming, kEnds, kStart);
        const Side second = first == Side::kOutgoing ? Side::kIncoming : Side::kOutgoing;
        one.peer.on_bytes(first, encode_open(open_of(65001, row.their_id)), kStart);
        CHECK(sent_notification(one.peer.take_actions()) == "-");
        one.peer.on_bytes(second, encode_open(open_of(65001, row.their_id)), kStart);
        const Actions actions = one.peer.take_actions();
        CHECK(sent_notification(actions) == "6/7");
        REQUIRE(only<CloseConnection>(actions).size() == 1);
        CHECK(only<CloseConnection>(actions).front().side != row.stays);
        one.peer.on_bytes(row.stays, encode_keepalive(), kStart);
        CHECK(one.peer.established_side() == row.stays);
      }
    }
  }

  TEST_CASE("a second connection to an established peer is closed") {
    OneSide one;
    one.peer.on_connected(Side::kIncoming, kEnds, kStart);
    (void)one.establish(open_of(65001, 9));
    one.peer.on_bytes(Side::kIncoming, encode_open(open_of(65001, 9)), kStart);
    CHECK(sent_notification(one.peer.take_actions()) == "6/7");
    CHECK(one.peer.state() == SessionState::kEstablished);
    CHECK(!one.peer.accepts_incoming());
  }

  TEST_CASE("an established session is asked whether it lives, at most once a second") {
    OneSide one;
    one.peer.probe(one.now);
    CHECK(one.peer.take_actions().empty());
    (void)one.establish(open_of(65001, 9));
    for (int i = 0; i < 3; ++i) {
      one.peer.probe(one.now);
    }
    const auto sent = only<SendBytes>(one.peer.take_actions());
    REQUIRE(sent.size() == 1);
    CHECK(sent[0].bytes == encode_keepalive());
    CHECK(sent[0].side == one.side);
    one.peer.probe(one.now + seconds(1));
    CHECK(only<SendBytes>(one.peer.take_actions()).size() == 1);
    // The answer of a peer that knows nothing of the connection.
    one.peer.on_closed(one.side, "Connection reset by peer", one.now);
    CHECK(one.peer.accepts_incoming());
  }

  TEST_CASE("an attempt under way is dropped once the incoming session is established") {
    Peer peer(settings(65000, 65001, 5));
    peer.start(kStart);
    peer.on_connected(Side::kIncoming, kEnds, kStart);
    peer.on_bytes(Side::kIncoming, encode_open(open_of(65001, 9)), kStart);
    (void)peer.take_actions();
    peer.on_bytes(Side::kIncoming, encode_keepalive(), kStart);
    CHECK(only<CancelConnect>(peer.take_actions()).size() == 1);
    peer.on_connected(Side::kOutgoing, kEnds, kStart);
    CHECK(only<CloseConnection>(peer.take_actions()).front().side == Side::kOutgoing);
  }
}

// Two peers joined by reliable pipes, both connecting to each other; every order of delivery chosen
// by a fixed seed must end with exactly one session that both call established.
TEST_CASE("two peers that connect to each other at once agree on one session") {
  for (unsigned seed = 1; seed <= 200; ++seed) {
    CAPTURE(seed);
    std::minstd_rand random(seed);
    std::array<Peer, 2> peers{Peer(settings(65000, 65001, 5)), Peer(settings(65001, 65000, 9))};
    // A connection is named by the peer that opened it.
    struct Event {
      unsigned to;
      unsigned opener;
      std::vector<std::uint8_t> bytes;  // empty: closed
    };
    std::array<std::array<std::deque<Event>, 2>, 2> pipes;  // [to][opener], in order
    TimePoint now = kStart;
    const auto side_of = [](unsigned peer, unsigned opener) {
      return peer == opener ? Side::kOutgoing : Side::kIncoming;
    };
    const auto drain = [&](unsigned from) {
      for (Action& action : peers.at(from).take_actions()) {
        const auto push = [&](Side side, std::vector<std::uint8_t> bytes) {
          const unsigned opener = side == Side::kOutgoing ? from : 1 - from;
          pipes.at(1 - from).at(opener).push_back({1 - from, opener, std::move(bytes)});
        };
        if (auto* send = std::get_if<SendBytes>(&action)) {
          push(send->side, send->bytes);
        } else if (auto* close = std::get_if<CloseConnection>(&action)) {
          push(close->side, {});
        }
      }
    };
    for (unsigned i = 0; i < 2; ++i) {
      peers.at(i).start(now);
      (void)peers.at(i).take_actions();
    }
    for (unsigned opener = 0; opener < 2; ++opener) {
      for (unsigned i = 0; i < 2; ++i) {
        peers.at(i).on_connected(side_of(i, opener), kEnds, now);
        drain(i);
      }
    }
    for (int step = 0; step < 200; ++step) {
      auto& pipe = pipes.at(random() % 2).at(random() % 2);
      if (pipe.empty()) {
        continue;
      }
      const Event event = pipe.front();
      pipe.pop_front();
      Peer& peer = peers.at(event.to);
      if (event.bytes.empty()) {
        peer.on_closed(side_of(event.to, event.opener), "closed", now);
      } else {
        peer.on_bytes(side_of(event.to, event.opener), event.bytes, now);
      }
      drain(event.to);
    }
    const auto first = peers[0].established_side();
    const auto second = peers[1].established_side();
    CHECK(first.has_value() == second.has_value());
    if (first && second) {
      CHECK(*first != *second);
    }
  }
}

}  // namespace
}  // namespace margay::bgp
