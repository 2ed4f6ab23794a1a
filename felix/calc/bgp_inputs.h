#pragma once
// BgpInputs: everything that the speaker of this node is configured from, computed from the store.

#include "api/resource.h"
#include "base/ip_addr.h"
#include "base/strong.h"
#include "felix/calc/service_routes.h"

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace margay::felix {

// One of the filters that a BGPPeer names; none when there is no such object: nothing may pass
// then.
struct BgpFilterInput {
  std::string name;
  std::optional<api::BGPFilter> filter;
  bool operator==(const BgpFilterInput&) const = default;
};

struct BgpPeerInput {
  std::string name;    // "mesh-node2-v4", or the BGPPeer's name and the node it leads to
  std::string origin;  // "mesh", or the BGPPeer's name
  IpAddr address;
  std::uint16_t port = api::kBgpPort;
  Asn asn;
  std::optional<Asn> local_asn;  // other than the node's own
  std::optional<IpAddr> source;  // this node's address of the peer's family
  api::NextHopMode next_hop_mode = api::NextHopMode::kAuto;
  std::optional<std::uint32_t> keepalive_s;
  unsigned allowed_own_asn = 0;
  bool reflector_client = false;  // we reflect to it
  std::uint8_t ttl_security_hops = 0;
  std::vector<BgpFilterInput> filters;  // in order
  std::string password;
  std::string missing_password;  // the Secret's key that is asked for and is not there
  std::optional<std::uint32_t> restart_time_s;
  api::BgpExtensions margay;
  api::BgpPeerExtensions margay_peer;
  std::optional<IpAddr> reachable_by;  // the gateway to the address
  std::optional<IfName> arrives_on;    // connections come over this interface, or are not taken
  bool operator==(const BgpPeerInput&) const = default;
};

// A workload of this node that BGPPeers may select (localWorkloadSelector).
struct BgpWorkload {
  std::string name;  // "default.web-1", the pod's
  IfName interface;
  std::vector<IpAddr> addresses;
};
using BgpWorkloads = std::map<std::string, std::vector<BgpWorkload>>;  // by name of the BGPPeer

struct BgpInputs {
  bool enabled = false;  // this node has an address and an AS number
  Asn asn;
  RouterId router_id;
  std::optional<RouterId> cluster_id;
  std::optional<IpAddr> ipv4;
  std::optional<IpAddr> ipv6;
  std::uint16_t listen_port = api::kBgpPort;
  bool listen_everywhere = false;         // bindMode None
  bool drained = false;                   // peers are to go elsewhere, then not to hear of us
  std::vector<BgpPeerInput> peers;        // by name
  std::vector<IpAddr> peering_addresses;  // of ours, towards workloads; while there are such peers
  api::BgpMonitoring monitoring;
  // Own blocks, borrowed addresses and addresses of services that may be exported.
  std::vector<Prefix> originated;
  // The node's own addresses, where peers are to be told (advertiseNodeAddress); also while it is
  // drained, as it is to be reached then, too.
  std::vector<Prefix> node_addresses;
  // Of those that have some, sorted (prefixAdvertisements).
  std::map<Prefix, std::vector<api::BgpCommunity>> communities;
  bool operator==(const BgpInputs&) const = default;
};

// The objects that matter, as they are.
class BgpState {
 public:
  void set(const api::Resource& resource);
  void remove(const api::ResourceKey& key);
  // Kinds that change what compute() gives; Services and EndpointSlices while their addresses are
  // told.
  [[nodiscard]] bool concerns(api::Kind kind) const;
  [[nodiscard]] bool knows(const api::ResourceKey& key) const;

  // Confirmed blocks of the node.
  [[nodiscard]] std::set<Prefix> own_blocks(const NodeName& node) const;
  // local_routes: to this node's endpoints, to find the borrowed addresses.
  // workloads: what the selectors of selecting_peers() match.
  [[nodiscard]] BgpInputs compute(const NodeName& node,
                                  const std::map<IpAddr, IfName>& local_routes,
                                  const BgpWorkloads& workloads = {}) const;

 private:
  struct NodeEntry {
    api::Node spec;
    api::Labels labels;
    bool drained = false;
  };

  [[nodiscard]] const api::BGPConfiguration* configuration(const std::string& name) const;
  [[nodiscard]] Asn asn_of(const NodeEntry& node) const;
  [[nodiscard]] bool take_configuration(const NodeName& node, BgpInputs& inputs) const;
  void add_mesh(const NodeName& self, const NodeEntry& own, BgpInputs& inputs) const;
  void add_peer(const std::string& name,
                const api::BGPPeer& peer,
                const NodeName& self,
                const NodeEntry& own,
                const BgpWorkloads& workloads,
                BgpInputs& inputs) const;
  void add_node_peers(const std::string& name,
                      const api::BGPPeer& peer,
                      const std::string& other,
                      const NodeEntry& own,
                      BgpInputs& inputs) const;
  void add_workload_peers(const std::string& name,
                          const api::BGPPeer& peer,
                          const std::vector<BgpWorkload>& workloads,
                          BgpInputs& inputs) const;
  [[nodiscard]] bool exported(const Prefix& prefix) const;
  [[nodiscard]] ServiceRanges service_ranges() const;
  void add_communities(BgpInputs& inputs) const;
  void take_password(const api::SecretKeyRef& ref, BgpPeerInput& input) const;
  // What a BGPPeer says of its sessions, whoever is at the other end.
  void take_peer(const std::string& name, const api::BGPPeer& peer, BgpPeerInput& input) const;

  std::map<std::string, api::KubernetesNode> kubernetes_nodes_;
  std::map<std::string, NodeEntry> nodes_;
  std::map<std::string, api::BGPPeer> peers_;
  std::map<std::string, api::BGPFilter> filters_;
  std::map<std::string, api::BGPConfiguration> configurations_;
  std::map<std::string, api::IPPool> pools_;
  std::map<std::string, api::BlockAffinity> affinities_;
  std::map<std::string, api::Secret> secrets_;  // of kBgpSecretNamespace
  ServiceRoutes services_;
};

}  // namespace margay::felix
