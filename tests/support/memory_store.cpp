#include "tests/support/memory_store.h"

#include <sys/eventfd.h>

#include <algorithm>
#include <unistd.h>

namespace margay::test {

using datastore::Change;
using datastore::Event;
using datastore::Listing;
using datastore::ListQuery;
using datastore::Object;
using datastore::Revision;

namespace {

bool matches(const ListQuery& query, const api::ResourceKey& key) {
  return (!query.kind || *query.kind == key.kind) && (query.ns.empty() || query.ns == key.ns);
}

}  // namespace

class MemoryStore::MemoryWatch : public datastore::Watch {
 public:
  MemoryWatch(MemoryStore& store, ListQuery query, Revision from)
      : store_(store),
        query_(std::move(query)),
        revision_(from),
        descriptor_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}
  ~MemoryWatch() override {
    const std::lock_guard lock(store_.mutex_);
    std::erase(store_.watches_, this);
    ::close(descriptor_);
  }
  MemoryWatch(const MemoryWatch&) = delete;
  MemoryWatch& operator=(const MemoryWatch&) = delete;

  [[nodiscard]] int descriptor() const override { return descriptor_; }
  [[nodiscard]] Result<std::vector<Event>> take() override {
    const std::lock_guard lock(store_.mutex_);
    eventfd_t ignored = 0;
    ::eventfd_read(descriptor_, &ignored);
    if (store_.away_) {
      return fail(Errc::kUnavailable, "the store is away");
    }
    if (revision_.value() < store_.compacted_) {
      return fail(Errc::kCompacted, "revision {} is no longer kept", revision_.value());
    }
    std::vector<Event> events;
    for (auto event = store_.first_after(revision_); event != store_.log_.end(); ++event) {
      if (matches(query_, event->object.key)) {
        events.push_back(*event);
      }
    }
    revision_ = Revision(store_.revision_);
    return events;
  }
  [[nodiscard]] Revision revision() const override { return revision_; }
  void wake() const { ::eventfd_write(descriptor_, 1); }

 private:
  MemoryStore& store_;
  ListQuery query_;
  Revision revision_;
  int descriptor_;
};

void MemoryStore::fail_call(unsigned n, Error error) {
  const std::lock_guard lock(mutex_);
  fail_in_ = n;
  fail_with_ = std::move(error);
}

void MemoryStore::set_away(bool away) {
  const std::lock_guard lock(mutex_);
  away_ = away;
  wake_watches();
}

void MemoryStore::set_full(bool full) {
  const std::lock_guard lock(mutex_);
  full_ = full;
}

void MemoryStore::spoil(const api::ResourceKey& key, Error why, Earlier earlier) {
  const std::lock_guard lock(mutex_);
  Object spoilt{key, Revision(++revision_), nullptr, std::move(why)};
  log_.push_back(Event{Event::Type::kPut, spoilt});
  if (earlier == Earlier::kKept) {
    spoilt.last_valid = objects_[key].resource;
  }
  objects_[key] = std::move(spoilt);
  wake_watches();
}

void MemoryStore::compact() {
  const std::lock_guard lock(mutex_);
  log_.clear();
  compacted_ = revision_;
  wake_watches();
}

void MemoryStore::wake_watches() const {
  for (const MemoryWatch* watch : watches_) {
    watch->wake();
  }
}

std::vector<Event>::const_iterator MemoryStore::first_after(Revision revision) const {
  return std::ranges::upper_bound(
      log_, revision, {}, [](const Event& event) { return event.object.revision; });
}

unsigned MemoryStore::calls() const {
  const std::lock_guard lock(mutex_);
  return calls_;
}

unsigned MemoryStore::commits() const {
  const std::lock_guard lock(mutex_);
  return commits_;
}

std::optional<Error> MemoryStore::injected() {
  ++calls_;
  if (away_) {
    return Error{Errc::kUnavailable, "the store is away", 0};
  }
  if (fail_in_ > 0 && --fail_in_ == 0) {
    return fail_with_;
  }
  return std::nullopt;
}

Result<Object> MemoryStore::apply(const Change& change, Objects& objects, Revision revision) {
  const auto* removal = std::get_if<datastore::Remove>(&change);
  if (removal == nullptr) {
    return put(change, objects, revision);
  }
  const auto found = objects.find(removal->key);
  if (found == objects.end()) {
    return fail(Errc::kNotFound, "{}: does not exist", removal->key.str());
  }
  if (removal->expected && *removal->expected != found->second.revision) {
    return fail(Errc::kConflict, "{}: changed meanwhile", removal->key.str());
  }
  Object removed = found->second;
  objects.erase(found);
  return removed;
}

