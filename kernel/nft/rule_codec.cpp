#include "kernel/nft/rule_codec.h"

#include "kernel/nft/fields.h"
#include "kernel/nft/handles.h"

#include <libnftnl/expr.h>
#include <libnftnl/rule.h>
#include <libnftnl/udata.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_nat.h>
#include <linux/netfilter/nf_tables.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <memory>
#include <string>

namespace margay::nft {

std::int32_t to_code(VerdictKind kind) {
  switch (kind) {
    case VerdictKind::kAccept:
      return NF_ACCEPT;
    case VerdictKind::kDrop:
      return NF_DROP;
    case VerdictKind::kReturn:
      return NFT_RETURN;
    case VerdictKind::kContinue:
      return NFT_CONTINUE;
    case VerdictKind::kJump:
      return NFT_JUMP;
    case VerdictKind::kGoto:
      return NFT_GOTO;
  }
  return NF_DROP;
}

std::optional<VerdictKind> to_verdict(std::int32_t code) {
  switch (code) {
    case NF_ACCEPT:
      return VerdictKind::kAccept;
    case NF_DROP:
      return VerdictKind::kDrop;
    case NFT_RETURN:
      return VerdictKind::kReturn;
    case NFT_CONTINUE:
      return VerdictKind::kContinue;
    case NFT_JUMP:
      return VerdictKind::kJump;
    case NFT_GOTO:
      return VerdictKind::kGoto;
    default:
      return std::nullopt;
  }
}

namespace {

constexpr std::uint32_t kWord = 4;
constexpr std::size_t kWords = 16;  // 32-bit registers of the virtual machine

// Word w of the data registers. Every fourth is named by its 128-bit register, as the kernel does.
std::uint32_t register_of(std::size_t word) {
  return word % kWord == 0 ? NFT_REG_1 + static_cast<std::uint32_t>(word / kWord)
                           : NFT_REG32_00 + static_cast<std::uint32_t>(word);
}
std::optional<std::size_t> word_of(std::uint32_t reg) {
  if (reg >= NFT_REG_1 && reg <= NFT_REG_4) {
    return (reg - NFT_REG_1) * kWord;
  }
  if (reg >= NFT_REG32_00 && reg < NFT_REG32_00 + kWords) {
    return reg - NFT_REG32_00;
  }
  return std::nullopt;
}

std::uint32_t family_code(Family family) {
  return family == Family::kIpv4 ? NFPROTO_IPV4 : NFPROTO_IPV6;
}
std::size_t address_words(Family family) {
  constexpr std::size_t kIpv6Words = 4;
  return family == Family::kIpv4 ? 1 : kIpv6Words;
}

std::uint32_t host_u32(std::string_view bytes) {
  std::uint32_t value = 0;
  std::memcpy(&value, bytes.data(), std::min(bytes.size(), sizeof value));
  return value;
}

class RuleEncoder {
 public:
  explicit RuleEncoder(nftnl_rule* rule) : rule_(rule) {}

