#pragma once
// A table with its peers for tests: what each of them has heard, and what the kernel has.

#include "bgp/rib/rib.h"

#include <doctest/doctest.h>

#include <map>
#include <string_view>
#include <utility>
#include <vector>

namespace rib_test {

namespace bgp = margay::bgp;
using bgp::AttributeSet;
using bgp::NextHop;
using bgp::Nlri;
using bgp::PeerId;
using bgp::Rib;
using bgp::RibPeer;
using margay::Asn;
using margay::Family;
using margay::IpAddr;
using margay::Prefix;
using margay::RouterId;

inline constexpr std::size_t kHeader = 19;
inline constexpr Asn kOurAs{65000};
inline constexpr bgp::RibOptions kOptions{
    .asn = kOurAs, .router_id = RouterId(0x0A000001), .cluster_id = RouterId(0x0A000001)};

inline Prefix net(std::string_view text) {
  const auto prefix = Prefix::parse(text);
  REQUIRE(prefix);
  return *prefix;
}

inline IpAddr address_of(unsigned number) {
  return IpAddr::v4(0xC0000200U + number);  // 192.0.2.N
}

inline IpAddr our_v6() {
  const auto addr = IpAddr::parse("2001:db8::ff");
  REQUIRE(addr);
  return *addr;
}

inline RibPeer a_peer(unsigned number, Asn asn) {
  RibPeer peer;
  peer.id = PeerId(static_cast<std::uint16_t>(number));
  peer.router_id = RouterId(0x0A000000U + number);
  peer.address = address_of(number);
  peer.codec.internal = asn == kOurAs;
  peer.codec.ipv6.enabled = true;
  peer.codec.local_asn = kOurAs;
  peer.codec.peer_asn = asn;
  peer.codec.local_ipv4 = address_of(254);
  peer.codec.local_ipv6 = our_v6();
  return peer;
}

inline RibPeer internal(unsigned number, bool client = false) {
  RibPeer peer = a_peer(number, kOurAs);
  peer.reflector_client = client;
  return peer;
}

inline RibPeer external(unsigned number, std::uint32_t asn) {
  return a_peer(number, Asn(asn));
}

inline AttributeSet attributes(const RibPeer& from, std::vector<Asn> path = {}) {
  AttributeSet set;
  if (!from.codec.internal) {
    path.insert(path.begin(), from.codec.peer_asn);
  } else {
    set.local_pref = 100;
  }
  set.as_path = bgp::AsPath::sequence(path);
  set.next_hop = NextHop{from.address, std::nullopt};
  return set;
}

// The session as the other side sees it.
inline bgp::CodecContext other_side(const RibPeer& peer) {
  bgp::CodecContext codec = peer.codec;
  std::swap(codec.local_asn, codec.peer_asn);
  std::swap(codec.ipv4.add_path_send, codec.ipv4.add_path_receive);
  std::swap(codec.ipv6.add_path_send, codec.ipv6.add_path_receive);
  codec.local_ipv4 = peer.address;
  codec.local_ipv6.reset();
  return codec;
}

template <typename Visit>
void for_each_body(const std::vector<std::uint8_t>& bytes, const Visit& visit) {
  for (std::size_t at = 0; at < bytes.size();) {
    const std::size_t length = bytes[at + 16] * 256U + bytes[at + 17];
    REQUIRE(length >= kHeader);
    visit(bgp::Bytes(bytes).subspan(at + kHeader, length - kHeader));
    at += length;
  }
}

// A table with its peers, and what each of them has heard.
class Router {
 public:
  struct Heard {
    std::map<Prefix, AttributeSet> routes;
    std::map<Nlri, AttributeSet> paths;  // with their identifiers
    unsigned end_of_rib = 0;
  };

  Rib rib;
  std::map<Prefix, std::vector<NextHop>> fib;

  explicit Router(const bgp::RibOptions& options = kOptions) : rib(options) {}

  Router& up(const RibPeer& peer) {
    peers_[peer.id] = peer;
    heard_[peer.id] = {};
    rib.peer_up(peer);
    return *this;
  }
  void down(const RibPeer& peer) {
    rib.peer_down(peer.id);
    peers_.erase(peer.id);
    heard_.erase(peer.id);
  }

  void announce(const RibPeer& from,
                const AttributeSet& set,
                std::vector<Prefix> prefixes,
                std::uint32_t path_id = 0) {
    const bgp::CodecContext codec = other_side(from);
    bgp::UpdatePacker packer(codec);
    std::vector<Nlri> nlri;
    for (const Prefix& prefix : prefixes) {
      nlri.push_back(Nlri{prefix, path_id});
    }
    REQUIRE(packer.announce(set, nlri));
    feed(from, packer.take());
  }
  void withdraw(const RibPeer& from, const Prefix& prefix, std::uint32_t path_id = 0) {
    const bgp::CodecContext codec = other_side(from);
    bgp::UpdatePacker packer(codec);
    const Nlri nlri[] = {{prefix, path_id}};
    packer.withdraw(nlri);
    feed(from, packer.take());
  }

  // Delivers all output. Returns the number of buffers.
  std::size_t run() {
    std::size_t buffers = take_turn();
    for (unsigned turn = 0; rib.has_output() && turn < kMostTurns; ++turn) {
      buffers += take_turn();
    }
    CHECK_FALSE(rib.has_output());
    return buffers;
  }
  // What comes out at once: one slice.
  std::size_t take_turn() {
    const auto output = rib.take_output();
    for (const bgp::PeerOutput& item : output) {
      const RibPeer& peer = peers_.at(item.peer);
      Heard& heard = heard_.at(item.peer);
      for_each_body(*item.bytes, [&](bgp::Bytes body) {
        const auto update = bgp::decode_update(body, other_side(peer));
        REQUIRE(update);
        CHECK(update->notes.empty());
        for (const Nlri& nlri : update->withdrawn) {
          heard.routes.erase(nlri.prefix);
          heard.paths.erase(nlri);
        }
        for (const bgp::Announcement& announcement : update->announced) {
          for (const Nlri& nlri : announcement.prefixes) {
            heard.routes[nlri.prefix] = announcement.attributes;
            heard.paths[nlri] = announcement.attributes;
          }
        }
        heard.end_of_rib += update->end_of_rib ? 1U : 0U;
      });
    }
    for (const bgp::FibChange& change : rib.take_fib_changes()) {
      if (change.next_hops.empty()) {
        fib.erase(change.prefix);
      } else {
        fib[change.prefix] = change.next_hops;
      }
    }
    return output.size();
  }

  const Heard& heard(const RibPeer& peer) { return heard_.at(peer.id); }
  bool knows(const RibPeer& peer, const Prefix& prefix) {
    return heard(peer).routes.contains(prefix);
  }
  const std::map<PeerId, RibPeer>& peers() const { return peers_; }

 private:
  static constexpr unsigned kMostTurns = 1000;

  void feed(const RibPeer& from, const std::vector<std::uint8_t>& bytes) {
    for_each_body(bytes, [&](bgp::Bytes body) {
      const auto report = rib.update(from.id, body);
      REQUIRE(report);
      CHECK(report->notes.empty());
    });
  }

  std::map<PeerId, RibPeer> peers_;
  std::map<PeerId, Heard> heard_;
};

}  // namespace rib_test
