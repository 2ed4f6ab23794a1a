#include "bench/support/agent_process.h"

#include "tests/support/cni_driver.h"

#include <sys/wait.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <spawn.h>
#include <unistd.h>
#include <vector>

namespace margay::bench {

namespace fs = std::filesystem;

Scratch::Scratch() {
  std::string pattern = "/dev/shm/margay-bench-XXXXXX";
  path = ::mkdtemp(pattern.data());
}
Scratch::~Scratch() {
  std::error_code ignored;
  fs::remove_all(path, ignored);
}

fs::path program_folder() {
  return fs::read_symlink("/proc/self/exe").parent_path();
}

std::string AgentProcess::datastore(const fs::path& directory) {
  return "sqlite://" + (directory / "margay.db").string();
}

namespace {

bool answers(const fs::path& programs, const fs::path& directory) {
  return test::run_cni(
             test::CniCall{.plugin = programs / "margay",
                           .environment = {{"CNI_COMMAND", "STATUS"}, {"CNI_PATH", programs}},
                           .config = R"({"cniVersion":"1.1.0","name":"margay","type":"margay",)"
                                     R"("run_dir":")" +
                                     directory.string() + R"("})"})
             .exit_code == 0;
}

}  // namespace

Result<std::unique_ptr<AgentProcess>> AgentProcess::start(const fs::path& programs,
                                                          const fs::path& directory,
                                                          const std::string& bgp) {
  const std::string program = programs / "margayd";
  std::vector<std::string> arguments{program,
                                     "--datastore",
                                     datastore(directory),
                                     "--node",
                                     "bench",
                                     "--run-dir",
                                     directory,
                                     "--state-dir",
                                     directory / "state",
                                     "--bgp",
                                     bgp,
                                     "--metrics-listen",
                                     "",
                                     "--log-level",
                                     "error"};
  std::vector<char*> argv;
  argv.reserve(arguments.size() + 1);
  for (std::string& argument : arguments) {
    argv.push_back(argument.data());
  }
  argv.push_back(nullptr);
  auto agent = std::unique_ptr<AgentProcess>(new AgentProcess);
  const int error =
      ::posix_spawn(&agent->pid_, program.c_str(), nullptr, nullptr, argv.data(), environ);
  if (error != 0) {
    agent->pid_ = -1;
    return fail_errno(error, "start {}", program);
  }
  constexpr std::chrono::seconds kStart{30};
  const auto deadline = std::chrono::steady_clock::now() + kStart;
  while (!answers(programs, directory)) {
    if (std::chrono::steady_clock::now() > deadline ||
        ::waitpid(agent->pid_, nullptr, WNOHANG) != 0) {
      return fail(Errc::kTimeout, "{} did not become ready", program);
    }
  }
  return agent;
}

double AgentProcess::cpu_seconds() const {
  double nanoseconds = 0;
  std::error_code gone;
  for (const auto& task : fs::directory_iterator("/proc/" + std::to_string(pid_) + "/task", gone)) {
    std::ifstream file(task.path() / "schedstat");
    double used = 0;
    file >> used;
    nanoseconds += used;
  }
  constexpr double kNsPerSecond = 1e9;
  return nanoseconds / kNsPerSecond;
}

AgentProcess::~AgentProcess() {
  if (pid_ > 0) {
    ::kill(pid_, SIGTERM);
    ::waitpid(pid_, nullptr, 0);
  }
}

}  // namespace margay::bench
