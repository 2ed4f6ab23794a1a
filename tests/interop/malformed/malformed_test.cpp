// The table of malformed messages against a running margay-bgpd. For every row: a sender announces
// the test prefixes, sends the row, and observers on other sessions see what became of the routes.
#include "tests/interop/support/bgpd.h"
#include "tests/support/bgp_client.h"
#include "tests/support/bgp_malformed.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <memory>

namespace margay::bgp::test {
namespace {

using std::chrono::seconds;

constexpr seconds kDeadline{20};
constexpr std::uint32_t kBaselineAsn =
    64990;  // in the AS_PATH of what was announced before the row
constexpr std::uint32_t kFenceAsn = 64991;
constexpr auto kConfig = R"(
router: {asn: 65000, id: 10.0.0.1, listen: ["10.0.0.1:179", "[2001:db8::1]:179"], fib: {ipv4: false, ipv6: false}}
groups:
  test: {hold_time_s: 90, passive: true, import: accept, export: accept}
peers:
  - {address: 10.0.0.2, asn: 65001, group: test}
  - {address: 10.0.0.3, asn: 65003, group: test}
  - {address: 10.0.0.4, asn: 65000, group: test}
  - {address: 10.0.0.5, asn: 65001, group: test}
  - {address: "2001:db8::3", asn: 65003, group: test}
)";

Prefix prefix(std::string_view text) {
  return *Prefix::parse(text);
}
const Prefix& fence() {
  static const Prefix fence = prefix("203.0.113.0/24");
  return fence;
}

BgpClient::Options client_options(std::string_view local,
                                  Asn asn,
                                  std::vector<Capability> capabilities) {
  const IpAddr address = *IpAddr::parse(local);
  const auto last = address.bytes().back();
  return BgpClient::Options{
      .local = address,
      .remote = *IpAddr::parse(address.is_v4() ? "10.0.0.1" : "2001:db8::1"),
      .remote_asn = kSpeakerAsn,
      .open = Open{asn,
                   0,
                   RouterId{0x0A000000U + last + (address.is_v6() ? 100U : 0U)},
                   std::move(capabilities)},
  };
}

BgpClient::Options sender_options(PeerKind kind) {
  const std::vector<Capability> both{MultiprotocolCapability{kIpv4Unicast},
                                     MultiprotocolCapability{kIpv6Unicast},
                                     RouteRefreshCapability{}};
  const auto wide = [&](Asn asn) {
    std::vector<Capability> out = both;
    out.emplace_back(FourOctetAsCapability{asn});
    return out;
  };
  switch (kind) {
    case PeerKind::kExternal:
      return client_options("10.0.0.2", kSenderAsn, wide(kSenderAsn));
    case PeerKind::kInternal:
      return client_options("10.0.0.4", kSpeakerAsn, wide(kSpeakerAsn));
    case PeerKind::kExternalTwoOctet:
      return client_options("10.0.0.5", kSenderAsn, both);
  }
  return {};
}

// A good route with a marker in its path.
AttributeSet good_route(const CodecContext& context, std::uint32_t marker, Family family) {
  AttributeSet set;
  set.next_hop.address = *IpAddr::parse(family == Family::kIpv4 ? kSender4 : kSender6);
  if (context.internal) {
    set.as_path = AsPath::sequence(std::array{Asn{marker}});
    set.local_pref = 100;
  } else {
    set.as_path = AsPath::sequence(std::array{context.local_asn, Asn{marker}});
  }
  return set;
}

// The speaker with its observers, and a sender of each kind when a row asks for it.
class Fixture {
 public:
  Fixture() {
    REQUIRE(enter_fresh_network({"10.0.0.1/32",
                                 "10.0.0.2/32",
                                 "10.0.0.3/32",
                                 "10.0.0.4/32",
                                 "10.0.0.5/32",
                                 "2001:db8::1/128",
                                 "2001:db8::2/128",
                                 "2001:db8::3/128"}));
    auto started = Bgpd::start("malformed", kConfig);
    REQUIRE_MESSAGE(started, (started ? "" : started.error().text));
    bgpd = std::move(*started);
    observe("10.0.0.3", kIpv4Unicast);
    observe("2001:db8::3", kIpv6Unicast);
  }

