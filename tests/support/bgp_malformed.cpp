#include "tests/support/bgp_malformed.h"

#include <algorithm>
#include <iterator>

namespace margay::bgp::test {

namespace {

using Raw = std::vector<std::uint8_t>;

constexpr std::uint8_t kWellKnown = 0x40;
constexpr std::uint8_t kLocal = 0x80;
constexpr std::uint8_t kPassedOn = 0xC0;
constexpr std::uint8_t kExtended = 0x10;

Raw join(std::initializer_list<Raw> parts) {
  Raw out;
  for (const Raw& part : parts) {
    out.insert(out.end(), part.begin(), part.end());
  }
  return out;
}
Raw u16(std::size_t value) {
  return {static_cast<std::uint8_t>(value >> 8U), static_cast<std::uint8_t>(value)};
}
Raw as4(std::uint32_t asn) {
  return join({u16(asn >> 16U), u16(asn & 0xFFFFU)});
}

Raw attribute_bytes(std::uint8_t flags, std::uint8_t type, const Raw& value) {
  const bool extended = value.size() > 255 || (flags & kExtended) != 0;
  const Raw length = extended ? u16(value.size()) : Raw{static_cast<std::uint8_t>(value.size())};
  const auto all_flags = static_cast<std::uint8_t>(flags | (extended ? kExtended : 0U));
  return join({{all_flags, type}, length, value});
}

Raw message_of(std::uint8_t type, const Raw& body) {
  return join({Raw(16, 0xFF), u16(19 + body.size()), {type}, body});
}

Raw as_path_of(PeerKind peer) {
  switch (peer) {
    case PeerKind::kExternal:
      return join({{2, 2}, as4(kSenderAsn.value()), as4(kMarkerAsn.value())});
    case PeerKind::kInternal:
      return join({{2, 1}, as4(kMarkerAsn.value())});
    case PeerKind::kExternalTwoOctet:
      return join({{2, 2}, u16(kSenderAsn.value()), u16(kMarkerAsn.value())});
  }
  return {};
}

struct Outcome {
  Expected expected = Expected::kAccept;
  std::uint8_t code = 0;
  std::uint8_t subcode = 0;
};
constexpr Outcome kAccept{Expected::kAccept};
constexpr Outcome kDiscard{Expected::kDiscard};
constexpr Outcome kWithdraw{Expected::kWithdraw};
constexpr Outcome kIgnore{Expected::kIgnore};
constexpr Outcome reset(std::uint8_t code, std::uint8_t subcode) {
  return Outcome{Expected::kReset, code, subcode};
}

class Table {
 public:
  void row(std::string why, Outcome outcome, Raw message) {
    rows_.push_back(MalformedRow{std::move(why),
                                 peer_,
                                 family_,
                                 std::move(message),
                                 outcome.expected,
                                 outcome.code,
                                 outcome.subcode});
  }
  // A valid UPDATE for the IPv4 test prefix with one attribute put in or replaced.
  void with(std::string why, Outcome outcome, std::uint8_t flags, std::uint8_t type, Raw value) {
    RawUpdate update = RawUpdate::valid(peer_);
    row(std::move(why),
        outcome,
        update.replace(flags, type, std::move(value)).nlri(test_nlri4()).message());
  }
  void without(std::string why, Outcome outcome, std::uint8_t type) {
    row(std::move(why), outcome, RawUpdate::valid(peer_).remove(type).nlri(test_nlri4()).message());
  }
  // A valid UPDATE with this MP_REACH_NLRI in front.
  void mp(std::string why, Outcome outcome, Raw value, std::uint8_t flags = kLocal) {
    row(std::move(why),
        outcome,
        RawUpdate::valid(peer_).remove(3).in_front(flags, 14, std::move(value)).message());
  }
  void from(PeerKind peer) { peer_ = peer; }
  void about(Family family) { family_ = family; }
  [[nodiscard]] std::vector<MalformedRow> take() { return std::move(rows_); }

