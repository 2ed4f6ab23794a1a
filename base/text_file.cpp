#include "base/text_file.h"

#include "base/scope_exit.h"

#include <array>
#include <cerrno>
#include <fcntl.h>
#include <unistd.h>

namespace margay {

Result<std::string> read_text_file(const std::string& path) {
  constexpr std::size_t kChunk = 16384;
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    return fail_errno(errno, "{}: cannot be read", path);
  }
  const ScopeExit closing([fd] { ::close(fd); });
  std::string text;
  std::array<char, kChunk> chunk{};
  while (true) {
    const ssize_t got = ::read(fd, chunk.data(), chunk.size());
    if (got == 0) {
      return text;
    }
    if (got < 0 && errno != EINTR) {
      return fail_errno(errno, "{}: cannot be read", path);
    }
    text.append(chunk.data(), got > 0 ? static_cast<std::size_t>(got) : 0);
  }
}

}  // namespace margay
