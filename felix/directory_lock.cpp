#include "felix/directory_lock.h"

#include "base/timer_set.h"

#include <sys/file.h>
#include <sys/stat.h>

#include <cerrno>
#include <fcntl.h>
#include <thread>
#include <unistd.h>
#include <utility>

namespace margay::felix {

namespace {

constexpr std::chrono::milliseconds kLook{20};

}  // namespace

Result<DirectoryLock> DirectoryLock::take(const std::string& directory,
                                          std::chrono::milliseconds wait) {
  const std::string path = directory + "/margayd.lock";
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, S_IRUSR | S_IWUSR);
  if (fd < 0) {
    return fail_errno(errno, "open {}", path);
  }
  DirectoryLock lock(fd);
  const TimePoint deadline = Clock::now() + wait;
  while (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
    if (Clock::now() >= deadline) {
      return fail(
          Errc::kUnavailable, "another agent uses {}: give each its own --run-dir", directory);
    }
    std::this_thread::sleep_for(kLook);
  }
  return lock;
}

DirectoryLock::~DirectoryLock() {
  if (fd_ >= 0) {
    ::close(fd_);
  }
}

DirectoryLock::DirectoryLock(DirectoryLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

}  // namespace margay::felix
