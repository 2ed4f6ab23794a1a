#pragma once
// Wiring a container: a veth pair with each end born in its namespace, addresses, routes and
// permanent neighbours on both sides, so that the first packet passes at once.
//
//   container                                   host
//   eth0  10.64.3.7/32, fd00:3::7/128  =====  mgy1a2b3c4d5e6  ee:ee:ee:ee:ee:ee, no address
//   169.254.1.1 dev eth0 scope link             answers for every address (proxy_arp)
//   default via 169.254.1.1                     neighbours 10.64.3.7, fd00:3::7 -> MAC of eth0
//   default via fe80::ecee:eeff:feee:eeee
//
// A further interface of a container keeps its routes in a table of its own, which its addresses
// use: the default route stays with the first one.
//
// The /32 and /128 routes of the host are not made here: the route reconciler installs them when
// the link appears. All functions are for one thread at a time and block for about a millisecond.

#include "base/result.h"
#include "base/step.h"
#include "kernel/model/link.h"

#include <map>
#include <optional>
#include <string>
#include <vector>

namespace margay {

inline constexpr std::string_view kHostMac = "ee:ee:ee:ee:ee:ee";
inline constexpr std::string_view kGatewayV4 = "169.254.1.1";
inline constexpr std::string_view kGatewayV6 = "fe80::ecee:eeff:feee:eeee";

struct WiringRequest {
  std::string netns_path;                // of the container
  IfName container_name;                 // "eth0"
  IfName host_name;                      // "mgy..."
  std::vector<IpAddr> addresses;         // at least one; IPv6 ones are refused where there is none
  std::optional<std::uint32_t> mtu;      // absent: that of the route to `fabric`, else 1500
  std::optional<IpAddr> fabric;          // an address reached over the fabric, for the MTU
  std::optional<MacAddr> container_mac;  // absent: derived_mac()
  bool route_localnet = false;           // the node's loopback may lead to the container
  Bandwidth bandwidth;                   // limits, kept on the host's side
};

struct WiringResult {
  IfIndex host_index;
  MacAddr host_mac;
  MacAddr container_mac;
  std::uint32_t mtu = 0;
  std::map<Family, TableId> tables;  // of the default routes, where not the main one
};

// The name of the host end: "mgy" and eleven hexadecimal digits of a hash of container and
// interface, so that every call about them finds the same link.
[[nodiscard]] IfName host_interface_name(std::string_view container_id,
                                         std::string_view interface_name);

// The MAC of the container's end: locally administered, unicast, the same for every call about this
// host end.
[[nodiscard]] MacAddr derived_mac(const IfName& host_name);

// Undoes itself on failure. A host end left by an earlier, unfinished call is replaced.
[[nodiscard]] Result<WiringResult> wire_container(const WiringRequest& request,
                                                  const AtStep& at_step = nullptr);
// Removes the host end; the other end goes along. Nothing to remove is no failure.
[[nodiscard]] Result<void> unwire_container(const IfName& host_name);
// CNI CHECK: both ends up, addresses and default routes as wired; names what differs.
[[nodiscard]] Result<void> check_container(const WiringRequest& request);
// What wire_container() said, read from the kernel; fails as check_container() does.
[[nodiscard]] Result<WiringResult> look_at_container(const WiringRequest& request);

}  // namespace margay
