#include "bgp/monitor/adj_in.h"

#include "bgp/rib/rib.h"
#include "bgp/wire/message.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <map>
#include <vector>

namespace margay::bgp {
namespace {

CodecContext session() {
  CodecContext codec;
  codec.ipv6.enabled = true;
  codec.local_asn = Asn(65000);
  codec.peer_asn = Asn(65001);
  return codec;
}

AttributeSet attributes(std::string_view next_hop, std::uint32_t med) {
  AttributeSet set;
  set.next_hop.address = *IpAddr::parse(next_hop);
  set.as_path = AsPath::sequence(std::array{Asn(65001), Asn(70000)});
  set.med = med;
  return set;
}

Nlri nlri(std::string_view prefix) {
  return {*Prefix::parse(prefix), 0};
}

// What a reader of the messages holds in the end.
std::map<Nlri, AttributeSet> read(Bytes messages, const CodecContext& codec) {
  std::map<Nlri, AttributeSet> held;
  while (!messages.empty()) {
    const auto frame = next_frame(messages, true);
    REQUIRE(frame);
    REQUIRE(frame->has_value());
    const auto update = decode_update((*frame)->body, codec);
    REQUIRE(update);
    for (const Nlri& gone : update->withdrawn) {
      held.erase(gone);
    }
    for (const Announcement& announced : update->announced) {
      for (const Nlri& prefix : announced.prefixes) {
        held[prefix] = announced.attributes;
      }
    }
    messages = messages.subspan((*frame)->size);
  }
  return held;
}

TEST_SUITE("bgp.monitor.adj_in") {
  TEST_CASE("retold paths read as they were, packed by their attributes") {
    const AttributeSet a = attributes("192.0.2.2", 1);
    const AttributeSet b = attributes("2001:db8::2", 2);
    const std::vector<ToldPath> paths{{nlri("10.0.0.0/8"), &a},
                                      {nlri("2001:db8:1::/48"), &b},
                                      {nlri("10.1.0.0/16"), &a},
                                      {nlri("10.9.0.0/16"), nullptr}};
    const auto messages = retell(session(), paths);
    const auto held = read(messages, session());
    REQUIRE(held.size() == 3);
    CHECK(held.at(nlri("10.0.0.0/8")) == a);
    CHECK(held.at(nlri("10.1.0.0/16")) == a);
    CHECK(held.at(nlri("2001:db8:1::/48")) == b);
    unsigned count = 0;
    for (Bytes left = messages; !left.empty(); ++count) {
      left = left.subspan((**next_frame(left, true)).size);
    }
    CHECK(count == 3);  // a withdrawal, and one for each set
  }

  TEST_CASE("a session without 4-octet AS numbers and one with path identifiers keep theirs") {
    CodecContext codec = session();
    codec.four_octet_as = false;
    codec.ipv4.add_path_receive = true;
    const AttributeSet a = attributes("192.0.2.2", 1);
    const std::vector<ToldPath> paths{{{*Prefix::parse("10.0.0.0/8"), 7}, &a},
                                      {{*Prefix::parse("10.0.0.0/8"), 8}, &a}};
    const auto held = read(retell(codec, paths), codec);
    REQUIRE(held.size() == 2);
    CHECK(held.at({*Prefix::parse("10.0.0.0/8"), 7}) == a);
  }

  TEST_CASE("End-of-RIB is told for each family of the session") {
    CodecContext codec = session();
    CHECK(ends_of_rib(codec).size() == 23 + 29);
    codec.ipv6.enabled = false;
    CHECK(ends_of_rib(codec).size() == 23);
  }

  TEST_CASE("an UPDATE speaks of all prefixes in it, announced or not") {
    const AttributeSet b = attributes("2001:db8::2", 2);
    UpdatePacker packer(session());
    REQUIRE(packer.announce(b, std::array{nlri("2001:db8:1::/48"), nlri("2001:db8:2::/48")}));
    const auto message = packer.take();
    const auto subject = subject_of(Bytes(message).subspan(kHeaderSize), session());
    CHECK(subject.prefixes == std::vector{nlri("2001:db8:1::/48"), nlri("2001:db8:2::/48")});
    CHECK_FALSE(subject.end_of_rib);
    packer.withdraw(std::array{nlri("10.0.0.0/8")});
    const auto withdrawal = packer.take();
    CHECK(subject_of(Bytes(withdrawal).subspan(kHeaderSize), session()).prefixes ==
          std::vector{nlri("10.0.0.0/8")});
    packer.end_of_rib(kIpv6Unicast);
    const auto end = packer.take();
    CHECK(subject_of(Bytes(end).subspan(kHeaderSize), session()).end_of_rib == kIpv6Unicast);
    const std::array<std::uint8_t, 2> broken{0, 9};
    CHECK(subject_of(broken, session()).prefixes.empty());
  }

  TEST_CASE("whether prefixes carry identifiers is asked of their own family") {
    CodecContext codec = session();
    codec.ipv6.add_path_receive = true;
    UpdatePacker packer(codec);
    packer.end_of_rib(kIpv6Unicast);
    const auto six = packer.take();
    packer.end_of_rib(kIpv4Unicast);
    const auto four = packer.take();
    CHECK(has_path_ids(Bytes(six).subspan(kHeaderSize), codec));
    CHECK_FALSE(has_path_ids(Bytes(four).subspan(kHeaderSize), codec));
  }

  TEST_CASE("a walk in slices meets every path once, while nothing changes") {
    Rib rib({Asn(65000), RouterId(1), RouterId(1), 16});
    RibPeer peer;
    peer.id = PeerId(3);
    peer.codec = session();
    rib.peer_up(peer);
    const AttributeSet a = attributes("192.0.2.2", 1);
    std::vector<Nlri> all;
    for (std::uint32_t i = 0; i < 1000; ++i) {
      all.push_back({Prefix::host(IpAddr::v4(0x0A000000U + i)), 0});
    }
    UpdatePacker packer(session());
    REQUIRE(packer.announce(a, all));
    const auto messages = packer.take();
    for (Bytes left = messages; !left.empty();) {
      const auto frame = **next_frame(left, true);
      REQUIRE(rib.update(PeerId(3), frame.body));
      left = left.subspan(frame.size);
    }
    std::vector<Nlri> met;
    std::optional<std::uint32_t> at = 0;
    unsigned slices = 0;
    while (at) {
      at = rib.walk(*at, 64, [&met](const StoredPath& path) {
        CHECK(path.peer == PeerId(3));
        CHECK(path.accepted);
        met.push_back(path.nlri);
      });
      ++slices;
    }
    std::ranges::sort(met);
    CHECK(met == all);
    CHECK(slices > 10);
    CHECK_FALSE(rib.walk(1U << 30U, 64, [](const StoredPath&) {}));
    bool shown = false;
    rib.visit(PeerId(3), all.front(), [&shown](const StoredPath&) { shown = true; });
    CHECK(shown);
    rib.visit(PeerId(4), all.front(), [](const StoredPath&) { FAIL("of another peer"); });
    CHECK(rib.received_counts(PeerId(3)).received() == 1000);
  }
}

}  // namespace
}  // namespace margay::bgp
