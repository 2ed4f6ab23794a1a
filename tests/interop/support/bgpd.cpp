#include "tests/interop/support/bgpd.h"

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <sched.h>
#include <unistd.h>

namespace margay::bgp::test {

namespace fs = std::filesystem;

namespace {

Result<void> ip(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), "ip");
  lab::Command command;
  command.argv = std::move(arguments);
  command.env = {{"PATH", "/usr/sbin:/usr/bin:/sbin:/bin"}};
  const auto result = lab::run(command);
  if (!result) {
    return fail(result.error());
  }
  if (!result->ok()) {
    return fail(Errc::kInternal, "ip: {}", result->err);
  }
  return {};
}

}  // namespace

Result<void> enter_fresh_network(const std::vector<std::string>& addresses) {
  if (::unshare(CLONE_NEWNET) != 0) {
    return fail_errno(errno, "new network namespace");
  }
  if (auto up = ip({"link", "set", "lo", "up"}); !up) {
    return up;
  }
  for (const std::string& address : addresses) {
    const bool v6 = address.find(':') != std::string::npos;
    std::vector<std::string> arguments{"addr", "add", address, "dev", "lo"};
    if (v6) {
      arguments.emplace_back("nodad");
    }
    if (auto added = ip(std::move(arguments)); !added) {
      return added;
    }
  }
  return {};
}

Result<std::unique_ptr<Bgpd>> Bgpd::start(const std::string& name, const std::string& yaml) {
  std::unique_ptr<Bgpd> bgpd(new Bgpd);
  bgpd->folder_ =
      fs::temp_directory_path() / fmt::format("margay-{}-{}", name, static_cast<int>(::getpid()));
  fs::create_directories(bgpd->folder_);
  bgpd->write_config(yaml);
  lab::Command command;
  command.argv = {
      MARGAY_BINARY_DIR "/bin/margay-bgpd", "--config", (bgpd->folder_ / "bgpd.yaml").string()};
  command.env = {{"PATH", "/usr/sbin:/usr/bin:/sbin:/bin"}};
  command.log = bgpd->folder_ / "log";
  auto process = lab::launch(command);
  if (!process) {
    return fail(process.error(), "start margay-bgpd");
  }
  bgpd->process_ = *process;
  return bgpd;
}

void Bgpd::write_config(const std::string& yaml) const {
  std::ofstream(folder_ / "bgpd.yaml")
      << yaml << "control: " << (folder_ / "margayd.sock").string() << "\n";
}

void Bgpd::reload(const std::string& yaml) {
  write_config(yaml);
  lab::send_signal(process_, SIGHUP);
}

void Bgpd::finish() {
  constexpr std::chrono::seconds kLimit{10};
  lab::send_signal(process_, SIGTERM);
  (void)lab::wait_gone(process_, kLimit);
}

Bgpd::~Bgpd() {
  if (process_.pid != 0) {
    constexpr std::chrono::seconds kGrace{5};
    lab::send_signal(process_, SIGTERM);
    if (!lab::wait_gone(process_, kGrace)) {
      lab::send_signal(process_, SIGKILL);
      (void)lab::wait_gone(process_, kGrace);
    }
  }
  std::error_code ignored;
  fs::remove_all(folder_, ignored);
}

bool Bgpd::alive() const {
  return lab::alive(process_);
}

std::size_t Bgpd::peak_memory() const {
  constexpr std::size_t kKib = 1024;
  std::ifstream status(fmt::format("/proc/{}/status", process_.pid));
  std::string word;
  while (status >> word) {
    if (word == "VmHWM:") {
      std::size_t kib = 0;
      status >> kib;
      return kib * kKib;
    }
  }
  return 0;
}

std::size_t Bgpd::open_files() const {
  std::error_code ignored;
  const fs::directory_iterator files(fmt::format("/proc/{}/fd", process_.pid), ignored);
  return static_cast<std::size_t>(std::distance(begin(files), end(files)));
}

std::string Bgpd::log() const {
  std::ifstream file(folder_ / "log");
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace margay::bgp::test
