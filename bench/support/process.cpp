#include "bench/support/process.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <sys/wait.h>

#include <cstring>
#include <spawn.h>
#include <unistd.h>

namespace margay::bench {

int run(const std::vector<std::string>& arguments) {
  std::vector<std::string> copy = arguments;
  std::vector<char*> argv;
  argv.reserve(copy.size() + 1);
  for (std::string& argument : copy) {
    argv.push_back(argument.data());
  }
  argv.push_back(nullptr);
  pid_t child = 0;
  if (::posix_spawnp(&child, argv[0], nullptr, nullptr, argv.data(), environ) != 0) {
    return -1;
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

Result<void> run_all(const std::vector<std::vector<std::string>>& commands) {
  for (const auto& command : commands) {
    if (run(command) != 0) {
      return fail(Errc::kInternal, "{} failed", fmt::format("{}", fmt::join(command, " ")));
    }
  }
  return {};
}

std::string path_of(const NetNs& ns) {
  return fmt::format("/proc/{}/fd/{}", ::getpid(), ns.fd());
}

sockaddr_in socket_address(const IpAddr& addr, std::uint16_t port) {
  sockaddr_in out{};
  out.sin_family = AF_INET;
  out.sin_port = htons(port);
  std::memcpy(&out.sin_addr, addr.bytes().data(), sizeof(out.sin_addr));
  return out;
}

}  // namespace margay::bench
