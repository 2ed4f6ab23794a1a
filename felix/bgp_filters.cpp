#include "felix/bgp_filters.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <variant>

namespace margay::felix {

namespace {

constexpr std::uint32_t kHighestPreference = std::numeric_limits<std::int32_t>::max();
constexpr std::size_t kStandardParts = 2;
constexpr unsigned kHalf = 16;

std::variant<bgp::Community, bgp::LargeCommunity> community_of(const api::BgpCommunity& community) {
  const auto& parts = community.parts;
  if (parts.size() == kStandardParts) {
    return bgp::Community(parts[0] << kHalf | parts[1]);
  }
  return bgp::LargeCommunity{parts[0], parts[1], parts[2]};
}

bgp::PrefixMatch match_of(api::FilterMatch match) {
  switch (match) {
    case api::FilterMatch::kEqual:
      return bgp::PrefixMatch::kEqual;
    case api::FilterMatch::kNotEqual:
      return bgp::PrefixMatch::kNotEqual;
    case api::FilterMatch::kIn:
      return bgp::PrefixMatch::kIn;
    case api::FilterMatch::kNotIn:
      return bgp::PrefixMatch::kNotIn;
  }
  return bgp::PrefixMatch::kIn;
}

bgp::FilterOperation operation_of(const api::FilterOperation& operation) {
  if (const auto* add = std::get_if<api::AddCommunity>(&operation)) {
    return std::visit([](const auto& value) { return bgp::FilterOperation(value); },
                      community_of(add->value));
  }
  if (const auto* prepend = std::get_if<api::PrependAsPath>(&operation)) {
    return bgp::PrependAsns{prepend->prefix};
  }
  return bgp::SetLocalPref{kHighestPreference - std::get<api::SetPriority>(operation).value};
}

bgp::FilterRule rule_of(const api::BgpFilterRule& rule) {
  bgp::FilterRule out;
  if (rule.cidr && rule.match) {
    bgp::PrefixCondition condition{*rule.cidr, match_of(*rule.match)};
    condition.min_length = rule.min_length.value_or(condition.min_length);
    condition.max_length = rule.max_length.value_or(condition.max_length);
    out.prefix = condition;
  }
  out.learnt = rule.source.has_value();
  if (rule.peer_type) {
    out.external = *rule.peer_type == api::FilterPeerType::kExternal;
  }
  if (rule.community) {
    const auto community = community_of(*rule.community);
    if (const auto* standard = std::get_if<bgp::Community>(&community)) {
      out.community = *standard;
    } else {
      out.large_community = std::get<bgp::LargeCommunity>(community);
    }
  }
  out.as_path_prefix = rule.as_path_prefix;
  if (rule.priority) {
    out.local_pref = kHighestPreference - *rule.priority;
  }
  out.accept = rule.action == api::FilterAction::kAccept;
  for (const api::FilterOperation& operation : rule.operations) {
    out.operations.push_back(operation_of(operation));
  }
  return out;
}

}  // namespace

bgp::Network network(const Prefix& prefix, const std::vector<api::BgpCommunity>& communities) {
  bgp::Network out{prefix, {}, {}};
  for (const api::BgpCommunity& community : communities) {
    const auto value = community_of(community);
    if (const auto* standard = std::get_if<bgp::Community>(&value)) {
      out.communities.push_back(*standard);
    } else {
      out.large_communities.push_back(std::get<bgp::LargeCommunity>(value));
    }
  }
  std::ranges::sort(out.communities);
  std::ranges::sort(out.large_communities);
  return out;
}

bgp::PeerFilters peer_filters(const std::vector<BgpFilterInput>& filters) {
  bgp::PeerFilters out;
  const auto add = [](const std::string& list,
                      const std::vector<api::BgpFilterRule>& rules,
                      std::vector<bgp::FilterRule>& into) {
    for (std::size_t at = 0; at < rules.size(); ++at) {
      into.push_back(rule_of(rules[at]));
      into.back().name = fmt::format("{}[{}]", list, at);
    }
  };
  for (const BgpFilterInput& input : filters) {
    if (input.filter) {
      add(input.name + " importV4", input.filter->import_v4, out.import_v4);
      add(input.name + " importV6", input.filter->import_v6, out.import_v6);
      add(input.name + " exportV4", input.filter->export_v4, out.export_v4);
      add(input.name + " exportV6", input.filter->export_v6, out.export_v6);
      continue;
    }
    for (auto* rules : {&out.import_v4, &out.import_v6, &out.export_v4, &out.export_v6}) {
      rules->push_back(bgp::FilterRule{.name = input.name + ", which is missing", .accept = false});
    }
  }
  return out;
}

}  // namespace margay::felix
