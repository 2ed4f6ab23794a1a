#include "felix/render/rules.h"

#include "felix/render/merge.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

namespace margay::felix {

namespace {

using nft::Field;
using nft::Statement;
using Statements = std::vector<Statement>;

constexpr std::uint8_t kLogLevelInfo = 6;

nft::Key family_key(Family family) {
  return nft::key(family == Family::kIpv4 ? nft::kNfProtoIpv4 : nft::kNfProtoIpv6);
}

Field address_field(bool source, Family family) {
  if (family == Family::kIpv4) {
    return source ? Field::kIpSaddr : Field::kIpDaddr;
  }
  return source ? Field::kIp6Saddr : Field::kIp6Daddr;
}

std::vector<Prefix> of_family(const std::vector<Prefix>& nets, Family family) {
  std::vector<Prefix> out;
  std::ranges::copy_if(nets, std::back_inserter(out), [family](const Prefix& net) {
    return net.family() == family;
  });
  return out;
}

// Builds the statements of one rule for one family (or for both at once), collecting the sets it
// needs.
class RuleBuilder {
 public:
  RuleBuilder(const policy::Rule& rule,
              std::optional<Family> family,
              const HasNets& has_nets,
              RenderedRules& out)
      : rule_(rule), family_(family), has_nets_(has_nets), out_(out) {}

  // Alternatives, each a conjunction; none: the rule matches no packet of this family.
  std::vector<Statements> build() {
    add_protocol();
    if (!add_side(rule_.source, true) || !add_side(rule_.destination, false)) {
      return {};
    }
    add_icmp();
    return std::move(alternatives_);
  }

 private:
  // A rule that cannot be enforced exactly fails closed: one that denies may match more, any other
  // less.
  [[nodiscard]] bool denies() const { return rule_.action == api::Action::kDeny; }

  void add(const Statement& statement) {
    for (Statements& statements : alternatives_) {
      statements.push_back(statement);
    }
  }
  // Any one of the options.
  void fork(const std::vector<Statement>& options) {
    std::vector<Statements> all;
    for (const Statement& option : options) {
      for (const Statements& statements : alternatives_) {
        all.push_back(statements);
        all.back().push_back(option);
      }
    }
    alternatives_ = std::move(all);
  }

  void add_protocol() {
    // An address match implies its family; excluded networks of the other family are no match.
    const bool addresses = std::ranges::any_of(
        std::array{&rule_.source, &rule_.destination}, [this](const policy::EntityMatch* side) {
          return side->selector || side->not_selector || !side->nets.empty() || side->service ||
                 side->nodes || side->has_domains() ||
                 (family_ && !of_family(side->not_nets, *family_).empty());
        });
    if (family_ && !addresses) {
      add(nft::Match{Field::kNfProto, family_key(*family_), false});
    }
    if (rule_.protocol) {
      add(nft::Match{Field::kL4Proto, nft::key(nft::Proto(rule_.protocol->number)), false});
    }
    if (rule_.not_protocol) {
      add(nft::Match{Field::kL4Proto, nft::key(nft::Proto(rule_.not_protocol->number)), true});
    }
  }

  bool add_side(const policy::EntityMatch& side, bool source) {
    add_not_ports(side, source);
    return add_addresses(side, source) && add_ports(side, source);
  }

  bool add_addresses(const policy::EntityMatch& side, bool source) {
    if (!family_) {
      return true;  // the rule has no address match
    }
    const Field field = address_field(source, *family_);
    if (!side.nets.empty()) {
      const std::vector<Prefix> nets = of_family(side.nets, *family_);
      if (nets.empty()) {
        return false;
      }
      add_nets(nets, source, field, false);
    }
    if (const std::vector<Prefix> nets = of_family(side.not_nets, *family_); !nets.empty()) {
      add_nets(nets, source, field, true);
    }
    if (side.selector) {
      add_selector(*side.selector, field, false);
    }
    if (side.not_selector) {
      add_selector(*side.not_selector, field, true);
    }
    if (side.nodes) {
      add(set_lookup(policy::nodes_set(*side.nodes), source, false));
    }
    if (side.has_domains()) {
      add(set_lookup(policy::domains_set(side.domains), source, false));
    }
    if (side.service) {
      add(set_lookup(policy::service_set(*side.service, !source), source, false));
    }
    return true;
  }

