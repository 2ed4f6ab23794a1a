#pragma once
// NodeClaim: one agent for each node name. Two would advertise the same blocks from two places.
//
// The NodeStatus of the name says which agent has it. An agent that finds another's identity there
// writes its own and waits for kSettle: an agent that still runs takes the name back at once, and
// the newcomer ends. Otherwise (the machine was set up anew) the name is its own. One that has the
// name already goes on forwarding whoever else comes, takes the name back, and says so until nobody
// came for kQuiet. Single-threaded; writes run on the worker.

#include "base/timer_set.h"
#include "datastore/store.h"
#include "felix/agent_identity.h"

#include <chrono>
#include <functional>
#include <string>

namespace margay::felix {

class NodeClaim {
 public:
  static constexpr std::chrono::milliseconds kSettle{3000};
  static constexpr std::chrono::milliseconds kRepeat{1000};  // between two times of taking back
  static constexpr std::chrono::milliseconds kQuiet{30000};
  static constexpr std::chrono::milliseconds kRetry{1000};

  struct Environment {
    datastore::Store& store;
    NodeName node;
    AgentIdentity agent;
    std::function<void(std::function<void()>)> on_worker;
    std::function<void(std::function<void()>)> on_loop;
    std::function<void(std::chrono::milliseconds, std::function<void()>)> after;
    std::function<void()> held;                    // once
    std::function<void(const std::string&)> lost;  // another agent has the name: why to end
    std::function<void(const std::string&)> log;
  };
  explicit NodeClaim(Environment environment) : environment_(std::move(environment)) {}

  // The NodeStatus of this node's name was put.
  void on_status(const api::NodeStatus& status, datastore::Revision revision);
  // The store has been read: whatever it holds has been told.
  void on_in_sync();

  [[nodiscard]] bool is_held() const { return state_ == State::kHeld; }
  // Who else uses the name; empty when nobody does.
  [[nodiscard]] const std::string& conflict() const { return conflict_; }

 private:
  enum class State : std::uint8_t { kUnknown, kClaiming, kHeld, kLost };
  void claim();
  void hold();
  void on_other(const api::NodeStatus& other);
  void defend();
  void write(std::function<void(const Result<datastore::Revision>&)> done);

  Environment environment_;
  State state_ = State::kUnknown;
  std::string other_host_;       // of the agent that had the name before
  bool found_other_ = false;     // before the store was in sync
  datastore::Revision claimed_;  // of our own writing while claiming
  std::string conflict_;
  unsigned sightings_ = 0;  // of others; timers of earlier ones are void
  bool defending_ = false;  // a writing or the pause after it
  bool seen_again_ = false;
};

// Blocking. Changes the node's status, made if it is missing, and signs it; the new revision.
Result<datastore::Revision> write_node_status(datastore::Store& store,
                                              const NodeName& node,
                                              const AgentIdentity& agent,
                                              const std::function<void(api::NodeStatus&)>& change);

}  // namespace margay::felix
