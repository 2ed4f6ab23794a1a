#pragma once
// Processes of a lab: started in the namespaces of a node, known by pid and start time, so that a
// pid that the kernel has given to somebody else is never signalled. Functions may be called from
// several threads.

#include "base/result.h"

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace margay::lab {

// Where the system's programs are.
inline constexpr auto kSystemPath =
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/lib/frr";
inline constexpr int kCannotStart = 127;  // exit code of a program that could not be started

using Environment = std::vector<std::pair<std::string, std::string>>;

struct ProcessId {
  pid_t pid = 0;
  std::uint64_t start_time = 0;  // field 22 of /proc/PID/stat

  bool operator==(const ProcessId&) const = default;
};

// Absent when there is no such process or it is a zombie.
std::optional<std::uint64_t> process_start_time(pid_t pid);
bool alive(const ProcessId& process);
// Sends to the process's own group, which it leads. False when it is gone already.
bool send_signal(const ProcessId& process, int signal);
bool wait_gone(const ProcessId& process, std::chrono::milliseconds timeout);

struct ExecResult {
  int rc = -1;  // exit status, 128 + signal, or 124 when the time was up
  std::string out;
  std::string err;

  [[nodiscard]] bool ok() const { return rc == 0; }
};

struct Command {
  std::vector<std::string> argv;
  Environment env;                           // the whole environment
  std::optional<ProcessId> inside;           // enter this process's net, mount and UTS namespaces
  std::string input;                         // run: standard input
  std::chrono::milliseconds timeout{30000};  // run: then it is killed
  std::filesystem::path log;                 // launch: stdout and stderr are appended here
  std::function<Result<void>()> prepare;     // launch: runs in the child before exec
  std::function<void(const ProcessId&)> record;  // launch: runs in the child before prepare
};

// Runs to the end and captures both outputs. An error means the command could not be started.
Result<ExecResult> run(const Command& command);

// Starts a process in a session of its own and returns when exec has succeeded.
Result<ProcessId> launch(const Command& command);

}  // namespace margay::lab
