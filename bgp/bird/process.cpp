#include "bgp/bird/process.h"

#include "base/scope_exit.h"
#include "bgp/bird/control.h"

#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <fcntl.h>
#include <filesystem>
#include <poll.h>
#include <spawn.h>
#include <sstream>
#include <thread>
#include <unistd.h>
#include <utility>
#include <vector>

extern char** environ;  // NOLINT(cppcoreguidelines-avoid-non-const-global-variables): POSIX

namespace margay::bgp::bird {

namespace {

using std::chrono::milliseconds;

constexpr const char* kProgram = "bird";
constexpr const char* kOtherPlaces = ":/usr/local/sbin:/usr/sbin:/sbin";
constexpr std::chrono::seconds kRunLimit{10};
constexpr std::chrono::seconds kEndLimit{10};
constexpr milliseconds kEndPoll{20};
constexpr std::size_t kMaxOutput = 65536;
constexpr int kFirstInherited = 3;

// Daemons are often started without the directories of administrators' programs in PATH; and BIRD
// prints times of its own zone.
std::vector<std::string> environment() {
  std::vector<std::string> out{"TZ=UTC"};
  std::string path = "/usr/bin:/bin";
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string text = *entry;
    if (text.starts_with("PATH=")) {
      path = text.substr(text.find('=') + 1);
    } else if (!text.starts_with("TZ=")) {
      out.push_back(text);
    }
  }
  out.push_back("PATH=" + path + kOtherPlaces);
  return out;
}

// posix_spawnp looks in the caller's PATH.
std::string program_path() {
  std::string path;
  for (const std::string& entry : environment()) {
    if (entry.starts_with("PATH=")) {
      path = entry.substr(entry.find('=') + 1);
    }
  }
  std::istringstream places(path);
  for (std::string place; std::getline(places, place, ':');) {
    std::string candidate = place + "/" + kProgram;
    if (!place.empty() && ::access(candidate.c_str(), X_OK) == 0) {
      return candidate;
    }
  }
  return {};
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> out;
  out.reserve(texts.size() + 1);
  for (std::string& text : texts) {
    out.push_back(text.data());
  }
  out.push_back(nullptr);
  return out;
}

// Nothing of ours is inherited: sockets and locks must end with us.
Result<pid_t> spawn(std::vector<std::string> arguments, int output) {
  const std::string program = program_path();
  if (program.empty()) {
    return fail(Errc::kNotFound,
                "there is no program {}: install BIRD 2 (Debian: apt-get install bird2), or use "
                "the embedded speaker (bgp: embedded)",
                kProgram);
  }
  posix_spawn_file_actions_t files;
  posix_spawnattr_t attributes;
  ::posix_spawn_file_actions_init(&files);
  ::posix_spawnattr_init(&attributes);
  const ScopeExit free_both([&] {
    ::posix_spawn_file_actions_destroy(&files);
    ::posix_spawnattr_destroy(&attributes);
  });
  ::posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_adddup2(&files, output, STDOUT_FILENO);
  ::posix_spawn_file_actions_adddup2(&files, output, STDERR_FILENO);
  ::posix_spawn_file_actions_addclosefrom_np(&files, kFirstInherited);
  sigset_t signals;
  sigemptyset(&signals);
  ::posix_spawnattr_setsigmask(&attributes, &signals);
  sigfillset(&signals);
  ::posix_spawnattr_setsigdefault(&attributes, &signals);
  ::posix_spawnattr_setflags(&attributes,
                             POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  arguments.insert(arguments.begin(), kProgram);
  std::vector<std::string> variables = environment();
  pid_t pid = 0;
  const int failed = ::posix_spawn(&pid,
                                   program.c_str(),
                                   &files,
                                   &attributes,
                                   pointers(arguments).data(),
                                   pointers(variables).data());
  if (failed != 0) {
    return fail_errno(failed, "start {}", program);
  }
  return pid;
}

// Reads until the other end is closed; false when that takes too long.
bool read_all(int descriptor, std::string& out) {
  const auto end = std::chrono::steady_clock::now() + kRunLimit;
  std::array<char, 4096> buffer{};
  while (out.size() < kMaxOutput) {
    const auto left =
        std::chrono::duration_cast<milliseconds>(end - std::chrono::steady_clock::now());
    pollfd waiting{descriptor, POLLIN, 0};
    if (left.count() <= 0 || ::poll(&waiting, 1, static_cast<int>(left.count())) == 0) {
      return false;
    }
    const ssize_t got = ::read(descriptor, buffer.data(), buffer.size());
    if (got == 0 || (got < 0 && errno != EINTR && errno != EAGAIN)) {
      return true;
    }
    out.append(buffer.data(), got > 0 ? static_cast<std::size_t>(got) : 0);
  }
  return true;
}

std::string one_line(std::string text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) {
    text.pop_back();
  }
  for (std::size_t at = 0; (at = text.find('\n', at)) != std::string::npos;) {
    text.replace(at, 1, "; ");
  }
  return text;
}

struct Run {
  int status = 0;
  std::string output;
};

Result<Run> run_to_end(std::vector<std::string> arguments) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
    return fail_errno(errno, "pipe");
  }
  const ScopeExit close_reader([&] { ::close(ends[0]); });
  auto pid = spawn(std::move(arguments), ends[1]);
  ::close(ends[1]);
  if (!pid) {
    return fail(pid.error());
  }
  Run run;
  const bool ended = read_all(ends[0], run.output);
  if (!ended) {
    ::kill(*pid, SIGKILL);
  }
  while (::waitpid(*pid, &run.status, 0) < 0 && errno == EINTR) {
  }
  if (!ended) {
    return fail(Errc::kTimeout, "{} does not end within {} s", kProgram, kRunLimit.count());
  }
  run.output = one_line(std::move(run.output));
  return run;
}

