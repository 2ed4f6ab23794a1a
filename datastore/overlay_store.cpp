#include "datastore/overlay_store.h"

#include <algorithm>
#include <utility>

namespace margay::datastore {

namespace {

api::ResourceKey target_of(const Change& change) {
  if (const auto* created = std::get_if<Create>(&change)) {
    return created->resource.key();
  }
  if (const auto* updated = std::get_if<Update>(&change)) {
    return updated->resource.key();
  }
  return std::get<Remove>(change).key;
}

// The revision that the change expects of the object; empty: any.
std::string expected_revision(const Change& change) {
  if (const auto* updated = std::get_if<Update>(&change)) {
    return updated->resource.metadata.resource_version;
  }
  const auto* removed = std::get_if<Remove>(&change);
  return removed != nullptr && removed->expected ? std::to_string(removed->expected->value())
                                                 : std::string();
}

bool asks_for(const ListQuery& query, const api::ResourceKey& key) {
  return (!query.kind || *query.kind == key.kind) && (query.ns.empty() || query.ns == key.ns);
}

}  // namespace

Result<Object> OverlayStore::look(const Writes& writes, const api::ResourceKey& key) {
  const auto written = writes.find(key);
  if (written == writes.end()) {
    return below_.get(key);
  }
  if (!written->second.resource) {
    return fail(Errc::kNotFound, "{} does not exist", key.str());
  }
  return written->second;
}

Result<Object> OverlayStore::apply(Writes& writes, const Change& change) {
  const api::ResourceKey key = target_of(change);
  auto stored = look(writes, key);
  if (!stored && stored.error().code != Errc::kNotFound) {
    return stored;
  }
  const bool creates = std::holds_alternative<Create>(change);
  if (creates && stored) {
    return fail(Errc::kExists, "{} exists", key.str());
  }
  if (!creates && !stored) {
    return stored;
  }
  const std::string expected = expected_revision(change);
  if (std::holds_alternative<Update>(change) && expected.empty()) {
    return fail(Errc::kInvalid, "update of {}: metadata.resourceVersion is missing", key.str());
  }
  if (!creates && !expected.empty() && expected != std::to_string(stored->revision.value())) {
    return fail(Errc::kConflict, "{} was changed by someone else", key.str());
  }
  if (std::holds_alternative<Remove>(change)) {
    writes[key] = Object{.key = key, .revision = Revision(++last_), .resource = {}, .invalid = {}};
    return stored;
  }
  auto resource = std::make_shared<api::Resource>(creates ? std::get<Create>(change).resource
                                                          : std::get<Update>(change).resource);
  resource->metadata.resource_version = std::to_string(++last_);
  return writes[key] = Object{.key = key,
                              .revision = Revision(last_),
                              .resource = std::move(resource),
                              .invalid = {}};
}

Result<std::vector<Object>> OverlayStore::commit(std::span<const Change> changes) {
  Writes writes = writes_;
  std::vector<Object> stored;
  for (const Change& change : changes) {
    auto done = apply(writes, change);
    if (!done) {
      return fail(done.error());
    }
    stored.push_back(std::move(*done));
  }
  writes_ = std::move(writes);
  return stored;
}

Result<Object> OverlayStore::get(const api::ResourceKey& key) {
  return look(writes_, key);
}

Result<Listing> OverlayStore::list(const ListQuery& query) {
  auto listing = below_.list(query);
  if (!listing) {
    return listing;
  }
  std::erase_if(listing->objects,
                [this](const Object& object) { return writes_.contains(object.key); });
  for (const auto& [key, object] : writes_) {
    if (asks_for(query, key) && object.resource) {
      listing->objects.push_back(object);
    }
  }
  std::ranges::sort(listing->objects, {}, &Object::key);
  listing->revision = std::max(listing->revision, Revision(writes_.empty() ? 0 : last_));
  return listing;
}

Result<std::vector<api::ResourceKey>> OverlayStore::keys(const ListQuery& query) {
  auto keys = below_.keys(query);
  if (!keys) {
    return keys;
  }
  std::erase_if(*keys, [this](const api::ResourceKey& key) { return writes_.contains(key); });
  for (const auto& [key, object] : writes_) {
    if (asks_for(query, key) && object.resource) {
      keys->push_back(key);
    }
  }
  std::ranges::sort(*keys);
  return keys;
}

Result<std::unique_ptr<Watch>> OverlayStore::watch(const ListQuery& /*query*/, Revision /*from*/) {
  return fail(Errc::kInvalid, "an overlay is not watched: it has no history");
}

}  // namespace margay::datastore
