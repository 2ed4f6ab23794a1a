#include "bench/bgp/speaker_process.h"

#include "base/scope_exit.h"
#include "tests/lab/wait.h"

#include <sys/wait.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <fstream>
#include <sched.h>
#include <thread>
#include <time.h>
#include <unistd.h>
#include <utility>

namespace margay::bench {

namespace fs = std::filesystem;

namespace {

const lab::Environment& environment() {
  static const lab::Environment fixed{{"PATH", "/usr/sbin:/usr/bin:/sbin:/bin"}};
  return fixed;
}

Result<void> ip(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), "ip");
  lab::Command command;
  command.argv = std::move(arguments);
  command.env = environment();
  const auto result = lab::run(command);
  if (!result) {
    return fail(result.error());
  }
  if (!result->ok()) {
    return fail(Errc::kInternal, "ip: {}", result->err);
  }
  return {};
}

Result<void> ip_all(const std::vector<std::vector<std::string>>& commands) {
  for (const auto& arguments : commands) {
    if (auto done = ip(arguments); !done) {
      return done;
    }
  }
  return {};
}

Result<int> open_own_namespace() {
  const int fd = ::open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    return fail_errno(errno, "open the network namespace");
  }
  return fd;
}

// A number of /proc/PID/status in KiB, as MiB.
double status_mib(pid_t pid, std::string_view field) {
  constexpr double kKibPerMib = 1024;
  std::ifstream status(fmt::format("/proc/{}/status", pid));
  std::string word;
  while (status >> word) {
    if (word == field) {
      double kib = 0;
      status >> kib;
      return kib / kKibPerMib;
    }
  }
  return 0;
}

// Addresses of the clients, in one run of ip.
Result<void> add_clients(unsigned clients) {
  lab::Command command;
  command.argv = {"ip", "-batch", "-"};
  command.env = environment();
  for (unsigned i = 0; i < clients; ++i) {
    command.input += fmt::format("addr add {}/16 dev peers\n", client_address(i).str());
  }
  const auto result = lab::run(command);
  if (!result) {
    return fail(result.error());
  }
  return result->ok() ? Result<void>() : fail(Errc::kInternal, "ip: {}", result->err);
}

}  // namespace

IpAddr sender_address() {
  return IpAddr::v4(0x0A000002);
}
IpAddr observer_address() {
  return IpAddr::v4(0x0A000003);
}
IpAddr client_address(unsigned number) {
  return IpAddr::v4(0x0A000101 + number);
}

Result<SpeakerNetwork> SpeakerNetwork::open(unsigned clients) {
  if (::unshare(CLONE_NEWNET) != 0) {
    return fail_errno(errno, "new network namespace");
  }
  const auto inside = open_own_namespace();
  if (!inside) {
    return fail(inside.error());
  }
  SpeakerNetwork network;
  network.fd_ = *inside;
  if (::unshare(CLONE_NEWNET) != 0) {
    return fail_errno(errno, "new network namespace");
  }
  const std::string path = fmt::format("/proc/{}/fd/{}", ::getpid(), *inside);
  const auto outside = ip_all({
      {"link", "add", "peers", "type", "veth", "peer", "name", "speaker"},
      {"link", "set", "speaker", "netns", path},
      {"link", "set", "lo", "up"},
      {"link", "set", "peers", "up"},
      {"addr", "add", "10.0.0.2/16", "dev", "peers"},
      {"addr", "add", "10.0.0.3/16", "dev", "peers"},
  });
  if (!outside) {
    return fail(outside.error());
  }
  if (auto added = add_clients(clients); !added) {
    return fail(added.error());
  }
  const auto done = network.inside([] {
    return ip_all({
        {"link", "set", "lo", "up"},
        {"link", "set", "speaker", "up"},
        {"addr", "add", "10.0.0.1/16", "dev", "speaker"},
    });
  });
  if (!done) {
    return fail(done.error());
  }
  return network;
}

Result<void> SpeakerNetwork::inside(const std::function<Result<void>()>& function) const {
  const auto here = open_own_namespace();
  if (!here) {
    return fail(here.error());
  }
  const ScopeExit close_it([fd = *here] { ::close(fd); });
  if (::setns(fd_, CLONE_NEWNET) != 0) {
    return fail_errno(errno, "enter the speakers' namespace");
  }
  auto done = function();
  if (::setns(*here, CLONE_NEWNET) != 0) {
    return fail_errno(errno, "return to the peers' namespace");
  }
  return done;
}

SpeakerNetwork::~SpeakerNetwork() {
  if (fd_ >= 0) {
    ::close(fd_);
  }
}

SpeakerNetwork::SpeakerNetwork(SpeakerNetwork&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)) {}