  void operator()(const Match& match) {
    load(match.field, 0);
    if (match.field == Field::kFibSaddrIif) {
      // The kernel is asked whether there is a route back: 0 or 1.
      compare(NFT_CMP_EQ, key(Mark(match.negate ? 1 : 0)).bytes());
      return;
    }
    compare(match.negate ? NFT_CMP_NEQ : NFT_CMP_EQ, trimmed(match.field, match.value));
  }
  void operator()(const MatchRange& match) {
    load(match.field, 0);
    if (!match.negate) {
      compare(NFT_CMP_GTE, trimmed(match.field, match.from));
      compare(NFT_CMP_LTE, trimmed(match.field, match.to));
      return;
    }
    nftnl_expr* range = add("range");
    nftnl_expr_set_u32(range, NFTNL_EXPR_RANGE_SREG, NFT_REG_1);
    nftnl_expr_set_u32(range, NFTNL_EXPR_RANGE_OP, NFT_RANGE_NEQ);
    set_bytes(range, NFTNL_EXPR_RANGE_FROM_DATA, trimmed(match.field, match.from));
    set_bytes(range, NFTNL_EXPR_RANGE_TO_DATA, trimmed(match.field, match.to));
  }
  void operator()(const MatchMask& match) {
    load(match.field, 0);
    const std::string_view mask = trimmed(match.field, match.mask);
    mask_register(mask, std::string(mask.size(), '\0'));
    compare(match.negate ? NFT_CMP_NEQ : NFT_CMP_EQ, trimmed(match.field, match.value));
  }
  void operator()(const Lookup& lookup) {
    nftnl_expr* expr = look_up(lookup.key, lookup.set);
    if (lookup.negate) {
      nftnl_expr_set_u32(expr, NFTNL_EXPR_LOOKUP_FLAGS, NFT_LOOKUP_F_INV);
    }
  }
  void operator()(const VerdictLookup& lookup) {
    nftnl_expr_set_u32(look_up(lookup.key, lookup.map), NFTNL_EXPR_LOOKUP_DREG, NFT_REG_VERDICT);
  }
  void operator()(const SetMarkFromMap& set) {
    nftnl_expr_set_u32(look_up(set.key, set.map), NFTNL_EXPR_LOOKUP_DREG, NFT_REG_1);
    store_mark(Field::kMark);
  }
  void operator()(const DestinationNatFromMap& nat) {
    nftnl_expr_set_u32(look_up(nat.key, nat.map), NFTNL_EXPR_LOOKUP_DREG, register_of(0));
    nftnl_expr* expr = add("nat");
    nftnl_expr_set_u32(expr, NFTNL_EXPR_NAT_TYPE, NFT_NAT_DNAT);
    nftnl_expr_set_u32(expr, NFTNL_EXPR_NAT_FAMILY, family_code(nat.family));
    nftnl_expr_set_u32(expr, NFTNL_EXPR_NAT_REG_ADDR_MIN, register_of(0));
    nftnl_expr_set_u32(expr, NFTNL_EXPR_NAT_REG_PROTO_MIN, register_of(address_words(nat.family)));
    nftnl_expr_set_u32(expr, NFTNL_EXPR_NAT_FLAGS, NF_NAT_RANGE_PROTO_SPECIFIED);
  }
  void operator()(const Counter& counter) {
    nftnl_expr* expr = add("counter");
    if (counter.packets != 0 || counter.bytes != 0) {
      nftnl_expr_set_u64(expr, NFTNL_EXPR_CTR_PACKETS, counter.packets);
      nftnl_expr_set_u64(expr, NFTNL_EXPR_CTR_BYTES, counter.bytes);
    }
  }
  void operator()(const CounterRef& counter) {
    nftnl_expr* expr = add("objref");
    nftnl_expr_set_u32(expr, NFTNL_EXPR_OBJREF_IMM_TYPE, NFT_OBJECT_COUNTER);
    nftnl_expr_set_str(expr, NFTNL_EXPR_OBJREF_IMM_NAME, counter.name.c_str());
  }
  void operator()(const Log& log) {
    nftnl_expr* expr = add("log");
    if (!log.prefix.empty()) {
      nftnl_expr_set_str(expr, NFTNL_EXPR_LOG_PREFIX, log.prefix.c_str());
    }
    if (log.group) {
      nftnl_expr_set_u16(expr, NFTNL_EXPR_LOG_GROUP, *log.group);
    } else {
      nftnl_expr_set_u32(expr, NFTNL_EXPR_LOG_LEVEL, log.level);
    }
  }
  void operator()(const SetMark& set) {
    if (set.mask.value() == 0xffffffffU) {
      immediate(NFT_REG_1, key(set.value).bytes());
    } else {
      load(set.field, 0);
      mask_register(key(Mark(~set.mask.value())).bytes(), key(set.value).bytes());
    }
    store_mark(set.field);
  }
  void operator()(const Notrack& /*statement*/) { add("notrack"); }
  void operator()(const Masquerade& masquerade) {
    std::uint32_t flags = masquerade.fully_random ? NF_NAT_RANGE_PROTO_RANDOM_FULLY : 0U;
    if (masquerade.port_min) {
      flags |= NF_NAT_RANGE_PROTO_SPECIFIED;
      immediate(register_of(0), bytes_of(*masquerade.port_min));
      immediate(register_of(kWord), bytes_of(masquerade.port_max.value_or(*masquerade.port_min)));
    }
    nftnl_expr* expr = add("masq");
    if (flags != 0) {
      nftnl_expr_set_u32(expr, NFTNL_EXPR_MASQ_FLAGS, flags);
    }
    if (masquerade.port_min) {
      nftnl_expr_set_u32(expr, NFTNL_EXPR_MASQ_REG_PROTO_MIN, register_of(0));
      nftnl_expr_set_u32(expr, NFTNL_EXPR_MASQ_REG_PROTO_MAX, register_of(kWord));
    }
  }
  void operator()(const Verdict& verdict) {
    nftnl_expr* expr = add("immediate");
    nftnl_expr_set_u32(expr, NFTNL_EXPR_IMM_DREG, NFT_REG_VERDICT);
    nftnl_expr_set_u32(
        expr, NFTNL_EXPR_IMM_VERDICT, static_cast<std::uint32_t>(to_code(verdict.kind)));
    if (!verdict.chain.empty()) {
      nftnl_expr_set_str(expr, NFTNL_EXPR_IMM_CHAIN, verdict.chain.c_str());
    }
  }
  void operator()(const Foreign& /*statement*/) {
    MARGAY_ASSERT(false);  // refused by the transaction encoder before
  }

