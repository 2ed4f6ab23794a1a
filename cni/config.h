#pragma once
// The CNI configuration as the agent reads it: strict where a wrong value would do harm, tolerant
// of keys it does not know, as the specification demands. Pure.

#include "api/endpoint.h"
#include "base/ip_addr.h"
#include "base/result.h"
#include "cni/error.h"
#include "cni/result.h"
#include "kernel/model/link.h"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace margay::cni {

struct IpamConfig {
  std::string type;  // empty: Margay's own
  bool assign_ipv4 = true;
  bool assign_ipv6 = false;
  std::vector<std::string> ipv4_pools;  // names or CIDRs
  std::vector<std::string> ipv6_pools;
  std::vector<IpAddr> gateways;  // of margay-ipam under another plugin, at most one of a family

  // Addresses come from a program of this name in CNI_PATH.
  [[nodiscard]] bool delegated() const { return !type.empty() && type != "margay-ipam"; }
  bool operator==(const IpamConfig&) const = default;
};

// What an earlier ADD answered, as far as CHECK compares it.
struct PreviousResult {
  struct Interface {
    std::string name;
    std::string sandbox;
    bool operator==(const Interface&) const = default;
  };
  std::vector<Interface> interfaces;
  std::vector<IpAddr> addresses;
  bool operator==(const PreviousResult&) const = default;
};

// One attachment that the runtime knows, of a GC request.
struct Attachment {
  std::string container_id;
  std::string ifname;
  auto operator<=>(const Attachment&) const = default;
  bool operator==(const Attachment&) const = default;
};

struct NetworkConfig {
  std::string cni_version = "0.1.0";  // what an absent key means
  std::string name;
  std::string type;
  std::string run_dir = "/run/margay";
  std::uint32_t mtu = 0;  // 0: that of the fabric
  std::uint32_t timeout_s = 10;
  std::map<std::string, std::string> labels;  // "labels" and args.cni.labels, the latter wins
  IpamConfig ipam;
  std::vector<IpAddr> addresses;         // runtimeConfig.ips
  std::optional<MacAddr> mac;            // runtimeConfig.mac
  std::vector<api::EndpointPort> ports;  // runtimeConfig.portMappings; each has a host port
  // runtimeConfig."io.kubernetes.cri.pod-annotations"; cni/annotations.h reads them
  std::map<std::string, std::string> annotations;
  Bandwidth bandwidth;  // "bandwidth" and runtimeConfig.bandwidth
  Dns dns;              // "dns" and runtimeConfig.dns; handed on in the result
  std::optional<PreviousResult> previous;
  std::optional<std::vector<Attachment>> attachments;  // absent: the runtime gave no list
  bool operator==(const NetworkConfig&) const = default;
};

inline constexpr std::uint32_t kMaxTimeoutS = 600;

[[nodiscard]] Result<NetworkConfig, CniError> parse_config(std::string_view json);
// The version to answer a configuration in that does not parse: its own where that one is
// supported, else the newest.
[[nodiscard]] std::string asked_version(std::string_view json);

}  // namespace margay::cni
