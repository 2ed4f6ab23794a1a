#include "tests/lab/process.h"

#include "base/scope_exit.h"

#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <fstream>
#include <poll.h>
#include <sched.h>
#include <sstream>
#include <thread>
#include <unistd.h>

namespace margay::lab {
namespace {

using Clock = std::chrono::steady_clock;
constexpr int kTimedOut = 124;    // as timeout(1)
constexpr int kSignalBase = 128;  // as a shell
constexpr auto kPollInterval = std::chrono::milliseconds(5);

// A descriptor that closes itself.
class Fd {
 public:
  explicit Fd(int fd = -1) : fd_(fd) {}
  ~Fd() { reset(); }
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;

  [[nodiscard]] int get() const { return fd_; }
  [[nodiscard]] bool is_open() const { return fd_ >= 0; }
  void reset() {
    if (fd_ >= 0) {
      ::close(std::exchange(fd_, -1));
    }
  }

 private:
  int fd_;
};

struct Pipe {
  Fd read;
  Fd write;
};

Result<Pipe> make_pipe() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
    return fail_errno(errno, "create a pipe");
  }
  return Pipe{Fd(ends[0]), Fd(ends[1])};
}

struct Streams {
  int in;
  int out;
  int err;
};

// What the child needs, built before fork.
struct ChildPlan {
  std::vector<char*> argv;
  std::vector<char*> env;
  std::vector<std::string> env_text;
  std::string program;
  std::vector<Fd> namespaces;
};

std::string find_program(const std::string& name, const Environment& env) {
  if (name.find('/') != std::string::npos) {
    return name;
  }
  for (const auto& entry : env) {
    if (entry.first != "PATH") {
      continue;
    }
    std::istringstream path(entry.second);
    for (std::string folder; std::getline(path, folder, ':');) {
      std::string candidate = fmt::format("{}/{}", folder, name);
      if (::access(candidate.c_str(), X_OK) == 0) {
        return candidate;
      }
    }
  }
  return name;
}

Result<ChildPlan> plan_child(const Command& command) {
  ChildPlan plan;
  if (command.argv.empty()) {
    return fail(Errc::kInvalid, "command is empty");
  }
  plan.program = find_program(command.argv.front(), command.env);
  for (const std::string& word : command.argv) {
    plan.argv.push_back(const_cast<char*>(word.c_str()));
  }
  plan.argv.push_back(nullptr);
  for (const auto& entry : command.env) {
    plan.env_text.push_back(entry.first + "=" + entry.second);
  }
  for (std::string& text : plan.env_text) {
    plan.env.push_back(text.data());
  }
  plan.env.push_back(nullptr);
  if (command.inside) {
    if (!alive(*command.inside)) {
      return fail(Errc::kNotFound, "run {}: the node is gone", command.argv.front());
    }
    for (const char* kind : {"net", "uts", "mnt"}) {
      const std::string path = fmt::format("/proc/{}/ns/{}", command.inside->pid, kind);
      plan.namespaces.emplace_back(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
      if (!plan.namespaces.back().is_open()) {
        return fail_errno(errno, "open {}", path);
      }
    }
  }
  return plan;
}

[[noreturn]] void child_fails(int error_fd, const std::string& text) {
  [[maybe_unused]] const auto written = ::write(error_fd, text.data(), text.size());
  ::_exit(kCannotStart);
}

[[noreturn]] void run_child(const Command& command,
                            const ChildPlan& plan,
                            Streams streams,
                            int error_fd) {
  ::setsid();
  ::signal(SIGPIPE, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  if (command.record) {
    const pid_t self = ::getpid();
    command.record(ProcessId{self, process_start_time(self).value_or(0)});
  }
  for (const Fd& fd : plan.namespaces) {
    if (::setns(fd.get(), 0) != 0) {
      child_fails(error_fd, std::string("enter the node's namespaces: ") + std::strerror(errno));
    }
  }
  if (command.prepare) {
    if (const auto done = command.prepare(); !done) {
      child_fails(error_fd, done.error().text);
    }
  }
  if (::chdir("/") != 0 || ::dup2(streams.in, 0) < 0 || ::dup2(streams.out, 1) < 0 ||
      ::dup2(streams.err, 2) < 0) {
    child_fails(error_fd, std::string("set up the standard streams: ") + std::strerror(errno));
  }
  ::execve(plan.program.c_str(), plan.argv.data(), plan.env.data());
  child_fails(error_fd, "run " + command.argv.front() + ": " + std::strerror(errno));
}

// Forks, and returns when exec has succeeded.
Result<pid_t> spawn(const Command& command, Streams streams) {
  auto plan = plan_child(command);
  if (!plan) {
    return fail(plan.error());
  }
  auto report = make_pipe();
  if (!report) {
    return fail(report.error());
  }
  const pid_t pid = ::fork();
  if (pid < 0) {
    return fail_errno(errno, "fork");
  }
  if (pid == 0) {
    run_child(command, *plan, streams, report->write.get());
  }
  report->write.reset();
  std::string text;
  std::array<char, 512> buffer{};
  for (;;) {
    const auto n = ::read(report->read.get(), buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) {
      continue;
    }
    if (n <= 0) {
      break;
    }
    text.append(buffer.data(), static_cast<std::size_t>(n));
  }
  if (!text.empty()) {
    ::waitpid(pid, nullptr, 0);
    return fail(Errc::kInternal, "{}", text);
  }
  return pid;
}

void read_some(Fd& from, std::string& into) {
  std::array<char, 16384> buffer{};
  const auto n = ::read(from.get(), buffer.data(), buffer.size());
  if (n > 0) {
    into.append(buffer.data(), static_cast<std::size_t>(n));
  } else if (n == 0 || errno != EINTR) {
    from.reset();
  }
}

// Moves bytes until both outputs are closed or the time is up.
bool pump(const Command& command, Fd& in, Fd& out, Fd& err, ExecResult& result) {
  const auto deadline = Clock::now() + command.timeout;
  std::size_t sent = 0;
  while (out.is_open() || err.is_open()) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now());
    if (left.count() <= 0) {
      return false;
    }
    if (in.is_open() && sent == command.input.size()) {
      in.reset();
    }
    std::array<pollfd, 3> fds{
        {{out.get(), POLLIN, 0}, {err.get(), POLLIN, 0}, {in.get(), POLLOUT, 0}}};
    if (::poll(fds.data(), fds.size(), static_cast<int>(left.count())) < 0 && errno != EINTR) {
      return false;
    }
    if (fds[0].revents != 0) {
      read_some(out, result.out);
    }
    if (fds[1].revents != 0) {
      read_some(err, result.err);
    }
    if ((fds[2].revents & POLLOUT) != 0) {
      const std::size_t chunk =
          std::min<std::size_t>(command.input.size() - sent, PIPE_BUF);  // does not block
      const auto n = ::write(in.get(), command.input.data() + sent, chunk);
      sent = n < 0 ? command.input.size() : sent + static_cast<std::size_t>(n);
    } else if (fds[2].revents != 0) {
      in.reset();
    }
  }
  return true;
}

}  // namespace

