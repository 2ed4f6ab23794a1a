#pragma once
// The translators behind compile() of policy/model.h, and what they share. Internal to policy/.

#include "policy/model.h"

#include <span>
#include <string>
#include <vector>

namespace margay::policy {

// Before the keys of labels that endpoints inherit from their namespace.
inline constexpr std::string_view kNamespacePrefix = "pcns.";

[[nodiscard]] Result<Policy> compile_calico(const api::ResourceKey& key,
                                            const api::GlobalNetworkPolicy& spec);
[[nodiscard]] Result<Policy> compile_calico(const api::ResourceKey& key,
                                            const api::NetworkPolicy& spec);
[[nodiscard]] Result<Policy> compile_profile(const api::ResourceKey& key, const api::Profile& spec);
[[nodiscard]] Result<Policy> compile_admin(const api::ResourceKey& key,
                                           const api::AdminNetworkPolicy& spec);
[[nodiscard]] Result<Policy> compile_admin(const api::ResourceKey& key,
                                           const api::BaselineAdminNetworkPolicy& spec);
[[nodiscard]] Result<Policy> compile_admin(const api::ResourceKey& key,
                                           const api::ClusterNetworkPolicy& spec);
[[nodiscard]] Result<Policy> compile_kubernetes(const api::ResourceKey& key,
                                                const api::KubernetesNetworkPolicy& spec);

// Every workload: Kubernetes knows no network sets, and an empty selector of it means every pod,
// not every address. Only workloads have an orchestrator.
[[nodiscard]] Selector any_pod();

// Sorted, without duplicates.
[[nodiscard]] std::vector<Prefix> sorted_nets(std::vector<Prefix> nets);
// Numbers to `ranges`, sorted and merged where they touch; names to `names`, sorted.
void split_ports(std::span<const api::Port> ports,
                 std::vector<api::PortRange>& ranges,
                 std::vector<std::string>& names);
// The text in quotes for an error message, cut where it is long.
[[nodiscard]] std::string shown(std::string_view text);

}  // namespace margay::policy
