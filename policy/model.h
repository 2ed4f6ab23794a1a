#pragma once
// The rule model: what a policy means once names, namespaces, defaults and kinds are resolved.
//
// There is one model, used three times: felix/render turns it into chains and sets, the evaluator
// answers "why" from it, and the tests hold the two against each other. Calico policies and
// Kubernetes NetworkPolicy compile to the same Policy; nothing downstream knows which it was.
//
//   api::Resource --compile--> Policy { key, tier, order, subject, rules } --before--> evaluation
//   order
//
// Selectors here are canonical and namespaced already: they match endpoints by their own labels,
// endpoint_labels(), plus the inherited ones of their namespace, namespace_labels().

#include "api/policy.h"
#include "api/resource.h"
#include "policy/selector.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace margay::policy {

// One side of a rule. All that is given must match; the entries of one list are alternatives.
struct EntityMatch {
  std::optional<Selector> selector;      // the address belongs to a matching endpoint
  std::optional<Selector> not_selector;  // it belongs to no matching endpoint; outsiders match too
  std::vector<Prefix> nets;              // sorted; empty: any address
  std::vector<Prefix> not_nets;          // sorted
  std::vector<api::PortRange> ports;     // sorted, merged; with named_ports empty too: any port
  std::vector<std::string> named_ports;  // sorted; alternatives to `ports`
  std::vector<api::PortRange> not_ports;
  std::vector<std::string> not_named_ports;
  std::optional<Selector> nodes;     // the address is one of a Node whose labels match
  std::vector<std::string> domains;  // sorted; a name that matches one has led to the address
  // "namespace/name": as destination its endpoints' addresses and ports, as source the addresses.
  std::optional<std::string> service;
  bool operator==(const EntityMatch&) const = default;

  [[nodiscard]] bool has_domains() const { return !domains.empty(); }
  [[nodiscard]] bool has_ports() const { return !ports.empty() || !named_ports.empty(); }
  [[nodiscard]] bool has_not_ports() const {
    return !not_ports.empty() || !not_named_ports.empty();
  }
};

// Where a policy is asked. Workloads know kNormal alone.
enum class Hook : std::uint8_t {
  kNormal,     // a workload's packets; packets to and from a host itself
  kForward,    // applyOnForward: packets that a host passes on through the interface
  kPreDnat,    // preDNAT: what arrives, before its destination is translated
  kUntracked,  // doNotTrack: before connection tracking; what it allows is never tracked
};

struct Rule {
  api::Action action = api::Action::kDeny;
  std::optional<Family> family;
  std::optional<api::Protocol> protocol;
  std::optional<api::Protocol> not_protocol;
  std::optional<api::IcmpMatch> icmp;
  std::optional<api::IcmpMatch> not_icmp;
  EntityMatch source;
  EntityMatch destination;
  // Not empty: why this rule cannot be enforced exactly ("services are not enforced yet"). Such a
  // rule fails closed: Allow, Pass and Log match nothing, Deny ignores what is not understood.
  std::string unsupported;
  // Index into the list as written; several compiled rules of a Kubernetes policy may share one.
  unsigned written_index = 0;
  bool operator==(const Rule&) const = default;

  // The families this rule can match at all, from family, protocol and nets.
  [[nodiscard]] bool applies_to(Family packet_family) const;
};

struct Policy {
  api::ResourceKey key;
  std::string tier = "default";
  std::optional<double> order;  // absent sorts last
  Selector subject;
  bool ingress_applies = false;  // types
  bool egress_applies = false;
  std::vector<Rule> ingress;  // empty when the direction does not apply
  std::vector<Rule> egress;
  bool do_not_track = false;
  bool pre_dnat = false;
  bool apply_on_forward = false;
  // Connections that it no longer allows end at once (annotation kEstablishedAnnotation).
  bool reevaluate = false;
  bool operator==(const Policy&) const = default;

  [[nodiscard]] bool applies(api::PolicyType direction) const {
    return direction == api::PolicyType::kIngress ? ingress_applies : egress_applies;
  }
  [[nodiscard]] bool asked_at(Hook hook) const;
  [[nodiscard]] const std::vector<Rule>& rules(api::PolicyType direction) const {
    return direction == api::PolicyType::kIngress ? ingress : egress;
  }
};

