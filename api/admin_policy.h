#pragma once
// Cluster-wide policy of Kubernetes (policy.networking.k8s.io): AdminNetworkPolicy and
// BaselineAdminNetworkPolicy (v1alpha1), ClusterNetworkPolicy (v1alpha2). One model for the three:
// Accept is kAllow, `protocols` are ports.
//
// A peer of a kind that is not known here is kept as UnsupportedPeer, so that its rule can fail
// closed: Allow matches nothing there, Deny and Pass match everything.

#include "api/kubernetes.h"

namespace margay::api {

struct NamespacesPeer {  // every pod of the namespaces
  LabelSelector selector;
  bool operator==(const NamespacesPeer&) const = default;
};
struct PodsPeer {
  LabelSelector namespace_selector;
  LabelSelector pod_selector;
  bool operator==(const PodsPeer&) const = default;
};
struct NodesPeer {  // the addresses of the nodes; egress only
  LabelSelector selector;
  bool operator==(const NodesPeer&) const = default;
};
struct NetworksPeer {  // egress only
  std::vector<Prefix> networks;
  bool operator==(const NetworksPeer&) const = default;
};
// Names, or all names below one: "*.example.org" is "a.example.org" and "a.b.example.org", not
// "example.org". In lower case, without the last dot. Egress only, and in rules that allow.
struct DomainsPeer {
  std::vector<std::string> domains;
  bool operator==(const DomainsPeer&) const = default;
};
struct UnsupportedPeer {
  std::string field;  // one of a newer API; empty: the peer had no field
  std::string value;  // as JSON, for `get -o yaml`
  bool operator==(const UnsupportedPeer&) const = default;
};
using AdminPeer =
    std::variant<NamespacesPeer, PodsPeer, NodesPeer, NetworksPeer, DomainsPeer, UnsupportedPeer>;

// Pods of the host's network are never subject.
using AdminSubject = std::variant<NamespacesPeer, PodsPeer>;

struct AdminPort {
  std::optional<Protocol> protocol;  // absent with a name: that of the pod's port
  Port port;
  bool operator==(const AdminPort&) const = default;
};
struct AdminRule {
  std::string name;
  Action action = Action::kDeny;  // kAllow, kDeny, kPass; no kPass in BaselineAdminNetworkPolicy
  std::vector<AdminPeer> peers;   // "from" or "to", at least one
  std::vector<AdminPort> ports;   // empty: everything, ICMP too
  bool operator==(const AdminRule&) const = default;
};

struct AdminPolicySpec {
  AdminSubject subject;
  std::vector<AdminRule> ingress;  // first match wins; without rules the direction is untouched
  std::vector<AdminRule> egress;
  bool operator==(const AdminPolicySpec&) const = default;
};
inline constexpr std::uint16_t kMaxAdminPriority = 1000;
struct AdminNetworkPolicy : AdminPolicySpec {
  std::uint16_t priority = 0;  // 0 to kMaxAdminPriority, lower first
  bool operator==(const AdminNetworkPolicy&) const = default;
};
struct BaselineAdminNetworkPolicy : AdminPolicySpec {  // one, named "default"
  bool operator==(const BaselineAdminNetworkPolicy&) const = default;
};
enum class AdminTier : std::uint8_t { kAdmin, kBaseline };
struct ClusterNetworkPolicy : AdminPolicySpec {
  AdminTier tier = AdminTier::kAdmin;
  std::uint16_t priority = 0;
  bool operator==(const ClusterNetworkPolicy&) const = default;
};

}  // namespace margay::api
