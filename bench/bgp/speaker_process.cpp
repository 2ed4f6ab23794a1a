#include "bench/bgp/speaker_process.h"

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <fstream>
#include <iterator>
#include <sched.h>
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

constexpr auto kMargayConfig = R"(
router: {asn: 65000, id: 10.0.0.1, listen: ["10.0.0.1:179"], fib: {ipv4: false, ipv6: false}}
groups:
  bench: {passive: true, import: accept, export: accept}
peers:
  - {address: 10.0.0.2, asn: 65001, group: bench}
  - {address: 10.0.0.3, asn: 65002, group: bench}
control: )";

constexpr auto kBirdConfig = R"(
router id 10.0.0.1;
protocol device {}
template bgp bench {
  local 10.0.0.1 as 65000;
  passive;
  ipv4 { import all; export all; };
}
protocol bgp sender from bench { neighbor 10.0.0.2 as 65001; }
protocol bgp observer from bench { neighbor 10.0.0.3 as 65002; }
)";

std::vector<std::string> prepare_margay(const fs::path& folder) {
  const fs::path config = folder / "bgpd.yaml";
  std::ofstream(config) << kMargayConfig << (folder / "bgpd.sock").string() << "\n";
  const fs::path program = fs::read_symlink("/proc/self/exe").parent_path() / "margay-bgpd";
  return {program.string(), "--config", config.string()};
}

std::vector<std::string> prepare_bird(const fs::path& folder) {
  const fs::path config = folder / "bird.conf";
  std::ofstream(config) << kBirdConfig;
  return {"bird",
          "-f",
          "-c",
          config.string(),
          "-s",
          (folder / "bird.ctl").string(),
          "-P",
          (folder / "bird.pid").string()};
}

}  // namespace

IpAddr speaker_address() {
  return IpAddr::v4(0x0A000001);
}
IpAddr sender_address() {
  return IpAddr::v4(0x0A000002);
}
IpAddr observer_address() {
  return IpAddr::v4(0x0A000003);
}

Result<SpeakerNetwork> SpeakerNetwork::open() {
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
      {"addr", "add", "10.0.0.2/24", "dev", "peers"},
      {"addr", "add", "10.0.0.3/24", "dev", "peers"},
  });
  if (!outside) {
    return fail(outside.error());
  }
  const auto here = open_own_namespace();
  if (!here) {
    return fail(here.error());
  }
  if (::setns(*inside, CLONE_NEWNET) != 0) {
    return fail_errno(errno, "enter the speakers' namespace");
  }
  auto done = ip_all({
      {"link", "set", "lo", "up"},
      {"link", "set", "speaker", "up"},
      {"addr", "add", "10.0.0.1/24", "dev", "speaker"},
  });
  if (::setns(*here, CLONE_NEWNET) != 0) {
    return fail_errno(errno, "return to the peers' namespace");
  }
  ::close(*here);
  if (!done) {
    return fail(done.error());
  }
  return network;
}

SpeakerNetwork::~SpeakerNetwork() {
  if (fd_ >= 0) {
    ::close(fd_);
  }
}

SpeakerNetwork::SpeakerNetwork(SpeakerNetwork&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)) {}

Result<std::unique_ptr<SpeakerProcess>> SpeakerProcess::start(SpeakerKind kind,
                                                              const SpeakerNetwork& network) {
  std::unique_ptr<SpeakerProcess> speaker(new SpeakerProcess);
  speaker->folder_ = fs::temp_directory_path() / fmt::format("margay-bench-bgp-{}", ::getpid());
  std::error_code failed;
  fs::create_directories(speaker->folder_, failed);
  if (failed) {
    return fail(Errc::kInternal, "create {}: {}", speaker->folder_.string(), failed.message());
  }
  lab::Command command;
  command.argv = kind == SpeakerKind::kMargay ? prepare_margay(speaker->folder_)
                                              : prepare_bird(speaker->folder_);
  command.env = environment();
  command.log = speaker->folder_ / "log";
  command.prepare = [fd = network.descriptor()]() -> Result<void> {
    if (::setns(fd, CLONE_NEWNET) != 0) {
      return fail_errno(errno, "enter the speakers' namespace");
    }
    return {};
  };
  auto process = lab::launch(command);
  if (!process) {
    return fail(process.error(), "start {}", command.argv.front());
  }
  speaker->process_ = *process;
  return speaker;
}

SpeakerProcess::~SpeakerProcess() {
  if (process_.pid != 0) {
    constexpr std::chrono::seconds kGrace{5};
    lab::send_signal(process_, SIGKILL);
    (void)lab::wait_gone(process_, kGrace);
  }
  std::error_code ignored;
  fs::remove_all(folder_, ignored);
}

double SpeakerProcess::peak_memory_mib() const {
  constexpr double kKibPerMib = 1024;
  std::ifstream status(fmt::format("/proc/{}/status", process_.pid));
  std::string word;
  while (status >> word) {
    if (word == "VmHWM:") {
      double kib = 0;
      status >> kib;
      return kib / kKibPerMib;
    }
  }
  return 0;
}

std::string SpeakerProcess::log() const {
  std::ifstream file(folder_ / "log");
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace margay::bench
