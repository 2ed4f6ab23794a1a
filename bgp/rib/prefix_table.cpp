#include "bgp/rib/prefix_table.h"

#include "base/assert.h"

#define XXH_INLINE_ALL
#include <algorithm>
#include <xxhash.h>

namespace margay::bgp {

namespace {

constexpr unsigned kLengthBits = 8;

// Eight neighbours, which differ only in the last three bits of their networks, have hashes that
// differ only in the last three bits, too: their places lie in one cache line, and tables mostly
// come and go in order. The seed keeps it secret which neighbours share places with which others.
constexpr unsigned kNearBits = 3;
constexpr unsigned kNear = (1U << kNearBits) - 1;

std::uint64_t near_hash(std::uint64_t of_all_others, std::uint64_t near) {
  return (of_all_others & ~std::uint64_t{kNear}) | near;
}

std::uint64_t hash_of_key(std::uint64_t key, std::uint64_t seed) {
  const unsigned length = key & 0xFFU;
  std::uint64_t near = 0;
  if (length >= kNearBits) {
    const unsigned shift = kLengthBits + 32 - length;
    near = key >> shift & kNear;
    key &= ~(std::uint64_t{kNear} << shift);
  }
  return near_hash(XXH3_64bits_withSeed(&key, sizeof(key), seed), near);
}

// The three bits lie in two bytes at most.
std::uint64_t hash_of_key(std::array<std::uint8_t, 17> key, std::uint64_t seed) {
  const unsigned length = key.back();
  unsigned near = 0;
  if (length > 8) {
    const unsigned last = (length - 1) / 8;
    const unsigned shift = 7 - (length - 1) % 8;
    const unsigned both = unsigned{key.at(last - 1)} << 8U | key.at(last);
    near = both >> shift & kNear;
    const unsigned others = both & ~(kNear << shift);
    key.at(last - 1) = static_cast<std::uint8_t>(others >> 8U);
    key.at(last) = static_cast<std::uint8_t>(others);
  }
  return near_hash(XXH3_64bits_withSeed(key.data(), key.size(), seed), near);
}

}  // namespace

PrefixTable::V4Key PrefixTable::v4_key(const Prefix& prefix) {
  return std::uint64_t{prefix.addr().v4_value()} << kLengthBits | prefix.length();
}

PrefixTable::V6Key PrefixTable::v6_key(const Prefix& prefix) {
  V6Key key{};
  std::ranges::copy(prefix.addr().bytes(), key.begin());
  key.back() = static_cast<std::uint8_t>(prefix.length());
  return key;
}

template <typename Key>
std::uint32_t PrefixTable::OfFamily<Key>::find(const Key& key, std::uint64_t seed) const {
  return index.find(hash_of_key(key, seed), [&](std::uint32_t at) { return keys[at] == key; });
}

template <typename Key>
std::uint32_t PrefixTable::OfFamily<Key>::insert(const Key& key, std::uint64_t seed) {
  return index.find_or_insert(
      hash_of_key(key, seed),
      [&](std::uint32_t at) { return keys[at] == key; },
      [&] {
        std::uint32_t at = 0;
        if (free.empty()) {
          at = static_cast<std::uint32_t>(keys.push());
          slots.push();
          MARGAY_ASSERT(at < kIpv6);
        } else {
          at = free.back();
          free.pop_back();
        }
        keys[at] = key;
        slots[at] = Slot{.used = true};
        ++used;
        return at;
      },
      [&](std::uint32_t other) { return hash_of_key(keys[other], seed); });
}

template <typename Key>
void PrefixTable::OfFamily<Key>::erase(std::uint32_t at, std::uint64_t seed) {
  index.erase(hash_of_key(keys[at], seed), at);
  slots[at] = Slot();
  free.push_back(at);
  --used;
}

std::uint32_t PrefixTable::find(const Prefix& prefix) const {
  if (prefix.family() == Family::kIpv4) {
    return v4_.find(v4_key(prefix), seed_);
  }
  const std::uint32_t at = v6_.find(v6_key(prefix), seed_);
  return at == kNoIndex ? kNoIndex : at | kIpv6;
}

std::uint32_t PrefixTable::insert(const Prefix& prefix) {
  return prefix.family() == Family::kIpv4 ? v4_.insert(v4_key(prefix), seed_)
                                          : v6_.insert(v6_key(prefix), seed_) | kIpv6;
}

void PrefixTable::erase(std::uint32_t slot) {
  if (family(slot) == Family::kIpv4) {
    v4_.erase(slot, seed_);
  } else {
    v6_.erase(place(slot), seed_);
  }
}

Prefix PrefixTable::prefix(std::uint32_t slot) const {
  if (family(slot) == Family::kIpv4) {
    const V4Key key = v4_.keys[slot];
    constexpr V4Key kLengthMask = (1U << kLengthBits) - 1;
    return Prefix::masked(IpAddr::v4(static_cast<std::uint32_t>(key >> kLengthBits)),
                          static_cast<unsigned>(key & kLengthMask));
  }
  const V6Key& key = v6_.keys[place(slot)];
  std::array<std::uint8_t, 16> bytes{};
  std::copy_n(key.begin(), bytes.size(), bytes.begin());
  return Prefix::masked(IpAddr::v6(bytes), key.back());
}

}  // namespace margay::bgp
