#include "tests/unit/bgp/rib/router.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <set>

using namespace rib_test;

namespace {

RibPeer with_add_path(RibPeer peer) {
  for (bgp::FamilyContext* family : {&peer.codec.ipv4, &peer.codec.ipv6}) {
    family->add_path_send = true;
    family->add_path_receive = true;
  }
  return peer;
}

// Next hops of all paths that the peer holds for the prefix, IPv4 host parts.
std::multiset<IpAddr> hops(Router& router, const RibPeer& peer, const Prefix& prefix) {
  std::multiset<IpAddr> out;
  for (const auto& [nlri, set] : router.heard(peer).paths) {
    if (nlri.prefix == prefix) {
      out.insert(set.next_hop.address);
    }
  }
  return out;
}

}  // namespace

TEST_SUITE("bgp.rib.add_path") {
  TEST_CASE("a peer with add-path hears every usable path, others the best one") {
    Router router;
    const RibPeer one = internal(1, true);
    const RibPeer two = internal(2, true);
    const RibPeer all = with_add_path(internal(3, true));
    const RibPeer best = internal(4, true);
    router.up(one).up(two).up(all).up(best);
    const Prefix service = net("10.9.0.1/32");
    router.announce(one, attributes(one), {service});
    router.announce(two, attributes(two), {service});
    router.run();

    CHECK(hops(router, all, service) == std::multiset{one.address, two.address});
    CHECK(hops(router, best, service) == std::multiset{one.address});

    router.withdraw(one, service);
    router.run();
    CHECK(hops(router, all, service) == std::multiset{two.address});
    CHECK(hops(router, best, service) == std::multiset{two.address});

    router.withdraw(two, service);
    router.run();
    CHECK(router.heard(all).paths.empty());
    CHECK(router.rib.prefix_count() == 0);
  }

  TEST_CASE("paths of one peer with different identifiers stand side by side") {
    Router router;
    const RibPeer source = with_add_path(external(1, 65001));
    const RibPeer all = with_add_path(internal(2));
    router.up(source).up(all);
    const Prefix prefix = net("10.9.0.0/24");
    AttributeSet near = attributes(source);
    AttributeSet far = attributes(source, {Asn(65010)});
    far.next_hop.address = address_of(77);
    router.announce(source, near, {prefix}, 1);
    router.announce(source, far, {prefix}, 2);
    router.run();

    CHECK(router.rib.route(prefix)->paths.size() == 2);
    CHECK(router.rib.counts(source.id).received() == 2);
    CHECK(hops(router, all, prefix) == std::multiset{source.address, address_of(77)});
    CHECK(router.heard(source).paths.empty());
    CHECK(router.rib.advertised(all.id).front().paths.size() == 2);

    router.withdraw(source, prefix, 1);
    router.run();
    CHECK(hops(router, all, prefix) == std::multiset{address_of(77)});
    router.down(source);
    router.run();
    CHECK(router.heard(all).paths.empty());
    CHECK(router.rib.path_count() == 0);
  }

  TEST_CASE("random histories: a peer with add-path holds what all others said, and no more") {
    constexpr unsigned kSeed = 17;
    CAPTURE(kSeed);
    std::mt19937 random(kSeed);
    const auto below = [&random](unsigned bound) {
      return static_cast<unsigned>(random() % bound);
    };
    std::vector<RibPeer> all;
    for (unsigned number = 1; number <= 4; ++number) {
      all.push_back(with_add_path(internal(number, true)));
    }
    Router router;
    std::map<PeerId, std::map<Nlri, IpAddr>> said;  // next hops
    for (const RibPeer& peer : all) {
      router.up(peer);
      said[peer.id];
    }
    for (unsigned step = 0; step < 2'000; ++step) {
      const RibPeer& peer = all[below(4)];
      const Nlri nlri{Prefix::masked(IpAddr::v4(0x0A000000U + (below(5) << 8U)), 24), below(3)};
      if (!said.contains(peer.id)) {
        router.up(peer);
        said[peer.id];
      } else if (below(50) == 0) {
        router.down(peer);
        said.erase(peer.id);
      } else if (below(3) == 0) {
        router.withdraw(peer, nlri.prefix, nlri.path_id);
        said[peer.id].erase(nlri);
      } else {
        AttributeSet set = attributes(peer);
        set.next_hop.address = address_of(10 + below(6));
        router.announce(peer, set, {nlri.prefix}, nlri.path_id);
        said[peer.id][nlri] = set.next_hop.address;
      }
      if (below(4) != 0) {
        continue;
      }
      router.run();
      for (const auto& [id, own] : said) {
        std::multiset<std::pair<Prefix, IpAddr>> expected;
        for (const auto& [other, theirs] : said) {
          for (const auto& [one, hop] : theirs) {
            if (other != id) {
              expected.emplace(one.prefix, hop);
            }
          }
        }
        std::multiset<std::pair<Prefix, IpAddr>> heard;
        for (const auto& [one, set] : router.heard(router.peers().at(id)).paths) {
          heard.emplace(one.prefix, set.next_hop.address);
        }
        CAPTURE(step);
        REQUIRE(heard == expected);
      }
    }
  }
}