  void add_selector(const policy::Selector& selector, Field field, bool negate) {
    const policy::AddressSet set = policy::selector_set(selector);
    const auto lookup = [&](bool nets) {
      out_.sets.insert({set, *family_, nets});
      return nft::Lookup{{field}, set_name(set, *family_, nets), negate};
    };
    if (!has_nets_(set, *family_)) {
      add(lookup(false));
    } else if (negate) {
      add(lookup(false));
      add(lookup(true));
    } else {
      fork({lookup(false), lookup(true)});
    }
  }

  // The address, and where the set has them protocol and port, of one side.
  Statement set_lookup(const policy::AddressSet& set, bool source, bool negate) {
    out_.sets.insert({set, *family_, false});
    std::vector<Field> key{address_field(source, *family_)};
    if (set.with_ports()) {
      key.push_back(Field::kL4Proto);
      key.push_back(source ? Field::kThSport : Field::kThDport);
    }
    return nft::Lookup{std::move(key), set_name(set, *family_, false), negate};
  }

  void add_nets(const std::vector<Prefix>& nets, bool source, Field field, bool negate) {
    const std::vector<Prefix> distinct = without_nested(nets);
    if (distinct.size() == 1) {
      add(nft::match_addr(source, distinct.front(), negate));
      return;
    }
    nft::Set set;
    set.spec.key = {nft::address_type(*family_)};
    set.spec.interval = true;
    std::string text;
    for (const Prefix& net : distinct) {
      set.elements.emplace(nft::element(net), std::monostate{});
      text += net.str() + ",";
    }
    const std::string name = (*family_ == Family::kIpv4 ? "nets4-" : "nets6-") + digest(text);
    out_.literal_sets.emplace(name, std::move(set));
    add(nft::Lookup{{field}, name, negate});
  }

  bool add_ports(const policy::EntityMatch& side, bool source) {
    if (!side.has_ports()) {
      return true;
    }
    std::vector<Statement> options;
    if (!side.ports.empty()) {
      options.push_back(port_match(side.ports, source, false));
    }
    if (!side.named_ports.empty()) {
      options.push_back(set_lookup(
          policy::named_port_set(side, side.named_ports, rule_.protocol), source, false));
    }
    fork(options);
    return true;
  }

  void add_not_ports(const policy::EntityMatch& side, bool source) {
    if (!side.not_ports.empty()) {
      add(port_match(side.not_ports, source, true));
    }
    if (!side.not_named_ports.empty()) {
      add(set_lookup(
          policy::named_port_set(side, side.not_named_ports, rule_.protocol), source, true));
    }
  }

  Statement port_match(const std::vector<api::PortRange>& ports, bool source, bool negate) {
    const Field field = source ? Field::kThSport : Field::kThDport;
    const auto port_key = [](std::uint16_t port) { return nft::key(nft::Port(port)); };
    if (ports.size() == 1 && ports.front().first == ports.front().last) {
      return nft::Match{field, port_key(ports.front().first), negate};
    }
    if (ports.size() == 1) {
      return nft::MatchRange{
          field, port_key(ports.front().first), port_key(ports.front().last), negate};
    }
    nft::Set set;
    set.spec.key = {nft::DataType::kInetService};
    set.spec.interval = true;
    std::string text;
    for (const api::PortRange& range : ports) {
      set.elements.emplace(nft::range(port_key(range.first), port_key(range.last)),
                           std::monostate{});
      text += fmt::format("{}-{},", range.first, range.last);
    }
    const std::string name = "ports-" + digest(text);
    out_.literal_sets.emplace(name, std::move(set));
    return nft::Lookup{{field}, name, negate};
  }

  [[nodiscard]] bool is_icmpv6() const { return rule_.protocol && *rule_.protocol == api::kIcmpv6; }
  [[nodiscard]] Statement icmp_type(std::uint8_t type, bool negate) const {
    return nft::Match{
        is_icmpv6() ? Field::kIcmpv6Type : Field::kIcmpType, nft::key(nft::IcmpType(type)), negate};
  }
  [[nodiscard]] Statement icmp_code(std::uint8_t code, bool negate) const {
    return nft::Match{
        is_icmpv6() ? Field::kIcmpv6Code : Field::kIcmpCode, nft::key(nft::IcmpCode(code)), negate};
  }

