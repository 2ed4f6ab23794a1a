// What the SQLite store promises beyond the conformance suite: files that come, go, change or are
// damaged, bounded history, wake-ups, and several processes.

#include "datastore/sqlite/schema.h"
#include "tests/support/store_suite.h"
#include "tests/unit/datastore/sqlite_files.h"

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <sqlite3.h>

#include <sys/resource.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <poll.h>
#include <thread>
#include <unistd.h>

namespace margay::test {

namespace fs = std::filesystem;
using datastore::OpenMode;
using datastore::Revision;
using std::chrono::milliseconds;

TemporaryFolder::TemporaryFolder() {
  std::string pattern = fs::temp_directory_path() / "margay-store-XXXXXX";
  REQUIRE(::mkdtemp(pattern.data()) != nullptr);
  path_ = pattern;
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

std::unique_ptr<datastore::Store> sqlite_store(const std::string& path, bool create) {
  datastore::SqliteOptions options;
  options.path = path;
  options.create = create;
  return datastore::make_sqlite_store(std::move(options));
}

void run_sql(const std::string& path, const std::string& sql) {
  sqlite3* database = nullptr;
  REQUIRE(sqlite3_open(path.c_str(), &database) == SQLITE_OK);
  char* message = nullptr;
  const int code = sqlite3_exec(database, sql.c_str(), nullptr, nullptr, &message);
  CHECK_MESSAGE(code == SQLITE_OK, (message == nullptr ? "" : message));
  sqlite3_free(message);
  sqlite3_close(database);
}

namespace {

std::string error_of(const Result<datastore::Listing>& result) {
  REQUIRE_FALSE(result);
  return result.error().text;
}

Errc code_of(const Result<datastore::Listing>& result) {
  REQUIRE_FALSE(result);
  return result.error().code;
}

void write_file(const fs::path& path, const std::string& bytes) {
  fs::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << bytes;
}

}  // namespace

TEST_SUITE("datastore.sqlite") {
  TEST_CASE("bad URLs name what is wrong, good ones touch nothing") {
    for (const auto* url :
         {"", "/var/lib/x", "sqlite:", "sqlite://", "sqlite:///", "sqlite://host"}) {
      CAPTURE(url);
      const auto store = datastore::open_store(url);
      REQUIRE_FALSE(store);
      CHECK(store.error().code == Errc::kInvalid);
      CHECK(store.error().text.find("sqlite:///") != std::string::npos);
    }
    for (const auto* url : {"etcd://127.0.0.1:2379", "kubernetes://"}) {
      const auto store = datastore::open_store(url);
      REQUIRE_FALSE(store);
      CHECK(store.error().text.find(url) != std::string::npos);
      CHECK(store.error().text.find("this build") != std::string::npos);
    }
    const TemporaryFolder folder;
    REQUIRE(datastore::open_store("sqlite://" + folder.store()));
    CHECK_FALSE(fs::exists(folder.store()));
  }

  TEST_CASE("a store that must exist is away until another process makes it") {
    const TemporaryFolder folder;
    const auto reader = datastore::open_store("sqlite://" + folder.store(), OpenMode::kExisting);
    REQUIRE(reader);
    CHECK(code_of((*reader)->list({})) == Errc::kUnavailable);
    write_file(folder.store(), "");  // opened by its maker, tables not yet there
    CHECK(code_of((*reader)->list({})) == Errc::kUnavailable);
    REQUIRE(sqlite_store(folder.store())->create(a_tier("a", 1)));
    const auto listing = (*reader)->list({});
    REQUIRE(listing);
    CHECK(listing->objects.size() == 1);
  }

  TEST_CASE("a new file is its owner's alone, one that is there keeps its mode") {
    const TemporaryFolder folder;
    const auto mode_of = [](const std::string& path) { return fs::status(path).permissions(); };
    constexpr auto kOwner = fs::perms::owner_read | fs::perms::owner_write;
    const auto store = sqlite_store(folder.store());
    REQUIRE(store->create(a_tier("a", 1)));
    CHECK(mode_of(folder.store()) == kOwner);
    CHECK(mode_of(folder.store() + "-wal") == kOwner);
    fs::permissions(folder.store(), kOwner | fs::perms::group_read);
    REQUIRE(sqlite_store(folder.store())->create(a_tier("b", 1)));
    CHECK(mode_of(folder.store()) == (kOwner | fs::perms::group_read));
  }

  TEST_CASE("a file that vanished is not made anew") {
    const TemporaryFolder folder;
    const auto store = sqlite_store(folder.store());
    REQUIRE(store->create(a_tier("a", 1)));
    fs::remove_all(fs::path(folder.store()).parent_path());
    CHECK(code_of(store->list({})) == Errc::kUnavailable);
    REQUIRE_FALSE(store->create(a_tier("b", 1)));
    CHECK_FALSE(fs::exists(folder.store()));
  }

  TEST_CASE("a file that was replaced makes watches start over") {
    const TemporaryFolder folder;
    const fs::path here = fs::path(folder.store()).parent_path();
    const std::string other = folder.path() / "other" / "margay.db";
    REQUIRE(sqlite_store(other)->create(a_tier("from-the-backup", 1)));

    const auto store = sqlite_store(folder.store());
    REQUIRE(store->create(a_tier("a", 1)));
    auto watch = store->watch({}, Revision(1));
    REQUIRE(watch);
    REQUIRE((*watch)->take());
    fs::rename(here, folder.path() / "old");
    fs::rename(fs::path(other).parent_path(), here);

    const auto taken = (*watch)->take();
    REQUIRE_FALSE(taken);
    CHECK(taken.error().code == Errc::kCompacted);
    const auto listing = store->list({});
    REQUIRE(listing);
    REQUIRE(listing->objects.size() == 1);
    CHECK(listing->objects[0].key.name == "from-the-backup");
  }

  TEST_CASE("files that are no store of ours are refused in words") {
    const TemporaryFolder folder;
    const auto text = folder.path() / "text.db";
    write_file(text, std::string(5000, 'x'));
    CHECK(error_of(sqlite_store(text)->list({})).find("not a database") != std::string::npos);

    const auto foreign = folder.path() / "foreign.db";
    run_sql(foreign, "CREATE TABLE songs (title TEXT)");
    CHECK(error_of(sqlite_store(foreign)->list({})).find("another program") != std::string::npos);

    const auto newer = folder.path() / "newer.db";
    REQUIRE(sqlite_store(newer)->create(a_tier("a", 1)));
    run_sql(newer, "PRAGMA user_version = 99");
    const std::string error = error_of(sqlite_store(newer)->list({}));
    CHECK(error.find("schema version 99") != std::string::npos);
    CHECK(error.find("upgrade") != std::string::npos);

    const auto directory = folder.path() / "directory.db";
    fs::create_directories(directory);
    CHECK_FALSE(sqlite_store(directory)->list({}));
  }

  TEST_CASE("damaged bytes anywhere in the file end in an error or an answer, never a crash") {
    const TemporaryFolder folder;
    {
      const auto store = sqlite_store(folder.store());
      for (int i = 0; i < 200; ++i) {
        REQUIRE(store->create(a_tier(fmt::format("t{}", i), i)));
      }
    }
    const auto size = fs::file_size(folder.store());
    REQUIRE(size > 20'000);
    for (std::uintmax_t at = 16; at < size; at += 997) {
      const fs::path copy = folder.path() / "copy.db";
      fs::copy_file(folder.store(), copy, fs::copy_options::overwrite_existing);
      std::fstream file(copy, std::ios::in | std::ios::out | std::ios::binary);
      file.seekp(static_cast<std::streamoff>(at));
      file << std::string(64, '\xa5');
      file.close();
      const auto store = sqlite_store(copy);
      const auto listing = store->list({});
      CHECK((listing || !listing.error().text.empty()));
      (void)store->create(a_tier("another", 1));
      for (const char* suffix : {"", "-wal", "-shm", "-notify"}) {
        fs::remove(copy.string() + suffix);
      }
    }
  }

  TEST_CASE("rows of kinds that this version does not know are left alone") {
    const TemporaryFolder folder;
    const auto store = sqlite_store(folder.store());
    REQUIRE(store->create(a_tier("a", 1)));
    const auto watch = store->watch({}, Revision(1));
    REQUIRE(watch);
    run_sql(folder.store(),
            "BEGIN; INSERT INTO objects VALUES ('projectcalico.org/v9/Wonder', '', 'x', 2, '{}');"
            "INSERT INTO changes VALUES (2, 0, 'projectcalico.org/v9/Wonder', '', 'x', '{}');"
            "UPDATE store SET revision = 2; COMMIT");
    REQUIRE(store->create(a_tier("b", 1)));
    const auto events = await_events(**watch, 1);
    REQUIRE(events.size() == 1);
    CHECK(events[0].object.key == tier_key("b"));
    const auto listing = store->list({});
    REQUIRE(listing);
    CHECK(listing->objects.size() == 2);
  }

  TEST_CASE("the history is bounded") {
    const TemporaryFolder folder;
    datastore::SqliteOptions options;
    options.path = folder.store();
    options.history = 100;
    const auto store = datastore::make_sqlite_store(std::move(options));
    std::vector<datastore::Change> changes;
    for (int i = 0; i < 600; ++i) {
      changes.push_back(datastore::Create{a_tier("a", 1)});
      changes.push_back(datastore::Remove{tier_key("a"), std::nullopt});
    }
    REQUIRE(store->commit(changes));  // 1200 revisions: one shortening
    const auto early = store->watch({}, Revision(1));
    REQUIRE_FALSE(early);
    CHECK(early.error().code == Errc::kCompacted);
    const auto late = store->watch({}, Revision(1100));
    REQUIRE(late);
    CHECK(await_events(**late, 100).size() == 100);
  }

  TEST_CASE("a writer that dies before it touches the notify file still wakes watches at once") {
    const TemporaryFolder folder;
    const auto store = sqlite_store(folder.store());
    const auto created = store->create(a_tier("a", 0));
    REQUIRE(created);
    const auto watch = store->watch({}, created->revision);
    REQUIRE(watch);
    REQUIRE((*watch)->take());
    auto best = milliseconds::max();
    for (int i = 0; i < 5; ++i) {
      const auto start = std::chrono::steady_clock::now();
      run_sql(folder.store(),
              "BEGIN IMMEDIATE; UPDATE store SET revision = revision + 1;"
              "INSERT INTO changes SELECT store.revision, 0, kind, ns, name, json FROM objects, "
              "store; COMMIT");
      CHECK(await_events(**watch, 1).size() == 1);
      best = std::min(
          best, std::chrono::duration_cast<milliseconds>(std::chrono::steady_clock::now() - start));
    }
    CHECK(best < milliseconds(500));  // the idle look would take a second
  }

  TEST_CASE("a watch with nothing to tell sleeps") {
    const TemporaryFolder folder;
    const auto store = sqlite_store(folder.store());
    const auto created = store->create(a_tier("a", 0));
    REQUIRE(created);
    const auto watch = store->watch({}, created->revision);
    REQUIRE(watch);
    int wakes = 0;
    const auto end = std::chrono::steady_clock::now() + milliseconds(2500);
    while (std::chrono::steady_clock::now() < end) {
      pollfd ready{(*watch)->descriptor(), POLLIN, 0};
      if (::poll(&ready, 1, 500) > 0) {
        ++wakes;
        const auto taken = (*watch)->take();
        REQUIRE(taken);
        CHECK(taken->empty());
      }
    }
    CHECK(wakes <= 8);
  }

  TEST_CASE("a commit waits for the lock of another program") {
    const TemporaryFolder folder;
    const auto store = sqlite_store(folder.store());
    REQUIRE(store->create(a_tier("a", 1)));
    sqlite3* other = nullptr;
    REQUIRE(sqlite3_open(folder.store().c_str(), &other) == SQLITE_OK);
    REQUIRE(sqlite3_exec(other, "BEGIN IMMEDIATE", nullptr, nullptr, nullptr) == SQLITE_OK);
    CHECK(store->list({}));  // readers do not wait
    std::thread later([other] {
      std::this_thread::sleep_for(milliseconds(100));
      sqlite3_exec(other, "COMMIT", nullptr, nullptr, nullptr);
    });
    CHECK(store->create(a_tier("b", 1)));
    later.join();
    sqlite3_close(other);
  }

  TEST_CASE("a full disk fails the commit and nothing else") {
    const TemporaryFolder folder;
    const auto store = sqlite_store(folder.store());
    REQUIRE(store->create(a_tier("a", 1)));
    rlimit before{};
    REQUIRE(::getrlimit(RLIMIT_FSIZE, &before) == 0);
    const auto previous = std::signal(SIGXFSZ, SIG_IGN);
    rlimit tight = before;
    tight.rlim_cur = fs::file_size(folder.store() + "-wal") + 100;
    REQUIRE(::setrlimit(RLIMIT_FSIZE, &tight) == 0);
    const auto refused = store->create(a_tier("b", 1));
    ::setrlimit(RLIMIT_FSIZE, &before);
    std::signal(SIGXFSZ, previous);
    REQUIRE_FALSE(refused);
    CHECK((refused.error().code == Errc::kExhausted || refused.error().code == Errc::kUnavailable));
    const auto listing = store->list({});
    REQUIRE(listing);
    CHECK(listing->objects.size() == 1);
    CHECK(store->create(a_tier("b", 1)));
  }

  TEST_CASE("an object that somebody broke is listed with its last valid version") {
    const TemporaryFolder folder;
    {
      const auto store = sqlite_store(folder.store());
      const auto first = store->create(a_tier("t", 1));
      REQUIRE(first);
      api::Resource second = *first->resource;
      std::get<api::Tier>(second.spec).order = 2;
      REQUIRE(store->update(second));
      REQUIRE(store->create(a_tier("again", 1)));
      REQUIRE(store->remove(a_tier("again", 1).key()));
      REQUIRE(store->create(a_tier("again", 3)));
    }
    run_sql(folder.store(), "UPDATE objects SET json = '{}'");
    const auto listing = sqlite_store(folder.store())->list({});
    REQUIRE(listing);
    REQUIRE(listing->objects.size() == 2);
    for (const datastore::Object& object : listing->objects) {
      CAPTURE(object.key.str());
      CHECK_FALSE(object.resource);
      CHECK(object.invalid);
      REQUIRE(object.last_valid);
      CHECK(std::get<api::Tier>(object.last_valid->spec).order ==
            (object.key.name == "t" ? 2.0 : 3.0));
    }
    // What stood there before a deletion was not in force.
    run_sql(folder.store(), "DELETE FROM changes WHERE name = 'again' AND deleted = 0");
    const auto after = sqlite_store(folder.store())->list({});
    REQUIRE(after);
    CHECK_FALSE(after->objects.front().last_valid);
  }

  TEST_CASE("processes that start at once on a missing store all come in") {
    constexpr int kProcesses = 8;
    for (int round = 0; round < 10; ++round) {
      const TemporaryFolder folder;
      std::vector<pid_t> children;
      for (int i = 0; i < kProcesses; ++i) {
        const pid_t child = ::fork();
        REQUIRE(child >= 0);
        if (child == 0) {
          const auto created =
              sqlite_store(folder.store())->create(a_tier(fmt::format("t{}", i), i));
          if (!created) {
            (void)!::write(STDERR_FILENO,
                           (created.error().text + "\n").data(),
                           created.error().text.size() + 1);
          }
          ::_exit(created ? 0 : 1);
        }
        children.push_back(child);
      }
      for (const pid_t child : children) {
        int status = -1;
        REQUIRE(::waitpid(child, &status, 0) == child);
        CHECK(status == 0);
      }
      const auto listing = sqlite_store(folder.store())->list({});
      REQUIRE(listing);
      CHECK(listing->objects.size() == kProcesses);
    }
  }
}

}  // namespace margay::test
