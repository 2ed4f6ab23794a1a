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
  bool profile_allows = false;  // past the last tier
  auto operator<=>(const PolicyStack&) const = default;
  bool operator==(const PolicyStack&) const = default;
};

}  // namespace margay::felix
