// The conformance suite over the store in memory and over SQLite: the fake behaves as the real one.

#include "datastore/sqlite/schema.h"
#include "tests/support/memory_store.h"
#include "tests/support/store_suite.h"
#include "tests/unit/datastore/sqlite_files.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <filesystem>

namespace margay::test {

namespace {

namespace fs = std::filesystem;

class MemoryFixture final : public StoreFixture {
 public:
  std::shared_ptr<datastore::Store> connect() override { return store_; }
  void set_away(bool away) override { store_->set_away(away); }
  void spoil(const api::ResourceKey& key) override {
    store_->spoil(key, Error{Errc::kInvalid, "spoilt", 0});
  }
  void compact() override { store_->compact(); }

 private:
  std::shared_ptr<MemoryStore> store_ = std::make_shared<MemoryStore>();
};

class SqliteFixture final : public StoreFixture {
 public:
  std::shared_ptr<datastore::Store> connect() override { return sqlite_store(folder_.store()); }
  void set_away(bool away) override {
    const fs::path here = folder_.path() / "db";
    const fs::path there = folder_.path() / "elsewhere";
    fs::rename(away ? here : there, away ? there : here);
  }
  void spoil(const api::ResourceKey& key) override {
    const std::string kind = datastore::kind_column(key.kind);
    run_sql(folder_.store(),
            fmt::format("BEGIN IMMEDIATE; UPDATE store SET revision = revision + 1;"
                        "UPDATE objects SET json = '{{\"kind\": 7', revision = (SELECT revision "
                        "FROM store) WHERE kind = '{0}' AND name = '{1}';"
                        "INSERT INTO changes SELECT revision, 0, kind, ns, name, json FROM objects "
                        "WHERE kind = '{0}' AND name = '{1}'; COMMIT;",
                        kind,
                        key.name));
  }
  void compact() override {
    run_sql(folder_.store(),
            "BEGIN IMMEDIATE; DELETE FROM changes; UPDATE store SET compacted = revision; COMMIT;");
  }

 private:
  TemporaryFolder folder_;
};

template <typename Fixture>
void run_suite() {
  for (const StoreScenario& scenario : store_scenarios()) {
    CAPTURE(scenario.name);
    Fixture fixture;
    scenario.run(fixture);
  }
}

}  // namespace

TEST_SUITE("datastore") {
  TEST_CASE("the store in memory keeps every promise of a store") {
    run_suite<MemoryFixture>();
  }
  TEST_CASE("the SQLite store keeps every promise of a store") {
    run_suite<SqliteFixture>();
  }
}

}  // namespace margay::test
