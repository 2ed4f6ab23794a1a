#pragma once
// Routes as plain values: what a reconciler wants and what a dump or an event shows.

#include "base/ip_addr.h"
#include "base/strong.h"

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace margay {

enum class RouteType : std::uint8_t {
  kUnicast,
  kLocal,  // the address is one of this machine
  kBlackhole,
  kUnreachable,
  kProhibit,
  kOther,
};
enum class RouteScope : std::uint8_t { kGlobal, kLink, kHost };  // IPv4 only; IPv6 is always global

// One way out. A wanted next hop names its interface (`name`, found when it appears), or gives an
// index, or neither when the gateway decides it; an observed one has the index.
struct NextHop {
  std::optional<IpAddr> gateway;  // absent: directly on the interface
  IfIndex ifindex;
  std::string name;  // wins over ifindex
  std::uint16_t weight = 1;
  bool onlink = false;  // the gateway is taken to be on the interface without asking the table

  auto operator<=>(const NextHop&) const = default;
  bool operator==(const NextHop&) const = default;
};

// What the kernel takes as one route: a second one with the same key is refused.
struct RouteKey {
  Prefix prefix;
  TableId table = kTableMain;
  std::uint32_t metric = 0;  // IPv6 has 1024 where none is given

  auto operator<=>(const RouteKey&) const = default;
  bool operator==(const RouteKey&) const = default;
};

struct RouteSpec {
  RouteKey key;
  RouteProtocol protocol = kProtocolLocal;
  RouteType type = RouteType::kUnicast;
  RouteScope scope = RouteScope::kGlobal;
  std::vector<NextHop> next_hops;  // more than one: equal-cost multipath; none for a blackhole
  std::optional<IpAddr> prefer_source;

  [[nodiscard]] std::string str() const;  // "10.64.3.0/26 via 192.0.2.7 table 254 proto 91"
  auto operator<=>(const RouteSpec&) const = default;
  bool operator==(const RouteSpec&) const = default;
};

// A route straight to an interface: the /32 or /128 of a local endpoint.
[[nodiscard]] RouteSpec route_to_interface(const IpAddr& addr, const IfName& name);
// A route of the node's own block, so that unassigned addresses do not loop.
[[nodiscard]] RouteSpec blackhole_route(const Prefix& prefix);
// An address of this machine that no interface has.
[[nodiscard]] RouteSpec local_route(const IpAddr& addr, RouteProtocol protocol);
// A route by one or more gateways, as learnt from a routing protocol.
[[nodiscard]] RouteSpec route_via(const Prefix& prefix,
                                  const std::vector<IpAddr>& gateways,
                                  RouteProtocol protocol);

// The same route with a canonical form: next hops sorted, IPv6 metric filled in, IPv6 scope global.
// Reconcilers compare canonical forms.
[[nodiscard]] RouteSpec canonical(RouteSpec route);

enum class RouteAction : std::uint8_t {
  kCreate,   // fails with kExists when any route has the key
  kReplace,  // takes the place of the route with the key
  kRemove,   // only a route of the given protocol and key
};
struct RouteChange {
  RouteAction action{};
  RouteSpec route;
};

}  // namespace margay
