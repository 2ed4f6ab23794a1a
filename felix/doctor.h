#pragma once
// What is wrong on this node, for `margayctl doctor`: what the agent knows of store, kernel and
// BGP, said with what to do about it. Pure.

#include "felix/agent_status.h"
#include "kernel/nft/foreign.h"

#include <map>
#include <string>
#include <vector>

namespace margay::control::v1 {
class Diagnosis;
}

namespace margay::felix {

struct Symptoms {
  const AgentStatus& status;
  const bgp::SpeakerStatus& sessions;
  const BgpInputs& bgp;
  const std::map<api::ResourceKey, InvalidObject>& invalid;
  std::vector<std::string> unresolved_hosts;  // host endpoints of this node without an interface
};

// Worst first.
[[nodiscard]] control::v1::Diagnosis diagnose(const Symptoms& symptoms);
// Filters of others that may drop what Margay accepts.
void add(const std::vector<nft::ForeignFilter>& filters, control::v1::Diagnosis& out);

}  // namespace margay::felix
