#pragma once
// AttributePool: one copy of every attribute set in use, counted. Equal sets of different peers get
// the same number; what the decision needs of a set is taken out once. Numbers are reused after the
// last release.

#include "bgp/rib/decision.h"
#include "bgp/wire/attributes.h"

#include <cstdint>
#include <unordered_map>
#include <vector>

namespace margay::bgp {

class AttributePool {
 public:
  using Id = std::uint32_t;

  // Holds one reference more.
  [[nodiscard]] Id intern(AttributeSet attributes);
  void hold(Id id) { ++entries_[id].references; }
  void release(Id id);

  [[nodiscard]] const AttributeSet& get(Id id) const { return entries_[id].attributes; }
  [[nodiscard]] const DecisionKey& key(Id id) const { return entries_[id].key; }
  [[nodiscard]] std::size_t size() const { return by_hash_.size(); }

 private:
  struct Entry {
    AttributeSet attributes;
    DecisionKey key;
    std::size_t hash = 0;
    std::uint32_t references = 0;
  };

  std::vector<Entry> entries_;
  std::vector<Id> free_;
  std::unordered_multimap<std::size_t, Id> by_hash_;
};

}  // namespace margay::bgp