 private:
  PeerKind peer_ = PeerKind::kExternal;
  Family family_ = Family::kIpv4;
  std::vector<MalformedRow> rows_;
};

void origin_rows(Table& t) {
  t.with("ORIGIN of length 0", kWithdraw, kWellKnown, 1, {});
  t.with("ORIGIN of length 2", kWithdraw, kWellKnown, 1, {0, 0});
  t.with("ORIGIN with the undefined value 3", kWithdraw, kWellKnown, 1, {3});
  t.with("ORIGIN marked optional", kWithdraw, kPassedOn, 1, {0});
  t.with("ORIGIN marked non-transitive", kWithdraw, 0, 1, {0});
  t.with("ORIGIN with unused low flag bits", kAccept, 0x4F & ~kExtended, 1, {0});
  t.with("ORIGIN with an extended length", kAccept, kWellKnown | kExtended, 1, {0});
  t.without("ORIGIN missing", kWithdraw, 1);
  t.row("ORIGIN twice: the first counts",
        kDiscard,
        RawUpdate::valid().attribute(kWellKnown, 1, {9}).nlri(test_nlri4()).message());
}

void as_path_rows(Table& t) {
  const Raw sender = as4(kSenderAsn.value());
  const Raw marker = as4(kMarkerAsn.value());
  t.with("AS_PATH segment of type 5", kWithdraw, kWellKnown, 2, join({{5, 1}, sender}));
  t.with("AS_PATH segment longer than the attribute",
         kWithdraw,
         kWellKnown,
         2,
         join({{2, 3}, sender, marker}));
  t.with("AS_PATH with one octet left over", kWithdraw, kWellKnown, 2, join({{2, 1}, sender, {2}}));
  t.with("AS_PATH with an empty segment", kWithdraw, kWellKnown, 2, join({{2, 1}, sender, {2, 0}}));
  t.with("AS_PATH with AS 0", kWithdraw, kWellKnown, 2, join({{2, 2}, sender, as4(0)}));
  t.with("AS_PATH with a confederation sequence from outside",
         kWithdraw,
         kWellKnown,
         2,
         join({{3, 1}, marker, {2, 1}, sender}));
  t.with("AS_PATH with a confederation set from outside",
         kWithdraw,
         kWellKnown,
         2,
         join({{2, 1}, sender, {4, 1}, marker}));
  t.with("AS_PATH that does not start with the peer",
         kWithdraw,
         kWellKnown,
         2,
         join({{2, 2}, marker, sender}));
  t.with("AS_PATH empty from an external peer", kWithdraw, kWellKnown, 2, {});
  t.with("AS_PATH marked optional", kWithdraw, kPassedOn, 2, join({{2, 1}, sender}));
  t.without("AS_PATH missing", kWithdraw, 2);
  t.with("AS_PATH with a set at its end",
         kAccept,
         kWellKnown,
         2,
         join({{2, 2}, sender, marker, {1, 2}, as4(64997), as4(64996)}));
  Raw full_segments = join({{2, 255}, sender});
  for (unsigned i = 1; i < 255 * 3; ++i) {
    if (i % 255 == 0) {
      full_segments = join({full_segments, {2, 255}});
    }
    full_segments = join({full_segments, marker});
  }
  t.with("AS_PATH of 765 numbers in three full segments", kAccept, kWellKnown, 2, full_segments);
  t.row("AS_PATH that does not start with the peer, beside a discarded attribute",
        kWithdraw,
        RawUpdate::valid()
            .replace(kWellKnown, 2, join({{2, 1}, marker}))
            .attribute(kWellKnown, 1, {0})
            .nlri(test_nlri4())
            .message());
}

void next_hop_rows(Table& t) {
  t.with("NEXT_HOP of length 3", kWithdraw, kWellKnown, 3, {10, 0, 0});
  t.with("NEXT_HOP of length 5", kWithdraw, kWellKnown, 3, {10, 0, 0, 2, 0});
  t.with("NEXT_HOP 0.0.0.0", kWithdraw, kWellKnown, 3, {0, 0, 0, 0});
  t.with("NEXT_HOP multicast", kWithdraw, kWellKnown, 3, {224, 0, 0, 1});
  t.with("NEXT_HOP broadcast", kWithdraw, kWellKnown, 3, {255, 255, 255, 255});
  t.with("NEXT_HOP our own address", kWithdraw, kWellKnown, 3, {10, 0, 0, 1});
  t.with("NEXT_HOP marked optional", kWithdraw, kLocal, 3, {10, 0, 0, 2});
  t.without("NEXT_HOP missing", kWithdraw, 3);
}

void simple_rows(Table& t) {
  t.with("MED of length 0", kWithdraw, kLocal, 4, {});
  t.with("MED of length 3", kWithdraw, kLocal, 4, {0, 0, 1});
  t.with("MED marked well-known", kWithdraw, kWellKnown, 4, {0, 0, 0, 1});
  t.with("LOCAL_PREF from an external peer", kDiscard, kWellKnown, 5, {0, 0, 0, 100});
  t.with("LOCAL_PREF of length 3 from an external peer", kDiscard, kWellKnown, 5, {0, 0, 1});
  t.with("ATOMIC_AGGREGATE of length 1", kDiscard, kWellKnown, 6, {0});
  t.with("ATOMIC_AGGREGATE marked optional", kWithdraw, kPassedOn, 6, {});
  t.with("AGGREGATOR of 6 bytes on a 4-octet session",
         kDiscard,
         kPassedOn,
         7,
         {0xFD, 0xE9, 10, 0, 0, 2});
  t.with("AGGREGATOR of length 0", kDiscard, kPassedOn, 7, {});
  t.with("AGGREGATOR with AS 0", kDiscard, kPassedOn, 7, {0, 0, 0, 0, 10, 0, 0, 2});
  t.with("COMMUNITIES of length 0", kWithdraw, kPassedOn, 8, {});
  t.with("COMMUNITIES of length 5", kWithdraw, kPassedOn, 8, {0, 1, 0, 1, 0});
  t.with("COMMUNITIES marked well-known", kWithdraw, kWellKnown, 8, {0xFD, 0xE9, 0, 1});
  t.with("COMMUNITIES with the Partial flag", kAccept, kPassedOn | 0x20, 8, {0xFD, 0xE9, 0, 1});
  t.with("ORIGINATOR_ID from an external peer", kDiscard, kLocal, 9, {10, 0, 0, 9});
  t.with("CLUSTER_LIST from an external peer", kDiscard, kLocal, 10, {10, 0, 0, 9});
  t.with("EXTENDED_COMMUNITIES of length 0", kWithdraw, kPassedOn, 16, {});
  t.with("EXTENDED_COMMUNITIES of length 7", kWithdraw, kPassedOn, 16, Raw(7, 0));
  t.with("IPv6 extended communities of length 19", kWithdraw, kPassedOn, 25, Raw(19, 0));
  t.with("LARGE_COMMUNITIES of length 0", kWithdraw, kPassedOn, 32, {});
  t.with("LARGE_COMMUNITIES of length 11", kWithdraw, kPassedOn, 32, Raw(11, 1));
  t.with("ONLY_TO_CUSTOMER of length 3", kWithdraw, kPassedOn, 35, {0, 0, 1});
  t.with("AS4_PATH on a 4-octet session", kDiscard, kPassedOn, 17, join({{2, 1}, as4(64998)}));
  t.with("AS4_AGGREGATOR on a 4-octet session", kDiscard, kPassedOn, 18, Raw(8, 1));
}

void internal_rows(Table& t) {
  t.from(PeerKind::kInternal);
  t.with("LOCAL_PREF of length 3", kWithdraw, kWellKnown, 5, {0, 0, 1});
  t.without("LOCAL_PREF missing from an internal peer", kWithdraw, 5);
  t.with("ORIGINATOR_ID of length 3", kWithdraw, kLocal, 9, {10, 0, 0});
  t.with("ORIGINATOR_ID marked transitive", kWithdraw, kPassedOn, 9, {10, 0, 0, 9});
  t.with("CLUSTER_LIST of length 0", kWithdraw, kLocal, 10, {});
  t.with("CLUSTER_LIST of length 5", kWithdraw, kLocal, 10, {10, 0, 0, 9, 1});
  t.with("AS_PATH empty from an internal peer", kAccept, kWellKnown, 2, {});
  t.with("ORIGINATOR_ID and nothing wrong", kAccept, kLocal, 9, {10, 0, 0, 9});
  t.from(PeerKind::kExternal);
}

void two_octet_rows(Table& t) {
  t.from(PeerKind::kExternalTwoOctet);
  t.with("AGGREGATOR of 8 bytes on a 2-octet session",
         kDiscard,
         kPassedOn,
         7,
         {0, 0, 0xFD, 0xE9, 10, 0, 0, 2});
  t.with("AS4_PATH segment longer than the attribute",
         kDiscard,
         kPassedOn,
         17,
         join({{2, 9}, as4(64998)}));
  t.with("AS4_PATH of length 5", kDiscard, kPassedOn, 17, {2, 1, 0, 0, 1});
  t.with("AS4_PATH of length 0", kDiscard, kPassedOn, 17, {});
  t.with("AS4_PATH segment of type 9", kDiscard, kPassedOn, 17, join({{9, 1}, as4(64998)}));
  t.with("AS4_PATH with AS 0", kDiscard, kPassedOn, 17, join({{2, 1}, as4(0)}));
  t.with("AS4_PATH with a confederation segment: only that is dropped",
         kAccept,
         kPassedOn,
         17,
         join({{3, 1}, as4(64999), {2, 1}, as4(64998)}));
  t.with("AS4_PATH longer than AS_PATH is not used",
         kAccept,
         kPassedOn,
         17,
         join({{2, 3}, as4(1), as4(2), as4(3)}));
  t.with("AS4_AGGREGATOR of 6 bytes", kDiscard, kPassedOn, 18, Raw(6, 1));
  t.with("AS_TRANS without AS4_PATH",
         kAccept,
         kWellKnown,
         2,
         join({{2, 2}, u16(kSenderAsn.value()), u16(23456)}));
  t.row("AS4_PATH before AS_PATH",
        kAccept,
        RawUpdate::valid(PeerKind::kExternalTwoOctet)
            .in_front(kPassedOn, 17, join({{2, 1}, as4(64998)}))
            .nlri(test_nlri4())
            .message());
  t.from(PeerKind::kExternal);
}

void unknown_rows(Table& t) {
  t.with("attribute 28 of odd length (June 2023)", kAccept, kPassedOn, 28, {1, 2, 3});
  t.with("attribute 40 all zero (May 2025)", kAccept, kPassedOn, 40, Raw(3, 0));
  t.with("attribute 23 with a bad inner length", kAccept, kPassedOn, 23, {0, 1, 0xFF, 0xFF});
  t.with("attribute 99 of 3,000 bytes (August 2010)", kAccept, kPassedOn, 99, Raw(3000, 0x5A));
  t.with("attribute 128 (ATTR_SET) of length 1", kAccept, kPassedOn, 128, {0});
  t.with("unknown optional non-transitive attribute", kAccept, kLocal, 30, {1});
  t.with("AIGP of length 0", kAccept, kLocal, 26, {});
  t.with("unknown well-known attribute", reset(3, 2), kWellKnown, 100, {1});
  t.with("type 0 marked optional transitive", kAccept, kPassedOn, 0, {1});
  t.row("unknown attribute twice: the first counts",
        kDiscard,
        RawUpdate::valid()
            .attribute(kPassedOn, 99, {1})
            .attribute(kPassedOn, 99, {2})
            .nlri(test_nlri4())
            .message());
}

void structure_rows(Table& t) {
  const auto broken = [](Raw tail) {
    return RawUpdate::valid().raw_attribute(std::move(tail)).nlri(test_nlri4()).message();
  };
  t.row("attribute value runs past the attributes", kWithdraw, broken({kPassedOn, 8, 40, 1}));
  t.row("one byte of an attribute header", kWithdraw, broken({kPassedOn}));
  t.row("attribute header without length", kWithdraw, broken({kPassedOn, 8}));
  t.row("extended length cut in half", kWithdraw, broken({kPassedOn | kExtended, 8, 1}));
  t.row("attribute overrun without any NLRI",
        reset(3, 1),
        RawUpdate::valid().raw_attribute({kPassedOn, 8, 40, 1}).message());
  t.row("MP_REACH_NLRI cut by the end of the attributes",
        reset(3, 1),
        RawUpdate::valid().raw_attribute({kLocal, 14, 40, 0, 2, 1}).message());
  t.row("NLRI and no attribute at all", kWithdraw, RawUpdate().nlri(test_nlri4()).message());
  t.row("only an unknown attribute and NLRI",
        kWithdraw,
        RawUpdate().attribute(kPassedOn, 99, {1}).nlri(test_nlri4()).message());
  t.row("bad ORIGIN length without any NLRI",
        reset(3, 5),
        RawUpdate::valid().replace(kWellKnown, 1, {0, 0}).message());
  t.row("Withdrawn Routes Length runs past the message",
        reset(3, 1),
        RawUpdate::valid().nlri(test_nlri4()).withdrawn_length(5000).message());
  t.row("Total Path Attribute Length runs past the message",
        reset(3, 1),
        RawUpdate::valid().nlri(test_nlri4()).attributes_length(5000).message());
  t.row("two errors: the worse one counts",
        kWithdraw,
        RawUpdate::valid()
            .attribute(kWellKnown, 6, {1})
            .attribute(kLocal, 4, {1})
            .nlri(test_nlri4())
            .message());
  t.row("end-of-RIB of IPv4", kIgnore, RawUpdate().message());
  t.row("attributes without NLRI", kIgnore, RawUpdate::valid().message());
}

void nlri_rows(Table& t) {
  t.row("prefix length 33", reset(3, 10), RawUpdate::valid().nlri({33, 1, 2, 3, 4, 5}).message());
  t.row("prefix cut short", reset(3, 10), RawUpdate::valid().nlri({24, 198, 51}).message());
  t.row("withdrawn prefix length 33",
        reset(3, 10),
        RawUpdate().withdrawn({33, 1, 2, 3, 4, 5}).message());
  t.row("withdrawn prefix cut short", reset(3, 10), RawUpdate().withdrawn({24, 198}).message());
  t.row("bits beyond the mask", kAccept, RawUpdate::valid().nlri({22, 198, 51, 103}).message());
  t.row("prefix in 127/8", kIgnore, RawUpdate::valid().nlri({8, 127}).message());
  t.row("multicast prefix", kIgnore, RawUpdate::valid().nlri({4, 224}).message());
  t.row("prefix in 0/8", kIgnore, RawUpdate::valid().nlri({16, 0, 1}).message());
  t.row("a prefix withdrawn and announced in one UPDATE",
        kAccept,
        RawUpdate::valid().withdrawn(test_nlri4()).nlri(test_nlri4()).message());
}

void mp_reach_rows(Table& t) {
  t.about(Family::kIpv6);
  const Raw good_hop = sender6_bytes();
  const Raw good = test_mp_reach(good_hop, test_nlri6());
  t.mp("MP_REACH_NLRI and nothing wrong", kAccept, good);
  t.mp("MP_REACH_NLRI with global and link-local next hop",
       kAccept,
       test_mp_reach(join({good_hop, {0xFE, 0x80}, Raw(13, 0), {2}}), test_nlri6()));
  for (const std::size_t size : {0U, 5U, 15U, 17U, 24U}) {
    t.mp("MP_REACH_NLRI with a next hop of " + std::to_string(size) + " bytes",
         reset(3, 9),
         test_mp_reach(Raw(size, 0x20), test_nlri6()));
  }
  t.mp("MP_REACH_NLRI of length 4", reset(3, 9), {0, 2, 1, 0});
  t.mp("MP_REACH_NLRI of length 0", reset(3, 9), {});
  t.mp("MP_REACH_NLRI next hop runs past the attribute",
       reset(3, 9),
       join({{0, 2, 1, 200}, good_hop}));
  t.mp("MP_REACH_NLRI prefix length 129",
       reset(3, 9),
       test_mp_reach(good_hop, join({{129}, Raw(17, 0x20)})));
  t.mp("MP_REACH_NLRI prefix cut short", reset(3, 9), test_mp_reach(good_hop, {48, 0x20, 1}));
  t.mp("MP_REACH_NLRI marked transitive", reset(3, 9), good, kPassedOn);
  t.mp("MP_REACH_NLRI marked well-known", reset(3, 9), good, kWellKnown);
  t.mp("MP_REACH_NLRI without NLRI", kIgnore, test_mp_reach(good_hop, {}));
  t.mp("MP_REACH_NLRI next hop ::", kWithdraw, test_mp_reach(Raw(16, 0), test_nlri6()));
  t.mp("MP_REACH_NLRI next hop multicast",
       kWithdraw,
       test_mp_reach(join({{0xFF, 2}, Raw(13, 0), {1}}), test_nlri6()));
  t.mp("MP_REACH_NLRI with multicast prefix", kIgnore, test_mp_reach(good_hop, {8, 0xFF}));
  t.mp("MP_REACH_NLRI of a family that was not negotiated",
       kIgnore,
       join({{0, 25, 70, 4, 10, 0, 0, 2, 0}, Raw(20, 1)}));
  t.row("MP_REACH_NLRI twice",
        reset(3, 1),
        RawUpdate::valid().attribute(kLocal, 14, good).attribute(kLocal, 14, good).message());
  t.row("MP_REACH_NLRI without ORIGIN",
        kWithdraw,
        RawUpdate::valid().remove(1).attribute(kLocal, 14, good).message());
  t.row("MP_REACH_NLRI without any other attribute",
        kWithdraw,
        RawUpdate().attribute(kLocal, 14, good).message());
  t.row("bad NEXT_HOP beside MP_REACH_NLRI is of no meaning",
        kAccept,
        RawUpdate::valid().replace(kWellKnown, 3, {1}).attribute(kLocal, 14, good).message());
  t.row("MP_REACH_NLRI after a broken MED",
        kWithdraw,
        RawUpdate::valid().attribute(kLocal, 4, {1}).attribute(kLocal, 14, good).message());
}

void mp_unreach_rows(Table& t) {
  const Raw good = join({{0, 2, 1}, test_nlri6()});
  const auto only = [](Raw value, std::uint8_t flags = kLocal) {
    return RawUpdate().attribute(flags, 15, std::move(value)).message();
  };
  t.row("MP_UNREACH_NLRI alone", kWithdraw, only(good));
  t.row("end-of-RIB of IPv6", kIgnore, only({0, 2, 1}));
  t.row("MP_UNREACH_NLRI of length 2", reset(3, 9), only({0, 2}));
  t.row("MP_UNREACH_NLRI prefix length 129",
        reset(3, 9),
        only(join({{0, 2, 1, 129}, Raw(17, 0x20)})));
  t.row("MP_UNREACH_NLRI prefix cut short", reset(3, 9), only({0, 2, 1, 48, 0x20}));
  t.row("MP_UNREACH_NLRI marked transitive", reset(3, 9), only(good, kPassedOn));
  t.row("MP_UNREACH_NLRI of a family that was not negotiated",
        kIgnore,
        only(join({{0, 25, 70}, Raw(20, 1)})));
  t.row("MP_UNREACH_NLRI twice",
        reset(3, 1),
        RawUpdate().attribute(kLocal, 15, good).attribute(kLocal, 15, good).message());
  t.row("MP_UNREACH_NLRI beside a bad ORIGIN",
        reset(3, 6),
        RawUpdate().attribute(kLocal, 15, good).attribute(kWellKnown, 1, {7}).message());
  t.about(Family::kIpv4);
}

}  // namespace

RawUpdate RawUpdate::valid(PeerKind peer) {
  RawUpdate update;
  update.attribute(kWellKnown, 1, {0});
  update.attribute(kWellKnown, 2, as_path_of(peer));
  update.attribute(kWellKnown, 3, {10, 0, 0, 2});
  if (peer == PeerKind::kInternal) {
    update.attribute(kWellKnown, 5, {0, 0, 0, 100});
  }
  return update;
}

RawUpdate& RawUpdate::withdrawn(std::vector<std::uint8_t> bytes) {
  withdrawn_ = std::move(bytes);
  return *this;
}
RawUpdate& RawUpdate::nlri(std::vector<std::uint8_t> bytes) {
  nlri_ = std::move(bytes);
  return *this;
}
RawUpdate& RawUpdate::attribute(std::uint8_t flags,
                                std::uint8_t type,
                                std::vector<std::uint8_t> value) {
  attributes_.push_back(Attribute{type, attribute_bytes(flags, type, value)});
  return *this;
}
RawUpdate& RawUpdate::in_front(std::uint8_t flags,
                               std::uint8_t type,
                               std::vector<std::uint8_t> value) {
  attributes_.insert(attributes_.begin(), Attribute{type, attribute_bytes(flags, type, value)});
  return *this;
}
RawUpdate& RawUpdate::replace(std::uint8_t flags,
                              std::uint8_t type,
                              std::vector<std::uint8_t> value) {
  const auto found = std::ranges::find(attributes_, type, &Attribute::type);
  if (found == attributes_.end()) {
    return attribute(flags, type, std::move(value));
  }
  found->bytes = attribute_bytes(flags, type, value);
  return *this;
}
RawUpdate& RawUpdate::remove(std::uint8_t type) {
  std::erase_if(attributes_, [type](const Attribute& a) { return a.type == type; });
  return *this;
}
RawUpdate& RawUpdate::raw_attribute(std::vector<std::uint8_t> bytes) {
  attributes_.push_back(Attribute{0, std::move(bytes)});
  return *this;
}
RawUpdate& RawUpdate::withdrawn_length(std::uint16_t length) {
  withdrawn_length_ = length;
  return *this;
}
RawUpdate& RawUpdate::attributes_length(std::uint16_t length) {
  attributes_length_ = length;
  return *this;
}

std::vector<std::uint8_t> RawUpdate::message() const {
  Raw attributes;
  for (const Attribute& attribute : attributes_) {
    attributes.insert(attributes.end(), attribute.bytes.begin(), attribute.bytes.end());
  }
  return message_of(2,
                    join({u16(withdrawn_length_.value_or(withdrawn_.size())),
                          withdrawn_,
                          u16(attributes_length_.value_or(attributes.size())),
                          attributes,
                          nlri_}));
}

std::vector<std::uint8_t> test_nlri4() {
  return {24, 198, 51, 100};
}
std::vector<std::uint8_t> test_nlri6() {
  return {48, 0x20, 0x01, 0x0D, 0xB8, 0x00, 0x99};
}
std::vector<std::uint8_t> sender6_bytes() {
  return join({{0x20, 0x01, 0x0D, 0xB8}, Raw(11, 0), {2}});
}
std::vector<std::uint8_t> test_mp_reach(std::vector<std::uint8_t> next_hop,
                                        std::vector<std::uint8_t> nlri) {
  return join({{0, 2, 1, static_cast<std::uint8_t>(next_hop.size())}, next_hop, {0}, nlri});
}

std::vector<MalformedRow> malformed_updates() {
  Table table;
  origin_rows(table);
  as_path_rows(table);
  next_hop_rows(table);
  simple_rows(table);
  internal_rows(table);
  two_octet_rows(table);
  unknown_rows(table);
  structure_rows(table);
  nlri_rows(table);
  mp_reach_rows(table);
  mp_unreach_rows(table);
  return table.take();
}

std::vector<MalformedRow> malformed_messages() {
  Table t;
  Raw bad_marker = message_of(4, {});
  bad_marker[3] = 0;
  t.row("a marker with a zero byte", reset(1, 1), bad_marker);
  t.row("length 18", reset(1, 2), join({Raw(16, 0xFF), u16(18), {4}}));
  t.row("length 0", reset(1, 2), join({Raw(16, 0xFF), u16(0), {4}}));
  t.row("KEEPALIVE of 5,000 bytes, which no capability allows",
        reset(1, 2),
        join({Raw(16, 0xFF), u16(5000), {4}}));
  t.row("message type 0", reset(1, 3), message_of(0, {}));
  t.row("message type 77", reset(1, 3), message_of(77, {1, 2, 3}));
  t.row("message type 255", reset(1, 3), message_of(255, {}));
  t.row("KEEPALIVE with a body", reset(1, 2), message_of(4, {0}));
  t.row("UPDATE of 22 bytes", reset(1, 2), message_of(2, {0, 0, 0}));
  t.row("NOTIFICATION of 20 bytes", reset(1, 2), message_of(3, {6}));
  t.row("OPEN of 28 bytes", reset(1, 2), message_of(1, Raw(9, 0)));
  t.row("ROUTE-REFRESH with a body of 3 bytes", reset(7, 1), message_of(5, {0, 1, 0}));
  t.row("ROUTE-REFRESH with route filters that nobody offered",
        reset(7, 1),
        message_of(5, {0, 1, 0, 1, 1, 64, 0, 3, 0x80, 0, 0}));
  return t.take();
}

std::vector<MalformedOpen> malformed_opens() {
  struct Row {
    std::string why;
    Raw body;
    std::uint8_t subcode;
  };
  // Version 4, AS 65001, hold time 90, 10.0.0.2, then the optional part given.
  const auto optional = [](const Raw& parameters) {
    return join({{4, 0xFD, 0xE9, 0, 90, 10, 0, 0, 2}, parameters});
  };
  const auto head = [&](std::size_t at, std::uint8_t a, std::uint8_t b) {
    Raw body = optional({0});
    body[at] = a;
    body[at + 1] = b;
    return body;
  };
  Raw no_id = optional({0});
  std::fill(no_id.begin() + 5, no_id.begin() + 9, std::uint8_t{0});
  const std::vector<Row> rows{
      {"version 3", head(0, 3, 0xFD), 1},
      {"AS 0", head(1, 0, 0), 2},
      {"hold time 1", head(3, 0, 1), 6},
      {"hold time 2", head(3, 0, 2), 6},
      {"identifier 0", no_id, 3},
      {"parameters longer than the message", optional({10, 2, 2, 2, 0}), 0},
      {"message longer than the parameters", optional({0, 2, 2}), 0},
      {"parameter longer than all of them", optional({4, 2, 9, 2, 0}), 0},
      {"parameter cut after its type", optional({1, 2}), 0},
      {"unknown parameter", optional({2, 9, 0}), 4},
      {"authentication parameter", optional({3, 1, 1, 0}), 4},
      {"extended form with two bytes of length missing", optional({255, 255}), 0},
      {"extended form with one byte of length", optional({255, 255, 0}), 0},
      {"extended form longer than the message", optional({255, 255, 0, 9, 2}), 0},
      {"extended form, parameter cut", optional({255, 255, 0, 2, 2, 0}), 0},
      {"4-octet AS capability cut to 2 bytes", optional({6, 2, 4, 65, 2, 0, 1}), 0},
      {"4-octet AS capability runs past its parameter", optional({4, 2, 2, 65, 4}), 0},
      {"4-octet AS capability with AS 0", optional({8, 2, 6, 65, 4, 0, 0, 0, 0}), 2},
      {"multiprotocol capability of 3 bytes", optional({7, 2, 5, 1, 3, 0, 1, 0}), 0},
      {"route refresh capability with a value", optional({5, 2, 3, 2, 1, 0}), 0},
      {"one byte of a capability", optional({3, 2, 1, 2}), 0},
  };
  std::vector<MalformedOpen> out;
  for (const Row& row : rows) {
    out.push_back(MalformedOpen{row.why, message_of(1, row.body), row.subcode});
  }
  return out;
}

}  // namespace margay::bgp::test
