#pragma once
// What a pod or its namespace asks for by Calico's annotations (cni.projectcalico.org/...).
// Runtimes hand over those of the pod by the capability io.kubernetes.cri.pod-annotations. Pure.

#include "base/ip_addr.h"
#include "base/result.h"
#include "cni/error.h"
#include "kernel/model/link.h"

#include <map>
#include <optional>
#include <string>
#include <vector>

namespace margay::cni {

struct Families {
  bool ipv4 = false;
  bool ipv6 = false;
  bool operator==(const Families&) const = default;
};

struct AnnotatedRequest {
  std::vector<IpAddr> addresses;                       // ipAddrs: exactly these
  std::optional<std::vector<std::string>> ipv4_pools;  // ipv4pools: names or CIDRs
  std::optional<std::vector<std::string>> ipv6_pools;  // ipv6pools
  std::optional<Families> families;                    // ipFamilies: IPv4, IPv6
  std::optional<MacAddr> mac;                          // hwAddr
  bool operator==(const AnnotatedRequest&) const = default;
};

// Annotations of others are passed over; errors name the annotation.
[[nodiscard]] Result<AnnotatedRequest, CniError> read_annotations(
    const std::map<std::string, std::string>& annotations);

}  // namespace margay::cni