  void observe(std::string_view address, AfiSafi family) {
    auto client = BgpClient::establish(
        client_options(address,
                       Asn{65003},
                       {MultiprotocolCapability{family}, FourOctetAsCapability{Asn{65003}}}),
        kDeadline);
    REQUIRE_MESSAGE(client, (client ? "" : client.error().text + "\n" + bgpd->log()));
    observers.push_back(std::make_unique<BgpClient>(std::move(*client)));
  }

  BgpClient& sender(PeerKind kind) {
    auto& one = senders[kind];
    if (!one || one->notification()) {
      one.reset();
      auto client = BgpClient::establish(sender_options(kind), kDeadline);
      REQUIRE_MESSAGE(client, (client ? "" : client.error().text + "\n" + bgpd->log()));
      one = std::make_unique<BgpClient>(std::move(*client));
    }
    return *one;
  }

  // The route as the observers have it, both families in one table.
  [[nodiscard]] const BgpClient::Route* seen(const Prefix& wanted) const {
    for (const auto& observer : observers) {
      if (const auto* route = observer->route(wanted)) {
        return route;
      }
    }
    return nullptr;
  }
  [[nodiscard]] bool seen_with(const Prefix& wanted, std::uint32_t marker) const {
    const auto* route = seen(wanted);
    return route != nullptr && route->attributes.as_path.contains(Asn{marker});
  }
  template <typename Condition>
  bool wait(Condition condition) {
    const auto end = BgpClient::Clock::now() + kDeadline;
    while (!condition() && BgpClient::Clock::now() < end) {
      for (auto& observer : observers) {
        (void)observer->receive(std::chrono::milliseconds(5));
      }
    }
    return condition();
  }

  static Prefix test_prefix(Family family) {
    return prefix(family == Family::kIpv4 ? kTestPrefix4 : kTestPrefix6);
  }

  // Everything as before a row: the test prefix of the family announced, nothing else.
  void baseline(PeerKind kind, Family family) {
    BgpClient& from = sender(kind);
    UpdatePacker packer(from.context());
    packer.withdraw(std::array{Nlri{prefix("198.51.100.0/22")},
                               Nlri{test_prefix(Family::kIpv4)},
                               Nlri{test_prefix(Family::kIpv6)}});
    REQUIRE(packer.announce(good_route(from.context(), kBaselineAsn, family),
                            std::array{Nlri{test_prefix(family)}}));
    REQUIRE(from.send(packer.take()));
    REQUIRE(wait([&] { return seen_with(test_prefix(family), kBaselineAsn); }));
  }

  // Two changes of the fence, one after the other, in both families: once the second has come,
  // everything sent before it has as well.
  void pass_fence(PeerKind kind) {
    BgpClient& from = sender(kind);
    const Prefix fence6 = prefix("2001:db8:f::/48");
    for (int round = 0; round < 2; ++round) {
      ++fence_;
      UpdatePacker packer(from.context());
      for (const Family family : {Family::kIpv4, Family::kIpv6}) {
        AttributeSet route = good_route(from.context(), kFenceAsn, family);
        route.communities = {Community{fence_}};
        const Prefix& one = family == Family::kIpv4 ? fence() : fence6;
        REQUIRE(packer.announce(route, std::array{Nlri{one}}));
      }
      REQUIRE(from.send(packer.take()));
      const auto passed = [&](const Prefix& one) {
        const auto* route = seen(one);
        return route != nullptr && route->attributes.has(Community{fence_});
      };
      REQUIRE(wait([&] { return passed(fence()) && passed(fence6); }));
    }
  }

  void drop(PeerKind kind) {
    senders.erase(kind);
    REQUIRE(wait([&] {
      return seen(test_prefix(Family::kIpv4)) == nullptr &&
             seen(test_prefix(Family::kIpv6)) == nullptr && seen(fence()) == nullptr;
    }));
  }

