#include "bgp/rib/attribute_pool.h"

#include "base/assert.h"

#define XXH_INLINE_ALL
#include <algorithm>
#include <utility>
#include <xxhash.h>

namespace margay::bgp {

AttributePool::Id AttributePool::intern(AttributeSet attributes) {
  const std::uint64_t hash = hash_of(attributes, seed_);
  const Id known = by_value_.find(hash, [&](Id id) {
    return entries_[id].hash == hash && entries_[id].attributes == attributes;
  });
  if (known != kNone) {
    hold(known);
    return known;
  }
  Id id = 0;
  if (free_.empty()) {
    id = static_cast<Id>(entries_.push());
  } else {
    id = free_.back();
    free_.pop_back();
  }
  Entry& entry = entries_[id];
  entry.key = decision_key(attributes);
  entry.attributes = std::move(attributes);
  entry.hash = hash;
  entry.references = 1;
  by_value_.insert(hash, id, [this](Id other) { return entries_[other].hash; });
  return id;
}

void AttributePool::release(Id id) {
  Entry& entry = entries_[id];
  MARGAY_ASSERT(entry.references > 0);
  if (--entry.references > 0) {
    return;
  }
  forget_received(id);
  by_value_.erase(entry.hash, id);
  entry.attributes = AttributeSet();
  free_.push_back(id);
}

AttributePool::Id AttributePool::find_received(Bytes bytes) {
  const std::uint64_t hash = XXH3_64bits_withSeed(bytes.data(), bytes.size(), seed_);
  const Id id = by_received_.find(hash, [&](Id other) {
    const Entry& entry = entries_[other];
    return entry.received_hash == hash && std::ranges::equal(entry.received, bytes);
  });
  if (id != kNone) {
    hold(id);
  }
  return id;
}

void AttributePool::remember_received(Id id, Bytes bytes) {
  forget_received(id);
  Entry& entry = entries_[id];
  entry.received_hash = XXH3_64bits_withSeed(bytes.data(), bytes.size(), seed_);
  entry.received.assign(bytes.begin(), bytes.end());
  by_received_.insert(
      entry.received_hash, id, [this](Id other) { return entries_[other].received_hash; });
}

void AttributePool::forget_received(Id id) {
  Entry& entry = entries_[id];
  if (!entry.received.empty()) {
    by_received_.erase(entry.received_hash, id);
    entry.received = {};
  }
}

}  // namespace margay::bgp
