#pragma once
// NumberIndex: finds the number of a thing by the hash of its key. The things are kept elsewhere;
// here are four bytes for each place: the number and a few bits of the hash, so that other things
// are seldom looked at. Open addressing with linear probing, in shards, so that growth re-hashes
// one of 64 at a time and no announcement waits for the whole.

#include "base/assert.h"

#include <array>
#include <cstdint>
#include <utility>
#include <vector>

namespace margay::bgp {

// No slot, no path, no set: the end of a list.
inline constexpr std::uint32_t kNoIndex = 0xFFFFFFFF;

class NumberIndex {
 public:
  static constexpr unsigned kNumberBits = 27;
  static constexpr std::uint32_t kMaxNumber = (1U << kNumberBits) - 2;

  // The number for which same(number) holds, among those of this hash; kNoIndex: none.
  template <typename Same>
  [[nodiscard]] std::uint32_t find(std::uint64_t hash, const Same& same) const {
    const Shard& shard = shards_[hash >> kShardShift];
    if (shard.places.empty()) {
      return kNoIndex;
    }
    const std::size_t mask = shard.places.size() - 1;
    for (std::size_t place = hash & mask; shard.places[place] != kFree;
         place = (place + 1) & mask) {
      const std::uint32_t entry = shard.places[place];
      if (entry >> kNumberBits == tag(hash) && same(entry & kNumberMask)) {
        return entry & kNumberMask;
      }
    }
    return kNoIndex;
  }

  // A number that is not there. hash_of(number) is the hash of any number that is.
  template <typename HashOf>
  void insert(std::uint64_t hash, std::uint32_t number, const HashOf& hash_of) {
    MARGAY_ASSERT(number <= kMaxNumber);
    Shard& shard = shards_[hash >> kShardShift];
    if ((shard.used + 1) * 4 > shard.places.size() * 3) {
      grow(shard, hash_of);
    }
    put(shard, hash, number);
    ++shard.used;
  }

  // A number that is there. Closes the gap: what follows and would no longer be found from its home
  // moves up.
  template <typename HashOf>
  void erase(std::uint64_t hash, std::uint32_t number, const HashOf& hash_of) {
    Shard& shard = shards_[hash >> kShardShift];
    const std::size_t mask = shard.places.size() - 1;
    std::size_t gap = hash & mask;
    while ((shard.places[gap] & kNumberMask) != number) {
      MARGAY_ASSERT(shard.places[gap] != kFree);
      gap = (gap + 1) & mask;
    }
    for (std::size_t place = (gap + 1) & mask; shard.places[place] != kFree;
         place = (place + 1) & mask) {
      const std::size_t home = hash_of(shard.places[place] & kNumberMask) & mask;
      const bool reachable = ((place - home) & mask) < ((place - gap) & mask);
      if (!reachable) {
        shard.places[gap] = shard.places[place];
        gap = place;
      }
    }
    shard.places[gap] = kFree;
    --shard.used;
  }

 private:
  static constexpr unsigned kShardShift = 58;  // 64 shards by the highest bits
  static constexpr std::uint32_t kNumberMask = (1U << kNumberBits) - 1;
  static constexpr std::uint32_t kFree = 0xFFFFFFFF;
  static constexpr std::size_t kFirstSize = 8;

  struct Shard {
    std::vector<std::uint32_t> places;  // a power of two, at most 3/4 full
    std::size_t used = 0;
  };

  // Five bits that neither choose the shard nor the place.
  [[nodiscard]] static std::uint32_t tag(std::uint64_t hash) {
    constexpr unsigned kTagShift = 53;
    constexpr std::uint32_t kTagMask = 0x1F;
    return static_cast<std::uint32_t>(hash >> kTagShift) & kTagMask;
  }
  static void put(Shard& shard, std::uint64_t hash, std::uint32_t number) {
    const std::size_t mask = shard.places.size() - 1;
    std::size_t place = hash & mask;
    while (shard.places[place] != kFree) {
      place = (place + 1) & mask;
    }
    shard.places[place] = tag(hash) << kNumberBits | number;
  }
  template <typename HashOf>
  static void grow(Shard& shard, const HashOf& hash_of) {
    const std::size_t size = shard.places.empty() ? kFirstSize : shard.places.size() * 2;
    const std::vector<std::uint32_t> before =
        std::exchange(shard.places, std::vector<std::uint32_t>(size, kFree));
    for (const std::uint32_t entry : before) {
      if (entry != kFree) {
        put(shard, hash_of(entry & kNumberMask), entry & kNumberMask);
      }
    }
  }

  std::array<Shard, std::size_t{1} << (64U - kShardShift)> shards_;
};

}  // namespace margay::bgp
