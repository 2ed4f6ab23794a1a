#pragma once
// Policy kinds as they are written: Tier, GlobalNetworkPolicy, NetworkPolicy (Calico),
// NetworkPolicy (Kubernetes), Namespace, WorkloadEndpoint. Decoded values obey the validation list
// of docs/compatibility.md; selectors stay text here (validated at decode by policy-independent
// syntax checks is not possible: api may not use policy), so policy/validate.h completes the check
// before a write.

#include "base/ip_addr.h"
#include "base/strong.h"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace margay::api {

enum class Action : std::uint8_t { kAllow, kDeny, kPass, kLog };
enum class PolicyType : std::uint8_t { kIngress, kEgress };

// "TCP", "UDP", "ICMP", "ICMPv6", "SCTP", "UDPLite" or 1 to 255, kept as the IANA number.
struct Protocol {
  std::uint8_t number = 0;
  auto operator<=>(const Protocol&) const = default;
  bool operator==(const Protocol&) const = default;
};
inline constexpr Protocol kTcp{6};
inline constexpr Protocol kUdp{17};
inline constexpr Protocol kSctp{132};
inline constexpr Protocol kIcmp{1};
inline constexpr Protocol kIcmpv6{58};
inline constexpr Protocol kUdpLite{136};
[[nodiscard]] std::string to_string(Protocol protocol);  // name where there is one, else the number

// A port range, or the name of a port.
struct PortRange {
  std::uint16_t first = 0;  // 1 to 65535
  std::uint16_t last = 0;   // >= first
  auto operator<=>(const PortRange&) const = default;
  bool operator==(const PortRange&) const = default;
};
using Port = std::variant<PortRange, std::string>;

struct ServiceAccountMatch {
  std::vector<std::string> names;
  std::string selector;
  bool operator==(const ServiceAccountMatch&) const = default;
};
struct ServiceMatch {
  std::string name;
  std::string ns;
  bool operator==(const ServiceMatch&) const = default;
};

// One side of a Calico rule. Absent and empty selectors differ: has_selector() of the model asks
// for text.
struct EntityRule {
  std::vector<Prefix> nets;
  std::vector<Prefix> not_nets;
  std::string selector;
  std::string not_selector;
  std::string namespace_selector;
  std::vector<Port> ports;
  std::vector<Port> not_ports;
  std::optional<ServiceAccountMatch> service_accounts;
  std::optional<ServiceMatch> services;
  bool operator==(const EntityRule&) const = default;
};

struct IcmpMatch {
  std::optional<std::uint8_t> type;  // 0 to 254
  std::optional<std::uint8_t> code;  // only with type
  bool operator==(const IcmpMatch&) const = default;
};

struct Rule {
  Action action = Action::kDeny;
  std::optional<Family> ip_version;
  std::optional<Protocol> protocol;
  std::optional<Protocol> not_protocol;
  std::optional<IcmpMatch> icmp;
  std::optional<IcmpMatch> not_icmp;
  EntityRule source;
  EntityRule destination;
  std::map<std::string, std::string> annotations;  // metadata.annotations
  bool operator==(const Rule&) const = default;
};

struct Tier {
  std::optional<double> order;            // absent sorts last
  Action default_action = Action::kDeny;  // kDeny or kPass
  bool operator==(const Tier&) const = default;
};
inline constexpr double kDefaultTierOrder = 1'000'000;

// The spec of both Calico policies. Defaulted at decode: tier "default", types by the rules
// present.
struct PolicySpec {
  std::string tier = "default";
  std::optional<double> order;  // absent sorts last
  std::string selector;
  std::string service_account_selector;
  std::vector<PolicyType> types;
  std::vector<Rule> ingress;
  std::vector<Rule> egress;
  std::vector<std::string> performance_hints;
  bool operator==(const PolicySpec&) const = default;
};
struct GlobalNetworkPolicy : PolicySpec {
  std::string namespace_selector;
  bool do_not_track = false;
  bool pre_dnat = false;
  bool apply_on_forward = false;
  bool operator==(const GlobalNetworkPolicy&) const = default;
};
struct NetworkPolicy : PolicySpec {
  bool operator==(const NetworkPolicy&) const = default;
};

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

// Only metadata matters.
struct Namespace {
  bool operator==(const Namespace&) const = default;
};

struct EndpointPort {
  std::string name;
  Protocol protocol = kTcp;
  std::uint16_t port = 0;
  bool operator==(const EndpointPort&) const = default;
};

// A container's interface. Policy matches metadata.labels plus the inherited ones.
struct WorkloadEndpoint {
  std::string orchestrator;  // "k8s" or "cni"
  std::string workload;
  NodeName node;
  std::string container_id;
  std::string pod;
  std::string endpoint;  // interface name inside the container, "eth0"
  std::string service_account;
  std::vector<Prefix> ip_networks;  // /32 and /128 only
  std::vector<std::string> profiles;
  IfName interface_name;  // on the host
  std::string mac;        // of the container's side, may be empty
  std::vector<EndpointPort> ports;
  std::vector<Prefix> allowed_source_prefixes;  // allowSpoofedSourcePrefixes
  bool operator==(const WorkloadEndpoint&) const = default;
};

}  // namespace margay::api
