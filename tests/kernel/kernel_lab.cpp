#include "tests/kernel/kernel_lab.h"

#include <sys/wait.h>

#include <array>
#include <cstdio>
#include <fcntl.h>
#include <regex>
#include <sched.h>
#include <unistd.h>

namespace margay::test {

FreshNamespace::FreshNamespace()
    : before_(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC)) {
  MARGAY_ASSERT(before_ >= 0 && ::unshare(CLONE_NEWNET) == 0);
  MARGAY_ASSERT(shell("ip link set lo up").empty());
}

FreshNamespace::~FreshNamespace() {
  MARGAY_ASSERT(::setns(before_, CLONE_NEWNET) == 0);
  ::close(before_);
}

std::string shell(const std::string& command) {
  std::string output;
  FILE* pipe = ::popen(("{ " + command + "; } 2>&1").c_str(), "re");
  MARGAY_ASSERT(pipe != nullptr);
  std::array<char, 4096> buffer{};
  while (const std::size_t got = std::fread(buffer.data(), 1, buffer.size(), pipe)) {
    output.append(buffer.data(), got);
  }
  const int status = ::pclose(pipe);
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
    output += fmt::format("exit {}", WEXITSTATUS(status));
  }
  return output;
}

std::string squeezed(const std::string& text) {
  const std::regex spaces("\\s+");
  const std::regex counts("packets [0-9]+ bytes [0-9]+");
  return std::regex_replace(std::regex_replace(text, spaces, " "), counts, "packets 0 bytes 0");
}

}  // namespace margay::test
