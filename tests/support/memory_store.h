#pragma once
// MemoryStore: a working Store without a disk, for tests of what stands on it.
//
// It keeps the promises of datastore/store.h except durability, may be used by several threads at
// once, and can fail on demand: the n-th call from now, or every call while it is away.

#include "datastore/store.h"

#include <map>
#include <mutex>

namespace margay::test {

class MemoryStore : public datastore::Store {
 public:
  MemoryStore() = default;

  [[nodiscard]] Result<std::vector<datastore::Object>> commit(
      std::span<const datastore::Change> changes) override;
  [[nodiscard]] Result<datastore::Object> get(const api::ResourceKey& key) override;
  [[nodiscard]] Result<datastore::Listing> list(const datastore::ListQuery& query) override;
  [[nodiscard]] Result<std::vector<api::ResourceKey>> keys(
      const datastore::ListQuery& query) override;
  [[nodiscard]] Result<std::unique_ptr<datastore::Watch>> watch(const datastore::ListQuery& query,
                                                                datastore::Revision from) override;

  // The n-th call from now (1 = the next) fails with this error, once; 0 = none.
  void fail_call(unsigned n, Error error);
  // Every call fails with kUnavailable until it is back.
  void set_away(bool away);
  // Every commit fails with kExhausted until there is room; what is there can be read.
  void set_full(bool full);
  // The object's stored text decodes no more: a change like any other, delivered as invalid.
  enum class Earlier : std::uint8_t { kForgotten, kKept };  // its newest valid version
  void spoil(const api::ResourceKey& key, Error why, Earlier earlier = Earlier::kForgotten);
  // Forgets the history up to now: watches that are behind, or start behind, get kCompacted.
  void compact();
  [[nodiscard]] unsigned calls() const;
  [[nodiscard]] unsigned commits() const;  // that succeeded

 private:
  class MemoryWatch;

  std::optional<Error> injected();
  using Objects = std::map<api::ResourceKey, datastore::Object>;
  Result<datastore::Object> apply(const datastore::Change& change,
                                  Objects& objects,
                                  datastore::Revision revision);
  Result<datastore::Object> put(const datastore::Change& change,
                                Objects& objects,
                                datastore::Revision revision);
  void wake_watches() const;
  [[nodiscard]] std::vector<datastore::Event>::const_iterator first_after(
      datastore::Revision revision) const;

  mutable std::mutex mutex_;
  Objects objects_;
  std::vector<datastore::Event> log_;  // by revision, those after compacted_
  std::vector<MemoryWatch*> watches_;
  std::uint64_t revision_ = 0;
  std::uint64_t compacted_ = 0;
  std::uint64_t next_uid_ = 0;
  unsigned calls_ = 0;
  unsigned commits_ = 0;
  unsigned fail_in_ = 0;
  Error fail_with_;
  bool away_ = false;
  bool full_ = false;
};

}  // namespace margay::test
