#pragma once
// BGPFilter: which routes are taken from a peer and which are told to it, and how they are changed
// on the way. In the order of the rules the first one that matches decides; where none does, the
// session behaves as without a filter.

#include "base/ip_addr.h"
#include "base/strong.h"

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace margay::api {

// "65000:100" (RFC 1997), two 16-bit numbers, or "65000:1:2" (RFC 8092), three 32-bit ones.
struct BgpCommunity {
  std::vector<std::uint32_t> parts;

  static std::optional<BgpCommunity> parse(const std::string& text);
  [[nodiscard]] std::string str() const;
  bool operator==(const BgpCommunity&) const = default;
};

enum class FilterMatch : std::uint8_t { kEqual, kNotEqual, kIn, kNotIn };
enum class FilterAction : std::uint8_t { kAccept, kReject };
enum class FilterSource : std::uint8_t { kRemotePeers };
enum class FilterPeerType : std::uint8_t { kExternal, kInternal };

struct AddCommunity {
  BgpCommunity value;
  bool operator==(const AddCommunity&) const = default;
};
struct PrependAsPath {
  std::vector<Asn> prefix;  // 1 to 10, the first one leftmost
  bool operator==(const PrependAsPath&) const = default;
};
// The smaller the better; LOCAL_PREF 2147483647 - value on the wire, as Calico maps it.
struct SetPriority {
  std::uint32_t value = 0;  // at most 2147483646
  bool operator==(const SetPriority&) const = default;
};
using FilterOperation = std::variant<AddCommunity, PrependAsPath, SetPriority>;

// Conditions that are absent hold for every route; those that are there must all hold.
struct BgpFilterRule {
  std::optional<Prefix> cidr;  // with match
  std::optional<FilterMatch> match;
  std::optional<std::uint8_t> min_length;  // of prefixes in cidr; absent: of the cidr
  std::optional<std::uint8_t> max_length;  // absent: 32 or 128
  std::optional<FilterSource> source;      // learnt from a peer, not our own
  std::optional<FilterPeerType> peer_type;
  std::optional<BgpCommunity> community;
  std::vector<Asn> as_path_prefix;  // the path begins with these
  std::optional<std::uint32_t> priority;
  FilterAction action = FilterAction::kAccept;
  std::vector<FilterOperation> operations;  // in order, with kAccept only; at most 10
  bool operator==(const BgpFilterRule&) const = default;
};

struct BGPFilter {
  std::vector<BgpFilterRule> export_v4;
  std::vector<BgpFilterRule> import_v4;
  std::vector<BgpFilterRule> export_v6;
  std::vector<BgpFilterRule> import_v6;
  bool operator==(const BGPFilter&) const = default;
};

}  // namespace margay::api
