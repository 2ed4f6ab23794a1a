#include "datastore/store.h"

#include <array>
#include <utility>

namespace margay::datastore {

namespace {

Result<Object> commit_one(Store& store, Change change) {
  const std::array<Change, 1> changes{std::move(change)};
  auto stored = store.commit(changes);
  if (!stored) {
    return fail(stored.error());
  }
  MARGAY_ASSERT(stored->size() == 1);
  return std::move(stored->front());
}

}  // namespace

Result<Object> Store::create(const api::Resource& resource) {
  return commit_one(*this, Create{resource});
}
Result<Object> Store::update(const api::Resource& resource) {
  return commit_one(*this, Update{resource});
}
Result<Object> Store::remove(const api::ResourceKey& key, std::optional<Revision> expected) {
  return commit_one(*this, Remove{key, expected});
}

}  // namespace margay::datastore
