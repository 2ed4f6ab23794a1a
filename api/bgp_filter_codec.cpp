#include "api/bgp_filter.h"
#include "api/resource_codec.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>
#include <limits>
#include <string_view>
#include <type_traits>

namespace margay::api {

template <>
struct EnumNames<FilterMatch> {
  static constexpr std::array rows{EnumName<FilterMatch>{"Equal", FilterMatch::kEqual},
                                   EnumName<FilterMatch>{"NotEqual", FilterMatch::kNotEqual},
                                   EnumName<FilterMatch>{"In", FilterMatch::kIn},
                                   EnumName<FilterMatch>{"NotIn", FilterMatch::kNotIn}};
};
template <>
struct EnumNames<FilterAction> {
  static constexpr std::array rows{EnumName<FilterAction>{"Accept", FilterAction::kAccept},
                                   EnumName<FilterAction>{"Reject", FilterAction::kReject}};
};
template <>
struct EnumNames<FilterSource> {
  static constexpr std::array rows{
      EnumName<FilterSource>{"RemotePeers", FilterSource::kRemotePeers}};
};
template <>
struct EnumNames<FilterPeerType> {
  static constexpr std::array rows{EnumName<FilterPeerType>{"eBGP", FilterPeerType::kExternal},
                                   EnumName<FilterPeerType>{"iBGP", FilterPeerType::kInternal}};
};

std::optional<BgpCommunity> BgpCommunity::parse(const std::string& text) {
  BgpCommunity out;
  std::string_view left = text;
  for (bool more = true; more;) {
    const std::size_t colon = left.find(':');
    const std::int64_t part = parse_number(left.substr(0, colon));
    if (part < 0 || part > std::numeric_limits<std::uint32_t>::max()) {
      return std::nullopt;
    }
    out.parts.push_back(static_cast<std::uint32_t>(part));
    more = colon != std::string_view::npos;
    left = more ? left.substr(colon + 1) : std::string_view();
  }
  constexpr std::size_t kStandard = 2;
  constexpr std::size_t kLarge = 3;
  const bool wide = std::ranges::any_of(out.parts, [](std::uint32_t part) {
    return part > std::numeric_limits<std::uint16_t>::max();
  });
  const bool well_formed = out.parts.size() == kLarge || (out.parts.size() == kStandard && !wide);
  return well_formed ? std::optional(out) : std::nullopt;
}

std::string BgpCommunity::str() const {
  return fmt::format("{}", fmt::join(parts, ":"));
}

namespace {

constexpr std::size_t kMostOperations = 10;
constexpr std::size_t kMostPrepended = 10;
constexpr std::int64_t kMostPriority = std::numeric_limits<std::int32_t>::max() - 1;

void read_community(ReadState& state,
                    const std::string& path,
                    const json::value& in,
                    std::optional<BgpCommunity>& out) {
  out = in.is_string() ? BgpCommunity::parse(std::string(in.get_string())) : std::nullopt;
  if (!out) {
    state.fail_at(path, shown(in) + ": expected AA:NN with 16 bits each, or AA:NN:MM with 32");
  }
}

// communities.values of exactly one.
template <typename Visitor>
void describe_communities(Visitor& visit, BgpFilterRule& rule) {
  visit.object("communities", [&rule](auto& inner) {
    inner.custom(
        "values",
        [&rule](ReadState& state, const std::string& path, const json::value& in) {
          const json::array* values = as_array(state, path, in);
          if (values != nullptr && values->size() != 1) {
            state.fail_at(path, fmt::format("{} communities: exactly one", values->size()));
          } else if (values != nullptr) {
            read_community(state, path + "[0]", values->front(), rule.community);
          }
        },
        [&rule] {
          return rule.community ? json::value(json::array{json::value(rule.community->str())})
                                : json::value(nullptr);
        });
  });
}

template <typename Visitor>
void describe_lengths(Visitor& visit, BgpFilterRule& rule) {
  visit.object("prefixLength", [&rule](auto& inner) {
    inner.field("min", rule.min_length);
    inner.field("max", rule.max_length);
  });
}

// An object of exactly one member, as a variant.
template <typename Visitor>
void describe_operation(Visitor& visit, FilterOperation& operation) {
  if constexpr (Visitor::kReads) {
    unsigned given = 0;
    visit.object("addCommunity", [&](auto& inner) {
      ++given;
      std::optional<BgpCommunity> value;
      inner.custom(
          "value",
          [&value](ReadState& state, const std::string& path, const json::value& in) {
            read_community(state, path, in, value);
          },
          [] { return json::value(nullptr); });
      if (!inner.has("value")) {
        inner.fail_missing("value");
      }
      operation = AddCommunity{value.value_or(BgpCommunity())};
    });
    visit.object("prependASPath", [&](auto& inner) {
      ++given;
      PrependAsPath prepend;
      inner.required("prefix", prepend.prefix);
      if (prepend.prefix.empty() || prepend.prefix.size() > kMostPrepended) {
        inner.fail(
            "prefix",
            fmt::format("{} AS numbers: expected 1 to {}", prepend.prefix.size(), kMostPrepended));
      }
      operation = prepend;
    });
    visit.object("setPriority", [&](auto& inner) {
      ++given;
      SetPriority priority;
      inner.required("value", priority.value);
      if (priority.value > kMostPriority) {
        inner.fail("value", fmt::format("{}: at most {}", priority.value, kMostPriority));
      }
      operation = priority;
    });
    if (given != 1) {
      visit.fail("addCommunity",
                 "expected exactly one of addCommunity, prependASPath and setPriority");
    }
  } else if (auto* add = std::get_if<AddCommunity>(&operation)) {
    visit.object("addCommunity", [add](auto& inner) { inner.required("value", add->value.str()); });
  } else if (auto* prepend = std::get_if<PrependAsPath>(&operation)) {
    visit.object("prependASPath",
                 [prepend](auto& inner) { inner.required("prefix", prepend->prefix); });
  } else {
    visit.object("setPriority", [&operation](auto& inner) {
      inner.required("value", std::get<SetPriority>(operation).value);
    });
  }
}

template <typename Visitor>
void check_lengths(Visitor& visit, const BgpFilterRule& rule, std::uint8_t longest) {
  if (!rule.min_length && !rule.max_length) {
    return;
  }
  if (!rule.cidr) {
    visit.fail("prefixLength", "requires cidr");
    return;
  }
  const std::uint8_t low = rule.min_length.value_or(rule.cidr->length());
  const std::uint8_t high = rule.max_length.value_or(longest);
  if (low > longest || high > longest || low > high) {
    visit.fail("prefixLength",
               fmt::format("{} to {}: expected 0 to {}, min not above max", low, high, longest));
  }
}

template <typename Visitor>
void check_rule(Visitor& visit, const BgpFilterRule& rule, Family family) {
  if (rule.cidr && rule.cidr->family() != family) {
    visit.fail("cidr",
               fmt::format("\"{}\": expected an IPv{} network",
                           rule.cidr->str(),
                           family == Family::kIpv4 ? 4 : 6));
  }
  if (rule.cidr.has_value() != rule.match.has_value()) {
    visit.fail_missing(rule.cidr ? "matchOperator" : "cidr",
                       rule.cidr ? "required with cidr" : "required with matchOperator");
  }
  constexpr std::uint8_t kLongest4 = 32;
  constexpr std::uint8_t kLongest6 = 128;
  check_lengths(visit, rule, family == Family::kIpv4 ? kLongest4 : kLongest6);
  if (rule.action == FilterAction::kReject && !rule.operations.empty()) {
    visit.fail("operations", "only with action Accept");
  }
  if (rule.operations.size() > kMostOperations) {
    visit.fail("operations",
               fmt::format("{}: at most {}", rule.operations.size(), kMostOperations));
  }
  if (rule.priority && *rule.priority > kMostPriority) {
    visit.fail("priority", fmt::format("{}: at most {}", *rule.priority, kMostPriority));
  }
}

template <typename Visitor>
void describe_filter_rule(Visitor& visit, BgpFilterRule& rule, Family family) {
  visit.field("cidr", rule.cidr);
  visit.field("matchOperator", rule.match);
  describe_lengths(visit, rule);
  visit.field("source", rule.source);
  visit.field("peerType", rule.peer_type);
  visit.unsupported("interface", "a route has no interface where Margay filters");
  describe_communities(visit, rule);
  visit.field("asPathPrefix", rule.as_path_prefix);
  visit.field("priority", rule.priority);
  visit.required("action", rule.action);
  visit.list("operations", rule.operations, [](auto& inner, FilterOperation& operation) {
    describe_operation(inner, operation);
  });
  check_rule(visit, rule, family);
}

}  // namespace

template <typename Visitor>
void describe(Visitor& visit, BGPFilter& filter) {
  const auto rules = [&visit](const char* name, std::vector<BgpFilterRule>& list, Family family) {
    visit.list(name, list, [family](auto& inner, BgpFilterRule& rule) {
      describe_filter_rule(inner, rule, family);
    });
  };
  rules("exportV4", filter.export_v4, Family::kIpv4);
  rules("importV4", filter.import_v4, Family::kIpv4);
  rules("exportV6", filter.export_v6, Family::kIpv6);
  rules("importV6", filter.import_v6, Family::kIpv6);
}

template void describe(Reader& visit, BGPFilter& filter);
template void describe(Writer& visit, BGPFilter& filter);

}  // namespace margay::api