  // A route that the row itself has made.
  [[nodiscard]] const BgpClient::Route* made_by_row() const {
    for (const auto& observer : observers) {
      for (const auto& [where, route] : observer->routes()) {
        const AsPath& path = route.attributes.as_path;
        if (!path.contains(Asn{kBaselineAsn}) && !path.contains(Asn{kFenceAsn})) {
          return &route;
        }
      }
    }
    return nullptr;
  }

  std::unique_ptr<Bgpd> bgpd;
  std::vector<std::unique_ptr<BgpClient>> observers;
  std::map<PeerKind, std::unique_ptr<BgpClient>> senders;

 private:
  std::uint32_t fence_ = 0;
};

// The unknown attributes of the row as we read them ourselves: they must arrive unchanged.
std::vector<UnknownAttribute> unknown_of(const MalformedRow& row, const CodecContext& context) {
  CodecContext receiving = context;
  receiving.local_asn = context.peer_asn;
  receiving.peer_asn = context.local_asn;
  const auto update = decode_update(Bytes(row.message).subspan(kHeaderSize), receiving);
  return update && !update->announced.empty() ? update->announced.front().attributes.unknown
                                              : std::vector<UnknownAttribute>{};
}

void check_reset(Fixture& fixture, const MalformedRow& row) {
  BgpClient& from = fixture.sender(row.peer);
  CHECK(from.receive_until([&] { return from.notification().has_value(); }, kDeadline));
  REQUIRE(from.notification().has_value());
  CHECK(static_cast<unsigned>(from.notification()->code) == row.code);
  CHECK(unsigned{from.notification()->subcode} == row.subcode);
  fixture.drop(row.peer);
}

void check_row(Fixture& fixture, const MalformedRow& row) {
  BgpClient& from = fixture.sender(row.peer);
  const Prefix wanted = Fixture::test_prefix(row.family);
  const CodecContext context = from.context();
  switch (row.expected) {
    case Expected::kAccept:
    case Expected::kDiscard: {
      const auto* route = fixture.made_by_row();
      REQUIRE(route != nullptr);
      CHECK(route->attributes.unknown == unknown_of(row, context));
      break;
    }
    case Expected::kWithdraw:
      CHECK(fixture.seen(wanted) == nullptr);
      CHECK(fixture.made_by_row() == nullptr);
      break;
    case Expected::kIgnore:
      CHECK(fixture.seen_with(wanted, kBaselineAsn));
      CHECK(fixture.made_by_row() == nullptr);
      break;
    case Expected::kReset:
      break;
  }
  CHECK(!from.notification().has_value());
}

void run_row(Fixture& fixture, const MalformedRow& row) {
  CAPTURE(row.why);
  for (const PeerKind other :
       {PeerKind::kExternal, PeerKind::kInternal, PeerKind::kExternalTwoOctet}) {
    if (other != row.peer && fixture.senders.contains(other)) {
      fixture.drop(other);
    }
  }
  fixture.baseline(row.peer, row.family);
  REQUIRE(fixture.sender(row.peer).send(row.message));
  if (row.expected == Expected::kReset) {
    check_reset(fixture, row);
  } else {
    fixture.pass_fence(row.peer);
    check_row(fixture, row);
  }
  CHECK(fixture.bgpd->alive());
}

// Rows of which only a table can judge.
std::vector<MalformedRow> table_rows() {
  const auto sender = kSenderAsn.value();
  const auto speaker = kSpeakerAsn.value();
  const auto byte = [](std::uint32_t value, unsigned shift) {
    return static_cast<std::uint8_t>(value >> shift);
  };
  MalformedRow loop;
  loop.why = "our own AS in AS_PATH";
  loop.expected = Expected::kWithdraw;
  loop.message = RawUpdate::valid()
                     .replace(0x40,
                              2,
                              {2,
                               2,
                               0,
                               0,
                               byte(sender, 8),
                               byte(sender, 0),
                               0,
                               0,
                               byte(speaker, 8),
                               byte(speaker, 0)})
                     .nlri(test_nlri4())
                     .message();
  MalformedRow originator;
  originator.why = "our own identifier in ORIGINATOR_ID";
  originator.peer = PeerKind::kInternal;
  originator.expected = Expected::kWithdraw;
  originator.message = RawUpdate::valid(PeerKind::kInternal)
                           .attribute(0x80, 9, {10, 0, 0, 1})
                           .nlri(test_nlri4())
                           .message();
  MalformedRow cluster = originator;
  cluster.why = "our own cluster in CLUSTER_LIST";
  cluster.message = RawUpdate::valid(PeerKind::kInternal)
                        .attribute(0x80, 9, {10, 0, 0, 9})
                        .attribute(0x80, 10, {10, 0, 0, 1})
                        .nlri(test_nlri4())
                        .message();
  return {loop, originator, cluster};
}

}  // namespace