Result<std::unique_ptr<SpeakerProcess>> SpeakerProcess::start(SpeakerKind kind,
                                                              const SpeakerPlan& plan,
                                                              const SpeakerNetwork& network) {
  std::unique_ptr<SpeakerProcess> speaker(new SpeakerProcess);
  speaker->folder_ = fs::temp_directory_path() / fmt::format("margay-bench-bgp-{}", ::getpid());
  std::error_code failed;
  fs::create_directories(speaker->folder_, failed);
  if (failed) {
    return fail(Errc::kInternal, "create {}: {}", speaker->folder_.string(), failed.message());
  }
  for (const SpeakerProgram& program : prepare_speaker(kind, plan, speaker->folder_)) {
    if (auto done = speaker->launch(program, network.descriptor()); !done) {
      return fail(done.error(), "{}: {}", name_of(kind), speaker->last_words());
    }
  }
  return speaker;
}

Result<void> SpeakerProcess::launch(const SpeakerProgram& program, int network) {
  lab::Command command;
  command.argv = program.argv;
  command.env = environment();
  command.log = folder_ / "log";
  command.prepare = [network]() -> Result<void> {
    if (::setns(network, CLONE_NEWNET) != 0) {
      return fail_errno(errno, "enter the speakers' namespace");
    }
    return {};
  };
  auto process = lab::launch(command);
  if (!process) {
    return fail(process.error(), "start {}", command.argv.front());
  }
  processes_.push_back(*process);
  constexpr std::chrono::seconds kReady{10};
  if (!program.ready.empty() &&
      !lab::wait_until([&program] { return fs::exists(program.ready); }, kReady)) {
    return fail(Errc::kTimeout, "{} did not become ready", command.argv.front());
  }
  return {};
}

SpeakerProcess::~SpeakerProcess() {
  constexpr std::chrono::seconds kGrace{5};
  const auto all = members();
  for (const lab::ProcessId& process : processes_) {
    lab::send_signal(process, SIGKILL);
  }
  for (const lab::ProcessId& process : processes_) {
    // Reaped only when its last thread is gone, and its sockets with it.
    (void)lab::wait_until([&process] { return ::waitpid(process.pid, nullptr, WNOHANG) != 0; },
                          kGrace);
  }
  // Its other processes end with it; the next speaker needs their ports.
  (void)lab::wait_until(
      [&all] {
        return std::ranges::none_of(
            all, [](pid_t pid) { return lab::process_start_time(pid).has_value(); });
      },
      kGrace);
  std::error_code ignored;
  fs::remove_all(folder_, ignored);
}

// Each of the programs leads a session, in which its children are.
std::vector<pid_t> SpeakerProcess::members() const {
  std::vector<pid_t> all;
  std::error_code gone;
  for (const auto& entry : fs::directory_iterator("/proc", gone)) {
    const std::string name = entry.path().filename();
    const auto pid = static_cast<pid_t>(std::strtol(name.c_str(), nullptr, 10));
    const pid_t session = pid > 0 ? ::getsid(pid) : -1;
    if (session > 0 &&
        std::ranges::find(processes_, session, &lab::ProcessId::pid) != processes_.end()) {
      all.push_back(pid);
    }
  }
  return all;
}

double SpeakerProcess::peak_memory_mib() const {
  double sum = 0;
  for (const pid_t pid : members()) {
    sum += status_mib(pid, "VmHWM:");
  }
  return sum;
}

double SpeakerProcess::resident_memory_mib() const {
  double sum = 0;
  for (const pid_t pid : members()) {
    sum += status_mib(pid, "VmRSS:");
  }
  return sum;
}

double SpeakerProcess::cpu_seconds() const {
  constexpr double kNsPerSecond = 1e9;
  double sum = 0;
  for (const pid_t pid : members()) {
    clockid_t clock{};
    timespec used{};
    if (::clock_getcpuclockid(pid, &clock) == 0 && ::clock_gettime(clock, &used) == 0) {
      sum += static_cast<double>(used.tv_sec) + static_cast<double>(used.tv_nsec) / kNsPerSecond;
    }
  }
  return sum;
}

void SpeakerProcess::settle() const {
  using std::chrono::milliseconds;
  constexpr milliseconds kLimit{5000};
  constexpr milliseconds kInterval{20};
  constexpr double kIdle = 0.001;  // seconds of processor time in an interval
  double before = cpu_seconds();
  std::this_thread::sleep_for(kInterval);
  (void)lab::wait_until(
      [&] {
        const double now = cpu_seconds();
        return now - std::exchange(before, now) < kIdle;
      },
      kLimit,
      kInterval);
}

std::string SpeakerProcess::last_words() const {
  std::ifstream file(folder_ / "log");
  std::string last = "no word of it";
  for (std::string line; std::getline(file, line);) {
    last = line.empty() ? last : line;
  }
  return last;
}

}  // namespace margay::bench
