#pragma once
// Which of all agents this one is: node names are given by people, who may give one twice.

#include "base/result.h"

#include <string>

namespace margay::felix {

struct AgentIdentity {
  std::string id;    // 32 hexadecimal digits
  std::string host;  // for people
};

// The identity kept in the state directory, made at the first start. An error means that it could
// not be kept; the caller may go on with make_identity(), as a new agent each time.
[[nodiscard]] Result<AgentIdentity> kept_identity(const std::string& state_dir);
[[nodiscard]] AgentIdentity make_identity();

}  // namespace margay::felix
