#pragma once
// The fixed part of the table `inet margay`, and the chains of policy stacks.
//
//   prerouting raw   every packet of a workload: (interface . source) must be known         ->
//   anti-spoof forward 0        established accept, invalid drop, iifname vmap @egress source's
//   egress policy forward 1        established accept,               oifname vmap @ingress
//   destination's ingress policy input 0          established accept, invalid drop, neighbour
//   discovery, vmap @egress     workload to its host: egress input 1          established accept,
//   workload to host: defaultEndpointToHostAction
//
//   a workload that reaches itself by way of a service passes both, by @self
//
//   vmap element: interface -> accept | drop | goto stack-in-...
//   stack: jump policy chains in order; the end of a tier decides; then the profile; then drop
//
// `accept` ends one base chain only, so both sides of a forwarded packet are always asked. An
// interface with our prefix that the maps do not know is dropped: an endpoint that is not yet
// computed has no way in or out. Traffic of the host to its workloads is not filtered (kubelet
// probes).

#include "api/metadata.h"
#include "api/network.h"
#include "api/policy.h"
#include "felix/calc/stack.h"
#include "kernel/model/nft.h"

#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace margay::felix {

inline constexpr const char* kEgressMap = "egress";    // interface -> verdict
inline constexpr const char* kIngressMap = "ingress";  // interface -> verdict
inline constexpr const char* kSourceSet4 = "source4";  // interface . address it may send from
inline constexpr const char* kSourceSet6 = "source6";
inline constexpr const char* kSpoofedMap = "spoofed";  // interface -> chain of sources beside
inline constexpr const char* kSelfSet = "self";        // interface . itself, of each workload
inline constexpr const char* kDnsServers4 = "dns-servers4";
inline constexpr const char* kDnsServers6 = "dns-servers6";

// What the agent reads DNS answers from (felix/dns).
inline constexpr std::uint16_t kDnsLogGroup = 5390;

// The bit of the connection mark that says "policy no longer allows it"
// (felix/connection_review.h).
inline constexpr Mark kRefusedMark{0x01000000U};

// A workload that may speak BGP to its node, whatever defaultEndpointToHostAction says.
struct BgpAccess {
  IfName interface;
  IpAddr address;  // of the node
  std::uint16_t port = 0;
  bool operator==(const BgpAccess&) const = default;
};

struct LayoutOptions {
  std::string interface_prefix = "mgy";
  api::EndpointToHostAction endpoint_to_host = api::EndpointToHostAction::kDrop;
  std::vector<api::FailsafePort> failsafe_inbound = api::default_failsafe_inbound();
  std::vector<api::FailsafePort> failsafe_outbound = api::default_failsafe_outbound();
  std::optional<api::PortRange> nat_ports;  // of masqueraded packets
  std::vector<Prefix> dns_servers;  // whose answers to workloads are logged for the agent, sorted
  std::vector<BgpAccess> bgp_access;
  bool operator==(const LayoutOptions&) const = default;
};

// Parts that the chains of hosts share with those of workloads.
[[nodiscard]] nft::Rule accept_established();
[[nodiscard]] nft::Statement neighbour_discovery();

// Base chains and empty sets and maps.
[[nodiscard]] nft::Table base_table(const LayoutOptions& options);

// Sources that an endpoint may send from beside its own addresses; others are dropped.
[[nodiscard]] std::string spoofed_chain_name(const std::vector<Prefix>& nets);
[[nodiscard]] nft::Chain spoofed_chain(const std::vector<Prefix>& nets);

// No chain is needed for a stack without tiers: its verdict stands in the map.
[[nodiscard]] std::string stack_chain_name(const PolicyStack& stack, api::PolicyType direction);

// can_pass tells which policies may set kPassMark.
using CanPass = std::function<bool(const api::ResourceKey& policy)>;
// The stack's chain, and one chain more for each tier that a Pass can leave early.
struct StackChains {
  std::vector<std::pair<std::string, nft::Chain>> chains;  // the first is the stack's own
};
// `name`: stack_chain_name() of it.
[[nodiscard]] StackChains render_stack(const PolicyStack& stack,
                                       api::PolicyType direction,
                                       const std::string& name,
                                       const CanPass& can_pass);

}  // namespace margay::felix
