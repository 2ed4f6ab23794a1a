#include "bgp/rib/prefix_table.h"

#include "base/assert.h"

#include <utility>

namespace margay::bgp {

std::size_t PrefixTable::home(const Prefix& prefix) const {
  // The multiplier spreads neighbouring prefixes over the high bits (Fibonacci hashing).
  const std::uint64_t hash = std::hash<Prefix>{}(prefix)*0x9E3779B97F4A7C15ULL;
  return static_cast<std::size_t>(hash >> 32U) & (index_.size() - 1);
}

std::size_t PrefixTable::place_of(const Prefix& prefix) const {
  std::size_t place = home(prefix);
  while (index_[place] != kNoIndex && slots_[index_[place]].prefix != prefix) {
    place = (place + 1) & (index_.size() - 1);
  }
  return place;
}

std::uint32_t PrefixTable::find(const Prefix& prefix) const {
  return index_.empty() ? kNoIndex : index_[place_of(prefix)];
}

std::uint32_t PrefixTable::insert(const Prefix& prefix) {
  if ((used_ + 1) * 4 > index_.size() * 3) {
    grow();
  }
  const std::size_t place = place_of(prefix);
  if (index_[place] != kNoIndex) {
    return index_[place];
  }
  std::uint32_t slot = 0;
  if (free_.empty()) {
    slot = static_cast<std::uint32_t>(slots_.size());
    slots_.emplace_back();
  } else {
    slot = free_.back();
    free_.pop_back();
  }
  slots_[slot] = Slot{.prefix = prefix, .used = true};
  index_[place] = slot;
  ++used_;
  return slot;
}

// Closes the gap: what follows and would no longer be found from its home moves up.
void PrefixTable::erase(std::uint32_t slot) {
  const std::size_t mask = index_.size() - 1;
  std::size_t gap = place_of(slots_[slot].prefix);
  MARGAY_ASSERT(index_[gap] == slot);
  index_[gap] = kNoIndex;
  for (std::size_t place = (gap + 1) & mask; index_[place] != kNoIndex;
       place = (place + 1) & mask) {
    const std::size_t wanted = home(slots_[index_[place]].prefix);
    const bool reachable = ((place - wanted) & mask) < ((place - gap) & mask);
    if (!reachable) {
      index_[gap] = std::exchange(index_[place], kNoIndex);
      gap = place;
    }
  }
  slots_[slot] = Slot();
  free_.push_back(slot);
  --used_;
}

void PrefixTable::grow() {
  index_.assign(index_.empty() ? 64 : index_.size() * 2, kNoIndex);
  for (std::uint32_t slot = 0; slot < slots_.size(); ++slot) {
    if (slots_[slot].used) {
      index_[place_of(slots_[slot].prefix)] = slot;
    }
  }
}

}  // namespace margay::bgp
