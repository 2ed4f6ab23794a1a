#pragma once
// Exclusive use of an agent's run directory while the object lives.

#include "base/result.h"

#include <chrono>
#include <string>

namespace margay::felix {

class DirectoryLock {
 public:
  // kUnavailable when another agent has it and keeps it for so long.
  static Result<DirectoryLock> take(const std::string& directory, std::chrono::milliseconds wait);
  ~DirectoryLock();
  DirectoryLock(DirectoryLock&& other) noexcept;
  DirectoryLock& operator=(DirectoryLock&&) = delete;
  DirectoryLock(const DirectoryLock&) = delete;
  DirectoryLock& operator=(const DirectoryLock&) = delete;

 private:
  explicit DirectoryLock(int fd) : fd_(fd) {}
  int fd_;
};

}  // namespace margay::felix
