#pragma once
// StoreFile: one process's hold on the store's file: opens it, notices when it was moved, removed
// or replaced.

#include "base/result.h"
#include "datastore/sqlite/connection.h"

#include <cstdint>
#include <optional>
#include <string>

namespace margay::datastore {

class StoreFile {
 public:
  explicit StoreFile(std::string path) : path_(std::move(path)) {}

  // The open connection. Opens the file when needed, and again when the path now names another
  // file; kUnavailable when there is none and `create` is false. Create also makes missing parent
  // directories.
  [[nodiscard]] Result<Connection*> connection(bool create);
  // Closes, so that the next use opens anew: after an error that the connection may not survive.
  void close() { connection_.reset(); }
  // Grows by one whenever a file was opened: two equal numbers saw the same file.
  [[nodiscard]] std::uint64_t generation() const { return generation_; }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  struct Identity {
    std::uint64_t device = 0;
    std::uint64_t inode = 0;
    bool operator==(const Identity&) const = default;
  };
  [[nodiscard]] std::optional<Identity> identity_of_path() const;
  [[nodiscard]] Result<void> open(bool create);

  std::string path_;
  std::optional<Connection> connection_;
  Identity identity_;
  std::uint64_t generation_ = 0;
};

}  // namespace margay::datastore
