#pragma once
// A margayd of its own for a benchmark: node "bench", without BGP unless asked for, its store,
// sockets and state in one directory, in the network namespace of the caller.

#include "base/result.h"

#include <sys/types.h>

#include <filesystem>
#include <memory>
#include <string>

namespace margay::bench {

// A directory on a memory file system, gone at the end.
struct Scratch {
  std::filesystem::path path;
  Scratch();
  ~Scratch();
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
};

class AgentProcess {
 public:
  // `programs` holds margayd and margay. Returns when the agent is ready, after 30 s at most.
  static Result<std::unique_ptr<AgentProcess>> start(const std::filesystem::path& programs,
                                                     const std::filesystem::path& directory,
                                                     const std::string& bgp = "none");
  ~AgentProcess();
  AgentProcess(const AgentProcess&) = delete;
  AgentProcess& operator=(const AgentProcess&) = delete;

  [[nodiscard]] pid_t pid() const { return pid_; }
  // Processor time that it has used so far, in seconds (/proc/PID/task/*/schedstat).
  [[nodiscard]] double cpu_seconds() const;
  // The datastore URL of an agent in that directory.
  static std::string datastore(const std::filesystem::path& directory);

 private:
  AgentProcess() = default;
  pid_t pid_ = -1;
};

// Folder of the running program.
[[nodiscard]] std::filesystem::path program_folder();

}  // namespace margay::bench
