#include "felix/render/table_walk.h"

#include "base/assert.h"

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

namespace margay::felix {

namespace {

using nft::Field;
using nft::Key;
using nft::VerdictKind;

bool has_ports(nft::Proto protocol) {
  return protocol == nft::kTcp || protocol == nft::kUdp || protocol == nft::kSctp;
}

// The bytes of a field; nothing when the packet has no such field, and then no match holds, not
// even a negated one.
std::optional<Key> field(const WalkPacket& packet, Field name) {
  const bool v4 = packet.source.is_v4();
  const auto only_if = [](bool there, Key key) {
    return there ? std::optional(std::move(key)) : std::nullopt;
  };
  switch (name) {
    case Field::kIpSaddr:
      return only_if(v4, nft::key(packet.source));
    case Field::kIpDaddr:
      return only_if(v4, nft::key(packet.destination));
    case Field::kIp6Saddr:
      return only_if(!v4, nft::key(packet.source));
    case Field::kIp6Daddr:
      return only_if(!v4, nft::key(packet.destination));
    case Field::kThSport:
      return only_if(has_ports(packet.protocol), nft::key(nft::Port(packet.source_port)));
    case Field::kThDport:
      return only_if(has_ports(packet.protocol), nft::key(nft::Port(packet.destination_port)));
    case Field::kIcmpType:
      return only_if(packet.protocol == nft::kIcmp, nft::key(nft::IcmpType(packet.icmp_type)));
    case Field::kIcmpCode:
      return only_if(packet.protocol == nft::kIcmp, nft::key(nft::IcmpCode(packet.icmp_code)));
    case Field::kIcmpv6Type:
      return only_if(packet.protocol == nft::kIcmpv6, nft::key(nft::IcmpType(packet.icmp_type)));
    case Field::kIcmpv6Code:
      return only_if(packet.protocol == nft::kIcmpv6, nft::key(nft::IcmpCode(packet.icmp_code)));
    case Field::kNfProto:
      return nft::key(v4 ? nft::kNfProtoIpv4 : nft::kNfProtoIpv6);
    case Field::kL4Proto:
      return nft::key(packet.protocol);
    case Field::kIifName:
      return nft::key(packet.input);
    case Field::kOifName:
      return nft::key(packet.output);
    case Field::kMark:
      return nft::key(packet.mark);
    case Field::kCtMark:
      return nft::key(packet.ct_mark);
    case Field::kCtState:
      return nft::key(packet.ct_state);
    default:
      MARGAY_ASSERT(!"a field that policy does not use");
      return std::nullopt;
  }
}

std::optional<Key> fields(const WalkPacket& packet, const std::vector<Field>& names) {
  Key key;
  for (const Field name : names) {
    const auto part = field(packet, name);
    if (!part) {
      return std::nullopt;
    }
    key.append_raw(part->bytes());
  }
  return key;
}

// Intervals of a set do not overlap, so the last one that begins at or before the key is the one.
const nft::ElementData* find(const nft::Table& table, const std::string& set, const Key& key) {
  const auto known = table.sets.find(set);
  MARGAY_ASSERT(known != table.sets.end());  // the kernel would have refused the rule
  const auto& elements = known->second.elements;
  auto element = elements.lower_bound(nft::ElementKey{key, {}});
  if (element != elements.end() && element->first.from == key) {
    return &element->second;
  }
  if (element == elements.begin()) {
    return nullptr;
  }
  --element;
  return !element->first.to.empty() && key <= element->first.to ? &element->second : nullptr;
}

class Walk {
 public:
  Walk(const nft::Table& table, WalkPacket& packet) : table_(table), packet_(packet) {}

  // kAccept, kDrop, or kReturn at the end of the chain.
  // NOLINTNEXTLINE(misc-no-recursion): the kernel bounds jumps, too
  VerdictKind chain(const std::string& name) {
    const auto known = table_.chains.find(name);
    MARGAY_ASSERT(known != table_.chains.end());
    for (const nft::Rule& rule : known->second.rules) {
      const nft::Verdict verdict = run(rule);
      switch (verdict.kind) {
        case VerdictKind::kContinue:
          break;
        case VerdictKind::kJump:
          if (const VerdictKind inner = chain(verdict.chain); inner != VerdictKind::kReturn) {
            return inner;
          }
          break;
        case VerdictKind::kGoto:
          return chain(verdict.chain);
        default:
          return verdict.kind;
      }
    }
    return VerdictKind::kReturn;
  }

