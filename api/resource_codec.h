#pragma once
// Documents of all kinds: each describe() is defined, and instantiated for Reader and Writer, in
// the file of its family. Internal to api/.

#include "api/codec.h"
#include "api/resource.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string>

namespace margay::api {

// Calico's words for log levels, in any case.
template <typename Visitor>
void check_log_severity(Visitor& visit, const std::optional<std::string>& severity) {
  constexpr std::array kLevels{"Trace", "Debug", "Info", "Warning", "Error", "Fatal"};
  const bool known = !severity || std::ranges::any_of(kLevels, [&](const char* level) {
    return same_word(level, *severity);
  });
  if (!known) {
    visit.fail("logSeverityScreen",
               "\"" + *severity + "\": expected Trace, Debug, Info, Warning, Error or Fatal");
  }
}

// node_codec.cpp
template <typename Visitor>
void describe(Visitor& visit, Node& node);
template <typename Visitor>
void describe(Visitor& visit, KubeControllersConfiguration& config);
template <typename Visitor>
void describe(Visitor& visit, NodeStatus& status);
template <typename Visitor>
void describe(Visitor& visit, PendingChange& change);
// bgp_codec.cpp
template <typename Visitor>
void describe(Visitor& visit, BGPConfiguration& config);
template <typename Visitor>
void describe(Visitor& visit, BGPPeer& peer);
// bgp_filter_codec.cpp
template <typename Visitor>
void describe(Visitor& visit, BGPFilter& filter);
// ipam_codec.cpp
template <typename Visitor>
void describe(Visitor& visit, IPPool& pool);
template <typename Visitor>
void describe(Visitor& visit, IPAMBlock& block);
template <typename Visitor>
void describe(Visitor& visit, IPAMHandle& handle);
template <typename Visitor>
void describe(Visitor& visit, IPAMConfiguration& config);
template <typename Visitor>
void describe(Visitor& visit, IPReservation& reservation);
template <typename Visitor>
void describe(Visitor& visit, BlockAffinity& affinity);
// felix_codec.cpp
template <typename Visitor>
void describe(Visitor& visit, FelixConfiguration& config);
// policy_codec.cpp
template <typename Visitor>
void describe(Visitor& visit, Tier& tier);
template <typename Visitor>
void describe(Visitor& visit, GlobalNetworkPolicy& policy);
template <typename Visitor>
void describe(Visitor& visit, NetworkPolicy& policy);
template <typename Visitor>
void describe(Visitor& visit, StagedGlobalNetworkPolicy& staged);
template <typename Visitor>
void describe(Visitor& visit, StagedNetworkPolicy& staged);
template <typename Visitor>
void describe(Visitor& visit, Profile& profile);
// endpoint_codec.cpp
template <typename Visitor>
void describe(Visitor& visit, WorkloadEndpoint& endpoint);
template <typename Visitor>
void describe(Visitor& visit, HostEndpoint& endpoint);
template <typename Visitor>
void describe(Visitor& visit, NetworkSet& set);
template <typename Visitor>
void describe(Visitor& visit, GlobalNetworkSet& set);
// kubernetes_codec.cpp
template <typename Visitor>
void describe(Visitor& visit, KubernetesNetworkPolicy& policy);
template <typename Visitor>
void describe(Visitor& visit, StagedKubernetesNetworkPolicy& staged);
// kubernetes_object_codec.cpp
template <typename Visitor>
void describe(Visitor& visit, Namespace& ns);
template <typename Visitor>
void describe(Visitor& visit, KubernetesNode& node);
template <typename Visitor>
void describe(Visitor& visit, ServiceAccount& account);
template <typename Visitor>
void describe(Visitor& visit, Service& service);
template <typename Visitor>
void describe_status(Visitor& visit, Service& service);
template <typename Visitor>
void describe(Visitor& visit, EndpointSlice& slice);
template <typename Visitor>
void describe(Visitor& visit, Secret& secret);
// admin_policy_codec.cpp
template <typename Visitor>
void describe(Visitor& visit, AdminNetworkPolicy& policy);
template <typename Visitor>
void describe(Visitor& visit, BaselineAdminNetworkPolicy& policy);
template <typename Visitor>
void describe(Visitor& visit, ClusterNetworkPolicy& policy);

}  // namespace margay::api
