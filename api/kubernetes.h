#pragma once
// Kubernetes kinds as they are written: NetworkPolicy and Calico's staged form of it, and the
// objects that selectors and services of rules refer to. NetworkPolicy is read strictly; the others
// come out of kubectl, so fields unknown here are skipped, as clients of Kubernetes do.

#include "api/policy.h"

namespace margay::api {

// Kubernetes label selector (meta/v1). An absent selector is std::nullopt where it differs from an
// empty one.
struct LabelSelectorRequirement {
  enum class Operator : std::uint8_t { kIn, kNotIn, kExists, kDoesNotExist };
  std::string key;
  Operator op = Operator::kIn;
  std::vector<std::string> values;
  bool operator==(const LabelSelectorRequirement&) const = default;
};
struct LabelSelector {
  std::map<std::string, std::string> match_labels;
  std::vector<LabelSelectorRequirement> match_expressions;
  bool operator==(const LabelSelector&) const = default;
};
struct IPBlock {
  Prefix cidr;
  std::vector<Prefix> except;  // each inside cidr
  bool operator==(const IPBlock&) const = default;
};
struct KubernetesPeer {
  std::optional<LabelSelector> pod_selector;
  std::optional<LabelSelector> namespace_selector;
  std::optional<IPBlock> ip_block;  // excludes the other two
  bool operator==(const KubernetesPeer&) const = default;
};
struct KubernetesPort {
  Protocol protocol = kTcp;
  std::optional<Port> port;  // absent: every port of the protocol; endPort is folded into the range
  bool operator==(const KubernetesPort&) const = default;
};
struct KubernetesRule {
  std::vector<KubernetesPeer> peers;  // "from" or "to"; empty: any peer
  std::vector<KubernetesPort> ports;  // empty: any port and protocol
  bool operator==(const KubernetesRule&) const = default;
};
struct KubernetesNetworkPolicy {
  LabelSelector pod_selector;
  std::vector<PolicyType> types;  // defaulted: Ingress, and Egress when there are egress rules
  std::vector<KubernetesRule> ingress;
  std::vector<KubernetesRule> egress;
  bool operator==(const KubernetesNetworkPolicy&) const = default;
};

struct StagedKubernetesNetworkPolicy {
  StagedAction staged_action = StagedAction::kSet;
  KubernetesNetworkPolicy policy;  // with kDelete: empty, also of types
  bool operator==(const StagedKubernetesNetworkPolicy&) const = default;
};

// Only metadata matters.
struct Namespace {
  bool operator==(const Namespace&) const = default;
};

// Of a node only whether it is cordoned matters.
struct KubernetesNode {
  bool unschedulable = false;
  bool operator==(const KubernetesNode&) const = default;
};

struct ServiceAccount {
  bool operator==(const ServiceAccount&) const = default;
};

// Values as they are; documents hold them in base64 (data) or as text (stringData).
struct Secret {
  std::string type = "Opaque";
  std::map<std::string, std::string> data;
  bool operator==(const Secret&) const = default;
};

struct ServicePort {
  std::string name;
  Protocol protocol = kTcp;
  std::uint16_t port = 0;
  std::optional<Port> target_port;  // a number or a name; absent: `port`
  bool operator==(const ServicePort&) const = default;
};
enum class TrafficPolicy : std::uint8_t { kCluster, kLocal };
struct Service {
  std::string type;  // ClusterIP (also when empty), NodePort, LoadBalancer, ExternalName
  std::map<std::string, std::string> selector;
  std::vector<IpAddr> cluster_ips;  // empty: headless
  std::vector<IpAddr> external_ips;
  std::vector<IpAddr> load_balancer_ips;                 // status.loadBalancer.ingress
  std::optional<TrafficPolicy> external_traffic_policy;  // Cluster
  std::vector<ServicePort> ports;
  bool operator==(const Service&) const = default;
};

// The label of an EndpointSlice that names its service.
inline constexpr std::string_view kServiceNameLabel = "kubernetes.io/service-name";

enum class AddressType : std::uint8_t { kIpv4, kIpv6, kFqdn };
struct SliceEndpoint {
  std::vector<IpAddr> addresses;  // of the slice's family; none for kFqdn
  std::string node;               // nodeName; empty: unknown
  std::optional<bool> ready;      // conditions; absent: unknown, to be read as ready
  std::optional<bool> serving;
  std::optional<bool> terminating;
  bool operator==(const SliceEndpoint&) const = default;
};
struct SlicePort {
  std::string name;
  Protocol protocol = kTcp;
  std::optional<std::uint16_t> port;  // absent: every port
  bool operator==(const SlicePort&) const = default;
};
struct EndpointSlice {
  AddressType address_type = AddressType::kIpv4;
  std::vector<SliceEndpoint> endpoints;
  std::vector<SlicePort> ports;
  bool operator==(const EndpointSlice&) const = default;
};

}  // namespace margay::api