  // "Not type T with code C" is "not T" or "T with another code": two alternatives.
  void add_icmp() {
    if (rule_.icmp && rule_.icmp->type) {
      add(icmp_type(*rule_.icmp->type, false));
      if (rule_.icmp->code) {
        add(icmp_code(*rule_.icmp->code, false));
      }
    }
    if (!rule_.not_icmp || !rule_.not_icmp->type) {
      return;
    }
    std::vector<Statements> same_type;
    if (rule_.not_icmp->code) {
      same_type = alternatives_;
      for (Statements& statements : same_type) {
        statements.push_back(icmp_type(*rule_.not_icmp->type, false));
        statements.push_back(icmp_code(*rule_.not_icmp->code, true));
      }
    }
    add(icmp_type(*rule_.not_icmp->type, true));
    std::ranges::move(same_type, std::back_inserter(alternatives_));
  }

  const policy::Rule& rule_;
  std::optional<Family> family_;
  const HasNets& has_nets_;
  RenderedRules& out_;
  std::vector<Statements> alternatives_{1};
};

void add_action(const policy::Rule& rule,
                bool untracked,
                const RuleOptions& options,
                Statements& statements,
                RenderedRules& out) {
  statements.emplace_back(nft::Counter{});
  switch (rule.action) {
    case api::Action::kAllow:
      if (untracked) {
        statements.emplace_back(nft::Notrack{});
      }
      statements.emplace_back(nft::Verdict::accept());
      return;
    case api::Action::kDeny:
      statements.emplace_back(nft::Verdict::drop());
      return;
    case api::Action::kPass:
      out.can_pass = true;
      statements.emplace_back(nft::SetMark{Field::kMark, kPassMark, kPassMark});
      statements.emplace_back(nft::Verdict::ret());
      return;
    case api::Action::kLog:
      statements.emplace_back(nft::Log{options.log_prefix + ": ", std::nullopt, kLogLevelInfo});
      return;
  }
}

bool has_addresses(const policy::EntityMatch& side) {
  return side.selector || side.not_selector || !side.nets.empty() || !side.not_nets.empty() ||
         !side.named_ports.empty() || !side.not_named_ports.empty() || side.service || side.nodes ||
         side.has_domains();
}

// The families a rule must be written for; one empty entry: once, for both.
std::vector<std::optional<Family>> families_of(const policy::Rule& rule) {
  if (!has_addresses(rule.source) && !has_addresses(rule.destination)) {
    return {rule.family};
  }
  std::vector<std::optional<Family>> out;
  for (const Family family : {Family::kIpv4, Family::kIpv6}) {
    if (rule.applies_to(family)) {
      out.emplace_back(family);
    }
  }
  return out;
}

}  // namespace

nft::SetSpec set_spec(const SetRef& ref) {
  nft::SetSpec spec;
  spec.key = {nft::address_type(ref.family)};
  if (ref.set.with_ports()) {
    spec.key.push_back(nft::DataType::kInetProto);
    spec.key.push_back(nft::DataType::kInetService);
  }
  spec.interval = ref.nets;
  return spec;
}

RenderedRules render_rules(const policy::Policy& policy,
                           api::PolicyType direction,
                           const RuleOptions& options,
                           const HasNets& has_nets) {
  RenderedRules out;
  for (const MergedRule& merged : merge_rules(policy.rules(direction), options.merge_from)) {
    const policy::Rule& rule = merged.rule;
    if (!rule.unsupported.empty() && rule.action != api::Action::kDeny) {
      continue;
    }
    for (const std::optional<Family> family : families_of(rule)) {
      for (Statements& statements : RuleBuilder(rule, family, has_nets, out).build()) {
        add_action(rule, policy.do_not_track, options, statements, out);
        statements.shrink_to_fit();  // there are many, and they stay
        std::string comment = fmt::format("{} {}", policy.key.str(), rule_numbers(merged.written));
        comment.resize(std::min(comment.size(), nft::kMaxComment));
        out.rules.push_back(nft::Rule{std::move(statements), std::move(comment)});
      }
    }
  }
  return out;
}

}  // namespace margay::felix
