#include "cni/plugin/delegate.h"

#include "cni/wire.h"

#include <sys/wait.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <string_view>
#include <unistd.h>
#include <vector>

namespace margay::cni {

namespace {

using Clock = std::chrono::steady_clock;

struct Pipe {
  std::array<int, 2> ends{-1, -1};
  Pipe() {
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
      ends = {-1, -1};
    }
  }
  ~Pipe() {
    close_end(0);
    close_end(1);
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  void close_end(std::size_t end) {
    if (ends.at(end) >= 0) {
      ::close(ends.at(end));
      ends.at(end) = -1;
    }
  }
};

// Empty when it is nowhere.
std::string find_program(const std::string& type) {
  const char* variable = std::getenv("CNI_PATH");
  const std::string_view path = variable == nullptr ? "" : variable;
  // A name only: nothing outside the folders of the runtime is run.
  if (type.find('/') != std::string::npos || type == "." || type == "..") {
    return {};
  }
  for (std::size_t begin = 0; begin < path.size();) {
    const std::size_t end = std::min(path.find(':', begin), path.size());
    std::string file = std::string(path.substr(begin, end - begin)) + "/" + type;
    if (end > begin && ::access(file.c_str(), X_OK) == 0) {
      return file;
    }
    begin = end + 1;
  }
  return {};
}

int start(const std::string& program, const std::string& verb, Pipe& in, Pipe& out, pid_t& pid) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, in.ends[0], STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, out.ends[1], STDOUT_FILENO);
  std::string command = "CNI_COMMAND=" + verb;
  std::vector<char*> variables{command.data()};
  for (char** variable = environ; *variable != nullptr; ++variable) {
    if (std::strncmp(*variable, "CNI_COMMAND=", std::strlen("CNI_COMMAND=")) != 0) {
      variables.push_back(*variable);
    }
  }
  variables.push_back(nullptr);
  std::string name = program;
  std::array<char*, 2> arguments{name.data(), nullptr};
  int failed = ETXTBSY;
  // A plugin that is being replaced on disk cannot be run for a moment.
  constexpr int kTries = 5;
  constexpr timespec kPause{0, 10'000'000};
  for (int attempt = 0; attempt < kTries && failed == ETXTBSY; ++attempt) {
    if (attempt > 0) {
      ::nanosleep(&kPause, nullptr);
    }
    failed =
        ::posix_spawn(&pid, program.c_str(), &actions, nullptr, arguments.data(), variables.data());
  }
  posix_spawn_file_actions_destroy(&actions);
  return failed;
}

// Writes the input and reads the output; false when the time was up.
bool exchange(
    Pipe& in, Pipe& out, const std::string& input, Clock::time_point until, std::string& output) {
  std::size_t written = 0;
  while (out.ends[0] >= 0) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(until - Clock::now());
    if (left.count() <= 0 || output.size() > kMaxMessage) {
      return false;
    }
    std::array<pollfd, 2> ready{pollfd{in.ends[1], POLLOUT, 0}, pollfd{out.ends[0], POLLIN, 0}};
    ::poll(ready.data(), ready.size(), static_cast<int>(left.count()));
    if (ready[0].revents != 0) {
      const ssize_t put = ::write(in.ends[1], input.data() + written, input.size() - written);
      written += put > 0 ? static_cast<std::size_t>(put) : 0;
      if ((put < 0 && errno != EINTR && errno != EAGAIN) || written == input.size()) {
        in.close_end(1);
      }
    }
    if (ready[1].revents != 0) {
      std::array<char, 4096> buffer{};
      const ssize_t got = ::read(out.ends[0], buffer.data(), buffer.size());
      if (got > 0) {
        output.append(buffer.data(), static_cast<std::size_t>(got));
      } else if (got == 0 || errno != EINTR) {
        out.close_end(0);
      }
    }
  }
  return true;
}

}  // namespace

Result<DelegateAnswer, CniError> run_delegate(const std::string& type,
                                              const std::string& verb,
                                              const std::string& config,
                                              std::chrono::milliseconds timeout) {
  const std::string program = find_program(type);
  if (program.empty()) {
    return fail(CniError{Code::kBadConfig,
                         "ipam.type \"" + type + "\": no such program in CNI_PATH",
                         "install the plugin, or take addresses from Margay: \"margay-ipam\""});
  }
  ::signal(SIGPIPE, SIG_IGN);
  Pipe in;
  Pipe out;
  pid_t pid = -1;
  if (const int failed = start(program, verb, in, out, pid); failed != 0) {
    return fail(
        CniError{Code::kIo, "run " + program + ": " + std::string(std::strerror(failed)), {}});
  }
  in.close_end(0);
  out.close_end(1);
  // So that a plugin which reads nothing cannot hold us.
  ::fcntl(in.ends[1], F_SETFL, O_NONBLOCK);
  DelegateAnswer answer;
  const bool in_time = exchange(in, out, config, Clock::now() + timeout, answer.output);
  if (!in_time) {
    ::kill(pid, SIGKILL);
  }
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (!in_time) {
    return fail(CniError{Code::kTryAgainLater,
                         "IPAM plugin \"" + type + "\" did not answer " + verb + " in time",
                         {}});
  }
  answer.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  if (answer.exit_code != 0 && answer.output.empty()) {
    return fail(CniError{Code::kFailed,
                         "IPAM plugin \"" + type + "\" failed without saying why: exit " +
                             std::to_string(answer.exit_code),
                         "see what it wrote to standard error"});
  }
  return answer;
}

}  // namespace margay::cni
