#pragma once
// What all resources share: kind, name, labels, revision. The model is Calico's
// projectcalico.org/v3 and Kubernetes' own, see docs/compatibility.md.

#include "base/result.h"

#include <compare>
#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>

namespace margay::api {

enum class Kind : std::uint8_t {
  kNode,
  kIPPool,
  kBGPConfiguration,
  kBGPPeer,
  kGlobalNetworkPolicy,
  kNetworkPolicy,            // projectcalico.org/v3
  kKubernetesNetworkPolicy,  // networking.k8s.io/v1, stored beside Calico's of the same name
  kTier,
  kNamespace,
  kWorkloadEndpoint,
  kFelixConfiguration,
  kIPAMBlock,
  kIPAMHandle,
  kIPAMConfiguration,
  kBlockAffinity,
  kStagedGlobalNetworkPolicy,
  kStagedNetworkPolicy,
  kStagedKubernetesNetworkPolicy,
  kGlobalNetworkSet,
  kNetworkSet,
  kHostEndpoint,
  kProfile,
  kServiceAccount,
  kService,
  kEndpointSlice,
  kAdminNetworkPolicy,
  kBaselineAdminNetworkPolicy,
  kClusterNetworkPolicy,
  kKubeControllersConfiguration,
  kNodeStatus,     // margay.io/v1, written by agents
  kPendingChange,  // margay.io/v1, written by `margayctl apply --confirm`
  kBGPFilter,
  kSecret,
  kIPReservation,
  kKubernetesNode,  // v1, stored beside Calico's of the same name
};

// One row of knowledge about a kind; everything that prints, parses, lists or completes kinds reads
// this table.
struct KindSpec {
  Kind kind;
  std::string_view name;                          // "GlobalNetworkPolicy"
  std::string_view plural;                        // "globalnetworkpolicies"
  std::string_view api_version;                   // "projectcalico.org/v3"
  std::span<const std::string_view> short_names;  // "gnp"
  bool namespaced;
};

[[nodiscard]] std::span<const KindSpec> all_kinds();
[[nodiscard]] const KindSpec& spec_of(Kind kind);
// "gnp", "GlobalNetworkPolicy", "globalnetworkpolicies", any case. "networkpolicy" is Calico's;
// Kubernetes' answers to "networkpolicy.networking.k8s.io" and "knp"; "node" is Calico's,
// Kubernetes' answers to "node.v1" and "kno".
[[nodiscard]] Result<Kind> parse_kind(std::string_view text);
// By the two fields of a document.
[[nodiscard]] Result<Kind> parse_kind(std::string_view api_version, std::string_view kind);

using Labels = std::map<std::string, std::string>;

struct ResourceKey {
  Kind kind = Kind::kNode;
  std::string ns;  // empty for kinds without a namespace
  std::string name;

  // "GlobalNetworkPolicy deny-all", "NetworkPolicy prod/web"
  [[nodiscard]] std::string str() const;
  auto operator<=>(const ResourceKey&) const = default;
  bool operator==(const ResourceKey&) const = default;
};

// As people name an object: the kind as parse_kind() takes it; `ns` only counts for kinds that have
// one.
[[nodiscard]] Result<ResourceKey> key_of(std::string_view kind,
                                         const std::string& ns,
                                         const std::string& name);

struct Metadata {
  std::string name;
  std::string ns;  // "namespace" in documents
  Labels labels;
  Labels annotations;
  std::string uid;
  std::string resource_version;    // decimal revision of the store; empty before the first write
  std::string creation_timestamp;  // RFC 3339, UTC, set by the store's first write

  bool operator==(const Metadata&) const = default;
};

}  // namespace margay::api

template <>
struct std::hash<margay::api::ResourceKey> {
  std::size_t operator()(const margay::api::ResourceKey& key) const noexcept {
    const std::hash<std::string> text_hash;
    return text_hash(key.name) * 31U + text_hash(key.ns) * 7U + static_cast<std::size_t>(key.kind);
  }
};
