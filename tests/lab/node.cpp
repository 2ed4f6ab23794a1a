#include "tests/lab/daemons.h"
#include "tests/lab/lab.h"
#include "tests/lab/wait.h"

#include <algorithm>
#include <csignal>
#include <fstream>
#include <sstream>

namespace margay::lab {
namespace {

constexpr auto kReadyTimeout = std::chrono::seconds(20);
constexpr auto kStopTimeout = std::chrono::seconds(20);

// The same file seen from the host: only /run is a plain folder there.
std::filesystem::path on_host(const Node& node, const std::string& file) {
  return node.dir() / file.substr(1);
}

}  // namespace

Node::Node(const LabState& state, NodeSpec spec, std::string netns, Environment env)
    : state_(&state), spec_(std::move(spec)), netns_(std::move(netns)), env_(std::move(env)) {}

Command Node::command(const std::vector<std::string>& argv, const Environment& env) const {
  Command command;
  command.argv = argv;
  command.env = env_;
  command.env.insert(command.env.end(), env.begin(), env.end());
  command.inside = holder_;
  return command;
}

ExecResult Node::exec(const std::vector<std::string>& argv, const ExecOptions& options) const {
  Command call = command(argv, options.env);
  call.input = options.input;
  call.timeout = options.timeout;
  auto done = run(call);
  return done ? *done : ExecResult{kCannotStart, "", done.error().text + "\n"};
}

Result<ProcessId> Node::spawn(const std::string& role,
                              const std::vector<std::string>& argv,
                              const Environment& env) const {
  Command call = command(argv, env);
  call.log = log(role);
  call.record = [&](const ProcessId& id) {
    [[maybe_unused]] const auto written = state_->add_process(ProcessRecord{spec_.name, role, id});
  };
  auto process = launch(call);
  return process ? process : fail(process.error(), "{}: start {}", spec_.name, role);
}

std::string Node::read_log(const std::string& role) const {
  std::ifstream stream(log(role));
  std::ostringstream text;
  text << stream.rdbuf();
  return text.str();
}

Result<void> Node::start(const Environment& extra) {
  const DaemonPlan plan = daemons_of(spec_);
  for (const Daemon& daemon : plan.daemons) {
    const auto process = spawn(daemon.role, daemon.argv, extra);
    if (!process) {
      return fail(process.error());
    }
    const bool ready =
        daemon.ready_file.empty() ||
        wait_until(
            [&] {
              std::error_code error;
              return std::filesystem::exists(on_host(*this, daemon.ready_file), error) ||
                     !alive(*process);
            },
            kReadyTimeout,
            std::chrono::milliseconds(5));
    if (!ready || !alive(*process)) {
      return fail(Errc::kTimeout,
                  "{}: {} does not come up: {}",
                  name(),
                  daemon.role,
                  read_log(daemon.role));
    }
  }
  if (plan.after.empty()) {
    return {};
  }
  const ExecResult done = exec(plan.after);
  return done.ok()
             ? Result<void>()
             : fail(Errc::kInvalid, "{}: {}: {}{}", name(), plan.after.front(), done.out, done.err);
}

std::vector<ProcessRecord> Node::main_processes() const {
  std::vector<ProcessRecord> mine;
  const auto record = state_->read();
  for (const Daemon& daemon : daemons_of(spec_).daemons) {
    for (const ProcessRecord& process : record ? record->processes : std::vector<ProcessRecord>()) {
      if (process.node == spec_.name && process.role == daemon.role && alive(process.id)) {
        mine.push_back(process);
      }
    }
  }
  return mine;
}

bool Node::running() const {
  return !daemons_of(spec_).daemons.empty() &&
         main_processes().size() == daemons_of(spec_).daemons.size();
}

Result<void> Node::end_main(int signal) {
  const auto processes = main_processes();
  for (const ProcessRecord& process : processes) {
    send_signal(process.id, signal);
  }
  for (const ProcessRecord& process : processes) {
    if (!wait_gone(process.id, kStopTimeout)) {
      return fail(Errc::kTimeout, "{}: {} does not end on signal {}", name(), process.role, signal);
    }
    std::error_code ignored;
    for (const Daemon& daemon : daemons_of(spec_).daemons) {
      if (!daemon.ready_file.empty()) {
        std::filesystem::remove(on_host(*this, daemon.ready_file), ignored);
      }
    }
  }
  return {};
}

Result<void> Node::stop() {
  return end_main(SIGTERM);
}

Result<void> Node::kill() {
  return end_main(SIGKILL);
}

}  // namespace margay::lab
