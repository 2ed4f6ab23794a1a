#include "datastore/sqlite/sqlite_store.h"

#include "base/wall_time.h"
#include "datastore/sqlite/file.h"
#include "datastore/sqlite/notify.h"
#include "datastore/sqlite/schema.h"
#include "datastore/sqlite/sqlite_watch.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <mutex>
#include <unordered_map>
#include <utility>

namespace margay::datastore {

namespace {

constexpr std::uint64_t kCompactEvery = 1024;  // changes between two shortenings of the log

// An error after which the connection may be unusable: the next call opens the file anew.
bool breaks_connection(const Error& error) {
  return error.code == Errc::kInternal || error.code == Errc::kUnavailable ||
         error.code == Errc::kPermission;
}

// Objects that were read or written lately, as decoded: an object and its revision name one text
// for ever. Only what is committed may go in.
class ObjectCache {
 public:
  // Null when another revision is known, or none.
  [[nodiscard]] const Object* find(const api::ResourceKey& key, Revision revision) const {
    const auto found = objects_.find(key);
    return found == objects_.end() || found->second.revision != revision ? nullptr : &found->second;
  }
  void put(const Object& object) {
    if (!object.resource) {
      return;
    }
    if (objects_.size() >= kMost) {
      objects_.clear();
    }
    objects_.insert_or_assign(object.key, object);
  }
  void clear() { objects_.clear(); }

 private:
  static constexpr std::size_t kMost = 128;  // more: it begins anew
  std::unordered_map<api::ResourceKey, Object> objects_;
};

class SqliteStore final : public Store {
 public:
  explicit SqliteStore(SqliteOptions options)
      : options_(std::move(options)), file_(options_.path) {}

  Result<std::vector<Object>> commit(std::span<const Change> changes) override {
    const std::lock_guard lock(mutex_);
    auto done =
        with_connection([&](Connection& connection) { return commit_on(connection, changes); });
    if (done) {
      touch_notify_file(options_.path);
      for (std::size_t i = 0; i < changes.size(); ++i) {
        if (std::holds_alternative<Update>(changes[i])) {
          cache_.put((*done)[i]);  // what was changed once is changed again
        }
      }
    }
    return done;
  }

  Result<Object> get(const api::ResourceKey& key) override {
    const std::lock_guard lock(mutex_);
    auto object = with_connection([&](Connection& connection) { return find(connection, key); });
    if (object) {
      cache_.put(*object);
    }
    return object;
  }

  Result<Listing> list(const ListQuery& query) override {
    const std::lock_guard lock(mutex_);
    auto listing =
        with_connection([&](Connection& connection) { return list_on(connection, query); });
    constexpr std::size_t kFew = 16;
    if (listing && listing->objects.size() <= kFew) {
      for (const Object& object : listing->objects) {
        cache_.put(object);
      }
    }
    return listing;
  }

  Result<std::vector<api::ResourceKey>> keys(const ListQuery& query) override {
    const std::lock_guard lock(mutex_);
    return with_connection([&](Connection& connection) { return keys_on(connection, query); });
  }

  Result<std::unique_ptr<Watch>> watch(const ListQuery& query, Revision from) override {
    const std::lock_guard lock(mutex_);
    auto state = with_connection([&](Connection& connection) { return read_state(connection); });
    if (!state) {
      return fail(state.error());
    }
    if (from < state->compacted || state->revision < from) {
      return fail(Errc::kCompacted,
                  "revision {} is no longer kept, the log starts at {}",
                  from.value(),
                  state->compacted.value());
    }
    return make_sqlite_watch(options_.path, state->identity, query, from);
  }

 private:
  // Runs a function on the open connection; a broken one is dropped.
  template <typename F>
  auto with_connection(F function) -> decltype(function(std::declval<Connection&>())) {
    auto connection = file_.connection(options_.create && !seen_);
    if (!connection) {
      return fail(connection.error());
    }
    seen_ = true;
    if (generation_ != file_.generation()) {
      generation_ = file_.generation();
      cache_.clear();  // it may be another file
    }
    auto result = function(**connection);
    if (!result && breaks_connection(result.error())) {
      file_.close();
    }
    return result;
  }

  Result<Object> find(Connection& connection, const api::ResourceKey& key) {
    auto statement = connection.prepare(
        "SELECT revision, json FROM objects WHERE kind = ? AND ns = ? AND name = ?");
    if (!statement) {
      return fail(statement.error());
    }
    const auto row = statement->bind(kind_column(key.kind)).bind(key.ns).bind(key.name).step();
    if (!row) {
      return fail(row.error());
    }
    if (!*row) {
      return fail(Errc::kNotFound, "{} does not exist", key.str());
    }
    return object_of(
        key, Revision(static_cast<std::uint64_t>(statement->integer(0))), statement->text(1));
  }

  [[nodiscard]] Object object_of(api::ResourceKey key,
                                 Revision revision,
                                 std::string_view json) const {
    const Object* known = cache_.find(key, revision);
    return known != nullptr ? *known : make_object(std::move(key), revision, json);
  }

