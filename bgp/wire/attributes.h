#pragma once
// AttributeSet: the path attributes of a route as one value, canonical, comparable and hashable, so
// that a table can intern it. AS4_PATH and AS4_AGGREGATOR are merged away on receipt and made anew
// for a 2-octet peer; MP_REACH_NLRI leaves only its next hop here.
//
// Canonical means: communities of all kinds are sorted and unique, unknown attributes are sorted by
// type, so equal sets give equal bytes. Policy changes a copy.

#include "base/strong.h"
#include "bgp/wire/as_path.h"
#include "bgp/wire/types.h"

#include <optional>
#include <vector>

namespace margay::bgp {

struct NextHop {
  IpAddr address;                    // may itself be link-local (unnumbered peers)
  std::optional<IpAddr> link_local;  // RFC 2545: the second address of an IPv6 next hop
  IfIndex link = {};                 // of an unnumbered peer: the interface it is on
  auto operator<=>(const NextHop&) const = default;
};

struct Aggregator {
  Asn asn;
  RouterId id;
  auto operator<=>(const Aggregator&) const = default;
};

// An optional transitive attribute without a row in our table: passed on byte for byte, with the
// Partial flag set (RFC 4271 section 5).
struct UnknownAttribute {
  std::uint8_t type = 0;
  std::uint8_t flags = 0;
  std::vector<std::uint8_t> value;
  auto operator<=>(const UnknownAttribute&) const = default;
};

struct AttributeSet {
  // Known optional transitive attributes that arrived with the Partial flag: it must stay set.
  enum PartialBit : std::uint8_t {
    kPartialAggregator = 1,
    kPartialCommunities = 2,
    kPartialExtendedCommunities = 4,
    kPartialIpv6ExtendedCommunities = 8,
    kPartialLargeCommunities = 16,
    kPartialOnlyToCustomer = 32,
  };

  Origin origin = Origin::kIgp;
  bool atomic_aggregate = false;
  std::uint8_t partial = 0;  // of PartialBit
  NextHop next_hop;
  AsPath as_path;
  std::optional<std::uint32_t> med;
  std::optional<std::uint32_t> local_pref;
  std::optional<Aggregator> aggregator;
  std::optional<RouterId> originator_id;
  std::optional<Asn> only_to_customer;  // RFC 9234
  std::vector<RouterId> cluster_list;
  std::vector<Community> communities;
  std::vector<ExtendedCommunity> extended_communities;
  std::vector<Ipv6ExtendedCommunity> ipv6_extended_communities;
  std::vector<LargeCommunity> large_communities;
  std::vector<UnknownAttribute> unknown;

  [[nodiscard]] bool has(Community community) const;
  void add(Community community);  // keeps the order
  void remove(Community community);
  void add(const LargeCommunity& community);
  // Restores the canonical order after lists were changed by hand.
  void canonicalize();

  bool operator==(const AttributeSet&) const = default;
};

// seed: random where peers choose the sets, so that they cannot make them collide.
[[nodiscard]] std::uint64_t hash_of(const AttributeSet& attributes, std::uint64_t seed = 0);

}  // namespace margay::bgp
