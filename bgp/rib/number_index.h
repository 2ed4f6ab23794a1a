#pragma once
// NumberIndex: finds the number of a thing by the hash of its key. The things are kept elsewhere;
// here are four bytes for each place: the number and a few bits of the hash, so that other things
// are seldom looked at. Open addressing with linear probing, in shards, so that growth re-hashes
// one of 64 at a time and no announcement waits for the whole. What goes leaves a mark behind where
// a search must go on, so that nothing else moves and no other key is read.

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
  static constexpr std::uint32_t kMaxNumber = (1U << kNumberBits) - 3;

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
      if (entry >> kNumberBits == tag(hash) && entry != kGone && same(entry & kNumberMask)) {
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
    if (is_full(shard)) {
      rebuild(shard, hash_of);
    }
    shard.taken += put(shard, hash, number) == kFree ? 1U : 0U;
    ++shard.used;
  }

  // As find(); where there is none, what make() gives is there from now on. One search for both.
  template <typename Same, typename Make, typename HashOf>
  std::uint32_t find_or_insert(std::uint64_t hash,
                               const Same& same,
                               const Make& make,
                               const HashOf& hash_of) {
    Shard& shard = shards_[hash >> kShardShift];
    if (is_full(shard)) {
      rebuild(shard, hash_of);
    }
    const std::size_t mask = shard.places.size() - 1;
    std::size_t place = hash & mask;
    std::size_t gone = kNoPlace;  // the first mark on the way
    for (; shard.places[place] != kFree; place = (place + 1) & mask) {
      const std::uint32_t entry = shard.places[place];
      if (entry == kGone) {
        gone = gone == kNoPlace ? place : gone;
      } else if (entry >> kNumberBits == tag(hash) && same(entry & kNumberMask)) {
        return entry & kNumberMask;
      }
    }
    const std::uint32_t number = make();
    MARGAY_ASSERT(number <= kMaxNumber);
    shard.taken += gone == kNoPlace ? 1U : 0U;
    shard.places[gone == kNoPlace ? place : gone] = tag(hash) << kNumberBits | number;
    ++shard.used;
    return number;
  }

  // A number that is there.
  void erase(std::uint64_t hash, std::uint32_t number) {
    Shard& shard = shards_[hash >> kShardShift];
    const std::size_t mask = shard.places.size() - 1;
    std::size_t place = hash & mask;
    while ((shard.places[place] & kNumberMask) != number) {
      MARGAY_ASSERT(shard.places[place] != kFree);
      place = (place + 1) & mask;
    }
    shard.places[place] = kGone;
    --shard.used;
    // No search goes beyond a free place: marks before one are not needed.
    if (shard.places[(place + 1) & mask] == kFree) {
      for (; shard.places[place] == kGone; place = (place - 1) & mask) {
        shard.places[place] = kFree;
        --shard.taken;
      }
    }
  }

 private:
  static constexpr unsigned kShardShift = 58;  // 64 shards by the highest bits
  static constexpr std::uint32_t kNumberMask = (1U << kNumberBits) - 1;
  static constexpr std::uint32_t kFree = 0xFFFFFFFF;
  static constexpr std::uint32_t kGone = 0xFFFFFFFE;  // was a number; a search goes on
  static constexpr std::size_t kFirstSize = 8;
  static constexpr std::size_t kNoPlace = ~std::size_t{0};

  struct Shard {
    std::vector<std::uint32_t> places;  // a power of two, at most half of them taken
    std::size_t used = 0;
    std::size_t taken = 0;  // used, and marks of what is gone
  };

  // Five bits that do not choose the shard, and differ where the lowest bits alone do.
  [[nodiscard]] static std::uint32_t tag(std::uint64_t hash) {
    constexpr unsigned kTagShift = 53;
    constexpr std::uint32_t kTagMask = 0x1F;
    return static_cast<std::uint32_t>(hash >> kTagShift ^ hash) & kTagMask;
  }
  [[nodiscard]] static bool is_full(const Shard& shard) {
    return (shard.taken + 1) * 2 > shard.places.size();
  }
  // What was there: kFree or kGone.
  static std::uint32_t put(Shard& shard, std::uint64_t hash, std::uint32_t number) {
    const std::size_t mask = shard.places.size() - 1;
    std::size_t place = hash & mask;
    while (shard.places[place] != kFree && shard.places[place] != kGone) {
      place = (place + 1) & mask;
    }
    return std::exchange(shard.places[place], tag(hash) << kNumberBits | number);
  }
  // Twice the places, or as many as before where marks are what fills them.
  template <typename HashOf>
  static void rebuild(Shard& shard, const HashOf& hash_of) {
    std::size_t size = shard.places.empty() ? kFirstSize : shard.places.size();
    if ((shard.used + 1) * 3 > size) {
      size *= 2;
    }
    const std::vector<std::uint32_t> before =
        std::exchange(shard.places, std::vector<std::uint32_t>(size, kFree));
    for (const std::uint32_t entry : before) {
      if (entry != kFree && entry != kGone) {
        put(shard, hash_of(entry & kNumberMask), entry & kNumberMask);
      }
    }
    shard.taken = shard.used;
  }

  std::array<Shard, std::size_t{1} << (64U - kShardShift)> shards_;
};

}  // namespace margay::bgp
