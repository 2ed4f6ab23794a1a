#pragma once
// Network kinds as they are written: Node, IPPool, BGPConfiguration, BGPPeer, FelixConfiguration.

#include "api/bgp_filter.h"
#include "api/policy.h"
#include "base/ip_addr.h"
#include "base/strong.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace margay::api {

// Annotation of a Node: "true" while its routes are withdrawn from its BGP peers (margayctl node
// drain-bgp).
inline constexpr std::string_view kDrainAnnotation = "margay.io/drain-bgp";

struct NodeBgp {
  std::optional<Asn> as_number;  // absent: that of BGPConfiguration "default"
  std::optional<InterfaceAddr> ipv4_address;
  std::optional<InterfaceAddr> ipv6_address;
  std::optional<RouterId> route_reflector_cluster_id;
  bool operator==(const NodeBgp&) const = default;
};
struct NodeAddress {
  std::string address;
  std::string type;  // InternalIP, ExternalIP, CalicoNodeIP
  bool operator==(const NodeAddress&) const = default;
};
struct Node {
  std::optional<NodeBgp> bgp;
  std::vector<NodeAddress> addresses;
  bool operator==(const Node&) const = default;
};

enum class AllowedUse : std::uint8_t { kWorkload, kTunnel, kLoadBalancer };
struct IPPool {
  Prefix cidr;
  unsigned block_size = 26;  // 20..32 (default 26), 116..128 (default 122)
  std::string node_selector = "all()";
  std::string namespace_selector;
  std::vector<AllowedUse> allowed_uses{AllowedUse::kWorkload, AllowedUse::kTunnel};
  bool disabled = false;
  bool disable_bgp_export = false;
  bool nat_outgoing = false;
  bool manual_assignment = false;  // assignmentMode: Manual
  // ipipMode and vxlanMode are accepted only as "Never": Margay has no encapsulation.
  bool operator==(const IPPool&) const = default;
};

inline constexpr Asn kDefaultAsn{64512};
inline constexpr std::uint16_t kBgpPort = 179;

// Passwords of BGP sessions stand in Secrets of this namespace.
inline constexpr std::string_view kBgpSecretNamespace = "kube-system";
struct SecretKeyRef {
  std::string name;  // of a Secret in kBgpSecretNamespace
  std::string key;
  bool operator==(const SecretKeyRef&) const = default;
};
struct NamedCommunity {
  std::string name;
  BgpCommunity value;
  bool operator==(const NamedCommunity&) const = default;
};
struct PrefixAdvertisement {
  Prefix cidr;
  std::vector<std::string> communities;  // names of BGPConfiguration.communities, or values
  bool operator==(const PrefixAdvertisement&) const = default;
};
enum class Aggregation : std::uint8_t { kEnabled, kDisabled };
enum class BindMode : std::uint8_t { kNone, kNodeIp };
// Values that say what is so here: the speaker programs all routes between nodes.
enum class ProgramClusterRoutes : std::uint8_t { kEnabled, kEnabledNoEncapOnly };

// What Calico's resources have no field for: spec.margay.
struct Bfd {                        // RFC 5880
  std::uint32_t interval_ms = 300;  // 10 to 60,000, both ways
  std::uint8_t multiplier = 3;      // 2 to 50
  std::optional<bool> multihop;     // absent: unless the peer is on a network of the node
  bool operator==(const Bfd&) const = default;
};
enum class MaximumPrefixesAction : std::uint8_t { kRestart, kDown, kWarn };
enum class AddPathMode : std::uint8_t { kReceive, kSend, kBoth };  // RFC 7911

// Files of margay-bgpd --replay, one for each session.
struct BgpRecord {
  std::string directory;          // of the node
  std::uint32_t maximum_mb = 64;  // of each file
  bool operator==(const BgpRecord&) const = default;
};
struct BgpExtensions {
  std::optional<Bfd> bfd;
  std::optional<BgpRecord> record;
  std::optional<std::uint32_t> hold_time_s;       // 3 to 65535
  std::optional<std::uint32_t> maximum_prefixes;  // more end the session, or as it says:
  std::optional<MaximumPrefixesAction> maximum_prefixes_action;
  std::optional<AddPathMode> add_path;
  std::optional<std::uint32_t> long_lived_stale_time_s;  // RFC 9494, up to 2^24 - 1
  bool operator==(const BgpExtensions&) const = default;
};

