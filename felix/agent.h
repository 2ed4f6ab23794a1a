#pragma once
// Agent: everything of one node, composed. The thread table is in docs/architecture.md.
//
// run() is the felix thread: it follows the store, calculates, renders, hands deltas to the kernel
// threads and configuration to the speaker, and serves the sockets. It ends by SIGTERM or SIGINT,
// or when a reload brought a configuration that needs a new agent; routes and policy stay in the
// kernel either way.

#include "base/result.h"
#include "felix/config.h"
#include "felix/log.h"

#include <functional>
#include <memory>
#include <optional>

namespace margay::felix {

class Agent {
 public:
  // Takes the run directory (one agent each) and opens the sockets. Errors say what is in the way.
  static Result<std::unique_ptr<Agent>> create(const AgentConfig& config, Log& log);
  ~Agent();
  Agent(const Agent&) = delete;
  Agent& operator=(const Agent&) = delete;

  // Called at SIGHUP: the configuration as the file has it now.
  using Reload = std::function<Result<AgentConfig>()>;
  // Until a signal; the configuration to go on with, or nothing for the end. What can change in a
  // running agent (the log, metrics_listen) does; a bad configuration leaves the old one. kConflict
  // when another agent has the node's name.
  Result<std::optional<AgentConfig>> run(const Reload& reload);
  // What it runs with.
  [[nodiscard]] const AgentConfig& config() const;

 private:
  struct State;
  explicit Agent(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace margay::felix
