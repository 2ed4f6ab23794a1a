#pragma once
// Connection and Statement: SQLite's C interface with results instead of codes. A connection
// belongs to one thread at a time. Errors carry a code that callers decide on: busy or gone is
// kUnavailable, a full disk kExhausted.

#include "base/result.h"

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

struct sqlite3;
struct sqlite3_stmt;

namespace margay::datastore {

class Connection;
class StatementCache;

// Goes back to its connection at the end, for the next one of the same text; must not outlive it.
class Statement {
 public:
  Statement(Statement&&) = default;
  Statement& operator=(Statement&&) = default;
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;
  ~Statement() = default;

  Statement& bind(std::int64_t value);
  Statement& bind(std::string_view value);
  // True: a row is there; false: done.
  [[nodiscard]] Result<bool> step();
  // Runs to the end and makes the statement ready for new values.
  [[nodiscard]] Result<void> run();
  void reset();

  [[nodiscard]] std::int64_t integer(int column) const;
  [[nodiscard]] std::string_view text(int column) const;  // valid until the next step

 private:
  friend class Connection;
  struct GiveBack {
    StatementCache* cache = nullptr;
    void operator()(sqlite3_stmt* statement) const;
  };
  Statement(sqlite3_stmt* statement, StatementCache* cache) : statement_(statement, {cache}) {}

  std::unique_ptr<sqlite3_stmt, GiveBack> statement_;
  int bound_ = 0;
};

class Connection {
 public:
  // Opens the file; creates it only if asked. Waits at most five seconds for another process's lock
  // in each call.
  [[nodiscard]] static Result<Connection> open(const std::string& path, bool create);
  Connection(Connection&&) noexcept;
  Connection& operator=(Connection&&) noexcept;
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  ~Connection();

  // Compiled once for each text that is in use.
  [[nodiscard]] Result<Statement> prepare(std::string_view sql);
  // One or more statements without values or rows.
  [[nodiscard]] Result<void> run(const char* sql);
  // The same for statements that give up at once where two processes would wait for each other,
  // as the change to WAL does: tried again for as long as a lock is waited for.
  [[nodiscard]] Result<void> run_patiently(const char* sql);
  [[nodiscard]] Result<std::int64_t> query_integer(std::string_view sql);
  // By the last INSERT, UPDATE or DELETE.
  [[nodiscard]] int changed_rows() const;
  // True: the path no longer names the file that this connection has open.
  [[nodiscard]] bool has_moved() const;

 private:
  struct Close {
    void operator()(sqlite3* database) const;
  };
  class LockWait;
  explicit Connection(sqlite3* database);

  std::unique_ptr<LockWait> lock_wait_;  // outlives the database that calls it
  std::unique_ptr<sqlite3, Close> database_;
  std::unique_ptr<StatementCache> statements_;  // of this database
};

// BEGIN IMMEDIATE (or a read transaction) now, ROLLBACK at the end unless committed.
class Transaction {
 public:
  enum class Mode : std::uint8_t { kRead, kWrite };
  [[nodiscard]] static Result<Transaction> begin(Connection& connection, Mode mode);
  ~Transaction();
  Transaction(Transaction&& other) noexcept
      : connection_(std::exchange(other.connection_, nullptr)) {}
  Transaction& operator=(Transaction&&) = delete;
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;

  // Durable when it succeeds.
  [[nodiscard]] Result<void> commit();

 private:
  explicit Transaction(Connection& connection) : connection_(&connection) {}
  Connection* connection_;
};

}  // namespace margay::datastore
