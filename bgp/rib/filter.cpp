#include "bgp/rib/filter.h"

#include <algorithm>

namespace margay::bgp {

namespace {

bool holds(const PrefixCondition& condition, const Prefix& prefix) {
  const bool equal = prefix == condition.net;
  const bool in = condition.net.contains(prefix) && prefix.length() >= condition.min_length &&
                  prefix.length() <= condition.max_length;
  switch (condition.match) {
    case PrefixMatch::kEqual:
      return equal;
    case PrefixMatch::kNotEqual:
      return !equal;
    case PrefixMatch::kIn:
      return in;
    case PrefixMatch::kNotIn:
      return !in;
  }
  return false;
}

bool begins_with(const AsPath& path, const std::vector<Asn>& prefix) {
  if (prefix.empty()) {
    return true;
  }
  std::vector<std::uint32_t> leading;
  for (const AsPath::Segment& segment : path.segments()) {
    if (segment.type != AsPath::SegmentType::kSequence) {
      break;
    }
    leading.insert(leading.end(), segment.asns.begin(), segment.asns.end());
  }
  return leading.size() >= prefix.size() &&
         std::ranges::equal(prefix, std::span(leading).first(prefix.size()), {}, &Asn::value);
}

bool matches(const FilterRule& rule, const FilteredRoute& route) {
  const AttributeSet& attributes = route.attributes;
  if (rule.learnt && !route.learnt) {
    return false;
  }
  if (rule.external && *rule.external != route.external) {
    return false;
  }
  if (rule.prefix && !holds(*rule.prefix, route.prefix)) {
    return false;
  }
  if (rule.community && !attributes.has(*rule.community)) {
    return false;
  }
  if (rule.large_community &&
      std::ranges::find(attributes.large_communities, *rule.large_community) ==
          attributes.large_communities.end()) {
    return false;
  }
  if (rule.local_pref && attributes.local_pref != rule.local_pref) {
    return false;
  }
  return begins_with(attributes.as_path, rule.as_path_prefix);
}

}  // namespace

const FilterRule* deciding_rule(std::span<const FilterRule> rules, const FilteredRoute& route) {
  const auto found = std::ranges::find_if(
      rules, [&route](const FilterRule& rule) { return matches(rule, route); });
  return found == rules.end() ? nullptr : &*found;
}

void apply_operations(const FilterRule& rule, AttributeSet& attributes) {
  for (const FilterOperation& operation : rule.operations) {
    if (const auto* community = std::get_if<Community>(&operation)) {
      attributes.add(*community);
    } else if (const auto* large = std::get_if<LargeCommunity>(&operation)) {
      attributes.add(*large);
    } else if (const auto* prepend = std::get_if<PrependAsns>(&operation)) {
      for (auto asn = prepend->asns.rbegin(); asn != prepend->asns.rend(); ++asn) {
        attributes.as_path.prepend(*asn);
      }
    } else {
      attributes.local_pref = std::get<SetLocalPref>(operation).value;
    }
  }
}

}  // namespace margay::bgp