// As several parts hold it.
using PolicyPtr = std::shared_ptr<const Policy>;

struct Tier {
  std::string name = "default";
  std::optional<double> order;
  api::Action default_action = api::Action::kDeny;
  bool operator==(const Tier&) const = default;
};
inline constexpr std::string_view kDefaultTier = "default";
inline constexpr std::string_view kAdminTier = "kube-admin";  // AdminNetworkPolicy and the like
inline constexpr std::string_view kBaselineTier = "kube-baseline";
// The tiers that exist without an object; nothing for other names.
[[nodiscard]] std::optional<Tier> builtin_tier(std::string_view name);
// A tier that policies name and nobody made: last in order, and its end denies.
[[nodiscard]] Tier missing_tier(std::string_view name);
inline constexpr double kKubernetesOrder = 1000;

// Of a policy: "Reevaluate" ends established connections of the endpoints it selects when policy no
// longer allows them, as FelixConfiguration's establishedConnections does for all.
inline constexpr std::string_view kEstablishedAnnotation = "margay.io/established-connections";
inline constexpr std::string_view kReevaluate = "Reevaluate";

// Kinds that compile() takes: policies that are enforced in a tier.
[[nodiscard]] bool is_policy(api::Kind kind);
// Errors name the field: `spec.ingress[0].source.selector: column 4: ...`. Other kinds assert.
[[nodiscard]] Result<Policy> compile(const api::Resource& resource);
[[nodiscard]] Tier compile_tier(const api::Resource& resource);  // a Tier resource
// A Profile as a policy without subject and tier.
[[nodiscard]] Result<Policy> compile_profile(const api::Resource& resource);

// Evaluation order: order ascending, absent last; ties by name, then namespace, then kind, each on
// its own. Strict weak orders.
[[nodiscard]] bool before(const Tier& a, const Tier& b);
[[nodiscard]] bool before(const Policy& a, const Policy& b);  // within one tier

// Own labels as selectors see them: metadata.labels without those that begin like inherited ones
// (pcns., pcsa.), and projectcalico.org/namespace, /orchestrator and /serviceaccount from the
// object itself alone.
[[nodiscard]] api::Labels endpoint_labels(const api::Resource& endpoint);
[[nodiscard]] api::Labels host_endpoint_labels(const api::Resource& host_endpoint);
// Of a NetworkSet or GlobalNetworkSet.
[[nodiscard]] api::Labels network_set_labels(const api::Resource& network_set);
// What endpoints inherit from their namespace: its labels with prefix "pcns.", and its name as
// pcns.projectcalico.org/name and pcns.kubernetes.io/metadata.name. `labels` is empty for a
// namespace without an object.
[[nodiscard]] api::Labels namespace_labels(std::string_view name, const api::Labels& labels);

// What endpoints inherit from their service account: its labels with prefix "pcsa.", and its name
// as pcsa.projectcalico.org/name.
[[nodiscard]] api::Labels service_account_labels(std::string_view name, const api::Labels& labels);

// A Kubernetes label selector over keys with a prefix.
[[nodiscard]] Result<Selector> compile_label_selector(const api::LabelSelector& selector,
                                                      std::string_view key_prefix);

// Sorted, and joined where they touch.
[[nodiscard]] std::vector<api::PortRange> merged_ranges(std::vector<api::PortRange> ranges);

// "*.example.org" matches every name below example.org, any number of labels; other patterns match
// themselves. Both in lower case, without the last dot.
[[nodiscard]] bool domain_matches(std::string_view pattern, std::string_view name);

// Protocols whose packets carry ports, and the two that carry a type and a code.
[[nodiscard]] bool has_ports(api::Protocol protocol);
[[nodiscard]] bool is_icmp(api::Protocol protocol);

// A profile that allows everything, both directions, where nobody made another of its name: those
// of namespaces ("kns." and its name), and projectcalico-default-allow, which automatic host
// endpoints carry.
[[nodiscard]] bool allows_by_name(std::string_view profile);

}  // namespace margay::policy