  Result<Listing> list_on(Connection& connection, const ListQuery& query) {
    // One read transaction, so that objects and revision belong together.
    auto transaction = Transaction::begin(connection, Transaction::Mode::kRead);
    if (!transaction) {
      return fail(transaction.error());
    }
    const auto state = read_state(connection);
    if (!state) {
      return fail(state.error());
    }
    Listing listing{{}, state->revision};
    auto walked = walk(
        connection,
        "SELECT kind, ns, name, revision, json FROM objects WHERE kind >= ? "
        "ORDER BY kind, ns, name",
        query,
        [&](api::ResourceKey key, const Statement& row) {
          listing.objects.push_back(object_of(
              std::move(key), Revision(static_cast<std::uint64_t>(row.integer(3))), row.text(4)));
        });
    if (!walked) {
      return fail(walked.error());
    }
    for (Object& object : listing.objects) {
      if (!object.resource) {
        if (auto found = add_last_valid(connection, object); !found) {
          return fail(found.error());
        }
      }
    }
    // Of one kind they come in the order of the primary key.
    if (!std::ranges::is_sorted(listing.objects, {}, &Object::key)) {
      std::ranges::sort(listing.objects, {}, &Object::key);
    }
    return listing;
  }

  static Result<std::vector<api::ResourceKey>> keys_on(Connection& connection,
                                                       const ListQuery& query) {
    std::vector<api::ResourceKey> keys;
    auto walked =
        walk(connection,
             "SELECT kind, ns, name FROM objects WHERE kind >= ? ORDER BY kind, ns, name",
             query,
             [&keys](api::ResourceKey key, const Statement&) { keys.push_back(std::move(key)); });
    if (!walked) {
      return fail(walked.error());
    }
    std::ranges::sort(keys);
    return keys;
  }

  // The rows that are asked for, by the primary key. The end of a kind is found here: as a
  // condition of the statement it would be compared with every row as a whole, its JSON read for
  // that.
  template <typename F>
  static Result<void> walk(Connection& connection,
                           std::string_view sql,
                           const ListQuery& query,
                           F take) {
    auto statement = connection.prepare(sql);
    if (!statement) {
      return fail(statement.error());
    }
    const std::string first = query.kind ? kind_column(*query.kind) : std::string();
    statement->bind(first);
    while (true) {
      const auto row = statement->step();
      if (!row) {
        return fail(row.error());
      }
      if (!*row || (query.kind && statement->text(0) != first)) {
        return {};
      }
      const auto kind = parse_kind_column(statement->text(0));
      if (!kind || (!query.ns.empty() && statement->text(1) != query.ns)) {
        continue;  // a kind of a newer version, or another namespace
      }
      take({*kind, std::string(statement->text(1)), std::string(statement->text(2))}, *statement);
    }
  }

  // From the log of changes, back to where the object was made.
  static Result<void> add_last_valid(Connection& connection, Object& object) {
    auto statement = connection.prepare(
        "SELECT deleted, json FROM changes WHERE kind = ? AND ns = ? AND name = ? "
        "ORDER BY revision DESC");
    if (!statement) {
      return fail(statement.error());
    }
    statement->bind(kind_column(object.key.kind)).bind(object.key.ns).bind(object.key.name);
    while (true) {
      const auto row = statement->step();
      if (!row) {
        return fail(row.error());
      }
      if (!*row || statement->integer(0) != 0) {
        return {};
      }
      const Object earlier = make_object(object.key, object.revision, statement->text(1));
      if (earlier.resource) {
        object.last_valid = earlier.resource;
        return {};
      }
    }
  }

  Result<std::vector<Object>> commit_on(Connection& connection, std::span<const Change> changes) {
    auto transaction = Transaction::begin(connection, Transaction::Mode::kWrite);
    if (!transaction) {
      return fail(transaction.error());
    }
    auto state = read_state(connection);
    if (!state) {
      return fail(state.error());
    }
    std::uint64_t revision = state->revision.value();
    std::vector<Object> stored;
    for (const Change& change : changes) {
      auto object = apply(connection, change, Revision(++revision));
      if (!object) {
        return fail(object.error());
      }
      stored.push_back(std::move(*object));
    }
    auto update = connection.prepare("UPDATE store SET revision = ?");
    if (!update) {
      return fail(update.error());
    }
    if (auto done = update->bind(static_cast<std::int64_t>(revision)).run(); !done) {
      return fail(done.error());
    }
    if (revision / kCompactEvery != state->revision.value() / kCompactEvery &&
        revision > options_.history) {
      if (auto done = compact(connection, revision - options_.history); !done) {
        return fail(done.error());
      }
    }
    if (auto done = transaction->commit(); !done) {
      return fail(done.error());
    }
    return stored;
  }

  Result<Object> apply(Connection& connection, const Change& change, Revision revision) {
    if (const auto* remove = std::get_if<Remove>(&change)) {
      return apply_remove(connection, *remove, revision);
    }
    if (const auto* create = std::get_if<Create>(&change)) {
      return apply_create(connection, create->resource, revision);
    }
    return apply_update(connection, std::get<Update>(change).resource, revision);
  }

