#include "bgp/bird/filter_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <string_view>
#include <vector>

namespace margay::bgp::bird {

namespace {

constexpr const char* kIndent = "      ";

std::string pair_of(Community community) {
  constexpr unsigned kHalf = 16;
  constexpr std::uint32_t kLow = 0xFFFF;
  return fmt::format("({}, {})", community.value() >> kHalf, community.value() & kLow);
}

std::string triple_of(const LargeCommunity& community) {
  return fmt::format("({}, {}, {})", community.global, community.local_1, community.local_2);
}

// The terms that must hold together; none: it always matches. Absent: it never does.
using Terms = std::optional<std::vector<std::string>>;

// "net ~ [ 10.244.0.0/16{26,32} ]"; empty: no prefix of the family lies there.
std::string in_network(const PrefixCondition& condition) {
  const unsigned shortest = std::max<unsigned>(condition.net.length(), condition.min_length);
  const unsigned longest =
      std::min<unsigned>(address_bits(condition.net.family()), condition.max_length);
  return shortest > longest
             ? std::string()
             : fmt::format("net ~ [ {}{{{},{}}} ]", condition.net.str(), shortest, longest);
}

// False when the condition can never hold.
bool add_prefix(const PrefixCondition& condition, Family family, std::vector<std::string>& terms) {
  const bool negated =
      condition.match == PrefixMatch::kNotEqual || condition.match == PrefixMatch::kNotIn;
  if (condition.net.family() != family) {
    return negated;
  }
  if (condition.match == PrefixMatch::kEqual || condition.match == PrefixMatch::kNotEqual) {
    terms.push_back(fmt::format("net {} {}", negated ? "!=" : "=", condition.net.str()));
    return true;
  }
  const std::string inside = in_network(condition);
  if (inside.empty()) {
    return negated;
  }
  terms.push_back(negated ? "!(" + inside + ")" : inside);
  return true;
}

Terms terms_of(const FilterRule& rule, Family family, bool external) {
  std::vector<std::string> terms;
  if (rule.external && *rule.external != external) {
    return std::nullopt;
  }
  if (rule.prefix && !add_prefix(*rule.prefix, family, terms)) {
    return std::nullopt;
  }
  if (rule.learnt) {
    terms.emplace_back("source = RTS_BGP");
  }
  if (rule.community) {
    terms.push_back(pair_of(*rule.community) + " ~ bgp_community");
  }
  if (rule.large_community) {
    terms.push_back(triple_of(*rule.large_community) + " ~ bgp_large_community");
  }
  if (!rule.as_path_prefix.empty()) {
    std::string path;
    for (const Asn asn : rule.as_path_prefix) {
      path += fmt::format("{} ", asn.value());
    }
    terms.push_back("bgp_path ~ [= " + path + "* =]");
  }
  if (rule.local_pref) {
    terms.push_back(
        fmt::format("defined(bgp_local_pref) && bgp_local_pref = {}", *rule.local_pref));
  }
  return terms;
}

std::string operations_of(const FilterRule& rule) {
  std::string out;
  for (const FilterOperation& operation : rule.operations) {
    if (const auto* community = std::get_if<Community>(&operation)) {
      out += fmt::format("bgp_community.add({}); ", pair_of(*community));
    } else if (const auto* large = std::get_if<LargeCommunity>(&operation)) {
      out += fmt::format("bgp_large_community.add({}); ", triple_of(*large));
    } else if (const auto* prepend = std::get_if<PrependAsns>(&operation)) {
      for (auto asn = prepend->asns.rbegin(); asn != prepend->asns.rend(); ++asn) {
        out += fmt::format("bgp_path.prepend({}); ", asn->value());
      }
    } else {
      out += fmt::format("bgp_local_pref = {}; ", std::get<SetLocalPref>(operation).value);
    }
  }
  return out;
}

// Adds the rules; false when one of them decides about every route.
bool add_rules(const std::vector<FilterRule>& rules,
               Family family,
               bool external,
               std::string& out) {
  for (const FilterRule& rule : rules) {
    const Terms terms = terms_of(rule, family, external);
    if (!terms) {
      continue;
    }
    const std::string verdict = rule.accept ? operations_of(rule) + "accept;" : "reject;";
    if (terms->empty()) {
      out += fmt::format("{}{}\n", kIndent, verdict);
      return false;
    }
    out += fmt::format("{}if {} then {{ {} }}\n", kIndent, fmt::join(*terms, " && "), verdict);
  }
  return true;
}

}  // namespace

std::string import_filter(const PeerConfig& peer, Family family) {
  std::string out;
  if (is_external(peer)) {  // RFC 8326 section 4.2: others first
    out += fmt::format(
        "{}if {} ~ bgp_community then bgp_local_pref = 0;\n", kIndent, pair_of(kGracefulShutdown));
  }
  if (add_rules(peer.filters.importing(family), family, is_external(peer), out)) {
    out += fmt::format("{}accept;\n", kIndent);
  }
  return out;
}

std::string export_filter(const PeerConfig& peer, Family family) {
  std::string out;
  // Of the other family than the session's there is no address of ours to give as next hop.
  if (peer.address.family() != family) {
    const bool always_ours = peer.next_hop == NextHopRule::kSelf ||
                             (peer.next_hop == NextHopRule::kAuto && is_external(peer));
    if (always_ours) {
      return fmt::format("{}reject;\n", kIndent);
    }
    out += fmt::format("{}if source = RTS_STATIC then reject;\n", kIndent);
  }
  if (!add_rules(peer.filters.exporting(family), family, is_external(peer), out)) {
    return out;
  }
  if (!peer.export_learned) {
    out += fmt::format("{}if source != RTS_STATIC then reject;\n", kIndent);
  }
  return out + fmt::format("{}accept;\n", kIndent);
}

}  // namespace margay::bgp::bird
