#pragma once
// Links, addresses and neighbours as plain values.

#include "base/ip_addr.h"
#include "base/strong.h"

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace margay {

class MacAddr {
 public:
  constexpr MacAddr() = default;
  constexpr explicit MacAddr(const std::array<std::uint8_t, 6>& bytes) : bytes_(bytes) {}
  static Result<MacAddr> parse(std::string_view text);  // "ee:ee:ee:ee:ee:ee"

  [[nodiscard]] const std::array<std::uint8_t, 6>& bytes() const { return bytes_; }
  [[nodiscard]] std::string str() const;
  auto operator<=>(const MacAddr&) const = default;
  bool operator==(const MacAddr&) const = default;

 private:
  std::array<std::uint8_t, 6> bytes_{};
};

struct LinkState {
  IfIndex index;
  std::string name;
  std::string kind;  // "veth"; empty for hardware
  MacAddr mac;
  std::uint32_t mtu = 0;
  bool up = false;       // IFF_UP: as configured
  bool carrier = false;  // IFF_LOWER_UP: the other end is there
  IfIndex peer;          // veth: index of the other end in its namespace
  auto operator<=>(const LinkState&) const = default;
  bool operator==(const LinkState&) const = default;
};

// Settings of one device; absent ones keep the kernel's value.
struct DeviceConfig {
  std::optional<bool> ipv4_forwarding;
  std::optional<bool> ipv6_forwarding;
  std::optional<bool> proxy_arp;
  std::optional<bool> route_localnet;     // 127.0.0.0/8 is routed like any other network
  std::optional<std::uint8_t> rp_filter;  // 0 off, 1 strict, 2 loose
  std::optional<std::uint8_t> accept_ra;
  std::optional<bool> ipv6_disabled;
  bool operator==(const DeviceConfig&) const = default;
};

// How fast one direction may be; no rate: as fast as it goes.
struct RateLimit {
  std::uint64_t bytes_per_s = 0;
  std::uint64_t burst_bytes = 0;  // 0: chosen by the rate
  auto operator<=>(const RateLimit&) const = default;
  bool operator==(const RateLimit&) const = default;
};
struct Bandwidth {
  RateLimit to_container;    // "ingress" in the conventions of CNI
  RateLimit from_container;  // "egress"
  auto operator<=>(const Bandwidth&) const = default;
  bool operator==(const Bandwidth&) const = default;
};

// Both ends of a new pair; each end is born in its namespace.
struct VethSpec {
  IfName host_name;
  IfName peer_name;
  MacAddr host_mac;
  MacAddr peer_mac;
  std::uint32_t mtu = 1500;
  int peer_netns_fd = -1;  // open for the duration of the call
};

struct AddressSpec {
  IfIndex link;
  InterfaceAddr address;
  auto operator<=>(const AddressSpec&) const = default;
  bool operator==(const AddressSpec&) const = default;
};

// A permanent neighbour entry.
struct NeighbourSpec {
  IfIndex link;
  IpAddr addr;
  MacAddr mac;
  auto operator<=>(const NeighbourSpec&) const = default;
  bool operator==(const NeighbourSpec&) const = default;
};

}  // namespace margay
