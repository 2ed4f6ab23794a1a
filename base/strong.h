#pragma once
// Strong<Tag, Rep>: a number or text with a meaning, so that an AS number cannot be passed where an
// interface index is expected. Holds any Rep; types with a rule of their own (IfName, NodeName)
// offer parse() instead of a constructor.

#include "base/result.h"

#include <compare>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>

namespace margay {

template <typename Tag, typename Rep>
class Strong {
 public:
  constexpr Strong() = default;
  constexpr explicit Strong(Rep value) : value_(std::move(value)) {}

  [[nodiscard]] constexpr const Rep& value() const { return value_; }

  auto operator<=>(const Strong&) const = default;
  bool operator==(const Strong&) const = default;

 private:
  Rep value_{};
};

using Asn = Strong<struct AsnTag, std::uint32_t>;  // RFC 6793, 0 = none
using RouterId =
    Strong<struct RouterIdTag, std::uint32_t>;  // host byte order; printed as a dotted quad
using IfIndex = Strong<struct IfIndexTag, std::uint32_t>;  // linux/if_link.h ifi_index, 0 = none
using TableId = Strong<struct TableIdTag, std::uint32_t>;  // linux/rtnetlink.h RTA_TABLE
using Mark = Strong<struct MarkTag, std::uint32_t>;        // packet mark
using RouteProtocol =
    Strong<struct RouteProtocolTag, std::uint8_t>;  // linux/rtnetlink.h rtm_protocol

inline constexpr RouteProtocol kProtocolLocal{90};      // routes to local endpoints
inline constexpr RouteProtocol kProtocolBgp{91};        // routes learnt by BGP
inline constexpr RouteProtocol kProtocolBlackhole{92};  // blackholes of the node's own blocks
inline constexpr RouteProtocol kProtocolPeer{93};       // to BGP peers behind a gateway
inline constexpr TableId kTableMain{254};
inline constexpr TableId kTableLocal{255};

// A Linux interface name: 1 to 15 bytes, not "." or "..", no '/', ':' or white space
// (net/core/dev.c dev_valid_name).
class IfName {
 public:
  IfName() = default;
  static Result<IfName> parse(std::string_view text);
  [[nodiscard]] const std::string& str() const { return text_; }
  auto operator<=>(const IfName&) const = default;
  bool operator==(const IfName&) const = default;

 private:
  std::string text_;
};

// The name of a node: a DNS-1123 subdomain, at most 253 bytes, lower case (as a Kubernetes Node).
class NodeName {
 public:
  NodeName() = default;
  static Result<NodeName> parse(std::string_view text);
  [[nodiscard]] const std::string& str() const { return text_; }
  auto operator<=>(const NodeName&) const = default;
  bool operator==(const NodeName&) const = default;

 private:
  std::string text_;
};

// DNS-1123: at most 253 bytes of labels of lower-case letters, digits and '-', joined by '.', no
// label empty or with '-' at an end. As in Kubernetes, only a lone label is held to 63 bytes: names
// of endpoints and handles hold container ids of 64.
bool is_dns_subdomain(std::string_view text);
bool is_dns_label(std::string_view text);

}  // namespace margay

template <typename Tag, typename Rep>
struct std::hash<margay::Strong<Tag, Rep>> {
  std::size_t operator()(const margay::Strong<Tag, Rep>& strong) const noexcept {
    return std::hash<Rep>{}(strong.value());
  }
};
template <>
struct std::hash<margay::IfName> {
  std::size_t operator()(const margay::IfName& name) const noexcept {
    return std::hash<std::string>{}(name.str());
  }
};
template <>
struct std::hash<margay::NodeName> {
  std::size_t operator()(const margay::NodeName& name) const noexcept {
    return std::hash<std::string>{}(name.str());
  }
};