// Of a session that has no AS number of its own to ask for.
enum class RemoteAs : std::uint8_t { kExternal, kInternal };
enum class BgpRole : std::uint8_t { kProvider, kRouteServer, kRouteServerClient, kCustomer, kPeer };
// spec.margay of a BGPPeer alone.
struct BgpPeerExtensions {
  std::string interface;              // unnumbered: the router at the other end
  std::optional<RemoteAs> remote_as;  // instead of asNumber
  bool extended_next_hop = false;     // RFC 8950
  std::optional<BgpRole> role;        // of this node, RFC 9234
  bool strict_role = false;           // the peer must have one
  std::string description;
  bool operator==(const BgpPeerExtensions&) const = default;
};
struct BmpCollector {  // RFC 7854
  IpAddr address;
  std::uint16_t port = 11019;
  bool post_policy = false;                       // also what import filters left
  std::optional<std::uint32_t> stats_interval_s;  // 60, 0: none
  bool operator==(const BmpCollector&) const = default;
};
struct MrtDump {          // RFC 6396
  std::string directory;  // of the node
  bool updates = true;
  std::optional<std::uint32_t> rotate_s;          // 900
  std::optional<std::uint32_t> table_interval_s;  // 7200, 0: on request
  std::uint32_t keep = 96;                        // files of each kind
  bool operator==(const MrtDump&) const = default;
};
// Of a BGPConfiguration: who is told of all sessions.
struct BgpMonitoring {
  std::vector<BmpCollector> bmp;
  std::optional<MrtDump> mrt;
  bool operator==(const BgpMonitoring&) const = default;
};

struct BGPConfiguration {  // "default" or "node.NAME"
  std::string log_severity_screen = "Info";
  std::optional<bool> node_to_node_mesh_enabled;  // true when absent everywhere
  std::optional<Asn> as_number;
  std::optional<std::uint16_t> listen_port;
  std::vector<std::string> ignored_interfaces;
  std::vector<Prefix> service_cluster_ips;  // told to peers
  std::vector<Prefix> service_external_ips;
  std::vector<Prefix> service_load_balancer_ips;
  std::optional<Aggregation> service_load_balancer_aggregation;  // Enabled
  std::vector<NamedCommunity> communities;
  std::vector<PrefixAdvertisement> prefix_advertisements;
  std::optional<SecretKeyRef> node_mesh_password;
  std::optional<std::uint32_t> node_mesh_max_restart_time_s;
  std::optional<BindMode> bind_mode;  // absent: NodeIP
  std::optional<ProgramClusterRoutes> program_cluster_routes;
  // Of the node, towards workloads that BGPPeers select.
  std::optional<IpAddr> local_workload_peering_ipv4;
  std::optional<IpAddr> local_workload_peering_ipv6;
  BgpExtensions margay;      // of the mesh
  BgpMonitoring monitoring;  // in spec.margay, too
  // In spec.margay, too: peers are told of the node's own addresses, for nodes that have them on
  // the loopback interface alone. False when absent.
  std::optional<bool> advertise_node_address;
  // In spec.margay, too: a node whose Kubernetes Node is cordoned is drained. False when absent.
  std::optional<bool> drain_cordoned_nodes;
  bool operator==(const BGPConfiguration&) const = default;
};

enum class NextHopMode : std::uint8_t { kAuto, kSelf, kKeep };
// Whether the nodes that peerSelector names have the session, too, without a BGPPeer of their own.
enum class ReversePeering : std::uint8_t { kAuto, kManual };
struct BGPPeer {
  std::string node;  // excludes node_selector; both empty: every node
  std::string node_selector;
  std::optional<IpAddr> peer_ip;  // excludes peer_selector
  std::uint16_t peer_port = kBgpPort;
  std::string peer_selector;
  std::string local_workload_selector;  // workloads of the node; excludes the other two
  std::optional<Asn> as_number;         // required, but with peer_selector
  std::optional<Asn> local_as_number;
  NextHopMode next_hop_mode = NextHopMode::kAuto;
  bool use_node_source_address = true;  // sourceAddress: UseNodeIP | None
  std::optional<std::uint32_t> keepalive_time_s;
  std::optional<std::uint32_t> max_restart_time_s;
  std::optional<std::uint32_t> num_allowed_local_as_numbers;
  std::optional<std::uint8_t> ttl_security_hops;  // RFC 5082: 1 is a neighbour on the same wire
  std::vector<std::string> filters;               // names of BGPFilters, in order
  std::optional<SecretKeyRef> password;
  std::optional<IpAddr> reachable_by;  // the gateway to peer_ip
  ReversePeering reverse_peering = ReversePeering::kAuto;
  BgpExtensions margay;
  BgpPeerExtensions margay_peer;
  bool operator==(const BGPPeer&) const = default;
};

