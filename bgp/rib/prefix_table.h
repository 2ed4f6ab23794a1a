#pragma once
// PrefixTable: exact-match map from prefix to a slot. A slot keeps its number while its prefix is
// there. Both families have tables of their own, as an IPv4 prefix needs 8 bytes and an IPv6 one
// 17; the number says which. Hashed with the owner's seed, so that no peer can choose prefixes that
// collide.

#include "base/ip_addr.h"
#include "bgp/rib/number_index.h"
#include "bgp/rib/paged_vector.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

namespace margay::bgp {

class PrefixTable {
 public:
  struct Slot {
    std::uint32_t first_path = kNoIndex;  // list of paths, in no order
    std::uint32_t best = kNoIndex;        // path
    bool used : 1 = false;
    bool dirty : 1 = false;      // on the list of prefixes to decide
    bool fib_dirty : 1 = false;  // on the list of kernel changes
    bool in_fib : 1 = false;     // the kernel was told of next hops
    bool gone : 1 = false;       // on the list of slots to free
  };
  static_assert(sizeof(Slot) == 12, "there are millions of them");

  explicit PrefixTable(std::uint64_t seed = 0) : seed_(seed) {}

  [[nodiscard]] std::uint32_t find(const Prefix& prefix) const;  // kNoIndex when absent
  [[nodiscard]] std::uint32_t insert(const Prefix& prefix);      // finds or makes
  void erase(std::uint32_t slot);

  [[nodiscard]] static Family family(std::uint32_t slot) {
    return (slot & kIpv6) == 0 ? Family::kIpv4 : Family::kIpv6;
  }
  // The place of a slot in a list of its family alone.
  [[nodiscard]] static std::uint32_t place(std::uint32_t slot) { return slot & ~kIpv6; }
  [[nodiscard]] Prefix prefix(std::uint32_t slot) const;
  [[nodiscard]] Slot& operator[](std::uint32_t slot) {
    return family(slot) == Family::kIpv4 ? v4_.slots[slot] : v6_.slots[place(slot)];
  }
  [[nodiscard]] const Slot& operator[](std::uint32_t slot) const {
    return family(slot) == Family::kIpv4 ? v4_.slots[slot] : v6_.slots[place(slot)];
  }
  [[nodiscard]] std::size_t size() const { return v4_.used + v6_.used; }
  // So near the end of the numbers (67 million a family) that one more UPDATE may reach it.
  [[nodiscard]] bool full() const { return std::max(v4_.used, v6_.used) > kIpv6 - kReserve; }
  // Slots by number, for who goes through them piece by piece: those of IPv4, then those of IPv6.
  [[nodiscard]] std::uint32_t places() const {
    return static_cast<std::uint32_t>(v4_.slots.size() + v6_.slots.size());
  }
  [[nodiscard]] std::uint32_t slot_at(std::uint32_t place) const {
    const auto first_v6 = static_cast<std::uint32_t>(v4_.slots.size());
    return place < first_v6 ? place : (place - first_v6) | kIpv6;
  }
  // All that are used: IPv4 before IPv6, otherwise mostly in order of arrival.
  template <typename Visit>
  void for_each(const Visit& visit) const {
    for_each(Family::kIpv4, visit);
    for_each(Family::kIpv6, visit);
  }
  template <typename Visit>
  void for_each(Family family, const Visit& visit) const {
    const bool v4 = family == Family::kIpv4;
    const PagedVector<Slot>& slots = v4 ? v4_.slots : v6_.slots;
    for (std::uint32_t at = 0; at < slots.size(); ++at) {
      if (slots[at].used) {
        visit(v4 ? at : at | kIpv6);
      }
    }
  }

 private:
  static constexpr std::uint32_t kIpv6 = 1U << (NumberIndex::kNumberBits - 1);

  static constexpr std::uint32_t kReserve = 1U << 17U;

  // Keys without padding: their bytes are hashed.
  using V4Key = std::uint64_t;                 // address, then length
  using V6Key = std::array<std::uint8_t, 17>;  // address, then length
  static V4Key v4_key(const Prefix& prefix);
  static V6Key v6_key(const Prefix& prefix);

  template <typename Key>
  struct OfFamily {
    PagedVector<Key> keys;
    PagedVector<Slot> slots;
    std::vector<std::uint32_t> free;
    NumberIndex index;
    std::size_t used = 0;

    [[nodiscard]] std::uint32_t find(const Key& key, std::uint64_t seed) const;
    [[nodiscard]] std::uint32_t insert(const Key& key, std::uint64_t seed);
    void erase(std::uint32_t at, std::uint64_t seed);
  };

  OfFamily<V4Key> v4_;
  OfFamily<V6Key> v6_;
  std::uint64_t seed_;
};

// A value for every slot of a table, made when it is first asked for.
template <typename T>
class BySlot {
 public:
  [[nodiscard]] T& at(std::uint32_t slot) {
    PagedVector<T>& values = of(slot);
    const std::uint32_t place = PrefixTable::place(slot);
    if (place >= values.size()) {
      values.grow(place + std::size_t{1});
    }
    return values[place];
  }
  // T() where it was not.
  [[nodiscard]] T get(std::uint32_t slot) const {
    const PagedVector<T>& values = of(slot);
    const std::uint32_t place = PrefixTable::place(slot);
    return place < values.size() ? values[place] : T();
  }

 private:
  [[nodiscard]] PagedVector<T>& of(std::uint32_t slot) {
    return PrefixTable::family(slot) == Family::kIpv4 ? v4_ : v6_;
  }
  [[nodiscard]] const PagedVector<T>& of(std::uint32_t slot) const {
    return PrefixTable::family(slot) == Family::kIpv4 ? v4_ : v6_;
  }

  PagedVector<T> v4_;
  PagedVector<T> v6_;
};

}  // namespace margay::bgp