// The beginning of a file; what cannot be read is empty. Of a process that ends just now reading
// fails in the middle, at which streams throw.
std::string read_some(const std::string& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) {
    return {};
  }
  const ScopeExit close_it([descriptor] { ::close(descriptor); });
  std::string text(kMaxOutput, '\0');
  const ssize_t got = ::read(descriptor, text.data(), text.size());
  text.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
  return text;
}

// The arguments of a process, each closed by a zero byte; empty when there is none.
std::string command_line(pid_t pid) {
  return read_some("/proc/" + std::to_string(pid) + "/cmdline");
}

std::string network_of(const std::string& process) {
  std::error_code errc;
  return std::filesystem::read_symlink("/proc/" + process + "/ns/net", errc);
}

bool wait_gone(pid_t pid, const Files& files) {
  const auto end = std::chrono::steady_clock::now() + kEndLimit;
  while (is_ours(pid, files)) {
    ::waitpid(pid, nullptr, WNOHANG);  // it may be our child
    if (std::chrono::steady_clock::now() >= end) {
      return false;
    }
    std::this_thread::sleep_for(kEndPoll);
  }
  return true;
}

}  // namespace

Files Files::in(const std::string& run_dir) {
  return {run_dir + "/bird.conf",
          run_dir + "/bird.conf.new",
          run_dir + "/bird.ctl",
          run_dir + "/bird.pid",
          run_dir + "/bird.log",
          run_dir + "/bird.out"};
}

Result<std::string> find_bird() {
  const auto run = run_to_end({"--version"});
  if (!run) {
    return fail(run.error());
  }
  constexpr std::string_view kIntroduction = "BIRD version ";
  const auto begin = run->output.find(kIntroduction);
  if (begin == std::string::npos) {
    return fail(Errc::kInvalid, "{} --version says \"{}\": not BIRD", kProgram, run->output);
  }
  std::string version = run->output.substr(begin + kIntroduction.size());
  version.resize(std::min(version.size(), version.find_first_of(" ;")));
  if (!version.starts_with("2.")) {
    return fail(Errc::kInvalid, "{} is version {}: BIRD 2 is needed", kProgram, version);
  }
  return version;
}

Result<void> check_config(const std::string& path) {
  const auto run = run_to_end({"-p", "-c", path});
  if (!run) {
    return fail(run.error());
  }
  if (!WIFEXITED(run->status) || WEXITSTATUS(run->status) != 0) {
    return fail(
        Errc::kInvalid, "{}", run->output.empty() ? "bird -p gives no reason" : run->output);
  }
  return {};
}

Result<pid_t> start_bird(const Files& files, bool restarted) {
  const int output =
      ::open(files.output.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, S_IRUSR | S_IWUSR);
  if (output < 0) {
    return fail_errno(errno, "open {}", files.output);
  }
  const ScopeExit close_output([&] { ::close(output); });
  std::vector<std::string> arguments{"-f", "-c", files.config, "-s", files.socket, "-P", files.pid};
  if (restarted) {
    arguments.emplace_back("-R");
  }
  return spawn(std::move(arguments), output);
}

bool is_ours(pid_t pid, const Files& files) {
  if (pid <= 0) {
    return false;
  }
  std::string wanted = "-c";
  wanted += '\0' + files.config + '\0' + "-s" + '\0' + files.socket + '\0';
  return command_line(pid).find(wanted) != std::string::npos &&
         network_of(std::to_string(pid)) == network_of("self");
}

std::optional<pid_t> running_bird(const Files& files) {
  std::istringstream written(read_some(files.pid));
  pid_t pid = 0;
  if (written >> pid && is_ours(pid, files)) {
    return pid;
  }
  std::error_code errc;
  for (std::filesystem::directory_iterator entry("/proc", errc), none; !errc && entry != none;
       entry.increment(errc)) {
    const std::string name = entry->path().filename();
    const auto [end, parsed] = std::from_chars(name.data(), name.data() + name.size(), pid);
    if (parsed == std::errc() && *end == '\0' && is_ours(pid, files)) {
      return pid;
    }
  }
  return std::nullopt;
}

std::string last_words(const Files& files) {
  return one_line(read_some(files.output));
}

Result<void> end_bird(const Files& files, bool leave_routes) {
  const auto pid = running_bird(files);
  if (!pid) {
    return {};
  }
  auto control = Control::open(files.socket);
  if (control && (*control)->listener() == *pid) {
    const auto answer = (*control)->ask(leave_routes ? "graceful restart" : "down");
    if (answer && !answer->failed() && wait_gone(*pid, files)) {
      return {};
    }
  }
  ::kill(*pid, SIGKILL);
  return wait_gone(*pid, files) ? Result<void>()
                                : fail(Errc::kTimeout, "BIRD (process {}) does not end", *pid);
}

}  // namespace margay::bgp::bird
