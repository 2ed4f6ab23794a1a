#include "datastore/sqlite/file.h"

#include "datastore/sqlite/schema.h"

#include <sys/stat.h>

#include <cerrno>
#include <filesystem>

namespace margay::datastore {

namespace {

Result<void> make_parents(const std::string& path) {
  namespace fs = std::filesystem;
  fs::path made;
  for (const fs::path& part : fs::path(path).parent_path()) {
    made /= part;
    if (::mkdir(made.c_str(), S_IRWXU) != 0 && errno != EEXIST && errno != EISDIR) {
      return fail_errno(errno, "datastore {}: create directory {}", path, made.string());
    }
  }
  return {};
}

}  // namespace

std::optional<StoreFile::Identity> StoreFile::identity_of_path() const {
  struct stat status {};
  if (::stat(path_.c_str(), &status) != 0) {
    return std::nullopt;
  }
  return Identity{status.st_dev, status.st_ino};
}

Result<Connection*> StoreFile::connection(bool create) {
  const auto identity = identity_of_path();
  if (connection_ && identity == identity_) {
    return &*connection_;
  }
  connection_.reset();
  if (!identity && !create) {
    return fail(Errc::kUnavailable, "datastore {}: the file is not there", path_);
  }
  if (auto opened = open(create); !opened) {
    connection_.reset();
    return fail(opened.error());
  }
  return &*connection_;
}

Result<void> StoreFile::open(bool create) {
  if (create) {
    if (auto made = make_parents(path_); !made) {
      return made;
    }
  }
  auto opened = Connection::open(path_, create);
  if (!opened) {
    return fail(opened.error());
  }
  connection_ = std::move(*opened);
  // An agent has several connections, and the kernel has the file's pages anyway: 512 KiB each.
  for (const char* pragma : {"PRAGMA journal_mode = WAL",
                             "PRAGMA synchronous = FULL",
                             "PRAGMA trusted_schema = OFF",
                             "PRAGMA cache_size = -512"}) {
    if (auto set = connection_->run_patiently(pragma); !set) {
      return fail(set.error(), "{}", path_);
    }
  }
  if (auto schema = ensure_schema(*connection_, create); !schema) {
    return fail(schema.error(), "{}", path_);
  }
  // Asked in this order, a file that was replaced meanwhile is never taken for the one that is
  // open.
  const auto identity = identity_of_path();
  if (!identity || connection_->has_moved()) {
    return fail(Errc::kUnavailable, "datastore {}: the file went away", path_);
  }
  identity_ = *identity;
  ++generation_;
  return {};
}

}  // namespace margay::datastore
