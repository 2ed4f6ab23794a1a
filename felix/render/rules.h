#pragma once
// Rules of a policy as nftables rules. Pure: what sets a rule needs is returned beside it.
//
// Allow ends the side it is evaluated for: egress of the source and ingress of the destination are
// base chains of their own at one hook, so `accept` in the first still leaves the second to decide.
// Deny drops. Pass sets one bit of the packet mark and returns; the stack looks at it behind
// policies that can pass. Log logs and goes on.
//
// One rule of the model becomes at most a few nftables rules: one per address family where
// addresses matter, two where a negated ICMP type and code need it.

#include "felix/render/names.h"
#include "kernel/model/nft.h"
#include "policy/model.h"

#include <map>
#include <set>
#include <string>
#include <vector>

namespace margay::felix {

// The bit that says "this tier passed". Cleared before anything else sees the packet.
inline constexpr Mark kPassMark{0x01000000U};

struct RenderedRules {
  std::vector<nft::Rule> rules;
  std::set<std::string> selectors;               // canonical; their address sets are looked up
  std::map<std::string, nft::Set> literal_sets;  // lists of networks and ports, by name
  bool can_pass = false;                         // some rule sets kPassMark
};

struct RuleOptions {
  std::string log_prefix = "margay-packet";
  bool operator==(const RuleOptions&) const = default;
};

[[nodiscard]] RenderedRules render_rules(const policy::Policy& policy,
                                         api::PolicyType direction,
                                         const RuleOptions& options);

}  // namespace margay::felix
