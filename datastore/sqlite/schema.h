#pragma once
// The tables of the embedded datastore, and reading objects out of rows.

#include "api/metadata.h"
#include "base/result.h"
#include "datastore/sqlite/connection.h"
#include "datastore/store.h"

#include <cstdint>
#include <string>

namespace margay::datastore {

inline constexpr std::int64_t kSchemaVersion = 1;

// Creates the tables in an empty file; refuses files of a newer version or of another program.
[[nodiscard]] Result<void> ensure_schema(Connection& connection, bool create);

// What identifies a store and how far it is.
struct StoreState {
  std::string identity;  // random, made with the file
  Revision revision;
  Revision compacted;  // the log holds changes after this one
};
[[nodiscard]] Result<StoreState> read_state(Connection& connection);

// The kind column: "projectcalico.org/v3/Tier".
[[nodiscard]] std::string kind_column(api::Kind kind);
// A version of Margay that knows more kinds may have written rows that this one has no name for.
[[nodiscard]] Result<api::Kind> parse_kind_column(std::string_view text);

// An object from its row; text that does not decode makes an invalid object.
[[nodiscard]] Object make_object(api::ResourceKey key, Revision revision, std::string_view json);

// 128 random bits as text (RFC 4122 version 4).
[[nodiscard]] std::string random_uuid();

}  // namespace margay::datastore