 private:
  nft::Verdict run(const nft::Rule& rule) {
    for (const nft::Statement& statement : rule.statements) {
      if (const auto* verdict = std::get_if<nft::Verdict>(&statement)) {
        return *verdict;
      }
      if (const auto* lookup = std::get_if<nft::VerdictLookup>(&statement)) {
        const auto key = fields(packet_, lookup->key);
        const nft::ElementData* data = key ? find(table_, lookup->map, *key) : nullptr;
        if (data != nullptr) {
          return std::get<nft::Verdict>(*data);
        }
        break;
      }
      if (!step(statement)) {
        break;
      }
    }
    return {VerdictKind::kContinue, {}};
  }

  // False: the rule does not match.
  bool step(const nft::Statement& statement) {
    if (const auto* match = std::get_if<nft::Match>(&statement)) {
      const auto value = field(packet_, match->field);
      return value && begins(*value, match->value, match->field) != match->negate;
    }
    if (const auto* range = std::get_if<nft::MatchRange>(&statement)) {
      const auto value = field(packet_, range->field);
      return value && (range->from <= *value && *value <= range->to) != range->negate;
    }
    if (const auto* masked = std::get_if<nft::MatchMask>(&statement)) {
      const auto value = field(packet_, masked->field);
      return value && (under_mask(*value, masked->mask) == masked->value) != masked->negate;
    }
    if (const auto* lookup = std::get_if<nft::Lookup>(&statement)) {
      const auto key = fields(packet_, lookup->key);
      return key && (find(table_, lookup->set, *key) != nullptr) != lookup->negate;
    }
    if (const auto* set = std::get_if<nft::SetMark>(&statement)) {
      MARGAY_ASSERT(set->field == Field::kMark);
      packet_.mark = Mark((packet_.mark.value() & ~set->mask.value()) | set->value.value());
      return true;
    }
    if (std::holds_alternative<nft::Notrack>(statement)) {
      packet_.ct_state = nft::kStateUntracked;
      return true;
    }
    MARGAY_ASSERT(std::holds_alternative<nft::Counter>(statement) ||
                  std::holds_alternative<nft::Log>(statement));
    return true;
  }

  // Names of interfaces are compared over the bytes that the rule gives; whole ones end in zeros.
  static bool begins(const Key& value, const Key& wanted, Field field) {
    return field == Field::kIifName || field == Field::kOifName
               ? value.bytes().rfind(wanted.bytes(), 0) == 0
               : value == wanted;
  }

  static Key under_mask(const Key& value, const Key& mask) {
    std::string bytes = value.bytes();
    for (std::size_t i = 0; i < bytes.size(); ++i) {
      bytes[i] = static_cast<char>(bytes[i] & mask.bytes()[i]);
    }
    return Key().append_raw(bytes);
  }

  const nft::Table& table_;
  WalkPacket& packet_;
};

}  // namespace

TableWalk::TableWalk(const nft::Table& table) : table_(table) {
  for (const auto& [name, chain] : table.chains) {
    if (chain.hook) {
      base_chains_[chain.hook->point].push_back(name);
    }
  }
  for (auto& [hook, names] : base_chains_) {
    std::ranges::stable_sort(names, {}, [&table](const std::string& name) {
      return table.chains.at(name).hook->priority;
    });
  }
}

bool TableWalk::passes_hook(nft::HookPoint hook, WalkPacket& packet) const {
  const auto names = base_chains_.find(hook);
  return names == base_chains_.end() ||
         std::ranges::all_of(names->second, [&](const std::string& name) {
           const VerdictKind verdict = Walk(table_, packet).chain(name);
           return verdict == VerdictKind::kAccept ||
                  (verdict == VerdictKind::kReturn &&
                   table_.chains.at(name).hook->policy == nft::Policy::kAccept);
         });
}

bool TableWalk::passes(nft::HookPoint hook, WalkPacket packet) const {
  return (hook == nft::HookPoint::kOutput || passes_hook(nft::HookPoint::kPrerouting, packet)) &&
         passes_hook(hook, packet);
}

}  // namespace margay::felix
