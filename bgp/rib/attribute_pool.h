#pragma once
// AttributePool: one copy of every attribute set in use, counted. Equal sets of different peers get
// the same number; what the decision needs of a set is taken out once. Numbers are reused after the
// last release.
//
// A set may also be found by the bytes that it came in, so that an UPDATE whose attributes are
// known is not read again. Those bytes live and die with their set; hashes carry the owner's seed,
// and bytes are compared, so no peer can pass one set off as another.

#include "bgp/rib/decision.h"
#include "bgp/rib/number_index.h"
#include "bgp/rib/paged_vector.h"
#include "bgp/wire/attributes.h"

#include <cstdint>
#include <vector>

namespace margay::bgp {

class AttributePool {
 public:
  using Id = std::uint32_t;
  static constexpr Id kNone = kNoIndex;

  explicit AttributePool(std::uint64_t seed = 0) : seed_(seed) {}

  // Holds one reference more.
  [[nodiscard]] Id intern(AttributeSet attributes);
  void hold(Id id) { ++entries_[id].references; }
  void release(Id id);

  // The set that these bytes stand for, held once more; kNone when they are not known.
  [[nodiscard]] Id find_received(Bytes bytes);
  // From now on these bytes stand for the set, and those that did before no longer do.
  void remember_received(Id id, Bytes bytes);

  [[nodiscard]] const AttributeSet& get(Id id) const { return entries_[id].attributes; }
  [[nodiscard]] const DecisionKey& key(Id id) const { return entries_[id].key; }
  [[nodiscard]] std::size_t size() const { return entries_.size() - free_.size(); }

 private:
  struct Entry {
    AttributeSet attributes;
    DecisionKey key;
    std::uint64_t hash = 0;
    std::uint64_t received_hash = 0;
    std::vector<std::uint8_t> received;  // empty: not found by bytes
    std::uint32_t references = 0;
  };
  static constexpr unsigned kPageBits = 6;  // entries are large

  void forget_received(Id id);

  PagedVector<Entry, kPageBits> entries_;
  std::vector<Id> free_;
  NumberIndex by_value_;
  NumberIndex by_received_;
  std::uint64_t seed_;
};

}  // namespace margay::bgp
