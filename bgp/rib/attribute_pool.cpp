#include "bgp/rib/attribute_pool.h"

#include "base/assert.h"

#include <utility>

namespace margay::bgp {

AttributePool::Id AttributePool::intern(AttributeSet attributes) {
  const std::size_t hash = hash_of(attributes);
  const auto [first, last] = by_hash_.equal_range(hash);
  for (auto found = first; found != last; ++found) {
    if (entries_[found->second].attributes == attributes) {
      hold(found->second);
      return found->second;
    }
  }
  Id id = 0;
  if (free_.empty()) {
    id = static_cast<Id>(entries_.size());
    entries_.emplace_back();
  } else {
    id = free_.back();
    free_.pop_back();
  }
  Entry& entry = entries_[id];
  entry.key = decision_key(attributes);
  entry.attributes = std::move(attributes);
  entry.hash = hash;
  entry.references = 1;
  by_hash_.insert({hash, id});
  return id;
}

void AttributePool::release(Id id) {
  Entry& entry = entries_[id];
  MARGAY_ASSERT(entry.references > 0);
  if (--entry.references > 0) {
    return;
  }
  const auto [first, last] = by_hash_.equal_range(entry.hash);
  for (auto found = first; found != last; ++found) {
    if (found->second == id) {
      by_hash_.erase(found);
      break;
    }
  }
  entry.attributes = AttributeSet();
  free_.push_back(id);
}

}  // namespace margay::bgp