  static Result<Object> apply_create(Connection& connection,
                                     api::Resource resource,
                                     Revision revision) {
    resource.metadata.uid = random_uuid();
    resource.metadata.creation_timestamp = format_rfc3339(wall_now());
    return write(connection,
                 "INSERT INTO objects VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                 std::move(resource),
                 revision);
  }

  Result<Object> apply_update(Connection& connection, api::Resource resource, Revision revision) {
    const auto existing = find(connection, resource.key());
    if (!existing) {
      return fail(existing.error());
    }
    if (auto fresh = check_revision(*existing, resource.metadata.resource_version); !fresh) {
      return fail(fresh.error());
    }
    if (existing->resource) {
      resource.metadata.uid = existing->resource->metadata.uid;
      resource.metadata.creation_timestamp = existing->resource->metadata.creation_timestamp;
    }
    return write(connection,
                 "INSERT INTO objects VALUES (?, ?, ?, ?, ?) "
                 "ON CONFLICT DO UPDATE SET revision = excluded.revision, json = excluded.json",
                 std::move(resource),
                 revision);
  }

  static Result<void> check_revision(const Object& existing, const std::string& expected) {
    if (expected.empty()) {
      return fail(
          Errc::kInvalid, "update of {}: metadata.resourceVersion is missing", existing.key.str());
    }
    if (expected != std::to_string(existing.revision.value())) {
      return fail(Errc::kConflict,
                  "{} has changed: it is at revision {}, not {}",
                  existing.key.str(),
                  existing.revision.value(),
                  expected);
    }
    return {};
  }

  // kExists: the statement put nothing.
  static Result<Object> write(Connection& connection,
                              std::string_view sql,
                              api::Resource resource,
                              Revision revision) {
    resource.metadata.resource_version = std::to_string(revision.value());
    api::ResourceKey key = resource.key();
    const std::string kind = kind_column(key.kind);
    const std::string json = api::encode_json(resource);
    auto put = connection.prepare(sql);
    if (!put) {
      return fail(put.error());
    }
    const auto number = static_cast<std::int64_t>(revision.value());
    if (auto done = put->bind(kind).bind(key.ns).bind(key.name).bind(number).bind(json).run();
        !done) {
      return fail(done.error());
    }
    if (connection.changed_rows() == 0) {
      return fail(Errc::kExists, "{} exists", key.str());
    }
    if (auto logged = log_change(connection, revision, false, key, json); !logged) {
      return fail(logged.error());
    }
    return Object{std::move(key),
                  revision,
                  std::make_shared<const api::Resource>(std::move(resource)),
                  std::nullopt};
  }

  Result<Object> apply_remove(Connection& connection, const Remove& remove, Revision revision) {
    auto existing = find(connection, remove.key);
    if (!existing) {
      return fail(existing.error());
    }
    if (remove.expected && *remove.expected != existing->revision) {
      return fail(Errc::kConflict,
                  "{} has changed: it is at revision {}, not {}",
                  remove.key.str(),
                  existing->revision.value(),
                  remove.expected->value());
    }
    auto statement =
        connection.prepare("DELETE FROM objects WHERE kind = ? AND ns = ? AND name = ?");
    if (!statement) {
      return fail(statement.error());
    }
    if (auto done = statement->bind(kind_column(remove.key.kind))
                        .bind(remove.key.ns)
                        .bind(remove.key.name)
                        .run();
        !done) {
      return fail(done.error());
    }
    if (auto logged = log_change(connection, revision, true, remove.key, {}); !logged) {
      return fail(logged.error());
    }
    return existing;
  }

  static Result<void> log_change(Connection& connection,
                                 Revision revision,
                                 bool deleted,
                                 const api::ResourceKey& key,
                                 std::string_view json) {
    auto statement = connection.prepare("INSERT INTO changes VALUES (?, ?, ?, ?, ?, ?)");
    if (!statement) {
      return fail(statement.error());
    }
    return statement->bind(static_cast<std::int64_t>(revision.value()))
        .bind(std::int64_t{deleted ? 1 : 0})
        .bind(kind_column(key.kind))
        .bind(key.ns)
        .bind(key.name)
        .bind(json)
        .run();
  }

  static Result<void> compact(Connection& connection, std::uint64_t upto) {
    for (const char* sql :
         {"DELETE FROM changes WHERE revision <= ?", "UPDATE store SET compacted = ?"}) {
      auto statement = connection.prepare(sql);
      if (!statement) {
        return fail(statement.error());
      }
      if (auto done = statement->bind(static_cast<std::int64_t>(upto)).run(); !done) {
        return done;
      }
    }
    return {};
  }

  SqliteOptions options_;
  std::mutex mutex_;
  StoreFile file_;
  std::uint64_t generation_ = 0;
  ObjectCache cache_;
  bool seen_ = false;  // the file was there once: never create another
};

}  // namespace

std::unique_ptr<Store> make_sqlite_store(SqliteOptions options) {
  return std::make_unique<SqliteStore>(std::move(options));
}

}  // namespace margay::datastore
