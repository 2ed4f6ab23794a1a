#pragma once
// Calico's policy kinds as they are written: Tier, GlobalNetworkPolicy, NetworkPolicy, their staged
// forms, Profile. Decoded values obey Calico's validation; selectors stay text here, as api may not
// use policy, so policy/validate.h completes the check before a write.

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
  std::string ns;  // empty: that of the policy, which must be namespaced
  bool operator==(const ServiceMatch&) const = default;
};

// One side of a Calico rule. An empty selector is an absent one. `services` excludes everything but
// the other side, and stands only where the peer is: the source of ingress, the destination of
// egress.
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

// What applying a staged policy would do. Learn and Ignore only mark it.
enum class StagedAction : std::uint8_t { kSet, kDelete, kLearn, kIgnore };
struct StagedGlobalNetworkPolicy {
  StagedAction staged_action = StagedAction::kSet;
  GlobalNetworkPolicy policy;  // with kDelete: nothing but the tier
  bool operator==(const StagedGlobalNetworkPolicy&) const = default;
};
struct StagedNetworkPolicy {
  StagedAction staged_action = StagedAction::kSet;
  NetworkPolicy policy;  // with kDelete: nothing but the tier
  bool operator==(const StagedNetworkPolicy&) const = default;
};

// Rules for endpoints that no tier decided about, and labels they inherit. No rule passes.
struct Profile {
  std::vector<Rule> ingress;
  std::vector<Rule> egress;
  std::map<std::string, std::string> labels_to_apply;
  bool operator==(const Profile&) const = default;
};

}  // namespace margay::api
