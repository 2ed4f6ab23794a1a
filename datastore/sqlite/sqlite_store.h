#pragma once
// SqliteStore: the embedded datastore, one SQLite file in WAL mode shared by all processes of a
// machine.
//
// Every commit() is one IMMEDIATE transaction with synchronous=FULL: durable across kill -9 and
// power loss. Each change takes the next revision and leaves a row in a bounded change log; watches
// read the log. A writer touches FILE-notify after its commit; watches wait for that, and for
// writes to the WAL, with inotify, so a change is seen at once without polling. A WAL write is seen
// before the commit is readable, and a writer may be killed between commit and touch, so a wake-up
// that finds nothing looks again a few milliseconds later.
//
// The file is created at the first use only, and only if the caller allows it. From then on a
// missing file means "the store is away", never "the store is empty": the alternative would remove
// every route and policy of a node whose disk was not mounted. A file that was replaced (another
// store identity) makes watches start over with kCompacted.

#include "datastore/store.h"

#include <cstdint>
#include <memory>
#include <string>

namespace margay::datastore {

struct SqliteOptions {
  std::string path;
  bool create = true;               // at the first use, with missing parent directories (mode 0700)
  std::uint64_t history = 100'000;  // changes kept for watches; older ones are compacted
};

[[nodiscard]] std::unique_ptr<Store> make_sqlite_store(SqliteOptions options);

}  // namespace margay::datastore
