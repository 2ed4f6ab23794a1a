#include "datastore/sqlite/connection.h"

#include <sqlite3.h>

#include <cerrno>
#include <chrono>
#include <map>
#include <random>
#include <thread>

namespace margay::datastore {

namespace {

constexpr std::chrono::seconds kLockWait{5};
constexpr int kPrimaryCodeMask = 0xff;

Errc code_of(int sqlite_code) {
  switch (sqlite_code & kPrimaryCodeMask) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_CANTOPEN:
    case SQLITE_IOERR:
    case SQLITE_PROTOCOL:
      return Errc::kUnavailable;
    case SQLITE_FULL:
    case SQLITE_NOMEM:
    case SQLITE_TOOBIG:
      return Errc::kExhausted;
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
      return Errc::kPermission;
    default:
      return Errc::kInternal;
  }
}

Failure<Error> failure(sqlite3* database, std::string_view what) {
  const int code = sqlite3_extended_errcode(database);
  auto failed = fail(code_of(code), "{}: {}", what, sqlite3_errmsg(database));
  if ((code & kPrimaryCodeMask) == SQLITE_FULL) {
    failed.error.sys_errno = ENOSPC;  // not some bound of ours
  }
  return failed;
}

}  // namespace

// Waiting for another process's lock. SQLite's own way sleeps up to 100 ms between two tries, and a
// commit takes one: whoever writes without pause would starve all others. Short sleeps of uneven
// length share the lock.
class Connection::LockWait {
 public:
  static int again(void* self, int tries) { return static_cast<LockWait*>(self)->wait(tries); }

 private:
  int wait(int tries) {
    const auto now = std::chrono::steady_clock::now();
    if (tries == 0) {
      end_ = now + kLockWait;
    }
    if (now >= end_) {
      return 0;
    }
    std::this_thread::sleep_for(std::chrono::microseconds(pause_(random_)));
    return 1;
  }

  std::chrono::steady_clock::time_point end_;
  std::minstd_rand random_{std::random_device{}()};
  std::uniform_int_distribution<int> pause_{100, 1000};
};

// Compiled statements that nobody uses at the moment.
class StatementCache {
 public:
  StatementCache() = default;
  ~StatementCache() {
    for (const auto& entry : idle_) {
      sqlite3_finalize(entry.second);
    }
  }
  StatementCache(const StatementCache&) = delete;
  StatementCache& operator=(const StatementCache&) = delete;

  sqlite3_stmt* take(std::string_view sql) {
    const auto found = idle_.find(sql);
    if (found == idle_.end()) {
      return nullptr;
    }
    sqlite3_stmt* statement = found->second;
    idle_.erase(found);
    return statement;
  }
  void give_back(sqlite3_stmt* statement) {
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
    if (!idle_.emplace(sqlite3_sql(statement), statement).second) {
      sqlite3_finalize(statement);
    }
  }

 private:
  std::map<std::string, sqlite3_stmt*, std::less<>> idle_;
};

Connection::Connection(sqlite3* database)
    : lock_wait_(std::make_unique<LockWait>()),
      database_(database),
      statements_(std::make_unique<StatementCache>()) {}
Connection::Connection(Connection&&) noexcept = default;
Connection& Connection::operator=(Connection&& other) noexcept {
  statements_.reset();                     // they belong to the database
  database_ = std::move(other.database_);  // closes first: that may wait for a lock
  statements_ = std::move(other.statements_);
  lock_wait_ = std::move(other.lock_wait_);
  return *this;
}
Connection::~Connection() = default;

void Statement::GiveBack::operator()(sqlite3_stmt* statement) const {
  cache->give_back(statement);
}
void Connection::Close::operator()(sqlite3* database) const {
  sqlite3_close_v2(database);
}

Statement& Statement::bind(std::int64_t value) {
  sqlite3_bind_int64(statement_.get(), ++bound_, value);
  return *this;
}

Statement& Statement::bind(std::string_view value) {
  // SQLITE_TRANSIENT: SQLite copies the text. The macro is a C cast of -1 to a function pointer.
  // NOLINTNEXTLINE(performance-no-int-to-ptr): what SQLite's interface asks for
  const auto transient = reinterpret_cast<sqlite3_destructor_type>(-1);
  // A null pointer would be NULL, not the empty text.
  const char* text = value.data() == nullptr ? "" : value.data();
  sqlite3_bind_text64(statement_.get(), ++bound_, text, value.size(), transient, SQLITE_UTF8);
  return *this;
}

