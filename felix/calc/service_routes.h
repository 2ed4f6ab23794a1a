#pragma once
// ServiceRoutes: which addresses of Services a node tells its BGP peers (BGPConfiguration
// serviceClusterIPs, serviceExternalIPs, serviceLoadBalancerIPs), as Calico does. Pure.
//
//   a range                              from every node, as it is
//   a service with the traffic policy    its addresses one by one, from nodes that have a ready
//   Local                                endpoint of it
//   a range that is one address, or of   the service's address, from every node, while some
//   balancers without aggregation        endpoint of it is ready
//
// An address that several services share is told while one of them asks for it.

#include "api/resource.h"
#include "base/ip_addr.h"
#include "base/strong.h"

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace margay::felix {

// Nodes with this label tell nothing of services (Kubernetes: excluded from load balancers).
inline constexpr std::string_view kNoServicesLabel =
    "node.kubernetes.io/exclude-from-external-load-balancers";

struct ServiceRanges {
  std::vector<Prefix> cluster_ips;
  std::vector<Prefix> external_ips;
  std::vector<Prefix> load_balancer_ips;
  bool aggregate_load_balancers = true;

  [[nodiscard]] bool empty() const {
    return cluster_ips.empty() && external_ips.empty() && load_balancer_ips.empty();
  }
};

class ServiceRoutes {
 public:
  // Services and EndpointSlices; other kinds are nothing to it.
  void set(const api::Resource& resource);
  void remove(const api::ResourceKey& key);
  [[nodiscard]] static bool concerns(api::Kind kind);

  // `local`: addresses of this node's workloads, for endpoints that name no node.
  [[nodiscard]] std::set<Prefix> routes(const ServiceRanges& ranges,
                                        const NodeName& node,
                                        const std::map<IpAddr, IfName>& local) const;

 private:
  struct Slice {
    std::string service;  // "namespace/name"
    std::vector<api::SliceEndpoint> endpoints;
  };
  struct Ready {
    bool anywhere = false;
    bool here = false;
  };
  [[nodiscard]] std::map<std::string, Ready> ready(const NodeName& node,
                                                   const std::map<IpAddr, IfName>& local) const;

  std::map<std::string, api::Service> services_;  // by "namespace/name"
  std::map<api::ResourceKey, Slice> slices_;
};

}  // namespace margay::felix
