#include "kernel/model/nft.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

namespace margay::nft {
namespace {

constexpr std::size_t kIfNameBytes = 16;  // IFNAMSIZ

// Appends the bytes, then zeros up to the next register.
void append_padded(std::string& out, std::string_view bytes) {
  out.append(bytes);
  out.resize((out.size() + kRegisterBytes - 1) / kRegisterBytes * kRegisterBytes, '\0');
}

void append_byte(std::string& out, std::uint8_t value) {
  append_padded(out, std::string_view(std::string(1, static_cast<char>(value))));
}

}  // namespace

Key& Key::append(const IpAddr& addr) {
  for (const std::uint8_t byte : addr.bytes()) {
    bytes_.push_back(static_cast<char>(byte));
  }
  return *this;
}

Key& Key::append(Proto proto) {
  append_byte(bytes_, proto.value());
  return *this;
}

Key& Key::append(Port port) {
  const std::array<char, 2> bytes{static_cast<char>(port.value() >> 8U),
                                  static_cast<char>(port.value() & 0xffU)};
  append_padded(bytes_, {bytes.data(), bytes.size()});
  return *this;
}

Key& Key::append(IcmpType type) {
  append_byte(bytes_, type.value());
  return *this;
}

Key& Key::append(IcmpCode code) {
  append_byte(bytes_, code.value());
  return *this;
}

Key& Key::append(Mark mark) {
  // Marks and ct states are registers in host byte order.
  const auto bytes = std::bit_cast<std::array<char, kRegisterBytes>>(mark.value());
  bytes_.append(bytes.data(), bytes.size());
  return *this;
}

Key& Key::append(const IfName& name) {
  bytes_.append(name.str());
  bytes_.append(kIfNameBytes - name.str().size(), '\0');
  return *this;
}

Key& Key::append_name_prefix(std::string_view prefix) {
  bytes_.append(prefix);
  return *this;
}

Key& Key::append_raw(std::string_view padded_bytes) {
  bytes_.append(padded_bytes);
  return *this;
}

ElementKey single(Key key) {
  return {std::move(key), {}};
}

ElementKey range(Key from, Key to) {
  if (from == to) {
    return single(std::move(from));
  }
  return {std::move(from), std::move(to)};
}

ElementKey element(const Prefix& prefix) {
  return range(key(prefix.addr()), key(prefix.last()));
}

Statement match_addr(bool source, const Prefix& prefix, bool negate) {
  const bool v4 = prefix.family() == Family::kIpv4;
  if (prefix.length() == 0) {
    return Match{Field::kNfProto, key(v4 ? kNfProtoIpv4 : kNfProtoIpv6), negate};
  }
  const Field field = v4 ? (source ? Field::kIpSaddr : Field::kIpDaddr)
                         : (source ? Field::kIp6Saddr : Field::kIp6Daddr);
  if (prefix.is_host()) {
    return Match{field, key(prefix.addr()), negate};
  }
  std::string mask(address_bytes(prefix.family()), '\0');
  for (unsigned bit = 0; bit < prefix.length(); ++bit) {
    mask[bit / 8] =
        static_cast<char>(static_cast<unsigned char>(mask[bit / 8]) | (0x80U >> (bit % 8)));
  }
  return MatchMask{field, Key{}.append_raw(mask), key(prefix.addr()), negate};
}

Statement match_ct_state(Mark states, bool negate) {
  // (state & bits) != 0 is "any of them".
  return MatchMask{Field::kCtState, key(states), key(Mark{0}), !negate};
}

namespace {

// What a statement implies about the packet: its family and protocol, 0 when nothing.
struct Implied {
  std::uint8_t family = 0;
  std::uint8_t protocol = 0;
};

void add_implied(Field field, Implied& implied) {
  switch (field) {
    case Field::kIpSaddr:
    case Field::kIpDaddr:
      implied.family = kNfProtoIpv4.value();
      return;
    case Field::kIp6Saddr:
    case Field::kIp6Daddr:
      implied.family = kNfProtoIpv6.value();
      return;
    case Field::kIcmpType:
    case Field::kIcmpCode:
      implied = {kNfProtoIpv4.value(), kIcmp.value()};
      return;
    case Field::kIcmpv6Type:
    case Field::kIcmpv6Code:
      implied = {kNfProtoIpv6.value(), kIcmpv6.value()};
      return;
    case Field::kThSport:
    case Field::kThDport:
    case Field::kNfProto:
    case Field::kL4Proto:
    case Field::kIifName:
    case Field::kOifName:
    case Field::kMark:
    case Field::kCtState:
    case Field::kCtStatus:
    case Field::kCtDirection:
    case Field::kCtMark:
    case Field::kFibSaddrIif:
    case Field::kFibDaddrType:
    case Field::kFibSaddrType:
      return;
  }
}

Implied implied_by(const Statement& statement) {
  Implied implied;
  for (const Field field : fields_of(statement)) {
    add_implied(field, implied);
  }
  return implied;
}

bool is_implied(const Statement& statement, const Implied& next) {
  const auto* match = std::get_if<Match>(&statement);
  if (match == nullptr || match->negate || match->value.empty()) {
    return false;
  }
  const auto value = static_cast<std::uint8_t>(match->value.bytes().front());
  return (match->field == Field::kNfProto && next.family == value && value != 0) ||
         (match->field == Field::kL4Proto && next.protocol == value && value != 0);
}

bool is_canonical(const Rule& rule) {
  for (std::size_t i = 0; i < rule.statements.size(); ++i) {
    const Statement& statement = rule.statements[i];
    if (i + 1 < rule.statements.size() &&
        is_implied(statement, implied_by(rule.statements[i + 1]))) {
      return false;
    }
    const auto* set = std::get_if<SetMark>(&statement);
    if (set != nullptr && (set->value.value() & ~set->mask.value()) != 0) {
      return false;
    }
  }
  return rule.comment.size() <= kMaxComment;
}

}  // namespace

const std::string* set_of(const Statement& statement) {
  if (const auto* lookup = std::get_if<Lookup>(&statement)) {
    return &lookup->set;
  }
  if (const auto* verdicts = std::get_if<VerdictLookup>(&statement)) {
    return &verdicts->map;
  }
  if (const auto* marks = std::get_if<SetMarkFromMap>(&statement)) {
    return &marks->map;
  }
  const auto* nat = std::get_if<DestinationNatFromMap>(&statement);
  return nat != nullptr ? &nat->map : nullptr;
}

std::span<const Field> fields_of(const Statement& statement) {
  if (const auto* match = std::get_if<Match>(&statement)) {
    return {&match->field, 1};
  }
  if (const auto* match = std::get_if<MatchRange>(&statement)) {
    return {&match->field, 1};
  }
  if (const auto* match = std::get_if<MatchMask>(&statement)) {
    return {&match->field, 1};
  }
  if (const auto* lookup = std::get_if<Lookup>(&statement)) {
    return lookup->key;
  }
  if (const auto* lookup = std::get_if<VerdictLookup>(&statement)) {
    return lookup->key;
  }
  if (const auto* set = std::get_if<SetMarkFromMap>(&statement)) {
    return set->key;
  }
  if (const auto* nat = std::get_if<DestinationNatFromMap>(&statement)) {
    return nat->key;
  }
  return {};
}

Rules::Rules(std::vector<Rule> rules)
    : rules_(rules.empty() ? nullptr : std::make_shared<std::vector<Rule>>(std::move(rules))) {}

const std::vector<Rule>& Rules::list() const {
  static const std::vector<Rule> none;
  return rules_ ? *rules_ : none;
}

std::vector<Rule>& Rules::edit() {
  if (!rules_ || rules_.use_count() != 1) {
    rules_ = std::make_shared<std::vector<Rule>>(list());
  }
  return *rules_;
}

Rule canonical(Rule rule) {
  std::vector<Statement> kept;  // last statement first
  for (std::size_t i = rule.statements.size(); i-- > 0;) {
    Statement& statement = rule.statements[i];
    if (!kept.empty() && is_implied(statement, implied_by(kept.back()))) {
      continue;
    }
    if (auto* set = std::get_if<SetMark>(&statement)) {
      set->value = Mark(set->value.value() & set->mask.value());
    }
    kept.push_back(std::move(statement));
  }
  std::ranges::reverse(kept);
  rule.statements = std::move(kept);
  rule.comment.resize(std::min(rule.comment.size(), kMaxComment));
  return rule;
}

Rules canonical(Rules rules) {
  if (!std::ranges::all_of(rules, is_canonical)) {
    for (Rule& rule : rules.edit()) {
      rule = canonical(std::move(rule));
    }
  }
  return rules;
}

Table canonical(Table table) {
  for (auto& entry : table.chains) {
    entry.second.rules = canonical(std::move(entry.second.rules));
  }
  return table;
}

bool Delta::empty() const {
  return upsert_sets.empty() && elements.empty() && upsert_chains.empty() && add_counters.empty() &&
         remove_sets.empty() && remove_chains.empty() && remove_counters.empty();
}

namespace {

ElementDelta diff_elements(const Elements& from, const Elements& to) {
  ElementDelta delta;
  for (const auto& [element_key, value] : to) {
    const auto found = from.find(element_key);
    if (found == from.end() || found->second != value) {
      delta.add.emplace(element_key, value);
    }
  }
  for (const auto& [element_key, value] : from) {
    if (!to.contains(element_key)) {
      delta.remove.insert(element_key);
    }
  }
  return delta;
}

template <typename Map, typename Removed>
void collect_removed(const Map& from, const Map& to, Removed& removed) {
  for (const auto& entry : from) {
    if (!to.contains(entry.first)) {
      removed.insert(entry.first);
    }
  }
}

}  // namespace

Delta diff(const Table& from, const Table& to) {
  Delta delta;
  for (const auto& [name, set] : to.sets) {
    const auto found = from.sets.find(name);
    if (found == from.sets.end() || found->second.spec != set.spec) {
      delta.upsert_sets.emplace(name, set);
      continue;
    }
    ElementDelta elements = diff_elements(found->second.elements, set.elements);
    if (!elements.add.empty() || !elements.remove.empty()) {
      delta.elements.emplace(name, std::move(elements));
    }
  }
  for (const auto& [name, chain] : to.chains) {
    const auto found = from.chains.find(name);
    if (found == from.chains.end() || found->second != chain) {
      delta.upsert_chains.emplace(name, chain);
    }
  }
  std::ranges::set_difference(
      to.counters, from.counters, std::inserter(delta.add_counters, delta.add_counters.end()));
  std::ranges::set_difference(from.counters,
                              to.counters,
                              std::inserter(delta.remove_counters, delta.remove_counters.end()));
  collect_removed(from.sets, to.sets, delta.remove_sets);
  collect_removed(from.chains, to.chains, delta.remove_chains);
  return delta;
}

namespace {

template <typename Map>
void upsert(Map from, Map& into) {
  if (into.empty()) {
    into = std::move(from);  // the whole table, as at a start
    return;
  }
  for (auto& [name, value] : from) {
    into.insert_or_assign(name, std::move(value));
  }
}

}  // namespace

void apply(Delta delta, Table& table) {
  for (const std::string& name : delta.remove_chains) {
    table.chains.erase(name);
  }
  for (const std::string& name : delta.remove_sets) {
    table.sets.erase(name);
  }
  for (const std::string& name : delta.remove_counters) {
    table.counters.erase(name);
  }
  table.counters.merge(delta.add_counters);
  upsert(std::move(delta.upsert_sets), table.sets);
  for (auto& [name, elements] : delta.elements) {
    Elements& into = table.sets[name].elements;
    for (const ElementKey& element_key : elements.remove) {
      into.erase(element_key);
    }
    for (auto& [element_key, value] : elements.add) {
      into.insert_or_assign(element_key, std::move(value));
    }
  }
  upsert(std::move(delta.upsert_chains), table.chains);
}

}  // namespace margay::nft
