#include "kernel/netns.h"

#include <sys/stat.h>

#include <cerrno>
#include <fcntl.h>
#include <optional>
#include <sched.h>
#include <thread>
#include <unistd.h>
#include <utility>

namespace margay {
namespace {

constexpr const char* kOwnNamespace = "/proc/thread-self/ns/net";

}  // namespace

Result<NetNs> NetNs::open(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    return fail_errno(errno, "open network namespace {}", path);
  }
  return NetNs(fd);
}

Result<NetNs> NetNs::current() {
  return open(kOwnNamespace);
}

bool NetNs::is_current(const std::string& path) {
  struct stat own {};
  struct stat other {};
  return ::stat(kOwnNamespace, &own) == 0 && ::stat(path.c_str(), &other) == 0 &&
         own.st_dev == other.st_dev && own.st_ino == other.st_ino;
}

Result<NetNs> NetNs::create() {
  std::optional<Result<NetNs>> made;
  std::thread([&made] {
    if (::unshare(CLONE_NEWNET) != 0) {
      made = fail_errno(errno, "create a network namespace");
      return;
    }
    made = open(kOwnNamespace);
  }).join();
  return std::move(*made);
}

NetNs::NetNs(NetNs&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

NetNs& NetNs::operator=(NetNs&& other) noexcept {
  std::swap(fd_, other.fd_);
  return *this;
}

NetNs::~NetNs() {
  if (fd_ >= 0) {
    ::close(fd_);
  }
}

Result<void> NetNs::run(const std::function<Result<void>()>& function) const {
  Result<void> outcome;
  std::thread([this, &function, &outcome] {
    if (::setns(fd_, CLONE_NEWNET) != 0) {
      outcome = fail_errno(errno, "enter network namespace");
      return;
    }
    outcome = function();
  }).join();
  return outcome;
}

}  // namespace margay