 private:
  nftnl_expr* add(const char* name) {
    nftnl_expr* expr = nftnl_expr_alloc(name);
    MARGAY_ASSERT(expr != nullptr);
    nftnl_rule_add_expr(rule_, expr);
    return expr;
  }
  static void set_bytes(nftnl_expr* expr, std::uint16_t attribute, std::string_view bytes) {
    nftnl_expr_set(expr, attribute, bytes.data(), static_cast<std::uint32_t>(bytes.size()));
  }
  // Without the padding that keys have in the model; a name prefix is shorter already.
  static std::string_view trimmed(Field field, const Key& value) {
    return std::string_view(value.bytes()).substr(0, code_of(field).bytes);
  }
  static std::string bytes_of(Port port) {
    return key(port).bytes().substr(0, sizeof(port.value()));
  }

  void compare(std::uint32_t operation, std::string_view bytes) {
    nftnl_expr* expr = add("cmp");
    nftnl_expr_set_u32(expr, NFTNL_EXPR_CMP_SREG, NFT_REG_1);
    nftnl_expr_set_u32(expr, NFTNL_EXPR_CMP_OP, operation);
    set_bytes(expr, NFTNL_EXPR_CMP_DATA, bytes);
    if (operation == NFT_CMP_EQ && bytes.size() == 1) {
      note_known(bytes.front());
    }
  }
  void mask_register(std::string_view mask, std::string_view flip) {
    nftnl_expr* expr = add("bitwise");
    nftnl_expr_set_u32(expr, NFTNL_EXPR_BITWISE_SREG, NFT_REG_1);
    nftnl_expr_set_u32(expr, NFTNL_EXPR_BITWISE_DREG, NFT_REG_1);
    nftnl_expr_set_u32(expr, NFTNL_EXPR_BITWISE_LEN, static_cast<std::uint32_t>(mask.size()));
    set_bytes(expr, NFTNL_EXPR_BITWISE_MASK, mask);
    set_bytes(expr, NFTNL_EXPR_BITWISE_XOR, flip);
  }
  void immediate(std::uint32_t reg, std::string_view bytes) {
    nftnl_expr* expr = add("immediate");
    nftnl_expr_set_u32(expr, NFTNL_EXPR_IMM_DREG, reg);
    set_bytes(expr, NFTNL_EXPR_IMM_DATA, bytes);
  }
  void store_mark(Field field) {
    const bool packet = field == Field::kMark;
    nftnl_expr* expr = add(packet ? "meta" : "ct");
    nftnl_expr_set_u32(
        expr,
        packet ? std::uint16_t{NFTNL_EXPR_META_KEY} : std::uint16_t{NFTNL_EXPR_CT_KEY},
        code_of(field).key);
    nftnl_expr_set_u32(
        expr,
        packet ? std::uint16_t{NFTNL_EXPR_META_SREG} : std::uint16_t{NFTNL_EXPR_CT_SREG},
        NFT_REG_1);
  }
  nftnl_expr* look_up(const std::vector<Field>& fields, const std::string& set) {
    for (const Field field : fields) {
      require(field);
    }
    std::size_t word = 0;
    for (const Field field : fields) {
      load_into(code_of(field), register_of(word));
      word += padded(code_of(field).bytes) / kWord;
    }
    nftnl_expr* expr = add("lookup");
    nftnl_expr_set_u32(expr, NFTNL_EXPR_LOOKUP_SREG, NFT_REG_1);
    nftnl_expr_set_str(expr, NFTNL_EXPR_LOOKUP_SET, set.c_str());
    return expr;
  }