std::optional<std::uint64_t> process_start_time(pid_t pid) {
  std::ifstream stream(fmt::format("/proc/{}/stat", pid));
  std::string text;
  if (!std::getline(stream, text)) {
    return std::nullopt;
  }
  const auto name_end = text.rfind(')');  // the name may hold blanks and parentheses
  if (name_end == std::string::npos) {
    return std::nullopt;
  }
  std::istringstream fields(text.substr(name_end + 1));
  std::string field;
  constexpr int kState = 3;
  constexpr int kStartTime = 22;
  for (int i = kState; fields >> field; ++i) {
    if (i == kState && (field == "Z" || field == "X")) {
      return std::nullopt;
    }
    if (i == kStartTime) {
      return std::strtoull(field.c_str(), nullptr, 10);
    }
  }
  return std::nullopt;
}

bool alive(const ProcessId& process) {
  return process.pid > 0 && process_start_time(process.pid) == process.start_time;
}

bool send_signal(const ProcessId& process, int signal) {
  if (!alive(process)) {
    return false;
  }
  return ::kill(-process.pid, signal) == 0 || ::kill(process.pid, signal) == 0;
}

bool wait_gone(const ProcessId& process, std::chrono::milliseconds timeout) {
  const auto deadline = Clock::now() + timeout;
  while (alive(process)) {
    if (Clock::now() >= deadline) {
      return false;
    }
    std::this_thread::sleep_for(kPollInterval);
  }
  ::waitpid(process.pid,
            nullptr,
            WNOHANG);  // ours if this process started it; an error otherwise, and no harm
  return true;
}

Result<ExecResult> run(const Command& command) {
  auto in = make_pipe();
  auto out = make_pipe();
  auto err = make_pipe();
  if (!in || !out || !err) {
    return fail(
        Errc::kExhausted, "run {}: no pipe", command.argv.empty() ? "" : command.argv.front());
  }
  const auto pid = spawn(command, Streams{in->read.get(), out->write.get(), err->write.get()});
  if (!pid) {
    return fail(pid.error());
  }
  in->read.reset();
  out->write.reset();
  err->write.reset();
  ::signal(SIGPIPE, SIG_IGN);  // a command may end before it has read its input
  ExecResult result;
  if (!pump(command, in->write, out->read, err->read, result)) {
    ::kill(-*pid, SIGKILL);
    ::waitpid(*pid, nullptr, 0);
    result.rc = kTimedOut;
    result.err +=
        fmt::format("{}: no end after {} ms\n", command.argv.front(), command.timeout.count());
    return result;
  }
  int status = 0;
  while (::waitpid(*pid, &status, 0) < 0 && errno == EINTR) {
  }
  result.rc = WIFEXITED(status) ? WEXITSTATUS(status) : kSignalBase + WTERMSIG(status);
  return result;
}

Result<ProcessId> launch(const Command& command) {
  const Fd null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  const std::string log = command.log.empty() ? "/dev/null" : command.log.string();
  const Fd out(::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
  if (!null.is_open() || !out.is_open()) {
    return fail_errno(errno, "open {}", log);
  }
  const auto pid = spawn(command, Streams{null.get(), out.get(), out.get()});
  if (!pid) {
    return fail(pid.error());
  }
  return ProcessId{*pid, process_start_time(*pid).value_or(0)};
}

}  // namespace margay::lab
