#pragma once
// One nftables table as plain values: what the renderer wants, what a dump found, and the
// difference.
//
// A Table holds sets (and maps), named counters and chains of rules; a rule is a list of typed
// statements, executed in order until one does not match or gives a verdict. The model knows
// neither sockets nor attributes: kernel/nft encodes and decodes it, text.h prints it as `nft list`
// does. IPv4 and IPv6 live in one table of family inet, so a match on `ip saddr` implies IPv4 and
// one on `ip6 saddr` IPv6 (do not write a kNfProto match in front of them; it is implied).
//
// Names of sets and chains: letters, digits, '_', '-', '.', '/', at most 127 bytes, starting with a
// letter. All containers are ordered, so equal tables print and encode equally.

#include "base/ip_addr.h"
#include "base/strong.h"

#include <compare>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace margay {

// Bits of marks and of ct states.
[[nodiscard]] inline Mark operator|(Mark a, Mark b) {
  return Mark(a.value() | b.value());
}

}  // namespace margay

namespace margay::nft {

// Keys and data fill whole 32-bit registers (NFT_REG32_00).
inline constexpr std::size_t kRegisterBytes = 4;

using Proto = Strong<struct ProtoTag, std::uint8_t>;  // IANA protocol number: 6 TCP, 17 UDP
using Port = Strong<struct PortTag, std::uint16_t>;
using IcmpType = Strong<struct IcmpTypeTag, std::uint8_t>;
using IcmpCode = Strong<struct IcmpCodeTag, std::uint8_t>;

inline constexpr Proto kIcmp{1};
inline constexpr Proto kTcp{6};
inline constexpr Proto kUdp{17};
inline constexpr Proto kIcmpv6{58};
inline constexpr Proto kSctp{132};

// ---- Data: what registers, set keys and map values hold.

enum class DataType : std::uint8_t {
  kIpv4Addr,
  kIpv6Addr,
  kInetProto,
  kInetService,
  kIfName,
  kMark,
};

[[nodiscard]] constexpr DataType address_type(Family family) {
  return family == Family::kIpv4 ? DataType::kIpv4Addr : DataType::kIpv6Addr;
}

// The bytes of one value or of a concatenation, each part padded to four bytes, in the order the
// kernel compares them. Built by key(a, b, ...), never by hand; small ones need no allocation.
class Key {
 public:
  Key() = default;

  Key& append(const IpAddr& addr);
  Key& append(Proto proto);
  Key& append(Port port);
  Key& append(IcmpType type);
  Key& append(IcmpCode code);
  Key& append(Mark mark);
  Key& append(const IfName& name);
  // "mgy*" in a match on an interface name: the bytes without the terminator.
  Key& append_name_prefix(std::string_view prefix);
  Key& append_raw(std::string_view padded_bytes);

  [[nodiscard]] const std::string& bytes() const { return bytes_; }
  [[nodiscard]] bool empty() const { return bytes_.empty(); }
  auto operator<=>(const Key&) const = default;
  bool operator==(const Key&) const = default;

 private:
  std::string bytes_;
};

template <typename... Parts>
[[nodiscard]] Key key(const Parts&... parts) {
  Key out;
  (out.append(parts), ...);
  return out;
}

enum class VerdictKind : std::uint8_t {
  kAccept,
  kDrop,
  kReturn,
  kContinue,
  kJump,
  kGoto,
};
struct Verdict {
  VerdictKind kind = VerdictKind::kAccept;
  std::string chain;  // of jump and goto

  static Verdict accept() { return {VerdictKind::kAccept, {}}; }
  static Verdict drop() { return {VerdictKind::kDrop, {}}; }
  static Verdict ret() { return {VerdictKind::kReturn, {}}; }
  static Verdict jump(std::string chain) { return {VerdictKind::kJump, std::move(chain)}; }
  static Verdict go_to(std::string chain) { return {VerdictKind::kGoto, std::move(chain)}; }
  auto operator<=>(const Verdict&) const = default;
  bool operator==(const Verdict&) const = default;
};

// ---- Sets and maps.

// A single key, or with `to` an inclusive range (sets with `interval` only). In a concatenation
// with ranges, `from` and `to` hold all parts: 10.0.0.0 . 6 . 80 to 10.255.255.255 . 6 . 90.
struct ElementKey {
  Key from;
  Key to;  // empty: single

  auto operator<=>(const ElementKey&) const = default;
  bool operator==(const ElementKey&) const = default;
};
[[nodiscard]] ElementKey single(Key key);
// A range whose ends are equal becomes a single key, so that equal elements are equal values.
[[nodiscard]] ElementKey range(Key from, Key to);
// Every address of the prefix, for an interval set of addresses.
[[nodiscard]] ElementKey element(const Prefix& prefix);

using ElementData = std::variant<std::monostate, Verdict, Key>;  // set, verdict map, data map
using Elements = std::map<ElementKey, ElementData>;

struct VerdictData {
  bool operator==(const VerdictData&) const = default;
};
using DataTypes = std::vector<DataType>;  // more than one: a concatenation
// What cannot change while the set lives; a change means a new set under the same name.
struct SetSpec {
  DataTypes key;
  std::variant<std::monostate, VerdictData, DataTypes> data{};  // monostate: a set, not a map
  bool interval = false;                                        // holds ranges
  bool constant = false;                                        // elements never change

