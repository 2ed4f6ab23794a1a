#include "api/metadata.h"

#include "api/codec.h"
#include "base/edit_distance.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <optional>

namespace margay::api {

namespace {

constexpr std::string_view kCalico = "projectcalico.org/v3";
constexpr std::string_view kAdminPolicy = "policy.networking.k8s.io/v1alpha1";

constexpr std::array<std::string_view, 1> kNodeNames{"no"};
constexpr std::array<std::string_view, 1> kPoolNames{"pool"};
constexpr std::array<std::string_view, 1> kBgpConfigurationNames{"bgpconfig"};
constexpr std::array<std::string_view, 1> kBgpPeerNames{"bgpp"};
constexpr std::array<std::string_view, 1> kGlobalPolicyNames{"gnp"};
constexpr std::array<std::string_view, 1> kPolicyNames{"np"};
constexpr std::array<std::string_view, 2> kKubernetesPolicyNames{"knp",
                                                                 "networkpolicy.networking.k8s.io"};
constexpr std::array<std::string_view, 1> kNamespaceNames{"ns"};
constexpr std::array<std::string_view, 1> kEndpointNames{"wep"};
constexpr std::array<std::string_view, 1> kFelixNames{"felixconfig"};
constexpr std::array<std::string_view, 1> kIpamConfigNames{"ipamconfig"};
constexpr std::array<std::string_view, 1> kStagedGlobalPolicyNames{"sgnp"};
constexpr std::array<std::string_view, 2> kStagedPolicyNames{"snp", "spol"};
constexpr std::array<std::string_view, 2> kStagedKubernetesPolicyNames{"sknp", "skpol"};
constexpr std::array<std::string_view, 1> kGlobalNetworkSetNames{"gnetsets"};
constexpr std::array<std::string_view, 1> kNetworkSetNames{"netsets"};
constexpr std::array<std::string_view, 1> kHostEndpointNames{"hep"};
constexpr std::array<std::string_view, 1> kProfileNames{"pro"};
constexpr std::array<std::string_view, 1> kServiceAccountNames{"sa"};
constexpr std::array<std::string_view, 1> kServiceNames{"svc"};
constexpr std::array<std::string_view, 1> kAdminPolicyNames{"anp"};
constexpr std::array<std::string_view, 1> kBaselineAdminPolicyNames{"banp"};
constexpr std::array<std::string_view, 1> kClusterPolicyNames{"cnp"};
constexpr std::array<std::string_view, 1> kKubeControllersNames{"kcc"};
constexpr std::array<std::string_view, 1> kNodeStatusNames{"nodestat"};
constexpr std::array<std::string_view, 1> kPendingChangeNames{"pending"};
constexpr std::array<std::string_view, 1> kBgpFilterNames{"bgpf"};
constexpr std::array<std::string_view, 2> kKubernetesNodeNames{"kno", "node.v1"};

// In the order of Kind.
constexpr std::array kKinds{
    KindSpec{Kind::kNode, "Node", "nodes", kCalico, kNodeNames, false},
    KindSpec{Kind::kIPPool, "IPPool", "ippools", kCalico, kPoolNames, false},
    KindSpec{Kind::kBGPConfiguration,
             "BGPConfiguration",
             "bgpconfigurations",
             kCalico,
             kBgpConfigurationNames,
             false},
    KindSpec{Kind::kBGPPeer, "BGPPeer", "bgppeers", kCalico, kBgpPeerNames, false},
    KindSpec{Kind::kGlobalNetworkPolicy,
             "GlobalNetworkPolicy",
             "globalnetworkpolicies",
             kCalico,
             kGlobalPolicyNames,
             false},
    KindSpec{Kind::kNetworkPolicy, "NetworkPolicy", "networkpolicies", kCalico, kPolicyNames, true},
    KindSpec{Kind::kKubernetesNetworkPolicy,
             "NetworkPolicy",
             "networkpolicies.networking.k8s.io",
             "networking.k8s.io/v1",
             kKubernetesPolicyNames,
             true},
    KindSpec{Kind::kTier, "Tier", "tiers", kCalico, {}, false},
    KindSpec{Kind::kNamespace, "Namespace", "namespaces", "v1", kNamespaceNames, false},
    KindSpec{Kind::kWorkloadEndpoint,
             "WorkloadEndpoint",
             "workloadendpoints",
             kCalico,
             kEndpointNames,
             true},
    KindSpec{Kind::kFelixConfiguration,
             "FelixConfiguration",
             "felixconfigurations",
             kCalico,
             kFelixNames,
             false},
    KindSpec{Kind::kIPAMBlock, "IPAMBlock", "ipamblocks", kCalico, {}, false},
    KindSpec{Kind::kIPAMHandle, "IPAMHandle", "ipamhandles", kCalico, {}, false},
    KindSpec{Kind::kIPAMConfiguration,
             "IPAMConfiguration",
             "ipamconfigurations",
             kCalico,
             kIpamConfigNames,
             false},
    KindSpec{Kind::kBlockAffinity, "BlockAffinity", "blockaffinities", kCalico, {}, false},
    KindSpec{Kind::kStagedGlobalNetworkPolicy,
             "StagedGlobalNetworkPolicy",
             "stagedglobalnetworkpolicies",
             kCalico,
             kStagedGlobalPolicyNames,
             false},
    KindSpec{Kind::kStagedNetworkPolicy,
             "StagedNetworkPolicy",
             "stagednetworkpolicies",
             kCalico,
             kStagedPolicyNames,
             true},
    KindSpec{Kind::kStagedKubernetesNetworkPolicy,
             "StagedKubernetesNetworkPolicy",
             "stagedkubernetesnetworkpolicies",
             kCalico,
             kStagedKubernetesPolicyNames,
             true},
    KindSpec{Kind::kGlobalNetworkSet,
             "GlobalNetworkSet",
             "globalnetworksets",
             kCalico,
             kGlobalNetworkSetNames,
             false},
    KindSpec{Kind::kNetworkSet, "NetworkSet", "networksets", kCalico, kNetworkSetNames, true},
    KindSpec{
        Kind::kHostEndpoint, "HostEndpoint", "hostendpoints", kCalico, kHostEndpointNames, false},
    KindSpec{Kind::kProfile, "Profile", "profiles", kCalico, kProfileNames, false},
    KindSpec{Kind::kServiceAccount,
             "ServiceAccount",
             "serviceaccounts",
             "v1",
             kServiceAccountNames,
             true},
    KindSpec{Kind::kService, "Service", "services", "v1", kServiceNames, true},
    KindSpec{
        Kind::kEndpointSlice, "EndpointSlice", "endpointslices", "discovery.k8s.io/v1", {}, true},
    KindSpec{Kind::kAdminNetworkPolicy,
             "AdminNetworkPolicy",
             "adminnetworkpolicies",
             kAdminPolicy,
             kAdminPolicyNames,
             false},
    KindSpec{Kind::kBaselineAdminNetworkPolicy,
             "BaselineAdminNetworkPolicy",
             "baselineadminnetworkpolicies",
             kAdminPolicy,
             kBaselineAdminPolicyNames,
             false},
    KindSpec{Kind::kClusterNetworkPolicy,
             "ClusterNetworkPolicy",
             "clusternetworkpolicies",
             "policy.networking.k8s.io/v1alpha2",
             kClusterPolicyNames,
             false},
    KindSpec{Kind::kKubeControllersConfiguration,
             "KubeControllersConfiguration",
             "kubecontrollersconfigurations",
             kCalico,
             kKubeControllersNames,
             false},
    KindSpec{
        Kind::kNodeStatus, "NodeStatus", "nodestatuses", "margay.io/v1", kNodeStatusNames, false},
    KindSpec{Kind::kPendingChange,
             "PendingChange",
             "pendingchanges",
             "margay.io/v1",
             kPendingChangeNames,
             false},
    KindSpec{Kind::kBGPFilter, "BGPFilter", "bgpfilters", kCalico, kBgpFilterNames, false},
    KindSpec{Kind::kSecret, "Secret", "secrets", "v1", {}, true},
    KindSpec{Kind::kIPReservation, "IPReservation", "ipreservations", kCalico, {}, false},
    KindSpec{Kind::kKubernetesNode, "Node", "nodes.v1", "v1", kKubernetesNodeNames, false},
};

// Kinds of Calico that this version has no use for: people who bring them shall read that they are
// known, not that they mistyped.
constexpr std::array<std::string_view, 3> kCalicoOnly{
    "ClusterInformation", "CalicoNodeStatus", "IPAMConfig"};

// Each once, in the order of the table.
std::string api_versions() {
  std::string text;
  for (const KindSpec& spec : kKinds) {
    const auto* first = std::ranges::find(kKinds, spec.api_version, &KindSpec::api_version);
    if (first->kind == spec.kind) {
      text += (text.empty() ? "" : ", ") + std::string(spec.api_version);
    }
  }
  return text;
}

bool answers_to(const KindSpec& spec, std::string_view text) {
  const auto same = [text](std::string_view name) { return same_word(name, text); };
  return same(spec.name) || same(spec.plural) || std::ranges::any_of(spec.short_names, same);
}

// "bgppeers.projectcalico.org", as Kubernetes spells a kind with its group.
std::optional<Kind> parse_kind_of_group(std::string_view text) {
  const std::size_t dot = text.find('.');
  if (dot == std::string_view::npos) {
    return std::nullopt;
  }
  std::string_view group = text.substr(dot + 1);
  if (same_word(group, "crd.projectcalico.org")) {  // Calico's storage group has the same kinds
    group = "projectcalico.org";
  }
  for (const KindSpec& spec : kKinds) {
    const std::string_view own = spec.api_version.substr(0, spec.api_version.find('/'));
    if (same_word(group, own) && answers_to(spec, text.substr(0, dot))) {
      return spec.kind;
    }
  }
  return std::nullopt;
}

}  // namespace

std::span<const KindSpec> all_kinds() {
  return kKinds;
}

const KindSpec& spec_of(Kind kind) {
  return kKinds.at(static_cast<std::size_t>(kind));
}

Result<Kind> parse_kind(std::string_view text) {
  for (const KindSpec& spec : kKinds) {
    const auto same = [text](std::string_view name) { return same_word(name, text); };
    const bool by_name = spec.kind != Kind::kKubernetesNetworkPolicy && same(spec.name);
    if (by_name || same(spec.plural) || std::ranges::any_of(spec.short_names, same)) {
      return spec.kind;
    }
  }
  if (const auto kind = parse_kind_of_group(text)) {
    return *kind;
  }
  std::string names;
  for (const KindSpec& spec : kKinds) {
    names += (names.empty() ? "" : ", ") + std::string(spec.plural);
  }
  return fail(Errc::kInvalid, "kind \"{}\": expected one of {}", text, names);
}

Result<Kind> parse_kind(std::string_view api_version, std::string_view kind) {
  // Calico's storage group has the same kinds.
  const std::string_view version =
      api_version == "crd.projectcalico.org/v1" ? kCalico : api_version;
  bool known_version = false;
  for (const KindSpec& spec : kKinds) {
    known_version = known_version || spec.api_version == version;
    if (spec.api_version == version && spec.name == kind) {
      return spec.kind;
    }
  }
  if (version == kCalico && std::ranges::find(kCalicoOnly, kind) != kCalicoOnly.end()) {
    return fail(Errc::kInvalid, "kind: \"{}\": not supported by Margay yet", kind);
  }
  if (!known_version) {
    return fail(
        Errc::kInvalid, "apiVersion: \"{}\": expected one of {}", api_version, api_versions());
  }
  std::vector<std::string_view> names;
  for (const KindSpec& spec : kKinds) {
    if (spec.api_version == version) {
      names.push_back(spec.name);
    }
  }
  const std::string_view nearest = nearest_name(kind, names);
  return fail(Errc::kInvalid,
              "kind: \"{}\": {} has no such kind here{}",
              kind,
              api_version,
              nearest.empty() ? "" : fmt::format(", did you mean {}?", nearest));
}

Result<ResourceKey> key_of(std::string_view kind, const std::string& ns, const std::string& name) {
  const auto parsed = parse_kind(kind);
  if (!parsed) {
    return fail(parsed.error());
  }
  return ResourceKey{*parsed, spec_of(*parsed).namespaced ? ns : std::string(), name};
}

std::string ResourceKey::str() const {
  return ns.empty() ? fmt::format("{} {}", spec_of(kind).name, name)
                    : fmt::format("{} {}/{}", spec_of(kind).name, ns, name);
}

}  // namespace margay::api