// Of Calico's controllers the one of nodes: host endpoints, and addresses that nobody uses any
// more. Agents do its work.
enum class Switch : std::uint8_t { kDisabled, kEnabled };
struct KubeControllersConfiguration {
  Switch auto_host_endpoints = Switch::kDisabled;    // controllers.node.hostEndpoint.autoCreate
  Switch default_host_endpoint = Switch::kEnabled;   // ... .createDefaultHostEndpoint
  std::optional<std::uint32_t> reconciler_period_s;  // controllers.node.reconcilerPeriod
  std::optional<std::uint32_t> leak_grace_period_s;  // controllers.node.leakGracePeriod
  bool operator==(const KubeControllersConfiguration&) const = default;
};

// What the agent of the node of the same name says of itself.
struct NodeStatus {
  std::uint64_t enforced_revision = 0;  // the node's kernel holds the store up to here
  std::string agent;                    // which of all agents: the id in its state directory
  std::string host;                     // that it runs on
  bool operator==(const NodeStatus&) const = default;
};

enum class EndpointToHostAction : std::uint8_t { kDrop, kReturn, kAccept };
// Whether a workload may send from the prefixes that its endpoint's allowSpoofedSourcePrefixes
// names.
enum class SourceSpoofing : std::uint8_t { kDisabled, kAny };
// Where packets of a pool with natOutgoing go as they are.
enum class NatExclusions : std::uint8_t { kPools, kPoolsAndHosts };
// What becomes of connections that a policy change no longer allows.
enum class EstablishedConnections : std::uint8_t { kKeep, kReevaluate };
// A port of the host that policy of host endpoints never closes.
struct FailsafePort {
  Protocol protocol = kTcp;  // TCP, UDP or SCTP
  std::uint16_t port = 0;
  std::optional<Prefix> net;  // the peers it holds for; absent: all
  bool operator==(const FailsafePort&) const = default;
};
// "10.96.0.10", "10.0.0.0/24" or "k8s-service:[NAMESPACE/]NAME", kube-system by default: the
// endpoints of a Service.
struct DnsServer {
  std::optional<Prefix> net;
  std::string service;  // "namespace/name", without net
  [[nodiscard]] static std::optional<DnsServer> parse(std::string_view text);
};
inline constexpr std::string_view kDefaultDnsServer = "k8s-service:kube-dns";

struct FelixConfiguration {  // "default" or "node.NAME"; absent fields keep the lower layer's value
  std::optional<EndpointToHostAction> default_endpoint_to_host_action;  // Drop
  std::optional<std::string> log_severity_screen;                       // Info
  std::optional<std::string> log_prefix;        // "margay-packet", at most 29 bytes
  std::optional<std::string> interface_prefix;  // "mgy"
  std::optional<bool> ipv6_support;             // true
  std::optional<std::string> prometheus_metrics_listen;
  std::optional<std::uint32_t> route_refresh_interval_s;          // 90, 0 = never
  std::optional<EstablishedConnections> established_connections;  // Keep
  // Absent: default_failsafe_inbound() and default_failsafe_outbound(); empty: none.
  std::optional<std::vector<FailsafePort>> failsafe_inbound_host_ports;
  std::optional<std::vector<FailsafePort>> failsafe_outbound_host_ports;
  // DnsServer::parse() takes each; k8s-service:kube-dns. Whose answers tell what a name leads to.
  std::optional<std::vector<std::string>> dns_trusted_servers;
  std::optional<std::uint32_t> dns_extra_ttl_s;            // 0
  std::optional<SourceSpoofing> workload_source_spoofing;  // Disabled
  std::optional<NatExclusions> nat_outgoing_exclusions;    // IPPoolsAndHostIPs
  // Of masqueraded packets; absent: the kernel's choice.
  std::optional<PortRange> nat_port_range;
  bool operator==(const FelixConfiguration&) const = default;
};

[[nodiscard]] std::vector<FailsafePort> default_failsafe_inbound();
[[nodiscard]] std::vector<FailsafePort> default_failsafe_outbound();

}  // namespace margay::api