  // Asks for what the field implies, once per rule.
  void require(Field field) {
    const FieldCode& code = code_of(field);
    if (code.family != 0 && family_ != code.family) {
      load_into(code_of(Field::kNfProto), NFT_REG_1);
      last_loaded_ = Field::kNfProto;
      compare(NFT_CMP_EQ, {reinterpret_cast<const char*>(&code.family), 1});
    }
    if (code.protocol != 0 && protocol_ != code.protocol) {
      load_into(code_of(Field::kL4Proto), NFT_REG_1);
      last_loaded_ = Field::kL4Proto;
      compare(NFT_CMP_EQ, {reinterpret_cast<const char*>(&code.protocol), 1});
    }
  }
  void load(Field field, std::size_t word) {
    require(field);
    last_loaded_ = field;
    load_into(code_of(field), register_of(word));
  }
  void load_into(const FieldCode& code, std::uint32_t reg) {
    switch (code.loader) {
      case Loader::kPayload: {
        nftnl_expr* expr = add("payload");
        nftnl_expr_set_u32(expr, NFTNL_EXPR_PAYLOAD_DREG, reg);
        nftnl_expr_set_u32(expr, NFTNL_EXPR_PAYLOAD_BASE, code.key);
        nftnl_expr_set_u32(expr, NFTNL_EXPR_PAYLOAD_OFFSET, code.offset);
        nftnl_expr_set_u32(expr, NFTNL_EXPR_PAYLOAD_LEN, code.bytes);
        return;
      }
      case Loader::kMeta: {
        nftnl_expr* expr = add("meta");
        nftnl_expr_set_u32(expr, NFTNL_EXPR_META_KEY, code.key);
        nftnl_expr_set_u32(expr, NFTNL_EXPR_META_DREG, reg);
        return;
      }
      case Loader::kCt: {
        nftnl_expr* expr = add("ct");
        nftnl_expr_set_u32(expr, NFTNL_EXPR_CT_KEY, code.key);
        nftnl_expr_set_u32(expr, NFTNL_EXPR_CT_DREG, reg);
        return;
      }
      case Loader::kFib: {
        nftnl_expr* expr = add("fib");
        nftnl_expr_set_u32(expr, NFTNL_EXPR_FIB_DREG, reg);
        nftnl_expr_set_u32(expr, NFTNL_EXPR_FIB_RESULT, code.key);
        nftnl_expr_set_u32(expr, NFTNL_EXPR_FIB_FLAGS, code.offset);
        return;
      }
    }
  }
  void note_known(char value) {
    if (last_loaded_ == Field::kNfProto) {
      family_ = static_cast<std::uint8_t>(value);
    } else if (last_loaded_ == Field::kL4Proto) {
      protocol_ = static_cast<std::uint8_t>(value);
    }
  }

  nftnl_rule* rule_;
  std::uint8_t family_ = 0;
  std::uint8_t protocol_ = 0;
  Field last_loaded_ = Field::kMark;
};

// What a register holds while a rule is decoded.
struct Content {
  std::optional<Field> field;
  std::string constant;  // of an immediate
  std::string mask;      // of a bitwise: (field & mask) ^ flip
  std::string flip;
  std::vector<Field> map_key;  // the result of a map lookup
  std::string map;
};

class Decoder {
 public:
  Rule finish() {
    if (range_) {
      foreign("cmp");
    }
    return canonical(std::move(rule_));
  }

  void take(nftnl_expr* expr) {
    const std::string_view name = nftnl_expr_get_str(expr, NFTNL_EXPR_NAME);
    for (const auto& row : kDecoders) {
      if (row.name == name) {
        (this->*row.decode)(expr);
        return;
      }
    }
    foreign(name);
  }
  void comment(std::string text) { rule_.comment = std::move(text); }

 private:
  struct Row {
    std::string_view name;
    void (Decoder::*decode)(nftnl_expr*);
  };

  void add(Statement statement) { rule_.statements.push_back(std::move(statement)); }
  void foreign(std::string_view what) { add(Foreign{std::string(what)}); }

