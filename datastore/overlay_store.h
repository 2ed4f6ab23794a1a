#pragma once
// OverlayStore: a store whose writes stay in memory, over one that is only read. For questions of
// the kind "what would happen if": the same code runs over it, and nothing is changed.

#include "datastore/store.h"

#include <map>

namespace margay::datastore {

class OverlayStore : public Store {
 public:
  // `below` outlives the overlay; what others write there meanwhile is seen.
  explicit OverlayStore(Store& below) : below_(below) {}

  [[nodiscard]] Result<std::vector<Object>> commit(std::span<const Change> changes) override;
  [[nodiscard]] Result<Object> get(const api::ResourceKey& key) override;
  [[nodiscard]] Result<Listing> list(const ListQuery& query) override;
  [[nodiscard]] Result<std::vector<api::ResourceKey>> keys(const ListQuery& query) override;
  // Always kInvalid: an overlay has no history.
  [[nodiscard]] Result<std::unique_ptr<Watch>> watch(const ListQuery& query,
                                                     Revision from) override;

 private:
  // Without a resource: removed.
  using Writes = std::map<api::ResourceKey, Object>;

  Result<Object> look(const Writes& writes, const api::ResourceKey& key);
  Result<Object> apply(Writes& writes, const Change& change);

  Store& below_;
  Writes writes_;
  std::uint64_t last_ = std::uint64_t{1} << 62U;  // beyond what a store comes to
};

}  // namespace margay::datastore
