#include "bgp/wire/attributes.h"

#include <algorithm>

namespace margay::bgp {

namespace {

template <typename T>
void sort_unique(std::vector<T>& values) {
  std::ranges::sort(values);
  values.erase(std::unique(values.begin(), values.end()), values.end());
}

template <typename T>
void insert_sorted(std::vector<T>& values, const T& value) {
  const auto place = std::ranges::lower_bound(values, value);
  if (place == values.end() || *place != value) {
    values.insert(place, value);
  }
}

// A running hash; each step mixes one word. Not for hash tables that peers could attack without the
// owner's random seed mixed in.
class Hash {
 public:
  void add(std::uint64_t word) {
    state_ = (state_ ^ word) * 0x9E3779B97F4A7C15U;
    state_ ^= state_ >> 29U;
  }
  void add(const IpAddr& addr) { add(std::hash<IpAddr>{}(addr)); }
  template <typename T, typename F>
  void add_all(const std::vector<T>& values, F word) {
    add(values.size());
    for (const T& value : values) {
      word(value);
    }
  }
  [[nodiscard]] std::size_t value() const { return state_; }

 private:
  std::uint64_t state_ = 0x51ED270B9F4A7C15U;
};

}  // namespace

bool AttributeSet::has(Community community) const {
  return std::ranges::binary_search(communities, community);
}

void AttributeSet::add(Community community) {
  insert_sorted(communities, community);
}

void AttributeSet::add(const LargeCommunity& community) {
  insert_sorted(large_communities, community);
}

void AttributeSet::remove(Community community) {
  std::erase(communities, community);
}

void AttributeSet::canonicalize() {
  sort_unique(communities);
  sort_unique(extended_communities);
  sort_unique(ipv6_extended_communities);
  sort_unique(large_communities);
  std::ranges::stable_sort(unknown, {}, &UnknownAttribute::type);
}

std::size_t hash_of(const AttributeSet& a) {
  Hash hash;
  hash.add((static_cast<std::uint64_t>(a.origin) << 16U) |
           (static_cast<std::uint64_t>(a.atomic_aggregate) << 8U) | a.partial);
  hash.add(a.next_hop.address);
  hash.add(a.next_hop.link_local.value_or(IpAddr{}));
  hash.add(a.next_hop.link.value());
  for (const std::uint32_t word : a.as_path.words()) {
    hash.add(word);
  }
  hash.add((std::uint64_t{a.med.has_value()} << 32U) | a.med.value_or(0));
  hash.add((std::uint64_t{a.local_pref.has_value()} << 32U) | a.local_pref.value_or(0));
  const Aggregator aggregator = a.aggregator.value_or(Aggregator{});
  hash.add((std::uint64_t{aggregator.asn.value()} << 32U) | aggregator.id.value());
  hash.add((std::uint64_t{a.originator_id.value_or(RouterId{}).value()} << 32U) |
           a.only_to_customer.value_or(Asn{}).value());
  hash.add_all(a.cluster_list, [&](RouterId id) { hash.add(id.value()); });
  hash.add_all(a.communities, [&](Community c) { hash.add(c.value()); });
  hash.add_all(a.extended_communities, [&](ExtendedCommunity c) { hash.add(c.value()); });
  hash.add_all(a.ipv6_extended_communities, [&](const Ipv6ExtendedCommunity& c) {
    for (const std::uint8_t byte : c) {
      hash.add(byte);
    }
  });
  hash.add_all(a.large_communities, [&](const LargeCommunity& c) {
    hash.add((std::uint64_t{c.global} << 32U) | c.local_1);
    hash.add(c.local_2);
  });
  hash.add_all(a.unknown, [&](const UnknownAttribute& u) {
    hash.add((std::uint64_t{u.type} << 8U) | u.flags);
    for (const std::uint8_t byte : u.value) {
      hash.add(byte);
    }
  });
  return hash.value();
}

}  // namespace margay::bgp