  static std::string bytes(nftnl_expr* expr, std::uint16_t attribute) {
    std::uint32_t length = 0;
    const void* data = nftnl_expr_get(expr, attribute, &length);
    return data == nullptr ? std::string() : std::string(static_cast<const char*>(data), length);
  }
  Content* content(std::uint32_t reg) {
    const auto word = word_of(reg);
    return word ? &registers_.at(*word) : nullptr;
  }
  static Key padded_key(Field field, std::string_view raw) {
    std::string full(raw);
    if (field != Field::kIifName && field != Field::kOifName) {
      full.resize(padded(std::max<std::size_t>(full.size(), code_of(field).bytes)), '\0');
    }
    return Key{}.append_raw(full);
  }

  void loaded(Loader loader, std::uint32_t reg, const FieldCode& seen) {
    Content* into = content(reg);
    if (into == nullptr) {
      foreign("register");
      return;
    }
    *into = Content{};
    for (const FieldCode& code : all_fields()) {
      const bool same = code.loader == loader && code.key == seen.key &&
                        code.offset == seen.offset && code.bytes == seen.bytes &&
                        (code.protocol == 0 || protocol_ == code.protocol) &&
                        (code.family == 0 || family_ == code.family);
      if (same) {
        into->field = code.field;
        return;
      }
    }
    foreign("load");
  }
  void payload(nftnl_expr* expr) {
    if (nftnl_expr_is_set(expr, NFTNL_EXPR_PAYLOAD_SREG)) {
      return foreign("payload set");
    }
    FieldCode seen;
    seen.key = nftnl_expr_get_u32(expr, NFTNL_EXPR_PAYLOAD_BASE);
    seen.offset = nftnl_expr_get_u32(expr, NFTNL_EXPR_PAYLOAD_OFFSET);
    seen.bytes = nftnl_expr_get_u32(expr, NFTNL_EXPR_PAYLOAD_LEN);
    loaded(Loader::kPayload, nftnl_expr_get_u32(expr, NFTNL_EXPR_PAYLOAD_DREG), seen);
  }
  void meta(nftnl_expr* expr) {
    const std::uint32_t meta_key = nftnl_expr_get_u32(expr, NFTNL_EXPR_META_KEY);
    if (nftnl_expr_is_set(expr, NFTNL_EXPR_META_SREG)) {
      return store(
          Field::kMark, meta_key == NFT_META_MARK, nftnl_expr_get_u32(expr, NFTNL_EXPR_META_SREG));
    }
    load_by_key(Loader::kMeta, meta_key, nftnl_expr_get_u32(expr, NFTNL_EXPR_META_DREG));
  }
  void ct(nftnl_expr* expr) {
    const std::uint32_t ct_key = nftnl_expr_get_u32(expr, NFTNL_EXPR_CT_KEY);
    if (nftnl_expr_is_set(expr, NFTNL_EXPR_CT_SREG)) {
      return store(
          Field::kCtMark, ct_key == NFT_CT_MARK, nftnl_expr_get_u32(expr, NFTNL_EXPR_CT_SREG));
    }
    load_by_key(Loader::kCt, ct_key, nftnl_expr_get_u32(expr, NFTNL_EXPR_CT_DREG));
  }
  void load_by_key(Loader loader, std::uint32_t loader_key, std::uint32_t reg) {
    Content* into = content(reg);
    if (into == nullptr) {
      return foreign("register");
    }
    *into = Content{};
    for (const FieldCode& code : all_fields()) {
      if (code.loader == loader && code.key == loader_key) {
        into->field = code.field;
        return;
      }
    }
    foreign("load");
  }
  void fib(nftnl_expr* expr) {
    FieldCode seen;
    seen.key = nftnl_expr_get_u32(expr, NFTNL_EXPR_FIB_RESULT);
    seen.offset = nftnl_expr_get_u32(expr, NFTNL_EXPR_FIB_FLAGS);
    Content* into = content(nftnl_expr_get_u32(expr, NFTNL_EXPR_FIB_DREG));
    if (into == nullptr) {
      return foreign("fib");
    }
    *into = Content{};
    for (const FieldCode& code : all_fields()) {
      if (code.loader == Loader::kFib && code.key == seen.key && code.offset == seen.offset) {
        into->field = code.field;
        return;
      }
    }
    foreign("fib");
  }
  void bitwise(nftnl_expr* expr) {
    Content* from = content(nftnl_expr_get_u32(expr, NFTNL_EXPR_BITWISE_SREG));
    if (from == nullptr || !from->field || !from->mask.empty() ||
        nftnl_expr_get_u32(expr, NFTNL_EXPR_BITWISE_OP) != NFT_BITWISE_BOOL ||
        nftnl_expr_get_u32(expr, NFTNL_EXPR_BITWISE_DREG) !=
            nftnl_expr_get_u32(expr, NFTNL_EXPR_BITWISE_SREG)) {
      return foreign("bitwise");
    }
    from->mask = bytes(expr, NFTNL_EXPR_BITWISE_MASK);
    from->flip = bytes(expr, NFTNL_EXPR_BITWISE_XOR);
  }
  void cmp(nftnl_expr* expr) {
    const Content* from = content(nftnl_expr_get_u32(expr, NFTNL_EXPR_CMP_SREG));
    if (from == nullptr || !from->field) {
      return foreign("cmp");
    }
    const Field field = *from->field;
    const std::string value = bytes(expr, NFTNL_EXPR_CMP_DATA);
    const std::uint32_t operation = nftnl_expr_get_u32(expr, NFTNL_EXPR_CMP_OP);
    if (operation == NFT_CMP_GTE && !range_) {
      range_ = padded_key(field, value);
      return;
    }
    if (operation == NFT_CMP_LTE && range_) {
      add(MatchRange{field, std::move(*range_), padded_key(field, value), false});
      range_.reset();
      return;
    }
    if (operation != NFT_CMP_EQ && operation != NFT_CMP_NEQ) {
      return foreign("cmp");
    }
    const bool negate = operation == NFT_CMP_NEQ;
    if (field == Field::kFibSaddrIif) {
      // 1 when there is a route back.
      const bool present = host_u32(value) != 0;
      add(Match{field, key(kFibMissing), present != negate});
      return;
    }
    if (from->mask.empty()) {
      note_known(field, value, negate);
      add(Match{field, padded_key(field, value), negate});
      return;
    }
    if (from->flip.find_first_not_of('\0') != std::string::npos) {
      return foreign("bitwise");
    }
    add(MatchMask{field, padded_key(field, from->mask), padded_key(field, value), negate});
  }
  void range(nftnl_expr* expr) {
    const Content* from = content(nftnl_expr_get_u32(expr, NFTNL_EXPR_RANGE_SREG));
    if (from == nullptr || !from->field || !from->mask.empty()) {
      return foreign("range");
    }
    add(MatchRange{*from->field,
                   padded_key(*from->field, bytes(expr, NFTNL_EXPR_RANGE_FROM_DATA)),
                   padded_key(*from->field, bytes(expr, NFTNL_EXPR_RANGE_TO_DATA)),
                   nftnl_expr_get_u32(expr, NFTNL_EXPR_RANGE_OP) == NFT_RANGE_NEQ});
  }
  void lookup(nftnl_expr* expr) {
    std::string set = nftnl_expr_get_str(expr, NFTNL_EXPR_LOOKUP_SET);
    const auto first = word_of(nftnl_expr_get_u32(expr, NFTNL_EXPR_LOOKUP_SREG));
    std::vector<Field> fields;
    // The concatenation goes on as long as the next word was loaded since the last lookup.
    for (std::size_t word = first.value_or(kWords); word < kWords;) {
      const Content& part = registers_.at(word);
      if (!part.field || !part.mask.empty()) {
        break;
      }
      fields.push_back(*part.field);
      word += padded(code_of(*part.field).bytes) / kWord;
    }
    registers_ = {};
    if (fields.empty()) {
      return foreign("lookup");
    }
    const bool negate = (nftnl_expr_get_u32(expr, NFTNL_EXPR_LOOKUP_FLAGS) & NFT_LOOKUP_F_INV) != 0;
    if (!nftnl_expr_is_set(expr, NFTNL_EXPR_LOOKUP_DREG)) {
      add(Lookup{std::move(fields), std::move(set), negate});
      return;
    }
    const std::uint32_t target = nftnl_expr_get_u32(expr, NFTNL_EXPR_LOOKUP_DREG);
    if (target == NFT_REG_VERDICT) {
      add(VerdictLookup{std::move(fields), std::move(set)});
      return;
    }
    if (Content* into = content(target)) {
      into->map_key = std::move(fields);
      into->map = std::move(set);
    }
  }
  void immediate(nftnl_expr* expr) {
    const std::uint32_t target = nftnl_expr_get_u32(expr, NFTNL_EXPR_IMM_DREG);
    if (target != NFT_REG_VERDICT) {
      if (Content* into = content(target)) {
        *into = Content{};
        into->constant = bytes(expr, NFTNL_EXPR_IMM_DATA);
      }
      return;
    }
    const auto kind =
        to_verdict(static_cast<std::int32_t>(nftnl_expr_get_u32(expr, NFTNL_EXPR_IMM_VERDICT)));
    if (!kind) {
      return foreign("verdict");
    }
    const char* chain = nftnl_expr_is_set(expr, NFTNL_EXPR_IMM_CHAIN)
                            ? nftnl_expr_get_str(expr, NFTNL_EXPR_IMM_CHAIN)
                            : "";
    add(Verdict{*kind, chain});
  }
  void store(Field field, bool known, std::uint32_t reg) {
    Content* from = content(reg);
    if (!known || from == nullptr) {
      return foreign("set");
    }
    if (!from->map.empty() && field == Field::kMark) {
      add(SetMarkFromMap{from->map_key, from->map});
    } else if (!from->constant.empty()) {
      add(SetMark{field, Mark(host_u32(from->constant)), Mark(0xffffffffU)});
    } else if (from->field == field && !from->mask.empty()) {
      add(SetMark{field, Mark(host_u32(from->flip)), Mark(~host_u32(from->mask))});
    } else {
      foreign("set");
    }
    *from = Content{};
  }
  void counter(nftnl_expr* expr) {
    add(Counter{nftnl_expr_get_u64(expr, NFTNL_EXPR_CTR_PACKETS),
                nftnl_expr_get_u64(expr, NFTNL_EXPR_CTR_BYTES)});
  }
  void objref(nftnl_expr* expr) {
    if (!nftnl_expr_is_set(expr, NFTNL_EXPR_OBJREF_IMM_NAME) ||
        nftnl_expr_get_u32(expr, NFTNL_EXPR_OBJREF_IMM_TYPE) != NFT_OBJECT_COUNTER) {
      return foreign("objref");
    }
    add(CounterRef{nftnl_expr_get_str(expr, NFTNL_EXPR_OBJREF_IMM_NAME)});
  }
  void log(nftnl_expr* expr) {
    Log out;
    if (nftnl_expr_is_set(expr, NFTNL_EXPR_LOG_PREFIX)) {
      out.prefix = nftnl_expr_get_str(expr, NFTNL_EXPR_LOG_PREFIX);
    }
    if (nftnl_expr_is_set(expr, NFTNL_EXPR_LOG_GROUP)) {
      out.group = nftnl_expr_get_u16(expr, NFTNL_EXPR_LOG_GROUP);
    } else if (nftnl_expr_is_set(expr, NFTNL_EXPR_LOG_LEVEL)) {
      out.level = static_cast<std::uint8_t>(nftnl_expr_get_u32(expr, NFTNL_EXPR_LOG_LEVEL));
    }
    add(std::move(out));
  }
  void notrack(nftnl_expr* /*expr*/) { add(Notrack{}); }
  void masq(nftnl_expr* expr) {
    Masquerade out;
    if (nftnl_expr_is_set(expr, NFTNL_EXPR_MASQ_FLAGS)) {
      out.fully_random =
          (nftnl_expr_get_u32(expr, NFTNL_EXPR_MASQ_FLAGS) & NF_NAT_RANGE_PROTO_RANDOM_FULLY) != 0;
    }
    out.port_min = port_in(expr, NFTNL_EXPR_MASQ_REG_PROTO_MIN);
    out.port_max = port_in(expr, NFTNL_EXPR_MASQ_REG_PROTO_MAX);
    add(out);
  }
  // A translation of which the map gives address and port, as the encoder writes it.
  void nat(nftnl_expr* expr) {
    const std::uint32_t addr = nftnl_expr_get_u32(expr, NFTNL_EXPR_NAT_REG_ADDR_MIN);
    const auto family = nftnl_expr_get_u32(expr, NFTNL_EXPR_NAT_FAMILY) == NFPROTO_IPV6
                            ? Family::kIpv6
                            : Family::kIpv4;
    const auto first = word_of(addr);
    Content* from = content(addr);
    if (from == nullptr || from->map.empty() ||
        nftnl_expr_get_u32(expr, NFTNL_EXPR_NAT_TYPE) != NFT_NAT_DNAT ||
        word_of(nftnl_expr_get_u32(expr, NFTNL_EXPR_NAT_REG_PROTO_MIN)) !=
            *first + address_words(family)) {
      return foreign("nat");
    }
    add(DestinationNatFromMap{family, from->map_key, from->map});
    *from = Content{};
  }
  std::optional<Port> port_in(nftnl_expr* expr, std::uint16_t attribute) {
    if (!nftnl_expr_is_set(expr, attribute)) {
      return std::nullopt;
    }
    const Content* from = content(nftnl_expr_get_u32(expr, attribute));
    if (from == nullptr || from->constant.size() < 2) {
      return std::nullopt;
    }
    const auto byte = [from](std::size_t at) {
      return static_cast<unsigned>(static_cast<unsigned char>(from->constant[at]));
    };
    return Port(static_cast<std::uint16_t>((byte(0) << 8U) | byte(1)));
  }
  void note_known(Field field, std::string_view value, bool negate) {
    if (negate || value.empty()) {
      return;
    }
    if (field == Field::kNfProto) {
      family_ = static_cast<std::uint8_t>(value.front());
    } else if (field == Field::kL4Proto) {
      protocol_ = static_cast<std::uint8_t>(value.front());
    }
  }

