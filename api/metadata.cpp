#include "api/metadata.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>

namespace margay::api {

namespace {

constexpr std::string_view kCalico = "projectcalico.org/v3";

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
};

// Kinds of Calico that this version has no use for: people who bring them shall read that they are
// known, not that they mistyped.
constexpr std::array<std::string_view, 13> kCalicoOnly{"HostEndpoint",
                                                       "GlobalNetworkSet",
                                                       "NetworkSet",
                                                       "Profile",
                                                       "BGPFilter",
                                                       "IPReservation",
                                                       "StagedNetworkPolicy",
                                                       "StagedGlobalNetworkPolicy",
                                                       "StagedKubernetesNetworkPolicy",
                                                       "ClusterInformation",
                                                       "KubeControllersConfiguration",
                                                       "CalicoNodeStatus",
                                                       "IPAMConfig"};

bool same_word(std::string_view a, std::string_view b) {
  return std::ranges::equal(
      a, b, [](unsigned char x, unsigned char y) { return std::tolower(x) == std::tolower(y); });
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
    return fail(Errc::kInvalid,
                "apiVersion: \"{}\": expected projectcalico.org/v3, networking.k8s.io/v1 or v1",
                api_version);
  }
  return fail(Errc::kInvalid, "kind: \"{}\": {} has no such kind here", kind, api_version);
}

std::string ResourceKey::str() const {
  return ns.empty() ? fmt::format("{} {}", spec_of(kind).name, name)
                    : fmt::format("{} {}/{}", spec_of(kind).name, ns, name);
}

}  // namespace margay::api
