#include "kernel/sysctl.h"

#include <array>
#include <cerrno>
#include <fcntl.h>
#include <unistd.h>

namespace margay {
namespace {

// The files below /proc/sys/net are those of the namespace of the thread that opens them.
Result<int> open_setting(const std::string& key, int flags) {
  const int fd = ::open(("/proc/sys/" + key).c_str(), flags | O_CLOEXEC);
  if (fd < 0) {
    return fail_errno(errno, "open setting {}", key);
  }
  return fd;
}

}  // namespace

Result<std::string> read_sysctl(const std::string& key) {
  const auto fd = open_setting(key, O_RDONLY);
  if (!fd) {
    return fail(fd.error());
  }
  std::array<char, 256> buffer{};
  const auto length = ::read(*fd, buffer.data(), buffer.size());
  const int error = errno;
  ::close(*fd);
  if (length < 0) {
    return fail_errno(error, "read setting {}", key);
  }
  std::string value(buffer.data(), static_cast<std::size_t>(length));
  while (!value.empty() && value.back() == '\n') {
    value.pop_back();
  }
  return value;
}

Result<void> write_sysctl(const std::string& key, std::string_view value) {
  const auto current = read_sysctl(key);
  if (current && *current == value) {
    return {};
  }
  const auto fd = open_setting(key, O_WRONLY);
  if (!fd) {
    return fail(fd.error());
  }
  const auto written = ::write(*fd, value.data(), value.size());
  const int error = errno;
  ::close(*fd);
  if (written < 0) {
    return fail_errno(error, "write {} to setting {}", value, key);
  }
  return {};
}

bool has_ipv6() {
  const auto disabled = read_sysctl("net/ipv6/conf/all/disable_ipv6");
  return disabled && *disabled == "0";
}

}  // namespace margay