  static const std::array<Row, 15> kDecoders;

  Rule rule_;
  std::array<Content, kWords> registers_;
  std::optional<Key> range_;  // after `>=`, before `<=`
  std::uint8_t family_ = 0;
  std::uint8_t protocol_ = 0;
};

const std::array<Decoder::Row, 15> Decoder::kDecoders{{
    {"payload", &Decoder::payload},
    {"meta", &Decoder::meta},
    {"ct", &Decoder::ct},
    {"fib", &Decoder::fib},
    {"bitwise", &Decoder::bitwise},
    {"cmp", &Decoder::cmp},
    {"range", &Decoder::range},
    {"lookup", &Decoder::lookup},
    {"immediate", &Decoder::immediate},
    {"counter", &Decoder::counter},
    {"objref", &Decoder::objref},
    {"log", &Decoder::log},
    {"notrack", &Decoder::notrack},
    {"masq", &Decoder::masq},
    {"nat", &Decoder::nat},
}};

constexpr std::size_t kMaxRuleUserData = 255;  // NFT_USERDATA_MAXLEN - 1

std::string comment_of(const nftnl_rule* rule) {
  std::uint32_t length = 0;
  const void* data = nftnl_rule_get_data(rule, NFTNL_RULE_USERDATA, &length);
  const std::string_view bytes = data == nullptr
                                     ? std::string_view()
                                     : std::string_view(static_cast<const char*>(data), length);
  // Records of type, length, value; the comment ends with a zero byte.
  std::size_t at = 0;
  while (at + 2 <= bytes.size()) {
    const auto type = static_cast<unsigned char>(bytes[at]);
    const auto size = static_cast<unsigned char>(bytes[at + 1]);
    const std::string_view value = bytes.substr(at + 2, size);
    if (type == NFTNL_UDATA_RULE_COMMENT) {
      return std::string(value.substr(0, value.find('\0')));
    }
    at += 2U + size;
  }
  return {};
}

}  // namespace

void encode_rule(const Rule& rule, nftnl_rule* into) {
  RuleEncoder encoder(into);
  for (const Statement& statement : rule.statements) {
    std::visit(encoder, statement);
  }
  if (rule.comment.empty()) {
    return;
  }
  const UserDataPtr buffer(nftnl_udata_buf_alloc(kMaxRuleUserData));
  const std::string comment = rule.comment.substr(0, kMaxComment);
  nftnl_udata_put_strz(buffer.get(), NFTNL_UDATA_RULE_COMMENT, comment.c_str());
  nftnl_rule_set_data(into,
                      NFTNL_RULE_USERDATA,
                      nftnl_udata_buf_data(buffer.get()),
                      nftnl_udata_buf_len(buffer.get()));
}

Rule decode_rule(const nftnl_rule* rule) {
  Decoder decoder;
  nftnl_expr_iter* exprs = nftnl_expr_iter_create(rule);
  while (nftnl_expr* expr = nftnl_expr_iter_next(exprs)) {
    decoder.take(expr);
  }
  nftnl_expr_iter_destroy(exprs);
  decoder.comment(comment_of(rule));
  return decoder.finish();
}

}  // namespace margay::nft
