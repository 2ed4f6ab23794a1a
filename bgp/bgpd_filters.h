#pragma once
// The filters of margay-bgpd's file, by name:
//
//   filters:
//     only_pods:
//       - {match: {prefix: 10.244.0.0/16, length: "26-32"}, action: accept}
//       - {match: {community: "65000:66"}, action: accept, set: {local_pref: 50, prepend: [65001]}}
//       - {action: reject}
//
// Rules are asked in order; what none matches is rejected (RFC 8212).

#include "bgp/config_section.h"
#include "bgp/rib/filter.h"

#include <map>
#include <string>
#include <vector>

namespace margay::bgp {

using NamedFilters = std::map<std::string, std::vector<FilterRule>>;

[[nodiscard]] Result<NamedFilters> read_filters(const Section& section);
// Those that can match routes of the family, and the last one that rejects everything.
[[nodiscard]] std::vector<FilterRule> rules_of(const std::vector<FilterRule>& filter,
                                               Family family);

}  // namespace margay::bgp
