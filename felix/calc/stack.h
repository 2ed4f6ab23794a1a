#pragma once
// PolicyStack: what applies to an endpoint in one direction, in order. Endpoints with equal stacks
// share their chains.

#include "api/metadata.h"
#include "api/policy.h"

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

}  // namespace margay::felix
