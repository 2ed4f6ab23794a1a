#include "bgp/wire/attributes.h"

#define XXH_INLINE_ALL
#include <algorithm>
#include <array>
#include <cstring>
#include <xxhash.h>

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

// A running hash over words, with the seed of the owner.
class Hash {
 public:
  explicit Hash(std::uint64_t seed) : state_(seed) {}
  void add(std::uint64_t word) {
    words_.at(used_++) = word;
    if (used_ == words_.size()) {
      flush();
    }
  }
  void add(const IpAddr& addr) {
    std::array<std::uint64_t, 2> words{};
    const Bytes bytes = addr.bytes();
    std::memcpy(words.data(), bytes.data(), bytes.size());
    add(bytes.size());
    add(words[0]);
    add(words[1]);
  }
  template <typename T, typename F>
  void add_all(const std::vector<T>& values, F word) {
    add(values.size());
    for (const T& value : values) {
      word(value);
    }
  }
  [[nodiscard]] std::uint64_t value() {
    flush();
    return state_;
  }

 private:
  void flush() {
    state_ = XXH3_64bits_withSeed(words_.data(), used_ * sizeof(words_[0]), state_);
    used_ = 0;
  }

  std::array<std::uint64_t, 32> words_{};
  std::size_t used_ = 0;
  std::uint64_t state_;
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

std::uint64_t hash_of(const AttributeSet& a, std::uint64_t seed) {
  Hash hash(seed);
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
