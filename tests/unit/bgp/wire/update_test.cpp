#include "bgp/wire/update.h"

#include "bgp/wire/message.h"
#include "tests/support/bgp_malformed.h"

#include <doctest/doctest.h>

#include <random>

namespace margay::bgp {
namespace {

using Raw = std::vector<std::uint8_t>;

Nlri nlri(std::string_view prefix, std::uint32_t path_id = 0) {
  return Nlri{*Prefix::parse(prefix), path_id};
}

CodecContext both_families() {
  CodecContext context;
  context.ipv6.enabled = true;
  context.internal = true;
  return context;
}

AttributeSet some_attributes() {
  AttributeSet set;
  set.next_hop.address = *IpAddr::parse("192.0.2.1");
  set.as_path = AsPath::sequence(std::array{Asn{65001}, Asn{4200000000}});
  set.local_pref = 100;
  return set;
}

AttributeSet all_attributes() {
  AttributeSet set = some_attributes();
  set.origin = Origin::kIncomplete;
  set.atomic_aggregate = true;
  set.med = 7;
  set.aggregator = Aggregator{Asn{4200000000}, RouterId{0x0A000001}};
  set.originator_id = RouterId{0x0A000009};
  set.cluster_list = {RouterId{2}, RouterId{1}};
  set.communities = {Community{1}, Community{2}};
  set.extended_communities = {ExtendedCommunity{0x0002FDE900000064}};
  set.ipv6_extended_communities = {Ipv6ExtendedCommunity{1, 2, 3}};
  set.large_communities = {LargeCommunity{1, 2, 3}};
  set.only_to_customer = Asn{65001};
  set.unknown = {UnknownAttribute{28, kFlagOptional | kFlagTransitive | kFlagPartial, {1, 2, 3}}};
  return set;
}

// Every message of a packed buffer, decoded.
std::vector<Update> decode_all(const Raw& buffer, const CodecContext& context) {
  std::vector<Update> updates;
  Bytes left(buffer);
  while (!left.empty()) {
    const auto frame = next_frame(left, context.extended_receive);
    REQUIRE(frame);
    REQUIRE(frame->has_value());
    auto update = decode_update((*frame)->body, context);
    REQUIRE(update);
    CHECK(update->notes.empty());
    updates.push_back(std::move(*update));
    left = left.subspan((*frame)->size);
  }
  return updates;
}

Raw attribute(const AttributeSet& set, AttrType type, const CodecContext& context) {
  const Raw block = encode_attributes(set, Family::kIpv4, context).block;
  for (std::size_t at = 0; at < block.size();) {
    const bool extended = (block[at] & kFlagExtended) != 0;
    const std::size_t header = extended ? 4 : 3;
    const std::size_t length =
        extended ? (std::size_t{block[at + 2]} << 8U) | block[at + 3] : block[at + 2];
    if (block[at + 1] == static_cast<std::uint8_t>(type)) {
      const auto from = block.begin() + static_cast<std::ptrdiff_t>(at);
      return Raw(from, from + static_cast<std::ptrdiff_t>(header + length));
    }
    at += header + length;
  }
  return {};
}

TEST_SUITE("bgp.wire") {
  TEST_CASE("each attribute is these bytes, both ways") {
    struct Row {
      AttrType type;
      Raw bytes;
    };
    const std::vector<Row> rows{
        {AttrType::kOrigin, {0x40, 1, 1, 2}},
        {AttrType::kAsPath, {0x40, 2, 10, 2, 2, 0, 0, 0xFD, 0xE9, 0xFA, 0x56, 0xEA, 0}},
        {AttrType::kNextHop, {0x40, 3, 4, 192, 0, 2, 1}},
        {AttrType::kMed, {0x80, 4, 4, 0, 0, 0, 7}},
        {AttrType::kLocalPref, {0x40, 5, 4, 0, 0, 0, 100}},
        {AttrType::kAtomicAggregate, {0x40, 6, 0}},
        {AttrType::kAggregator, {0xC0, 7, 8, 0xFA, 0x56, 0xEA, 0, 10, 0, 0, 1}},
        {AttrType::kCommunities, {0xC0, 8, 8, 0, 0, 0, 1, 0, 0, 0, 2}},
        {AttrType::kOriginatorId, {0x80, 9, 4, 10, 0, 0, 9}},
        {AttrType::kClusterList, {0x80, 10, 8, 0, 0, 0, 2, 0, 0, 0, 1}},
        {AttrType::kExtendedCommunities, {0xC0, 16, 8, 0, 2, 0xFD, 0xE9, 0, 0, 0, 100}},
        {AttrType::kIpv6ExtendedCommunities,
         {0xC0, 25, 20, 1, 2, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}},
        {static_cast<AttrType>(28), {0xE0, 28, 3, 1, 2, 3}},
        {AttrType::kLargeCommunities, {0xC0, 32, 12, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3}},
        {AttrType::kOnlyToCustomer, {0xC0, 35, 4, 0, 0, 0xFD, 0xE9}},
    };
    Raw block;
    for (const Row& row : rows) {
      CAPTURE(to_string(row.type));
      CHECK(attribute(all_attributes(), row.type, both_families()) == row.bytes);
      block.insert(block.end(), row.bytes.begin(), row.bytes.end());
    }
    CHECK(encode_attributes(all_attributes(), Family::kIpv4, both_families()).block == block);

    UpdatePacker packer{both_families()};
    REQUIRE(packer.announce(all_attributes(), std::array{nlri("203.0.113.0/24")}));
    const auto updates = decode_all(packer.take(), both_families());
    REQUIRE(updates.size() == 1);
    CHECK(updates[0].announced ==
          std::vector<Announcement>{{all_attributes(), {nlri("203.0.113.0/24")}}});
  }

  TEST_CASE("IPv6 routes travel in MP_REACH_NLRI, which comes first") {
    AttributeSet set = some_attributes();
    set.next_hop = NextHop{*IpAddr::parse("2001:db8::1"), *IpAddr::parse("fe80::1")};
    const CodecContext context = both_families();
    UpdatePacker packer(context);
    REQUIRE(packer.announce(set, std::array{nlri("2001:db8:1::/48"), nlri("::/0")}));
    const Raw bytes = packer.take();
    CHECK(bytes[kHeaderSize + 4 + 1] == 14);
    const auto updates = decode_all(bytes, context);
    REQUIRE(updates.size() == 1);
    CHECK(updates[0].announced ==
          std::vector<Announcement>{{set, {nlri("2001:db8:1::/48"), nlri("::/0")}}});
  }

  TEST_CASE("IPv4 routes with an IPv6 next hop need RFC 8950") {
    AttributeSet set = some_attributes();
    set.next_hop.address = *IpAddr::parse("fe80::1");
    CodecContext context = both_families();
    UpdatePacker packer(context);
    REQUIRE(packer.announce(set, std::array{nlri("203.0.113.0/24")}));
    const Raw bytes = packer.take();

    CHECK(!decode_update(Bytes(bytes).subspan(kHeaderSize), context));
    context.ipv4.extended_next_hop = true;
    const auto updates = decode_all(bytes, context);
    REQUIRE(updates.size() == 1);
    CHECK(updates[0].announced == std::vector<Announcement>{{set, {nlri("203.0.113.0/24")}}});
  }

  TEST_CASE("an UPDATE may carry both families at once and withdraw as well") {
    const auto message =
        test::RawUpdate::valid()
            .attribute(0x80, 14, test::test_mp_reach(test::sender6_bytes(), test::test_nlri6()))
            .attribute(0x80, 15, {0, 2, 1, 16, 0x20, 0x02})
            .withdrawn({8, 11})
            .nlri(test::test_nlri4())
            .message();
    CodecContext context = both_families();
    context.internal = false;
    const auto updates = decode_all(message, context);
    REQUIRE(updates.size() == 1);
    CHECK(updates[0].withdrawn == std::vector<Nlri>{nlri("11.0.0.0/8"), nlri("2002::/16")});
    REQUIRE(updates[0].announced.size() == 2);
    CHECK(updates[0].announced[0].attributes.next_hop.address == *IpAddr::parse(test::kSender4));
    CHECK(updates[0].announced[1].attributes.next_hop.address == *IpAddr::parse(test::kSender6));
    CHECK(updates[0].announced[0].attributes.as_path == updates[0].announced[1].attributes.as_path);
  }

  TEST_CASE("path identifiers are there exactly when negotiated") {
    CodecContext context = both_families();
    context.ipv4.add_path_send = true;
    context.ipv4.add_path_receive = true;
    UpdatePacker packer(context);
    REQUIRE(packer.announce(some_attributes(), std::array{nlri("203.0.113.0/24", 7)}));
    packer.withdraw(std::array{nlri("203.0.113.0/24", 8), nlri("2001:db8::/32")});
    const auto updates = decode_all(packer.take(), context);
    REQUIRE(updates.size() == 3);
    CHECK(updates[0].announced[0].prefixes == std::vector<Nlri>{nlri("203.0.113.0/24", 7)});
    CHECK(updates[1].withdrawn == std::vector<Nlri>{nlri("203.0.113.0/24", 8)});
    CHECK(updates[2].withdrawn == std::vector<Nlri>{nlri("2001:db8::/32")});
  }

  TEST_CASE("a 2-octet peer gets AS_TRANS with AS4_PATH and gives the same path back") {
    CodecContext context = both_families();
    context.four_octet_as = false;
    const AttributeSet set = all_attributes();
    CHECK(attribute(set, AttrType::kAsPath, context) ==
          Raw{0x40, 2, 6, 2, 2, 0xFD, 0xE9, 0x5B, 0xA0});
    CHECK(attribute(set, AttrType::kAs4Path, context) ==
          Raw{0xC0, 17, 10, 2, 2, 0, 0, 0xFD, 0xE9, 0xFA, 0x56, 0xEA, 0});
    CHECK(attribute(set, AttrType::kAs4Aggregator, context) ==
          Raw{0xC0, 18, 8, 0xFA, 0x56, 0xEA, 0, 10, 0, 0, 1});
    UpdatePacker packer(context);
    REQUIRE(packer.announce(set, std::array{nlri("203.0.113.0/24")}));
    const auto updates = decode_all(packer.take(), context);
    CHECK(updates[0].announced[0].attributes == set);
  }

  TEST_CASE("a path of small numbers needs no AS4_PATH for a 2-octet peer") {
    CodecContext context = both_families();
    context.four_octet_as = false;
    AttributeSet set = some_attributes();
    set.as_path = AsPath::sequence(std::array{Asn{1}});
    CHECK(attribute(set, AttrType::kAs4Path, context).empty());
  }

  TEST_CASE("AGGREGATOR with a real AS number overrules both AS4 attributes") {
    CodecContext context = both_families();
    context.internal = false;
    context.four_octet_as = false;
    const auto message = test::RawUpdate::valid(test::PeerKind::kExternalTwoOctet)
                             .attribute(0xC0, 7, {0, 9, 10, 0, 0, 1})
                             .attribute(0xC0, 17, {2, 1, 0, 1, 0, 0})
                             .attribute(0xC0, 18, {0, 1, 0, 0, 10, 0, 0, 2})
                             .nlri(test::test_nlri4())
                             .message();
    const auto updates = decode_all(message, context);
    CHECK(updates[0].announced[0].attributes.as_path.str() == "65001 64998");
    CHECK(updates[0].announced[0].attributes.aggregator ==
          Aggregator{Asn{9}, RouterId{0x0A000001}});
  }

  TEST_CASE("unknown transitive attributes of every type pass byte for byte, with Partial set") {
    const CodecContext context = both_families();
    for (unsigned type = 1; type < 256; ++type) {
      CAPTURE(type);
      const auto probe = test::RawUpdate::valid(test::PeerKind::kInternal)
                             .attribute(0xC0, static_cast<std::uint8_t>(type), Raw(type * 3, 0x5A))
                             .nlri(test::test_nlri4())
                             .message();
      const auto update = decode_update(Bytes(probe).subspan(kHeaderSize), context);
      if (!update || update->announced.empty() || update->announced[0].attributes.unknown.empty()) {
        continue;  // a row of our table
      }
      const Raw bytes =
          attribute(update->announced[0].attributes, static_cast<AttrType>(type), context);
      REQUIRE(bytes.size() >= type * 3);
      CHECK(Raw(bytes.end() - static_cast<std::ptrdiff_t>(type * 3), bytes.end()) ==
            Raw(type * 3, 0x5A));
      CHECK((bytes[0] & kFlagPartial) != 0);
    }
  }

  TEST_CASE("the Partial flag of a known attribute is kept") {
    AttributeSet set = some_attributes();
    set.communities = {Community{5}};
    set.partial = AttributeSet::kPartialCommunities;
    CHECK(attribute(set, AttrType::kCommunities, both_families()) == Raw{0xE0, 8, 4, 0, 0, 0, 5});
    UpdatePacker packer{both_families()};
    REQUIRE(packer.announce(set, std::array{nlri("203.0.113.0/24")}));
    CHECK(decode_all(packer.take(), both_families())[0].announced[0].attributes == set);
  }

  TEST_CASE("communities in any order, with repeats, are one value") {
    AttributeSet set = some_attributes();
    set.communities = {Community{9}, Community{1}, Community{9}};
    set.canonicalize();
    AttributeSet other = some_attributes();
    other.add(Community{9});
    other.add(Community{1});
    other.add(Community{1});
    CHECK(set == other);
    CHECK(hash_of(set) == hash_of(other));
    CHECK(other.has(Community{9}));
    other.remove(Community{9});
    CHECK(!other.has(Community{9}));
    CHECK(hash_of(set) != hash_of(other));
  }

  TEST_CASE("end-of-RIB of both families is recognised") {
    const CodecContext context = both_families();
    UpdatePacker packer(context);
    packer.end_of_rib(kIpv4Unicast);
    packer.end_of_rib(kIpv6Unicast);
    CHECK(packer.messages() == 2);
    const auto updates = decode_all(packer.take(), context);
    REQUIRE(updates.size() == 2);
    CHECK(updates[0].end_of_rib == kIpv4Unicast);
    CHECK(updates[1].end_of_rib == kIpv6Unicast);
  }

  TEST_CASE("100,000 prefixes of one attribute set are packed full and come back in order") {
    std::mt19937 random(7);
    std::vector<Nlri> prefixes;
    for (unsigned i = 0; i < 100'000; ++i) {
      const auto length = static_cast<unsigned>(8 + random() % 25);
      prefixes.push_back(Nlri{Prefix::masked(IpAddr::v4(0x0B000000U + (i << 8U)), length), 0});
    }
    for (const bool extended : {false, true}) {
      CAPTURE(extended);
      CodecContext context = both_families();
      context.extended_receive = extended;
      context.extended_send = extended;
      UpdatePacker packer(context);
      REQUIRE(packer.announce(some_attributes(), prefixes));
      const std::size_t limit = extended ? kMaxExtendedMessageSize : kMaxMessageSize;
      const std::size_t fewest = packer.size() / limit;
      CHECK(packer.messages() <= fewest + fewest / 100 + 1);
      std::vector<Nlri> got;
      for (const Update& update : decode_all(packer.take(), context)) {
        REQUIRE(update.announced.size() == 1);
        got.insert(
            got.end(), update.announced[0].prefixes.begin(), update.announced[0].prefixes.end());
      }
      CHECK(got == prefixes);
    }
  }

  TEST_CASE("a long MP_UNREACH_NLRI comes through an extended message") {
    CodecContext context = both_families();
    context.extended_receive = true;
    context.extended_send = true;
    std::vector<Nlri> prefixes;
    for (unsigned i = 0; i < 5268; ++i) {  // about 36,900 bytes, as was seen in the wild
      std::array<std::uint8_t, 16> bytes{0x20, 0x01};
      bytes[4] = static_cast<std::uint8_t>(i >> 8U);
      bytes[5] = static_cast<std::uint8_t>(i);
      prefixes.push_back(Nlri{Prefix::masked(IpAddr::v6(bytes), 48), 0});
    }
    UpdatePacker packer(context);
    packer.withdraw(prefixes);
    CHECK(packer.messages() == 1);
    CHECK(decode_all(packer.take(), context)[0].withdrawn == prefixes);
  }

  TEST_CASE("attributes that leave no room for a prefix are refused, not sent cut") {
    AttributeSet set = some_attributes();
    set.unknown = {UnknownAttribute{99, kFlagOptional | kFlagTransitive, Raw(4050, 1)}};
    CodecContext context = both_families();
    UpdatePacker packer(context);
    CHECK(!packer.announce(set, std::array{nlri("203.0.113.0/24")}));
    CHECK(packer.size() == 0);
    context.extended_send = true;
    UpdatePacker roomy(context);
    CHECK(roomy.announce(set, std::array{nlri("203.0.113.0/24")}));
  }

  TEST_CASE("the key of a cache covers all that decides the attributes, and no prefixes") {
    const auto split = [](const Raw& message) {
      auto parts = split_update(Bytes(message).subspan(kHeaderSize));
      REQUIRE(parts);
      return *parts;
    };
    const auto key = [](const UpdateParts& parts) {
      Raw bytes;
      for (const Bytes piece : parts.key_pieces) {
        bytes.insert(bytes.end(), piece.begin(), piece.end());
      }
      return std::pair(parts.key_shape(), bytes);
    };
    const auto mp = [](Raw next_hop, Raw prefixes) {
      return test::RawUpdate::valid()
          .attribute(0x80, 14, test::test_mp_reach(std::move(next_hop), std::move(prefixes)))
          .attribute(0x80, 4, {0, 0, 0, 1})
          .message();
    };
    const Raw one = mp(test::sender6_bytes(), test::test_nlri6());
    const Raw more = mp(test::sender6_bytes(), {32, 0x20, 1, 0xD, 0xB9, 16, 0x20, 2});
    const Raw other_hop = mp(Raw(16, 0x20), test::test_nlri6());
    const Raw no_prefix = mp(test::sender6_bytes(), {});
    CHECK(key(split(one)) == key(split(more)));
    CHECK(key(split(one)) != key(split(other_hop)));
    CHECK(key(split(one)) != key(split(no_prefix)));
    const Raw ipv4 = test::RawUpdate::valid().nlri(test::test_nlri4()).message();
    const Raw ipv4_other = test::RawUpdate::valid().nlri({8, 11}).message();
    CHECK(key(split(ipv4)) == key(split(ipv4_other)));
    CHECK(key(split(ipv4)) != key(split(test::RawUpdate::valid().message())));
  }

  TEST_CASE("martians are these prefixes") {
    for (const char* text : {"0.0.0.0/8",
                             "127.0.0.0/8",
                             "127.0.0.1/32",
                             "224.0.0.0/4",
                             "255.255.255.255/32",
                             "::1/128",
                             "::ffff:10.0.0.0/104",
                             "fe80::/64",
                             "ff02::/16"}) {
      CAPTURE(text);
      CHECK(is_martian(*Prefix::parse(text)));
    }
    for (const char* text : {"0.0.0.0/0",
                             "::/0",
                             "10.0.0.0/8",
                             "128.0.0.0/1",
                             "223.255.255.0/24",
                             "2001:db8::/32",
                             "fd00::/8",
                             "64:ff9b::/96"}) {
      CAPTURE(text);
      CHECK(!is_martian(*Prefix::parse(text)));
    }
  }
}

}  // namespace
}  // namespace margay::bgp
