#include "bgp/bgpd_filters.h"

#include <optional>
#include <utility>

namespace margay::bgp {

namespace {

struct Lengths {
  std::uint8_t low = 0;
  std::uint8_t high = 0;
};

// "26-32" or "24".
Result<Lengths> lengths(const std::string& text) {
  constexpr std::uint8_t kLongest = 128;
  const auto dash = text.find('-');
  const auto length = number<std::uint8_t>(0, kLongest);
  const auto low = length(text.substr(0, dash));
  const auto high = dash == std::string::npos ? low : length(text.substr(dash + 1));
  if (!low || !high || *low > *high) {
    return fail(Errc::kInvalid, "\"{}\": expected a prefix length, or two such as 26-32", text);
  }
  return Lengths{*low, *high};
}

Result<FilterOperation> community(const std::string& text) {
  if (const auto standard = parse_community(text)) {
    return FilterOperation(*standard);
  }
  if (const auto large = parse_large_community(text)) {
    return FilterOperation(*large);
  }
  return fail(Errc::kInvalid, "\"{}\": expected a community such as 65000:1 or 65000:1:2", text);
}

Result<void> read_match(const Section& match, FilterRule& rule) {
  if (auto known = match.expect({"prefix", "length", "community"}); !known) {
    return known;
  }
  std::optional<Prefix> prefix;
  std::optional<Lengths> length;
  std::optional<FilterOperation> wanted;
  const auto parse_prefix = [](const std::string& text) { return Prefix::parse(text); };
  for (const auto& done : {match.read("prefix", prefix, parse_prefix),
                           match.read("length", length, lengths),
                           match.read("community", wanted, community)}) {
    if (!done) {
      return done;
    }
  }
  if (length && !prefix) {
    return match.wrong("length", "needs a prefix");
  }
  if (prefix) {
    rule.prefix = PrefixCondition{*prefix, PrefixMatch::kEqual};
  }
  if (length) {
    const auto longest = address_bits(prefix->family());
    if (length->high > longest || length->low < prefix->length()) {
      return match.wrong("length",
                         fmt::format("\"{}\": expected lengths from the prefix's own {} to {}",
                                     match.get("length").Scalar(),
                                     prefix->length(),
                                     longest));
    }
    *rule.prefix = PrefixCondition{*prefix, PrefixMatch::kIn, length->low, length->high};
  }
  if (wanted && std::holds_alternative<Community>(*wanted)) {
    rule.community = std::get<Community>(*wanted);
  } else if (wanted) {
    rule.large_community = std::get<LargeCommunity>(*wanted);
  }
  return {};
}

Result<void> read_set(const Section& set, FilterRule& rule) {
  if (auto known = set.expect({"local_pref", "community", "prepend"}); !known) {
    return known;
  }
  std::optional<std::uint32_t> local_pref;
  std::optional<FilterOperation> added;
  for (const auto& done :
       {set.read("local_pref", local_pref, number<std::uint32_t>(0, 4294967295U)),
        set.read("community", added, community)}) {
    if (!done) {
      return done;
    }
  }
  if (local_pref) {
    rule.operations.emplace_back(SetLocalPref{*local_pref});
  }
  if (added) {
    rule.operations.push_back(*added);
  }
  const YAML::Node list = set.get("prepend");
  if (!list.IsDefined()) {
    return {};
  }
  PrependAsns prepend;
  for (const auto& entry : list) {
    const auto parsed = asn(entry.IsScalar() ? entry.Scalar() : std::string());
    if (!parsed) {
      return set.wrong("prepend", parsed.error().text);
    }
    prepend.asns.push_back(*parsed);
  }
  if (prepend.asns.empty()) {
    return set.wrong("prepend", "expected a list of AS numbers");
  }
  rule.operations.emplace_back(std::move(prepend));
  return {};
}

Result<bool> verdict(const std::string& text) {
  if (text != "accept" && text != "reject") {
    return fail(Errc::kInvalid, "\"{}\": expected accept or reject", text);
  }
  return text == "accept";
}

Result<FilterRule> read_rule(const Section& section) {
  FilterRule rule;
  if (auto known = section.expect({"match", "action", "set"}); !known) {
    return fail(known.error());
  }
  if (!section.has("action")) {
    return section.wrong("action", "missing");
  }
  for (const auto& done : {section.read("action", rule.accept, verdict),
                           read_match(section.section("match"), rule),
                           read_set(section.section("set"), rule)}) {
    if (!done) {
      return fail(done.error());
    }
  }
  if (!rule.accept && !rule.operations.empty()) {
    return section.wrong("set", "only with action: accept");
  }
  return rule;
}

}  // namespace

Result<NamedFilters> read_filters(const Section& section) {
  NamedFilters filters;
  if (!section.node().IsDefined() || section.node().IsNull()) {
    return filters;
  }
  if (!section.node().IsMap()) {
    return section.wrong("", "expected a mapping of names to lists of rules");
  }
  for (const auto& entry : section.node()) {
    if (!entry.first.IsScalar()) {
      return section.wrong("", "expected the name of a filter");
    }
    const auto name = entry.first.as<std::string>();
    if (name == "accept") {
      return section.wrong(name, "is what a peer says that wants no filter: choose another name");
    }
    if (!entry.second.IsSequence()) {
      return section.wrong(name, "expected a list of rules");
    }
    std::vector<FilterRule>& rules = filters[name];  // without a rule, too: it rejects everything
    for (std::size_t i = 0; i < entry.second.size(); ++i) {
      const Section one(
          entry.second[i], fmt::format("{}.{}[{}]", section.path(), name, i), section.file());
      auto rule = read_rule(one);
      if (!rule) {
        return fail(rule.error());
      }
      rule->name = fmt::format("{}[{}]", name, i);
      rules.push_back(std::move(*rule));
    }
  }
  return filters;
}

std::vector<FilterRule> rules_of(const std::vector<FilterRule>& filter, Family family) {
  std::vector<FilterRule> out;
  for (const FilterRule& rule : filter) {
    if (!rule.prefix || rule.prefix->net.family() == family) {
      out.push_back(rule);
    }
  }
  out.push_back(FilterRule{.accept = false});
  return out;
}

}  // namespace margay::bgp
