#pragma once
// Names of chains and sets: readable, stable over restarts, unique, within what nftables takes.
//
//   in/gnp/deny-all  out/np/prod/web  in/knp/prod/db     rules of one policy, one direction
//   stack-in-1b2c...                                     an ordered list of policies, shared
//   sel4-9f3a...  sel6-9f3a...                           addresses of what one selector matches
//   cidr4-9f3a... cidr6-9f3a...                          networks of network sets it matches
//   port4-... svc4-... svcip4-...                        named ports, services, their addresses
//   nets4-...  ports-...                                 lists written in rules, shared by content

#include "api/metadata.h"
#include "api/policy.h"
#include "base/ip_addr.h"
#include "policy/address_set.h"

#include <string>
#include <string_view>

namespace margay::felix {

// 16 hexadecimal digits that depend on the text alone (name-based UUID, RFC 4122 section 4.3).
[[nodiscard]] std::string digest(std::string_view text);

[[nodiscard]] std::string policy_chain_name(const api::ResourceKey& policy,
                                            api::PolicyType direction);
// The hash set of addresses (with ports where the set has them), or with `nets` the interval set.
[[nodiscard]] std::string set_name(const policy::AddressSet& set, Family family, bool nets);

}  // namespace margay::felix
