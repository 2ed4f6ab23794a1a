#include "datastore/sqlite/file.h"

#include "datastore/sqlite/schema.h"

#include <sys/stat.h>

#include <cerrno>
#include <fcntl.h>
#include <filesystem>
#include <unistd.h>

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

// For its owner alone, as Secrets lie in it; SQLite gives the files beside it the same mode. One
// that is there keeps what its owner gave it.
Result<void> make_file(const std::string& path) {
  const int fd = ::open(path.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, S_IRUSR | S_IWUSR);
  if (fd < 0) {
    return errno == EEXIST ? Result<void>() : fail_errno(errno, "datastore {}: create it", path);
  }
  ::close(fd);
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
    if (auto made = make_file(path_); !made) {
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
