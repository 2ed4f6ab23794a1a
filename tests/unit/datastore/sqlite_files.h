#pragma once
// A folder for one SQLite store, and what tests do to it behind the store's back.

#include "datastore/sqlite/sqlite_store.h"

#include <filesystem>
#include <memory>
#include <string>

namespace margay::test {

// A new folder under the system's temporary one, removed at the end.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  [[nodiscard]] std::string store() const { return path_ / "db" / "margay.db"; }

 private:
  std::filesystem::path path_;
};

[[nodiscard]] std::unique_ptr<datastore::Store> sqlite_store(const std::string& path,
                                                             bool create = true);

// Runs SQL on the file, as another program would.
void run_sql(const std::string& path, const std::string& sql);

}  // namespace margay::test