Result<bool> Statement::step() {
  const int code = sqlite3_step(statement_.get());
  if (code == SQLITE_ROW) {
    return true;
  }
  if (code == SQLITE_DONE) {
    return false;
  }
  auto error = failure(sqlite3_db_handle(statement_.get()), "datastore");
  reset();
  return error;
}

Result<void> Statement::run() {
  while (true) {
    const auto row = step();
    if (!row) {
      return fail(row.error());
    }
    if (!*row) {
      reset();
      return {};
    }
  }
}

void Statement::reset() {
  sqlite3_reset(statement_.get());
  sqlite3_clear_bindings(statement_.get());
  bound_ = 0;
}

std::int64_t Statement::integer(int column) const {
  return sqlite3_column_int64(statement_.get(), column);
}

std::string_view Statement::text(int column) const {
  const auto* bytes = sqlite3_column_text(statement_.get(), column);
  const int size = sqlite3_column_bytes(statement_.get(), column);
  return bytes == nullptr ? std::string_view()
                          : std::string_view(reinterpret_cast<const char*>(bytes),
                                             static_cast<std::size_t>(size));
}

Result<Connection> Connection::open(const std::string& path, bool create) {
  sqlite3* raw = nullptr;
  const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | (create ? SQLITE_OPEN_CREATE : 0);
  const int code = sqlite3_open_v2(path.c_str(), &raw, flags, nullptr);
  Connection connection(raw);
  if (raw == nullptr) {
    return fail(Errc::kExhausted, "datastore {}: out of memory", path);
  }
  if (code != SQLITE_OK) {
    return failure(raw, "datastore " + path);
  }
  sqlite3_extended_result_codes(raw, 1);
  sqlite3_busy_handler(raw, &LockWait::again, connection.lock_wait_.get());
  return connection;
}

Result<Statement> Connection::prepare(std::string_view sql) {
  if (sqlite3_stmt* known = statements_->take(sql)) {
    return Statement(known, statements_.get());
  }
  sqlite3_stmt* raw = nullptr;
  const int code = sqlite3_prepare_v3(database_.get(),
                                      sql.data(),
                                      static_cast<int>(sql.size()),
                                      SQLITE_PREPARE_PERSISTENT,
                                      &raw,
                                      nullptr);
  if (code != SQLITE_OK) {
    return failure(database_.get(), "datastore");
  }
  return Statement(raw, statements_.get());
}

Result<void> Connection::run(const char* sql) {
  if (sqlite3_exec(database_.get(), sql, nullptr, nullptr, nullptr) != SQLITE_OK) {
    return failure(database_.get(), "datastore");
  }
  return {};
}

Result<void> Connection::run_patiently(const char* sql) {
  LockWait patience;
  for (int tries = 0;; ++tries) {
    const int code = sqlite3_exec(database_.get(), sql, nullptr, nullptr, nullptr);
    if (code == SQLITE_OK) {
      return {};
    }
    if ((code & kPrimaryCodeMask) != SQLITE_BUSY || LockWait::again(&patience, tries) == 0) {
      return failure(database_.get(), "datastore");
    }
  }
}

bool Connection::has_moved() const {
  int moved = 0;
  return sqlite3_file_control(database_.get(), "main", SQLITE_FCNTL_HAS_MOVED, &moved) ==
             SQLITE_OK &&
         moved != 0;
}

Result<std::int64_t> Connection::query_integer(std::string_view sql) {
  auto statement = prepare(sql);
  if (!statement) {
    return fail(statement.error());
  }
  const auto row = statement->step();
  if (!row) {
    return fail(row.error());
  }
  if (!*row) {
    return fail(Errc::kInternal, "datastore: no row for {}", sql);
  }
  return statement->integer(0);
}

int Connection::changed_rows() const {
  return sqlite3_changes(database_.get());
}

Result<Transaction> Transaction::begin(Connection& connection, Mode mode) {
  auto begun = connection.run(mode == Mode::kWrite ? "BEGIN IMMEDIATE" : "BEGIN");
  if (!begun) {
    return fail(begun.error());
  }
  return Transaction(connection);
}

Transaction::~Transaction() {
  if (connection_ != nullptr) {
    (void)connection_->run("ROLLBACK");  // nothing was promised to anyone
  }
}

Result<void> Transaction::commit() {
  auto done = connection_->run("COMMIT");
  if (done) {
    connection_ = nullptr;
  }
  return done;
}

}  // namespace margay::datastore
