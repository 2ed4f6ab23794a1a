#include "bgp/wire/attribute_table.h"

#include <algorithm>
#include <array>
#include <limits>

namespace margay::bgp {

namespace {

using Fault = std::optional<AttributeFault>;

Fault wrong_length() {
  return AttributeFault{UpdateError::kAttributeLength, "wrong length"};
}

// ---- ORIGIN, RFC 7606 section 7.1
Fault decode_origin(Bytes value, AttributeDecoding& into) {
  if (value.size() != 1) {
    return wrong_length();
  }
  if (value[0] > static_cast<std::uint8_t>(Origin::kIncomplete)) {
    return AttributeFault{UpdateError::kInvalidOrigin, "undefined value"};
  }
  into.set.origin = static_cast<Origin>(value[0]);
  return std::nullopt;
}
bool encode_origin(const AttributeSet& set, const CodecContext&, ByteWriter& out) {
  out.u8(static_cast<std::uint8_t>(set.origin));
  return true;
}

// ---- AS_PATH, RFC 7606 section 7.2
std::string_view describe(AsPath::Fault fault) {
  switch (fault) {
    case AsPath::Fault::kNone:
      return "";
    case AsPath::Fault::kType:
      return "unknown segment type";
    case AsPath::Fault::kOverrun:
      return "segment runs past the end";
    case AsPath::Fault::kEmptySegment:
      return "empty segment";
    case AsPath::Fault::kAsZero:
      return "contains AS 0";
    case AsPath::Fault::kConfed:
      return "confederation segment from outside";
  }
  return "";
}
Fault decode_as_path(Bytes value, AttributeDecoding& into) {
  const AsPath::Fault fault =
      AsPath::decode(value, into.context.four_octet_as, false, into.set.as_path);
  if (fault == AsPath::Fault::kNone) {
    return std::nullopt;
  }
  return AttributeFault{UpdateError::kMalformedAsPath, describe(fault)};
}
bool encode_as_path(const AttributeSet& set, const CodecContext& context, ByteWriter& out) {
  set.as_path.encode(out, context.four_octet_as);
  return true;
}

// ---- NEXT_HOP, section 7.3; of no meaning without an NLRI field (RFC 4760 section 3)
Fault decode_next_hop(Bytes value, AttributeDecoding& into) {
  if (!into.has_nlri_field) {
    return std::nullopt;
  }
  if (value.size() != 4) {
    return wrong_length();
  }
  into.set.next_hop.address = IpAddr::v4(ByteReader(value).u32());
  return check_next_hop(into.set.next_hop.address, into.context);
}
// Only for IPv4 next hops of the NLRI field: encode_attributes clears the next hop for MP_REACH.
bool encode_next_hop(const AttributeSet& set, const CodecContext&, ByteWriter& out) {
  if (!set.next_hop.address.is_v4() || set.next_hop.address.is_unspecified()) {
    return false;
  }
  out.bytes(set.next_hop.address.bytes());
  return true;
}

// ---- MULTI_EXIT_DISC, LOCAL_PREF: sections 7.4, 7.5
Fault decode_u32(Bytes value, std::optional<std::uint32_t>& into) {
  if (value.size() != 4) {
    return wrong_length();
  }
  into = ByteReader(value).u32();
  return std::nullopt;
}
bool encode_u32(const std::optional<std::uint32_t>& value, ByteWriter& out) {
  if (value) {
    out.u32(*value);
  }
  return value.has_value();
}
Fault decode_med(Bytes value, AttributeDecoding& into) {
  return decode_u32(value, into.set.med);
}
bool encode_med(const AttributeSet& set, const CodecContext&, ByteWriter& out) {
  return encode_u32(set.med, out);
}
Fault decode_local_pref(Bytes value, AttributeDecoding& into) {
  return decode_u32(value, into.set.local_pref);
}
bool encode_local_pref(const AttributeSet& set, const CodecContext&, ByteWriter& out) {
  return encode_u32(set.local_pref, out);
}

// ---- ATOMIC_AGGREGATE, section 7.6
Fault decode_atomic_aggregate(Bytes value, AttributeDecoding& into) {
  if (!value.empty()) {
    return wrong_length();
  }
  into.set.atomic_aggregate = true;
  return std::nullopt;
}
bool encode_atomic_aggregate(const AttributeSet& set, const CodecContext&, ByteWriter&) {
  return set.atomic_aggregate;
}

// ---- AGGREGATOR, section 7.7, and AS4_AGGREGATOR, RFC 6793 section 6
Fault read_aggregator(Bytes value, bool wide, std::optional<Aggregator>& into) {
  if (value.size() != (wide ? 8U : 6U)) {
    return wrong_length();
  }
  ByteReader in(value);
  const Asn asn{wide ? in.u32() : in.u16()};
  if (asn == Asn{}) {
    return AttributeFault{UpdateError::kOptionalAttribute, "contains AS 0"};  // RFC 7607
  }
  into = Aggregator{asn, RouterId{in.u32()}};
  return std::nullopt;
}
Fault decode_aggregator(Bytes value, AttributeDecoding& into) {
  return read_aggregator(value, into.context.four_octet_as, into.set.aggregator);
}
bool is_wide(Asn asn) {
  return asn.value() > std::numeric_limits<std::uint16_t>::max();
}
bool encode_aggregator(const AttributeSet& set, const CodecContext& context, ByteWriter& out) {
  if (!set.aggregator) {
    return false;
  }
  const Asn asn = set.aggregator->asn;
  if (context.four_octet_as) {
    out.u32(asn.value());
  } else {
    out.u16(static_cast<std::uint16_t>(is_wide(asn) ? kAsTrans.value() : asn.value()));
  }
  out.u32(set.aggregator->id.value());
  return true;
}
Fault decode_as4_aggregator(Bytes value, AttributeDecoding& into) {
  if (into.context.four_octet_as) {
    return AttributeFault{UpdateError::kOptionalAttribute, "from a 4-octet speaker"};
  }
  return read_aggregator(value, true, into.as4_aggregator);
}
bool encode_as4_aggregator(const AttributeSet& set, const CodecContext& context, ByteWriter& out) {
  if (context.four_octet_as || !set.aggregator || !is_wide(set.aggregator->asn)) {
    return false;
  }
  out.u32(set.aggregator->asn.value());
  out.u32(set.aggregator->id.value());
  return true;
}

// ---- AS4_PATH, RFC 6793 section 6
Fault decode_as4_path(Bytes value, AttributeDecoding& into) {
  if (into.context.four_octet_as) {
    return AttributeFault{UpdateError::kOptionalAttribute, "from a 4-octet speaker"};
  }
  constexpr std::size_t kSmallest = 6;
  AsPath path;
  const AsPath::Fault fault = AsPath::decode(value, true, true, path);
  if (fault != AsPath::Fault::kNone) {
    return AttributeFault{UpdateError::kOptionalAttribute, describe(fault)};
  }
  if (value.size() < kSmallest) {
    return wrong_length();
  }
  into.as4_path = std::move(path);
  return std::nullopt;
}
bool encode_as4_path(const AttributeSet& set, const CodecContext& context, ByteWriter& out) {
  if (context.four_octet_as || set.as_path.fits_two_octets()) {
    return false;
  }
  set.as_path.encode(out, true);
  return true;
}

// ---- lists of fixed-size elements: sections 7.8, 7.10, 7.14, 7.15, RFC 8092 section 5
template <typename T, typename Read>
Fault decode_list(Bytes value, std::size_t element, std::vector<T>& into, Read read) {
  if (value.empty() || value.size() % element != 0) {
    return wrong_length();
  }
  into.reserve(value.size() / element);
  for (ByteReader in(value); !in.empty();) {
    into.push_back(read(in));
  }
  return std::nullopt;
}

Fault decode_communities(Bytes value, AttributeDecoding& into) {
  return decode_list(
      value, 4, into.set.communities, [](ByteReader& in) { return Community{in.u32()}; });
}
bool encode_communities(const AttributeSet& set, const CodecContext&, ByteWriter& out) {
  for (const Community community : set.communities) {
    out.u32(community.value());
  }
  return !set.communities.empty();
}

Fault decode_originator_id(Bytes value, AttributeDecoding& into) {
  std::optional<std::uint32_t> id;
  if (Fault fault = decode_u32(value, id)) {
    return fault;
  }
  into.set.originator_id = RouterId{*id};
  return std::nullopt;
}
bool encode_originator_id(const AttributeSet& set, const CodecContext&, ByteWriter& out) {
  if (set.originator_id) {
    out.u32(set.originator_id->value());
  }
  return set.originator_id.has_value();
}

Fault decode_cluster_list(Bytes value, AttributeDecoding& into) {
  return decode_list(
      value, 4, into.set.cluster_list, [](ByteReader& in) { return RouterId{in.u32()}; });
}
bool encode_cluster_list(const AttributeSet& set, const CodecContext&, ByteWriter& out) {
  for (const RouterId id : set.cluster_list) {
    out.u32(id.value());
  }
  return !set.cluster_list.empty();
}

Fault decode_extended_communities(Bytes value, AttributeDecoding& into) {
  return decode_list(value, 8, into.set.extended_communities, [](ByteReader& in) {
    return ExtendedCommunity{in.u64()};
  });
}
bool encode_extended_communities(const AttributeSet& set, const CodecContext&, ByteWriter& out) {
  for (const ExtendedCommunity community : set.extended_communities) {
    out.u64(community.value());
  }
  return !set.extended_communities.empty();
}

Fault decode_ipv6_extended_communities(Bytes value, AttributeDecoding& into) {
  return decode_list(value, 20, into.set.ipv6_extended_communities, [](ByteReader& in) {
    Ipv6ExtendedCommunity community{};
    std::ranges::copy(in.bytes(community.size()), community.begin());
    return community;
  });
}
bool encode_ipv6_extended_communities(const AttributeSet& set,
                                      const CodecContext&,
                                      ByteWriter& out) {
  for (const Ipv6ExtendedCommunity& community : set.ipv6_extended_communities) {
    out.bytes(community);
  }
  return !set.ipv6_extended_communities.empty();
}

Fault decode_large_communities(Bytes value, AttributeDecoding& into) {
  return decode_list(value, 12, into.set.large_communities, [](ByteReader& in) {
    LargeCommunity community;
    community.global = in.u32();
    community.local_1 = in.u32();
    community.local_2 = in.u32();
    return community;
  });
}
bool encode_large_communities(const AttributeSet& set, const CodecContext&, ByteWriter& out) {
  for (const LargeCommunity& community : set.large_communities) {
    out.u32(community.global);
    out.u32(community.local_1);
    out.u32(community.local_2);
  }
  return !set.large_communities.empty();
}

// ---- ONLY_TO_CUSTOMER, RFC 9234 section 5
Fault decode_only_to_customer(Bytes value, AttributeDecoding& into) {
  std::optional<std::uint32_t> asn;
  if (Fault fault = decode_u32(value, asn)) {
    return fault;
  }
  into.set.only_to_customer = Asn{*asn};
  return std::nullopt;
}
bool encode_only_to_customer(const AttributeSet& set, const CodecContext&, ByteWriter& out) {
  if (set.only_to_customer) {
    out.u32(set.only_to_customer->value());
  }
  return set.only_to_customer.has_value();
}

constexpr std::uint8_t kWellKnown = kFlagTransitive;
constexpr std::uint8_t kLocal = kFlagOptional;  // optional non-transitive
constexpr std::uint8_t kPassedOn = kFlagOptional | kFlagTransitive;
constexpr auto kAny = AttributeScope::kAnyPeer;
constexpr auto kInternal = AttributeScope::kInternalOnly;
constexpr auto kDrop = Outcome::kDiscard;
constexpr auto kLose = Outcome::kWithdraw;
using Set = AttributeSet;

// clang-format off
constexpr auto kAttributes = std::to_array<AttributeSpec>({
    {AttrType::kOrigin, "origin", kWellKnown, kLose, kAny, 0, decode_origin, encode_origin},
    {AttrType::kAsPath, "as-path", kWellKnown, kLose, kAny, 0, decode_as_path, encode_as_path},
    {AttrType::kNextHop, "next-hop", kWellKnown, kLose, kAny, 0, decode_next_hop, encode_next_hop},
    {AttrType::kMed, "med", kLocal, kLose, kAny, 0, decode_med, encode_med},
    {AttrType::kLocalPref, "local-pref", kWellKnown, kLose, kInternal, 0, decode_local_pref, encode_local_pref},
    {AttrType::kAtomicAggregate, "atomic-aggregate", kWellKnown, kDrop, kAny, 0, decode_atomic_aggregate, encode_atomic_aggregate},
    {AttrType::kAggregator, "aggregator", kPassedOn, kDrop, kAny, Set::kPartialAggregator, decode_aggregator, encode_aggregator},
    {AttrType::kCommunities, "communities", kPassedOn, kLose, kAny, Set::kPartialCommunities, decode_communities, encode_communities},
    {AttrType::kOriginatorId, "originator-id", kLocal, kLose, kInternal, 0, decode_originator_id, encode_originator_id},
    {AttrType::kClusterList, "cluster-list", kLocal, kLose, kInternal, 0, decode_cluster_list, encode_cluster_list},
    {AttrType::kMpReach, "mp-reach-nlri", kLocal, Outcome::kReset, kAny, 0, nullptr, nullptr},
    {AttrType::kMpUnreach, "mp-unreach-nlri", kLocal, Outcome::kReset, kAny, 0, nullptr, nullptr},
    {AttrType::kExtendedCommunities, "extended-communities", kPassedOn, kLose, kAny, Set::kPartialExtendedCommunities, decode_extended_communities, encode_extended_communities},
    {AttrType::kAs4Path, "as4-path", kPassedOn, kDrop, kAny, 0, decode_as4_path, encode_as4_path},
    {AttrType::kAs4Aggregator, "as4-aggregator", kPassedOn, kDrop, kAny, 0, decode_as4_aggregator, encode_as4_aggregator},
    {AttrType::kIpv6ExtendedCommunities, "ipv6-extended-communities", kPassedOn, kLose, kAny, Set::kPartialIpv6ExtendedCommunities, decode_ipv6_extended_communities, encode_ipv6_extended_communities},
    {AttrType::kLargeCommunities, "large-communities", kPassedOn, kLose, kAny, Set::kPartialLargeCommunities, decode_large_communities, encode_large_communities},
    {AttrType::kOnlyToCustomer, "only-to-customer", kPassedOn, kLose, kAny, Set::kPartialOnlyToCustomer, decode_only_to_customer, encode_only_to_customer},
});
// clang-format on

constexpr auto index_by_type() {
  std::array<std::int8_t, 256> index{};
  index.fill(-1);
  for (std::size_t i = 0; i < kAttributes.size(); ++i) {
    index.at(static_cast<std::size_t>(kAttributes.at(i).type)) = static_cast<std::int8_t>(i);
  }
  return index;
}
constexpr auto kIndexByType = index_by_type();

bool is_own(const IpAddr& address, const CodecContext& context) {
  return address == context.local_ipv4 || address == context.local_ipv6;
}

// A session over the loopback (two speakers on one machine) has loopback next hops.
bool session_on_loopback(const CodecContext& context) {
  return (context.local_ipv4 && context.local_ipv4->is_loopback()) ||
         (context.local_ipv6 && context.local_ipv6->is_loopback());
}

bool is_martian_address(const IpAddr& address) {
  const auto bytes = address.bytes();
  if (address.is_v4()) {
    return bytes[0] == 0 || bytes[0] >= 224;
  }
  const bool mapped = std::ranges::all_of(bytes.first(10), [](auto b) { return b == 0; }) &&
                      bytes[10] == 0xFF && bytes[11] == 0xFF;
  return mapped || address.is_unspecified() || address.is_multicast();
}

}  // namespace

std::span<const AttributeSpec> attribute_table() {
  return kAttributes;
}

const AttributeSpec* find_attribute(std::uint8_t type) {
  const std::int8_t index = kIndexByType.at(type);
  return index < 0 ? nullptr : &kAttributes.at(static_cast<std::size_t>(index));
}

std::optional<AttributeFault> check_next_hop(const IpAddr& address, const CodecContext& context) {
  if (is_martian_address(address) || (address.is_loopback() && !session_on_loopback(context))) {
    return AttributeFault{UpdateError::kInvalidNextHop, "not a host address"};
  }
  if (is_own(address, context)) {
    return AttributeFault{UpdateError::kInvalidNextHop, "our own address"};
  }
  return std::nullopt;
}

void write_attribute(ByteWriter& out, std::uint8_t flags, std::uint8_t type, Bytes value) {
  constexpr std::size_t kMaxShort = 255;
  const bool extended = value.size() > kMaxShort || (flags & kFlagExtended) != 0;
  out.u8(extended ? static_cast<std::uint8_t>(flags | kFlagExtended) : flags);
  out.u8(type);
  if (extended) {
    out.u16(static_cast<std::uint16_t>(value.size()));
  } else {
    out.u8(static_cast<std::uint8_t>(value.size()));
  }
  out.bytes(value);
}

std::string to_string(AttrType type) {
  if (type == AttrType::kNlriField) {
    return "nlri";
  }
  const auto number = static_cast<std::uint8_t>(type);
  const AttributeSpec* spec = find_attribute(number);
  return spec == nullptr ? fmt::format("attribute {}", number) : std::string(spec->name);
}

}  // namespace margay::bgp
