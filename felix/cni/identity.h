#pragma once
// Who a container is: names of its stored objects and its labels, from what the runtime said. Pure.

#include "api/ipam.h"
#include "cni/config.h"
#include "felix/cni/endpoint_service.h"
#include "ipam/block.h"

#include <optional>
#include <string>
#include <string_view>

namespace margay::felix {

struct Identity {
  std::string container_id;
  std::string ifname;
  std::string network;
  std::string orchestrator;  // "k8s" or "cni"
  std::string ns;            // namespace of the endpoint
  std::string workload;      // pod name, or the container id
  std::string endpoint;      // name of the WorkloadEndpoint
  std::string handle;        // of the container's addresses: network.container
  IfName host_name;

  [[nodiscard]] api::ResourceKey key() const {
    return {api::Kind::kWorkloadEndpoint, ns, endpoint};
  }
};

// The handle of a container's addresses.
[[nodiscard]] std::string handle_name(std::string_view network, std::string_view container_id);

// Whether the addresses of this holder are those of this interface of the container. The handle
// alone does not say: that of "net" and "1.x" is also that of "net.1" and "x".
[[nodiscard]] bool holds_for(const api::AllocationAttribute& holder, const Identity& identity);

[[nodiscard]] ipam::HolderMatch of_attachment(const Identity& identity);

// Kubernetes names when CNI_ARGS has namespace and name of a pod; else namespace "default" and the
// container id.
[[nodiscard]] Identity identify(const CniRequest& request,
                                const cni::NetworkConfig& config,
                                const NodeName& node);

// Calico's name of an endpoint: node, orchestrator, workload and endpoint joined by '-', with '-'
// inside doubled.
[[nodiscard]] std::string endpoint_name(const NodeName& node,
                                        std::string_view orchestrator,
                                        std::string_view workload,
                                        std::string_view ifname);

// The text itself when stores take it as a name; else made fit, with a hash that keeps it unique.
[[nodiscard]] std::string object_name(std::string_view text);

// What the runtime said about an ADD and no store takes: a namespace that cannot be one, names of
// other than printable ASCII.
[[nodiscard]] std::optional<cni::CniError> check_names(const Identity& identity);

// An annotation of endpoints: the network. Those of earlier versions lack it.
inline constexpr const char* kNetworkAnnotation = "margay.io/cni-network";
// Another: what another IPAM plugin said about DNS, for the same ADD once more.
inline constexpr const char* kDnsAnnotation = "margay.io/cni-dns";

// The endpoint as it is stored: labels and ports of the configuration, the MAC that the runtime
// asked for or derived_mac().
[[nodiscard]] api::Resource endpoint_resource(const Identity& identity,
                                              const NodeName& node,
                                              const cni::NetworkConfig& config,
                                              const std::vector<IpAddr>& addresses);

}  // namespace margay::felix
