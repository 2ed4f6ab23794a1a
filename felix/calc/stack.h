#pragma once
// PolicyStack: what applies to an endpoint in one direction, in order. Endpoints with equal stacks
// share their chains.

#include "api/metadata.h"
#include "api/policy.h"
#include "base/strong.h"
#include "policy/model.h"

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace margay::felix {

struct TierStack {
  std::string name;
  api::Action default_action = api::Action::kDeny;  // kDeny or kPass
  std::vector<api::ResourceKey> policies;
  auto operator<=>(const TierStack&) const = default;
  bool operator==(const TierStack&) const = default;
};

// Tiers in which no policy applies are not in it.
struct PolicyStack {
  std::vector<TierStack> tiers;
  std::vector<api::ResourceKey> profiles;  // past the last tier, those that have rules
  bool profile_allows = false;             // past the last profile
  auto operator<=>(const PolicyStack&) const = default;
  bool operator==(const PolicyStack&) const = default;

  // No chain is needed: the verdict is profile_allows.
  [[nodiscard]] bool empty() const { return tiers.empty() && profiles.empty(); }
  // Everything that has a chain of rules, in order.
  [[nodiscard]] std::vector<api::ResourceKey> rule_chains() const {
    std::vector<api::ResourceKey> out;
    for (const TierStack& tier : tiers) {
      out.insert(out.end(), tier.policies.begin(), tier.policies.end());
    }
    out.insert(out.end(), profiles.begin(), profiles.end());
    return out;
  }
};

// Where a host endpoint's policies are asked.
enum class HostHook : std::uint8_t {
  kInput,         // packets to the host
  kOutput,        // packets of the host
  kForwardIn,     // packets that the host passes on, by the interface they came in
  kForwardOut,    // ... and by the one they leave
  kPreDnat,       // everything that comes in, before its destination is translated
  kUntrackedIn,   // everything that comes in, before connection tracking
  kUntrackedOut,  // packets of the host, before connection tracking
};
inline constexpr std::array kHostHooks{HostHook::kInput,
                                       HostHook::kOutput,
                                       HostHook::kForwardIn,
                                       HostHook::kForwardOut,
                                       HostHook::kPreDnat,
                                       HostHook::kUntrackedIn,
                                       HostHook::kUntrackedOut};

[[nodiscard]] constexpr api::PolicyType direction_of(HostHook hook) {
  return hook == HostHook::kOutput || hook == HostHook::kForwardOut ||
                 hook == HostHook::kUntrackedOut
             ? api::PolicyType::kEgress
             : api::PolicyType::kIngress;
}
[[nodiscard]] constexpr policy::Hook policy_hook(HostHook hook) {
  switch (hook) {
    case HostHook::kForwardIn:
    case HostHook::kForwardOut:
      return policy::Hook::kForward;
    case HostHook::kPreDnat:
      return policy::Hook::kPreDnat;
    case HostHook::kUntrackedIn:
    case HostHook::kUntrackedOut:
      return policy::Hook::kUntracked;
    default:
      return policy::Hook::kNormal;
  }
}

// What one interface of the host asks. Hooks without an entry let everything pass.
using HostStacks = std::map<HostHook, PolicyStack>;
// By interface; api::kEveryInterface for those without an entry.
using HostInterfaces = std::map<IfName, HostStacks>;

}  // namespace margay::felix