Result<Object> MemoryStore::put(const Change& change, Objects& objects, Revision revision) {
  const auto* creation = std::get_if<datastore::Create>(&change);
  api::Resource resource =
      creation != nullptr ? creation->resource : std::get<datastore::Update>(change).resource;
  const api::ResourceKey key = resource.key();
  api::Metadata& metadata = resource.metadata;
  const auto found = objects.find(key);
  if (creation != nullptr) {
    if (found != objects.end()) {
      return fail(Errc::kExists, "{}: exists already", key.str());
    }
    metadata.uid = std::to_string(++next_uid_);
    metadata.creation_timestamp = "2026-01-01T00:00:00Z";
  } else {
    if (found == objects.end()) {
      return fail(Errc::kNotFound, "{}: does not exist", key.str());
    }
    if (metadata.resource_version.empty()) {
      return fail(Errc::kInvalid, "update of {}: metadata.resourceVersion is missing", key.str());
    }
    if (metadata.resource_version != std::to_string(found->second.revision.value())) {
      return fail(Errc::kConflict, "{}: changed meanwhile", key.str());
    }
    if (const auto& existing = found->second.resource) {
      metadata.uid = existing->metadata.uid;
      metadata.creation_timestamp = existing->metadata.creation_timestamp;
    }
  }
  metadata.resource_version = std::to_string(revision.value());
  Object object{
      key, revision, std::make_shared<const api::Resource>(std::move(resource)), std::nullopt};
  objects[key] = object;
  return object;
}

Result<std::vector<Object>> MemoryStore::commit(std::span<const Change> changes) {
  const std::lock_guard lock(mutex_);
  if (auto error = injected()) {
    return fail(std::move(*error));
  }
  if (full_) {
    return fail(Errc::kExhausted, "the store is full");
  }
  auto objects = objects_;
  std::vector<Object> done;
  std::vector<Event> events;
  std::uint64_t revision = revision_;
  for (const Change& change : changes) {
    auto applied = apply(change, objects, Revision(++revision));
    if (!applied) {
      return fail(applied.error());
    }
    const bool removal = std::holds_alternative<datastore::Remove>(change);
    Event event{removal ? Event::Type::kDelete : Event::Type::kPut, *applied};
    if (removal) {
      event.object = {applied->key, Revision(revision), nullptr, std::nullopt};
    }
    events.push_back(std::move(event));
    done.push_back(std::move(*applied));
  }
  ++commits_;
  objects_ = std::move(objects);
  revision_ = revision;
  log_.insert(log_.end(), events.begin(), events.end());
  wake_watches();
  return done;
}

Result<Object> MemoryStore::get(const api::ResourceKey& key) {
  const std::lock_guard lock(mutex_);
  if (auto error = injected()) {
    return fail(std::move(*error));
  }
  const auto found = objects_.find(key);
  return found == objects_.end() ? fail(Errc::kNotFound, "{}: does not exist", key.str())
                                 : Result<Object>(found->second);
}

Result<Listing> MemoryStore::list(const ListQuery& query) {
  const std::lock_guard lock(mutex_);
  if (auto error = injected()) {
    return fail(std::move(*error));
  }
  Listing listing{{}, Revision(revision_)};
  for (const auto& [key, object] : objects_) {
    if (matches(query, key)) {
      listing.objects.push_back(object);
    }
  }
  return listing;
}

Result<std::vector<api::ResourceKey>> MemoryStore::keys(const ListQuery& query) {
  const std::lock_guard lock(mutex_);
  if (auto error = injected()) {
    return fail(std::move(*error));
  }
  std::vector<api::ResourceKey> keys;
  for (const auto& entry : objects_) {
    if (matches(query, entry.first)) {
      keys.push_back(entry.first);
    }
  }
  return keys;
}

Result<std::unique_ptr<datastore::Watch>> MemoryStore::watch(const ListQuery& query,
                                                             Revision from) {
  const std::lock_guard lock(mutex_);
  if (auto error = injected()) {
    return fail(std::move(*error));
  }
  if (from.value() < compacted_ || revision_ < from.value()) {
    return fail(Errc::kCompacted, "revision {} is no longer kept", from.value());
  }
  auto watch = std::make_unique<MemoryWatch>(*this, query, from);
  watches_.push_back(watch.get());
  watch->wake();
  return std::unique_ptr<datastore::Watch>(std::move(watch));
}

}  // namespace margay::test
