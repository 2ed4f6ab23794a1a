#pragma once
// Filters of a session: which routes are taken and told, and how they are changed on the way. Rules
// are asked in order, the first that matches decides; a route that none matches is treated as if
// there were no filter. Pure.

#include "bgp/wire/attributes.h"

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

namespace margay::bgp {

enum class PrefixMatch : std::uint8_t { kEqual, kNotEqual, kIn, kNotIn };

// The prefixes that lie in `net` and are that long; kEqual and kNotEqual look at `net` alone.
struct PrefixCondition {
  Prefix net;
  PrefixMatch match = PrefixMatch::kIn;
  std::uint8_t min_length = 0;
  std::uint8_t max_length = 128;
  bool operator==(const PrefixCondition&) const = default;
};

struct PrependAsns {
  std::vector<Asn> asns;  // the first one leftmost
  bool operator==(const PrependAsns&) const = default;
};
struct SetLocalPref {
  std::uint32_t value = 0;
  bool operator==(const SetLocalPref&) const = default;
};
using FilterOperation = std::variant<Community, LargeCommunity, PrependAsns, SetLocalPref>;

// Conditions that are absent hold for every route.
struct FilterRule {
  std::string name;  // "fabric exportV4[0]", for people
  std::optional<PrefixCondition> prefix;
  bool learnt = false;           // only routes that came from a peer
  std::optional<bool> external;  // only on eBGP sessions, or only on iBGP sessions
  std::optional<Community> community;
  std::optional<LargeCommunity> large_community;
  std::vector<Asn> as_path_prefix;
  std::optional<std::uint32_t> local_pref;
  bool accept = true;
  std::vector<FilterOperation> operations;
  bool operator==(const FilterRule&) const = default;
};

struct PeerFilters {
  std::vector<FilterRule> import_v4;
  std::vector<FilterRule> import_v6;
  std::vector<FilterRule> export_v4;
  std::vector<FilterRule> export_v6;

  [[nodiscard]] const std::vector<FilterRule>& importing(Family family) const {
    return family == Family::kIpv4 ? import_v4 : import_v6;
  }
  [[nodiscard]] const std::vector<FilterRule>& exporting(Family family) const {
    return family == Family::kIpv4 ? export_v4 : export_v6;
  }
  bool operator==(const PeerFilters&) const = default;
};

// A route as rules look at it.
struct FilteredRoute {
  const Prefix& prefix;
  const AttributeSet& attributes;
  bool learnt = true;     // from a peer
  bool external = false;  // the session is eBGP
};

// The rule that decides; null when none matches.
[[nodiscard]] const FilterRule* deciding_rule(std::span<const FilterRule> rules,
                                              const FilteredRoute& route);
void apply_operations(const FilterRule& rule, AttributeSet& attributes);

}  // namespace margay::bgp
