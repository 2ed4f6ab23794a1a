#pragma once
// PrefixTable: exact-match map from prefix to a slot. Slots live in one vector and keep their
// number while their prefix is there; the index over them is open addressing with linear probing.

#include "base/ip_addr.h"

#include <cstdint>
#include <vector>

namespace margay::bgp {

// No slot, no path: the end of a list.
inline constexpr std::uint32_t kNoIndex = 0xFFFFFFFF;

class PrefixTable {
 public:
  struct Slot {
    Prefix prefix;
    std::uint32_t first_path = kNoIndex;  // list of paths, in no order
    std::uint32_t best = kNoIndex;        // path
    bool used = false;
    bool dirty = false;      // on the list of prefixes to decide
    bool fib_dirty = false;  // on the list of kernel changes
    bool in_fib = false;     // the kernel was told of next hops
  };

  [[nodiscard]] std::uint32_t find(const Prefix& prefix) const;  // kNoIndex when absent
  [[nodiscard]] std::uint32_t insert(const Prefix& prefix);      // finds or makes
  void erase(std::uint32_t slot);

  [[nodiscard]] Slot& operator[](std::uint32_t slot) { return slots_[slot]; }
  [[nodiscard]] const Slot& operator[](std::uint32_t slot) const { return slots_[slot]; }
  [[nodiscard]] std::size_t size() const { return used_; }
  // One more than the largest slot number ever; unused ones are marked.
  [[nodiscard]] std::uint32_t bound() const { return static_cast<std::uint32_t>(slots_.size()); }

 private:
  [[nodiscard]] std::size_t home(const Prefix& prefix) const;
  [[nodiscard]] std::size_t place_of(const Prefix& prefix) const;  // its place, or a free one
  void grow();

  std::vector<Slot> slots_;
  std::vector<std::uint32_t> free_;
  std::vector<std::uint32_t> index_;  // slot numbers; power of two, at most 3/4 full
  std::size_t used_ = 0;
};

}  // namespace margay::bgp