TEST_SUITE("bgp.rib.long_lived") {
  TEST_CASE("a peer that stays away keeps its routes as the last choice, but for NO_LLGR") {
    Router router;
    const RibPeer node = internal(1, true);
    const RibPeer other = internal(2, true);
    RibPeer knows = external(3, 65003);
    knows.long_lived = true;
    const RibPeer ignorant = external(4, 65004);
    RibPeer inside = internal(5, true);
    router.up(node).up(other).up(knows).up(ignorant).up(inside);
    const Prefix both = net("10.1.0.0/26");
    const Prefix alone = net("10.2.0.0/26");
    const Prefix forbidden = net("10.3.0.0/26");
    AttributeSet preferred = attributes(node);
    preferred.local_pref = 500;
    AttributeSet not_kept = attributes(node);
    not_kept.add(bgp::kNoLlgr);
    router.announce(node, preferred, {both, alone});
    router.announce(node, not_kept, {forbidden});
    router.announce(other, attributes(other), {both});
    router.run();
    REQUIRE(router.rib.route(both)->paths[0].peer == node.id);

    router.rib.peer_restarting(node.id);
    router.run();
    REQUIRE(router.knows(ignorant, alone));
    router.rib.peer_long_lived(node.id, Family::kIpv4);
    router.run();

    const auto route = router.rib.route(both);
    CHECK(route->paths[0].peer == other.id);
    CHECK(route->paths[1].lost_at == bgp::DecisionStep::kLongLived);
    CHECK(router.knows(knows, alone));
    CHECK(router.heard(knows).routes.at(alone).has(bgp::kLlgrStale));
    CHECK_FALSE(router.knows(ignorant, alone));
    CHECK(router.heard(inside).routes.at(alone).local_pref == 0U);  // RFC 9494 section 4.6
    CHECK(router.heard(inside).routes.at(alone).has(bgp::kNoExport));
    CHECK_FALSE(router.rib.route(forbidden).has_value());
    CHECK(router.fib.contains(alone));

    // It comes back and is away again before it has said anything: RFC 9494 section 4.2.
    router.up(node);
    router.run();
    router.rib.peer_restarting(node.id);
    router.run();
    CHECK(router.fib.contains(alone));
    CHECK(router.knows(knows, alone));

    router.up(node);
    router.announce(node, preferred, {both, alone});
    router.rib.drop_stale(node.id, Family::kIpv4);
    router.run();
    CHECK(router.rib.route(both)->paths[0].peer == node.id);
    CHECK(router.knows(ignorant, alone));
    CHECK_FALSE(router.heard(knows).routes.at(alone).has(bgp::kLlgrStale));
  }
}