  [[nodiscard]] bool is_map() const { return !std::holds_alternative<std::monostate>(data); }
  bool operator==(const SetSpec&) const = default;
};
struct Set {
  SetSpec spec;
  Elements elements;
  bool operator==(const Set&) const = default;
};

// ---- Rules.

enum class Field : std::uint8_t {
  kIpSaddr,
  kIpDaddr,
  kIp6Saddr,
  kIp6Daddr,
  kThSport,  // of TCP, UDP, SCTP: match the protocol as well
  kThDport,
  kIcmpType,  // implies the protocol
  kIcmpCode,
  kIcmpv6Type,
  kIcmpv6Code,
  kNfProto,  // one byte: nft::kNfProtoIpv4, kNfProtoIpv6, as Proto
  kL4Proto,
  kIifName,
  kOifName,
  kMark,
  kCtState,      // bits, see CtState
  kCtStatus,     // bits
  kCtDirection,  // one byte: kCtOriginal, kCtReply, as Proto
  kCtMark,
  kFibSaddrIif,   // fib saddr . iif oif: 0 when a reply would not leave by the input interface
  kFibDaddrType,  // fib daddr type: kFibLocal
  kFibSaddrType,
};
inline constexpr Proto kNfProtoIpv4{2};
inline constexpr Proto kNfProtoIpv6{10};
inline constexpr Proto kCtOriginal{0};
inline constexpr Proto kCtReply{1};
inline constexpr Mark kFibLocal{2};      // linux/rtnetlink.h RTN_LOCAL
inline constexpr Mark kFibMissing{0};    // no interface
inline constexpr Mark kStatusDnat{32};   // ct status dnat
inline constexpr Mark kStateInvalid{1};  // ct state bits, to be or-ed
inline constexpr Mark kStateEstablished{2};
inline constexpr Mark kStateRelated{4};
inline constexpr Mark kStateNew{8};
inline constexpr Mark kStateUntracked{64};

// field == value, or != with `negate`. An interface name made by append_name_prefix matches every
// name that begins so.
struct Match {
  Field field{};
  Key value;
  bool negate = false;
  bool operator==(const Match&) const = default;
};
// from <= field <= to.
struct MatchRange {
  Field field{};
  Key from;
  Key to;
  bool negate = false;
  bool operator==(const MatchRange&) const = default;
};
// (field & mask) == value; a Prefix of addresses is built by match(field, prefix).
struct MatchMask {
  Field field{};
  Key mask;
  Key value;
  bool negate = false;
  bool operator==(const MatchMask&) const = default;
};
// The concatenated fields are (negate: are not) in the set.
struct Lookup {
  std::vector<Field> key;
  std::string set;
  bool negate = false;
  bool operator==(const Lookup&) const = default;
};
// The verdict that the map holds for the concatenated fields; nothing happens if it holds none.
struct VerdictLookup {
  std::vector<Field> key;
  std::string map;
  bool operator==(const VerdictLookup&) const = default;
};
// An anonymous counter. Its numbers are a reading, not part of what is wanted: two counters are
// always equal.
struct Counter {
  std::uint64_t packets = 0;
  std::uint64_t bytes = 0;
  bool operator==(const Counter&) const { return true; }
};
struct CounterRef {  // a named counter of the table
  std::string name;
  bool operator==(const CounterRef&) const = default;
};
struct Log {
  std::string prefix;                  // at most 127 bytes
  std::optional<std::uint16_t> group;  // nflog group; absent: the kernel's log at `level`
  std::uint8_t level = 4;              // syslog level, 4 = warning (nft's default), 6 = info
  bool operator==(const Log&) const = default;
};
// mark = (mark & ~mask) | value; the default mask sets all bits. kMark or kCtMark.
struct SetMark {
  Field field = Field::kMark;
  Mark value;
  Mark mask{0xffffffffU};
  bool operator==(const SetMark&) const = default;
};
// mark = map[fields]; a key that the map does not hold ends the rule.
struct SetMarkFromMap {
  std::vector<Field> key;
  std::string map;
  bool operator==(const SetMarkFromMap&) const = default;
};
// The packet's destination becomes the address and port that the map holds for the fields; a key
// that the map does not hold ends the rule. For nat chains of prerouting and output.
struct DestinationNatFromMap {
  Family family = Family::kIpv4;  // of the map's addresses
  std::vector<Field> key;
  std::string map;  // to address . port
  bool operator==(const DestinationNatFromMap&) const = default;
};
struct Notrack {
  bool operator==(const Notrack&) const = default;
};
struct Masquerade {
  std::optional<Port> port_min;
  std::optional<Port> port_max;
  bool fully_random = false;
  bool operator==(const Masquerade&) const = default;
};
// Statements that this version does not write; found only in dumps of rules made by someone else.
struct Foreign {
  std::string what;
  bool operator==(const Foreign&) const = default;
};

using Statement = std::variant<Match,
                               MatchRange,
                               MatchMask,
                               Lookup,
                               VerdictLookup,
                               Counter,
                               CounterRef,
                               Log,
                               SetMark,
                               SetMarkFromMap,
                               DestinationNatFromMap,
                               Notrack,
                               Masquerade,
                               Verdict,
                               Foreign>;

inline constexpr std::size_t kMaxComment = 127;  // bytes; longer ones are cut by the encoder
struct Rule {
  std::vector<Statement> statements;
  std::string comment;  // who wants it; shown by `nft list`
  bool operator==(const Rule&) const = default;
};

// The set or map that a statement asks; null: none.
[[nodiscard]] const std::string* set_of(const Statement& statement);
// The fields that a statement reads from the packet; lives as long as the statement.
[[nodiscard]] std::span<const Field> fields_of(const Statement& statement);

// The rules of a chain, in order. Copies share them until one is changed, as the same rules are
// held by who wants them, who writes them and who knows what the kernel has. Threads may hold
// copies; only a list that was never copied may be changed beside others.
class Rules {
 public:
  Rules() = default;
  Rules(std::vector<Rule> rules);  // NOLINT(google-explicit-constructor): it is the same list
  Rules(std::initializer_list<Rule> rules) : Rules(std::vector<Rule>(rules)) {}

