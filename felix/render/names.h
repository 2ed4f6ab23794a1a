#pragma once
// Names of chains and sets: readable, stable over restarts, unique, within what nftables takes.
//
//   in/gnp/deny-all  out/np/prod/web  in/knp/prod/db     rules of one policy, one direction
//   stack-in-1b2c...                                     an ordered list of policies, shared by its
//   endpoints sel4-9f3a...  sel6-9f3a...                           addresses of what one selector
//   matches nets4-...  ports-...                                 lists written in rules, shared by
//   their content

#include "api/metadata.h"
#include "api/policy.h"
#include "base/ip_addr.h"

#include <string>
#include <string_view>

namespace margay::felix {

// 16 hexadecimal digits that depend on the text alone (name-based UUID, RFC 4122 section 4.3).
[[nodiscard]] std::string digest(std::string_view text);

[[nodiscard]] std::string policy_chain_name(const api::ResourceKey& policy,
                                            api::PolicyType direction);
[[nodiscard]] std::string selector_set_name(std::string_view canonical_selector, Family family);

}  // namespace margay::felix
