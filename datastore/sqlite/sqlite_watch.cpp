#include "datastore/sqlite/sqlite_watch.h"

#include "datastore/sqlite/file.h"
#include "datastore/sqlite/notify.h"
#include "datastore/sqlite/schema.h"

#include <algorithm>
#include <array>
#include <utility>

namespace margay::datastore {

namespace {

using std::chrono::milliseconds;

constexpr milliseconds kIdle{1000};  // a look at the path: was the file moved or replaced?
// After a wake-up that found nothing: the commit behind it may not be readable yet.
constexpr std::array<milliseconds, 3> kLookAgain{
    milliseconds(2), milliseconds(20), milliseconds(200)};
constexpr milliseconds kAwayRetry{100};

class SqliteWatch final : public Watch {
 public:
  SqliteWatch(std::string path, std::string identity, ListQuery query, Revision from)
      : identity_(std::move(identity)),
        query_(std::move(query)),
        revision_(from),
        file_(path),
        waiter_(std::move(path)) {
    waiter_.set_timer(milliseconds(1));  // the first look opens the file and arms the waiter
  }

  [[nodiscard]] int descriptor() const override { return waiter_.descriptor(); }
  [[nodiscard]] Revision revision() const override { return revision_; }

  Result<std::vector<Event>> take() override {
    if (waiter_.drain()) {
      looks_ = 0;
    }
    auto events = read();
    if (!events) {
      file_.close();
      armed_generation_ = 0;
      waiter_.set_timer(kAwayRetry);
      return events;
    }
    if (!events->empty()) {
      looks_ = kLookAgain.size();
    }
    waiter_.set_timer(looks_ < kLookAgain.size() ? kLookAgain[looks_++] : kIdle);
    return events;
  }

 private:
  Result<std::vector<Event>> read() {
    auto connection = file_.connection(false);
    if (!connection) {
      return fail(connection.error());
    }
    if (armed_generation_ != file_.generation()) {
      waiter_.arm_files();
      armed_generation_ = file_.generation();
    }
    auto transaction = Transaction::begin(**connection, Transaction::Mode::kRead);
    if (!transaction) {
      return fail(transaction.error());
    }
    const auto state = read_state(**connection);
    if (!state) {
      return fail(state.error());
    }
    if (state->identity != identity_ || revision_ < state->compacted ||
        state->revision < revision_) {
      return fail(Errc::kCompacted, "revision {} is no longer kept", revision_.value());
    }
    if (state->revision == revision_) {
      return std::vector<Event>();
    }
    auto events = read_changes(**connection);
    if (events) {
      revision_ = state->revision;
    }
    return events;
  }

  Result<std::vector<Event>> read_changes(Connection& connection) {
    auto statement = connection.prepare(
        "SELECT revision, deleted, kind, ns, name, json FROM changes WHERE revision > ? ORDER BY "
        "revision");
    if (!statement) {
      return fail(statement.error());
    }
    statement->bind(static_cast<std::int64_t>(revision_.value()));
    std::vector<Event> events;
    while (true) {
      const auto row = statement->step();
      if (!row) {
        return fail(row.error());
      }
      if (!*row) {
        return events;
      }
      const auto kind = parse_kind_column(statement->text(2));
      if (!kind || (query_.kind && *kind != *query_.kind) ||
          (!query_.ns.empty() && statement->text(3) != query_.ns)) {
        continue;
      }
      const Revision revision(static_cast<std::uint64_t>(statement->integer(0)));
      api::ResourceKey key{*kind, std::string(statement->text(3)), std::string(statement->text(4))};
      if (statement->integer(1) != 0) {
        events.push_back(
            Event{Event::Type::kDelete, Object{std::move(key), revision, nullptr, std::nullopt}});
      } else {
        events.push_back(
            Event{Event::Type::kPut, make_object(std::move(key), revision, statement->text(5))});
      }
    }
  }

  std::string identity_;
  ListQuery query_;
  Revision revision_;
  StoreFile file_;
  ChangeWaiter waiter_;
  std::uint64_t armed_generation_ = 0;
  std::size_t looks_ = kLookAgain.size();
};

}  // namespace

std::unique_ptr<Watch> make_sqlite_watch(std::string path,
                                         std::string identity,
                                         const ListQuery& query,
                                         Revision from) {
  return std::make_unique<SqliteWatch>(std::move(path), std::move(identity), query, from);
}

}  // namespace margay::datastore
