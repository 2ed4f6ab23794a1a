#pragma once
// Rules of a policy as nftables rules. Pure: what sets a rule needs is returned beside it.
//
// Allow ends the side it is evaluated for: egress of the source and ingress of the destination are
// base chains of their own at one hook, so `accept` in the first still leaves the second to decide.
// Deny drops. Pass sets one bit of the packet mark and returns; the stack looks at it behind
// policies that can pass. Log logs and goes on.
//
// Many rules that differ in one value are merged first (felix/render/merge.h). One rule of the
// model then becomes one nftables rule per address family where addresses matter, and more where
// alternatives cannot stand in one: addresses or networks of a selector, numbers or names of ports,
// a negated ICMP type and code.

#include "felix/render/names.h"
#include "kernel/model/nft.h"
#include "policy/address_set.h"
#include "policy/model.h"

#include <compare>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace margay::felix {

// The bit that says "this tier passed". Cleared before anything else sees the packet.
inline constexpr Mark kPassMark{0x01000000U};

// A kernel set that a rule looks into.
struct SetRef {
  policy::AddressSet set;
  Family family = Family::kIpv4;
  bool nets = false;  // the interval set beside the hash set
  auto operator<=>(const SetRef&) const = default;
  bool operator==(const SetRef&) const = default;
};
// The set's specification: type of its keys, and intervals for networks.
[[nodiscard]] nft::SetSpec set_spec(const SetRef& ref);

// What the rest of the table has to have, or to know, for a policy's rules.
struct RuleNeeds {
  std::set<SetRef> sets;
  std::map<std::string, nft::Set> literal_sets;  // lists of networks and ports, by name
  bool can_pass = false;                         // some rule sets kPassMark
};
struct RenderedRules : RuleNeeds {
  std::vector<nft::Rule> rules;
};

struct RuleOptions {
  std::string log_prefix = "margay-packet";
  std::size_t merge_from = 8;  // so many rules of one kind share a counter and a set
  bool operator==(const RuleOptions&) const = default;
};

// Whether a set holds networks that are not host addresses; then rules ask both kernel sets.
using HasNets = std::function<bool(const policy::AddressSet& set, Family family)>;

[[nodiscard]] RenderedRules render_rules(const policy::Policy& policy,
                                         api::PolicyType direction,
                                         const RuleOptions& options,
                                         const HasNets& has_nets);

}  // namespace margay::felix
