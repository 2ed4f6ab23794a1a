#include "datastore/sqlite/schema.h"

#include <boost/uuid/random_generator.hpp>
#include <boost/uuid/uuid_io.hpp>

namespace margay::datastore {

namespace {

constexpr std::int64_t kApplicationId =
    0x4d524759;  // "MRGY", tells file(1) and us whose file this is

constexpr const char* kTables = R"(
CREATE TABLE store (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  identity TEXT NOT NULL,
  revision INTEGER NOT NULL,
  compacted INTEGER NOT NULL
);
CREATE TABLE objects (
  kind TEXT NOT NULL,
  ns TEXT NOT NULL,
  name TEXT NOT NULL,
  revision INTEGER NOT NULL,
  json TEXT NOT NULL,
  PRIMARY KEY (kind, ns, name)
) WITHOUT ROWID;
CREATE TABLE changes (
  revision INTEGER PRIMARY KEY,
  deleted INTEGER NOT NULL,
  kind TEXT NOT NULL,
  ns TEXT NOT NULL,
  name TEXT NOT NULL,
  json TEXT NOT NULL
);
PRAGMA application_id = 0x4d524759;
PRAGMA user_version = 1;
)";

Result<void> create_tables(Connection& connection) {
  auto transaction = Transaction::begin(connection, Transaction::Mode::kWrite);
  if (!transaction) {
    return fail(transaction.error());
  }
  // Another process may have been faster.
  const auto version = connection.query_integer("PRAGMA user_version");
  if (!version) {
    return fail(version.error());
  }
  if (*version != 0) {
    return {};
  }
  if (auto made = connection.run(kTables); !made) {
    return made;
  }
  auto insert = connection.prepare("INSERT INTO store VALUES (1, ?, 0, 0)");
  if (!insert) {
    return fail(insert.error());
  }
  if (auto done = insert->bind(random_uuid()).run(); !done) {
    return done;
  }
  return transaction->commit();
}

// What a file says about itself, read at one moment.
struct FileHeader {
  std::int64_t version = 0;
  std::int64_t application = 0;
  std::int64_t tables = 0;
};

Result<FileHeader> read_header(Connection& connection) {
  auto transaction = Transaction::begin(connection, Transaction::Mode::kRead);
  if (!transaction) {
    return fail(transaction.error());
  }
  // The first read of the transaction fixes what all three see: another process may be creating.
  const auto tables = connection.query_integer("SELECT count(*) FROM sqlite_master");
  if (!tables) {
    return fail(tables.error());
  }
  const auto version = connection.query_integer("PRAGMA user_version");
  if (!version) {
    return fail(version.error());
  }
  const auto application = connection.query_integer("PRAGMA application_id");
  if (!application) {
    return fail(application.error());
  }
  return FileHeader{*version, *application, *tables};
}

}  // namespace

Result<void> ensure_schema(Connection& connection, bool create) {
  const auto header = read_header(connection);
  if (!header) {
    return fail(header.error());
  }
  if (header->version == 0 && header->tables == 0) {
    if (!create) {
      return fail(Errc::kUnavailable, "datastore: the file is empty");
    }
    return create_tables(connection);
  }
  if (header->application != kApplicationId) {
    return fail(Errc::kInvalid, "datastore: the file is a database of another program");
  }
  if (header->version > kSchemaVersion) {
    return fail(Errc::kInvalid,
                "datastore: schema version {} is newer than this program's {}: upgrade the program",
                header->version,
                kSchemaVersion);
  }
  return {};
}

Result<StoreState> read_state(Connection& connection) {
  auto statement = connection.prepare("SELECT identity, revision, compacted FROM store");
  if (!statement) {
    return fail(statement.error());
  }
  const auto row = statement->step();
  if (!row) {
    return fail(row.error());
  }
  if (!*row) {
    return fail(Errc::kInternal, "datastore: the store row is missing");
  }
  return StoreState{std::string(statement->text(0)),
                    Revision(static_cast<std::uint64_t>(statement->integer(1))),
                    Revision(static_cast<std::uint64_t>(statement->integer(2)))};
}

std::string kind_column(api::Kind kind) {
  const api::KindSpec& spec = api::spec_of(kind);
  return std::string(spec.api_version) + "/" + std::string(spec.name);
}

Result<api::Kind> parse_kind_column(std::string_view text) {
  const std::size_t slash = text.rfind('/');
  if (slash == std::string_view::npos) {
    return fail(Errc::kInvalid, "kind \"{}\"", text);
  }
  return api::parse_kind(text.substr(0, slash), text.substr(slash + 1));
}

Object make_object(api::ResourceKey key, Revision revision, std::string_view json) {
  auto resource = api::decode_json(json);
  if (!resource) {
    return {std::move(key), revision, nullptr, resource.error()};
  }
  resource->metadata.resource_version = std::to_string(revision.value());
  return {std::move(key),
          revision,
          std::make_shared<const api::Resource>(std::move(*resource)),
          std::nullopt};
}

std::string random_uuid() {
  return boost::uuids::to_string(boost::uuids::random_generator()());
}

}  // namespace margay::datastore