TEST_SUITE("interop.malformed") {
  TEST_CASE("a running speaker answers every malformed message as the RFCs say") {
    Fixture fixture;
    std::vector<MalformedRow> rows = malformed_updates();
    for (auto& more : {malformed_messages(), table_rows()}) {
      rows.insert(rows.end(), more.begin(), more.end());
    }
    // Rows of one kind of sender after each other, so that sessions are reused.
    std::ranges::stable_sort(rows, {}, &MalformedRow::peer);
    for (const MalformedRow& row : rows) {
      run_row(fixture, row);
    }
    MESSAGE(rows.size(), " rows");
  }

  TEST_CASE("a running speaker answers every malformed OPEN, and messages out of turn") {
    Fixture fixture;
    const BgpClient::Options options = sender_options(PeerKind::kExternal);
    const auto open_with = [&](Asn asn, RouterId id) {
      return encode_open(
          Open{asn, 90, id, {MultiprotocolCapability{kIpv4Unicast}, FourOctetAsCapability{asn}}});
    };
    const std::vector<std::uint8_t> good = open_with(kSenderAsn, options.open.id);
    const auto one_after_another = [](std::initializer_list<std::vector<std::uint8_t>> messages) {
      std::vector<std::uint8_t> out;
      for (const auto& message : messages) {
        out.insert(out.end(), message.begin(), message.end());
      }
      return out;
    };
    struct Row {
      std::string why;
      std::vector<std::uint8_t> bytes;
      unsigned code;
      unsigned subcode;
    };
    std::vector<Row> rows;
    for (const MalformedOpen& open : malformed_opens()) {
      rows.push_back(Row{open.why, open.message, 2, open.subcode});
    }
    const auto keepalive = encode_keepalive();
    const auto update = RawUpdate::valid().nlri(test_nlri4()).message();
    std::vector<std::uint8_t> long_open = good;
    long_open.resize(4097);
    long_open[16] = 0x10;  // RFC 8654 section 4: never an OPEN
    long_open[17] = 0x01;
    rows.insert(
        rows.end(),
        {{"an AS that is not the peer's", open_with(Asn{65077}, options.open.id), 2, 2},
         {"KEEPALIVE before OPEN", keepalive, 5, 1},
         {"UPDATE before OPEN", update, 5, 1},
         {"OPEN of 4,097 bytes", long_open, 1, 2},
         {"OPEN with a bad marker", std::vector<std::uint8_t>(29, 0), 1, 1},
         {"OPEN twice", one_after_another({good, good}), 5, 2},
         {"UPDATE before KEEPALIVE", one_after_another({good, update}), 5, 2},
         {"OPEN in an established session", one_after_another({good, keepalive, good}), 5, 3}});
    for (const Row& row : rows) {
      CAPTURE(row.why);
      auto client = BgpClient::connect(options);
      REQUIRE_MESSAGE(client, (client ? "" : client.error().text));
      REQUIRE(client->send(row.bytes));
      CHECK(client->receive_until([&] { return client->notification().has_value(); }, kDeadline));
      REQUIRE(client->notification().has_value());
      CHECK(static_cast<unsigned>(client->notification()->code) == row.code);
      CHECK(unsigned{client->notification()->subcode} == row.subcode);
      // The speaker has closed before the next row connects.
      CHECK(!client->receive(kDeadline));
      CHECK(fixture.bgpd->alive());
    }
    MESSAGE(rows.size(), " rows");
    (void)fixture.sender(PeerKind::kExternal);  // and it still takes a good one
  }
}

}  // namespace margay::bgp::test
