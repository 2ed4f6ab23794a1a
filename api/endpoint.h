#pragma once
// Who policy applies to and whom it names: WorkloadEndpoint, HostEndpoint, NetworkSet,
// GlobalNetworkSet.

#include "api/policy.h"

namespace margay::api {

struct EndpointPort {
  std::string name;
  Protocol protocol = kTcp;
  std::uint16_t port = 0;
  std::uint16_t host_port = 0;  // 0: none; a port of a workload without it has a name
  std::optional<IpAddr> host_ip;
  bool operator==(const EndpointPort&) const = default;
};

// A container's interface. Policy matches metadata.labels plus the inherited ones.
struct WorkloadEndpoint {
  std::string orchestrator;  // "k8s" or "cni"
  std::string workload;
  NodeName node;
  std::string container_id;
  std::string pod;
  std::string endpoint;  // interface name inside the container, "eth0"
  std::string service_account;
  std::vector<Prefix> ip_networks;  // /32 and /128 only
  std::vector<std::string> profiles;
  IfName interface_name;  // on the host
  std::string mac;        // of the container's side, may be empty
  std::vector<EndpointPort> ports;
  std::vector<Prefix> allowed_source_prefixes;  // allowSpoofedSourcePrefixes
  bool operator==(const WorkloadEndpoint&) const = default;
};

// An interface of a node, or all of them. Policy matches metadata.labels.
inline constexpr std::string_view kEveryInterface = "*";
struct HostEndpoint {
  NodeName node;
  IfName interface_name;             // kEveryInterface for all; may be empty with expected_ips
  std::vector<IpAddr> expected_ips;  // the interface that has one of these
  std::vector<std::string> profiles;
  std::vector<EndpointPort> ports;  // without host_port and host_ip
  bool operator==(const HostEndpoint&) const = default;
};

// Networks that selectors find by metadata.labels, of a namespace or outside all of them.
struct NetworkSet {
  std::vector<Prefix> nets;
  bool operator==(const NetworkSet&) const = default;
};
struct GlobalNetworkSet {
  std::vector<Prefix> nets;
  bool operator==(const GlobalNetworkSet&) const = default;
};

}  // namespace margay::api