  [[nodiscard]] const std::vector<Rule>& list() const;
  [[nodiscard]] std::vector<Rule>& edit();  // for this copy alone
  void push_back(Rule rule) { edit().push_back(std::move(rule)); }

  [[nodiscard]] auto begin() const { return list().begin(); }
  [[nodiscard]] auto end() const { return list().end(); }
  [[nodiscard]] std::size_t size() const { return list().size(); }
  [[nodiscard]] bool empty() const { return list().empty(); }
  [[nodiscard]] const Rule& operator[](std::size_t at) const { return list()[at]; }
  // One of them, which lives on without the list.
  [[nodiscard]] std::shared_ptr<const Rule> share(std::size_t at) const {
    return {rules_, &list()[at]};
  }
  bool operator==(const Rules& other) const {
    return rules_ == other.rules_ || list() == other.list();
  }

 private:
  std::shared_ptr<std::vector<Rule>> rules_;  // null: none
};

// The same rule as a dump shows it: without matches that the following statement implies. Rules are
// compared in this form.
[[nodiscard]] Rule canonical(Rule rule);
[[nodiscard]] Rules canonical(Rules rules);  // the same list when they are so already

// Address in prefix: a plain Match for a host prefix, a MatchMask otherwise; /0 asks for the family
// only. `source`: the packet's source address, else the destination.
[[nodiscard]] Statement match_addr(bool source, const Prefix& prefix, bool negate = false);
// Any of the ct states: `ct state established,related`.
[[nodiscard]] Statement match_ct_state(Mark states, bool negate = false);

// ---- Chains and the table.

enum class ChainType : std::uint8_t { kFilter, kNat, kRoute };
enum class HookPoint : std::uint8_t {
  kPrerouting,
  kInput,
  kForward,
  kOutput,
  kPostrouting,
};
enum class Policy : std::uint8_t { kAccept, kDrop };
struct Hook {
  ChainType type = ChainType::kFilter;
  HookPoint point = HookPoint::kForward;
  std::int32_t priority = 0;  // -300 raw, -150 mangle, -100 dstnat, 0 filter, 100 srcnat
  Policy policy = Policy::kAccept;
  bool operator==(const Hook&) const = default;
};
struct Chain {
  std::optional<Hook> hook;  // absent: reached by jump and goto only
  Rules rules;
  bool operator==(const Chain&) const = default;
};

struct Table {
  std::map<std::string, Set> sets;
  std::map<std::string, Chain> chains;
  std::set<std::string> counters;
  bool operator==(const Table&) const = default;
};

// ---- The difference between two tables: what the renderer sends and the reconciler applies.

struct ElementDelta {
  Elements add;  // an element that exists with other data is replaced
  std::set<ElementKey> remove;
  bool operator==(const ElementDelta&) const = default;
};
struct Delta {
  std::map<std::string, Set> upsert_sets;  // with all elements: replaces the set's content
  std::map<std::string, ElementDelta> elements;
  std::map<std::string, Chain> upsert_chains;
  std::set<std::string> add_counters;
  std::set<std::string> remove_sets;
  std::set<std::string> remove_chains;
  std::set<std::string> remove_counters;

  [[nodiscard]] bool empty() const;
  bool operator==(const Delta&) const = default;
};

// All rules in canonical form.
[[nodiscard]] Table canonical(Table table);
// What turns `from` into `to`; sets that exist on both sides with the same spec become element
// deltas.
[[nodiscard]] Delta diff(const Table& from, const Table& to);
// Applies a delta; names that it removes and the table lacks are ignored.
void apply(Delta delta, Table& table);

}  // namespace margay::nft
