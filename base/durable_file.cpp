#include "base/durable_file.h"

#include "base/scope_exit.h"

#include <sys/stat.h>

#include <cerrno>
#include <cstdio>
#include <fcntl.h>
#include <filesystem>
#include <unistd.h>

namespace margay {

namespace {

Result<void> write_synced(const std::string& path, std::string_view text) {
  constexpr mode_t kPrivate = 0600;
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, kPrivate);
  if (fd < 0) {
    return fail_errno(errno, "open {}", path);
  }
  const ScopeExit closing([fd] { ::close(fd); });
  std::size_t written = 0;
  while (written < text.size()) {
    const ssize_t put = ::write(fd, text.data() + written, text.size() - written);
    if (put < 0 && errno != EINTR) {
      return fail_errno(errno, "write {}", path);
    }
    written += put > 0 ? static_cast<std::size_t>(put) : 0;
  }
  if (::fsync(fd) != 0) {
    return fail_errno(errno, "sync {}", path);
  }
  return {};
}

Result<void> sync_directory(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) {
    return fail_errno(errno, "open {}", path);
  }
  const ScopeExit closing([fd] { ::close(fd); });
  return ::fsync(fd) == 0 ? Result<void>() : fail_errno(errno, "sync {}", path);
}

}  // namespace

Result<void> replace_file(const std::string& path, std::string_view text) {
  const std::string beside = path + ".new";
  if (auto written = write_synced(beside, text); !written) {
    ::unlink(beside.c_str());
    return written;
  }
  if (::rename(beside.c_str(), path.c_str()) != 0) {
    return fail_errno(errno, "rename {}", beside);
  }
  return sync_directory(std::filesystem::path(path).parent_path().string());
}

}  // namespace margay
