#pragma once
// HostPorts: ports of this node that lead to a workload (CNI portMappings; WorkloadEndpoint
// spec.ports with hostPort). Pure.

#include "api/endpoint.h"
#include "api/metadata.h"
#include "base/ip_addr.h"

#include <compare>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

namespace margay::felix {

// A port of the node: at one of its addresses, or at all of them. The address comes last, so that
// what could overlap stands side by side.
struct HostPort {
  Family family = Family::kIpv4;
  std::uint8_t protocol = 0;  // IANA number
  std::uint16_t port = 0;
  std::optional<IpAddr> addr;
  auto operator<=>(const HostPort&) const = default;
  bool operator==(const HostPort&) const = default;

  // Some packet would be for both of them.
  [[nodiscard]] bool overlaps(const HostPort& other) const;
  [[nodiscard]] std::string str() const;  // "8080/TCP", "10.0.0.1:8080/UDP"
};
struct HostPortTarget {
  IpAddr addr;
  std::uint16_t port = 0;
  auto operator<=>(const HostPortTarget&) const = default;
  bool operator==(const HostPortTarget&) const = default;
};
using PublishedPorts = std::vector<std::pair<HostPort, HostPortTarget>>;

// What an endpoint publishes: of each family that it has an address of, its first one. A hostIP
// that is unspecified (0.0.0.0, ::) stands for all addresses of its family.
[[nodiscard]] PublishedPorts published_ports(const api::WorkloadEndpoint& endpoint);

// Which endpoint has which port, of those that claim one: the first by key.
class HostPorts {
 public:
  struct Changes {
    PublishedPorts set;
    std::vector<HostPort> remove;
  };
  void claim(const api::ResourceKey& key, const PublishedPorts& ports);
  void release(const api::ResourceKey& key, const PublishedPorts& ports);
  [[nodiscard]] Changes take_changes();

 private:
  std::map<HostPort, std::map<api::ResourceKey, HostPortTarget>> claims_;
  std::set<HostPort> dirty_;
  std::map<HostPort, HostPortTarget> emitted_;
};

}  // namespace margay::felix
