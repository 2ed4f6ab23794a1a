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
  MemoryWatch(MemoryStore& store, ListQuery query, std::size_t position)
      : store_(store),
        query_(std::move(query)),
        position_(position),
        revision_(store.revision_),
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
    if (store_.away_) {
      return fail(Errc::kUnavailable, "the store is away");
    }
    eventfd_t ignored = 0;
    ::eventfd_read(descriptor_, &ignored);
    std::vector<Event> events;
    for (; position_ < store_.log_.size(); ++position_) {
      if (matches(query_, store_.log_[position_].object.key)) {
        events.push_back(store_.log_[position_]);
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
  std::size_t position_;
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
}

unsigned MemoryStore::calls() const {
  const std::lock_guard lock(mutex_);
  return calls_;
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

Result<Object> MemoryStore::apply(const Change& change,
                                  std::map<api::ResourceKey, Object>& objects,
                                  Revision revision) {
  if (const auto* removal = std::get_if<datastore::Remove>(&change)) {
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
  const auto* creation = std::get_if<datastore::Create>(&change);
  api::Resource resource =
      creation != nullptr ? creation->resource : std::get<datastore::Update>(change).resource;
  const api::ResourceKey key = resource.key();
  const auto found = objects.find(key);
  if (creation != nullptr && found != objects.end()) {
    return fail(Errc::kExists, "{}: exists already", key.str());
  }
  if (creation == nullptr && found == objects.end()) {
    return fail(Errc::kNotFound, "{}: does not exist", key.str());
  }
  if (creation == nullptr &&
      resource.metadata.resource_version != found->second.resource->metadata.resource_version) {
    return fail(Errc::kConflict, "{}: changed meanwhile", key.str());
  }
  if (creation != nullptr) {
    resource.metadata.uid = std::to_string(++next_uid_);
    resource.metadata.creation_timestamp = "2026-01-01T00:00:00Z";
  }
  resource.metadata.resource_version = std::to_string(revision.value());
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
  objects_ = std::move(objects);
  revision_ = revision;
  log_.insert(log_.end(), events.begin(), events.end());
  for (const MemoryWatch* watch : watches_) {
    watch->wake();
  }
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

Result<std::unique_ptr<datastore::Watch>> MemoryStore::watch(const ListQuery& query,
                                                             Revision from) {
  const std::lock_guard lock(mutex_);
  if (auto error = injected()) {
    return fail(std::move(*error));
  }
  const auto first = std::ranges::find_if(
      log_, [from](const Event& event) { return event.object.revision > from; });
  auto watch =
      std::make_unique<MemoryWatch>(*this, query, static_cast<std::size_t>(first - log_.begin()));
  watches_.push_back(watch.get());
  watch->wake();
  return std::unique_ptr<datastore::Watch>(std::move(watch));
}

}  // namespace margay::test
