#pragma once
// The evaluator: what happens to a new connection, and the tier, policy and rule that decide it.
//
// It reads the same rule model as the renderer but walks it in the plainest way, so that it can
// serve as the reference that kernel verdicts are held against. A flow has two sides: the source
// endpoint's egress and the destination endpoint's ingress; it passes when both allow it. Between
// nodes, the host endpoints of both have their say: forward policies for what workloads send and
// get, the others for the hosts themselves. Addresses outside have no policy.

#include "api/network.h"
#include "policy/model.h"

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <vector>

namespace margay::policy {

// A workload endpoint, or a host endpoint, as policy sees it.
struct Endpoint {
  std::string name;             // "prod/web-1", for people
  std::string ns;               // inherits the labels of this namespace
  std::string service_account;  // and of this account in it
  NodeName node;
  api::Labels labels;  // endpoint_labels()
  std::vector<std::string> profiles;
  std::vector<Prefix> addresses;  // host prefixes
  std::vector<api::EndpointPort> ports;
  std::string host_interface;  // of a host endpoint: a name, "*", or empty: the addresses tell
  bool operator==(const Endpoint&) const = default;
};
// Of a WorkloadEndpoint or a HostEndpoint.
[[nodiscard]] Endpoint make_endpoint(const api::Resource& resource);

struct Flow {
  IpAddr source;
  IpAddr destination;
  api::Protocol protocol = api::kTcp;
  std::uint16_t source_port = 0;       // 0: unknown; matches no rule that asks for source ports
  std::uint16_t destination_port = 0;  // 0: none or unknown
  std::string destination_name;        // that the source asked DNS for; empty: none
  std::uint8_t icmp_type = 8;          // echo request unless said otherwise
  std::uint8_t icmp_code = 0;
  bool operator==(const Flow&) const = default;
};

// One line of the way to a verdict.
struct Step {
  std::string tier;  // empty outside tiers
  std::optional<api::ResourceKey> policy;
  std::optional<unsigned> rule;  // index as written
  std::optional<api::Action> action;
  std::string why;  // "rule matches", "end of tier, default action"
  bool operator==(const Step&) const = default;
};

struct SideVerdict {
  bool allowed = true;
  std::vector<Step> path;  // the last step decides
  bool operator==(const SideVerdict&) const = default;
};

struct Verdict {
  bool allowed = true;
  SideVerdict egress;   // of the source endpoint
  SideVerdict ingress;  // of the destination endpoint
  bool operator==(const Verdict&) const = default;
};

// Labels and networks of a NetworkSet or GlobalNetworkSet: an address in one of the networks is
// matched by selectors as if an endpoint with these labels had it.
struct NetworkSet {
  std::string name;    // "prod/partners", for people
  std::string ns;      // empty: global
  api::Labels labels;  // network_set_labels()
  std::vector<Prefix> nets;
  bool operator==(const NetworkSet&) const = default;
};

// Where a Service leads.
struct ServiceEndpoint {
  IpAddr address;
  api::Protocol protocol{0};
  std::uint16_t port = 0;  // 0: the Service names no port
  auto operator<=>(const ServiceEndpoint&) const = default;
  bool operator==(const ServiceEndpoint&) const = default;
};

// Everything a verdict depends on. Tiers and policies need no order; builtin_tier() and
// missing_tier() stand in for those that are not given.
struct World {
  std::vector<Tier> tiers;
  std::vector<Policy> policies;
  std::vector<Endpoint> endpoints;
  std::vector<Endpoint> host_endpoints;
  std::vector<NetworkSet> network_sets;
  std::map<std::string, std::vector<ServiceEndpoint>> services;  // by "namespace/name"
  std::map<std::string, api::Labels> namespaces;                 // labels as written, by name
  std::map<std::string, api::Labels> service_accounts;           // the same, by "namespace/name"
  std::map<std::string, Policy> profiles;                        // by name
  std::map<std::string, api::Labels> profile_labels;             // labelsToApply
  std::map<IpAddr, NodeName> nodes;                              // addresses of hosts
  std::map<NodeName, api::Labels> node_labels;                   // as written
  // Of the interface that leads to other nodes: of BGP, else internal ones.
  std::map<NodeName, std::vector<IpAddr>> node_uplinks;
  std::vector<std::string> dns_servers{std::string(api::kDefaultDnsServer)};  // as written
  api::EndpointToHostAction endpoint_to_host = api::EndpointToHostAction::kDrop;
  std::vector<api::FailsafePort> failsafe_inbound = api::default_failsafe_inbound();
  std::vector<api::FailsafePort> failsafe_outbound = api::default_failsafe_outbound();
  api::EstablishedConnections established = api::EstablishedConnections::kKeep;
};

// What applies to an endpoint in one direction: its tiers in order, with their policies in order.
struct AppliedTier {
  const Tier* tier = nullptr;
  std::vector<const Policy*> policies;
};
using AppliedTiers = std::vector<AppliedTier>;

class Evaluator {
 public:
  explicit Evaluator(World world);

  // Endpoints are found by the flow's addresses; of several with one address the first is taken
  // as the side, and selectors match when any of them does.
  [[nodiscard]] Verdict verdict(const Flow& flow) const;
  // verdict(flow).allowed, without the cost of saying why.
  [[nodiscard]] bool allows(const Flow& flow) const;

  [[nodiscard]] const World& world() const { return world_; }
  // Whether a connection that is refused as new would be ended if it stands already: by the
  // configuration, or by a policy of one of its workloads (kEstablishedAnnotation).
  [[nodiscard]] bool reevaluated(const Flow& flow) const;
  // Tiers in which no policy applies are left out. The endpoint is one of world().
  [[nodiscard]] const AppliedTiers& applied(const Endpoint& endpoint,
                                            api::PolicyType direction,
                                            Hook hook = Hook::kNormal) const;
  // The host endpoint that governs the interface with this address of the node: the one that
  // expects the address; else one with an interface's name, as the store does not tell which
  // interface has the address; else the one for all interfaces. Nothing: no policy.
  [[nodiscard]] const Endpoint* host_endpoint_at(const NodeName& node, const IpAddr& address) const;
  // The one that governs what leads to other nodes: asked by what workloads send and get through
  // it.
  [[nodiscard]] const Endpoint* uplink(const NodeName& node, Family family) const;
  // Of all nodes; nothing for addresses that no node has.
  [[nodiscard]] const NodeName* node_at(const IpAddr& address) const;
  // With the labels that the endpoint inherits. The endpoint is one of world().
  [[nodiscard]] bool matches(const Selector& selector, const Endpoint& endpoint) const;
  [[nodiscard]] bool matches(const Selector& selector, const NetworkSet& set) const;
  // Names of the tiers that the world was given, not those that stand in for missing ones.
  [[nodiscard]] const std::set<std::string>& made_tiers() const { return made_tiers_; }

 private:
  struct Packet;
  struct Place;
  struct End;
  [[nodiscard]] Verdict verdict(const Packet& packet) const;
  void index(const Endpoint& endpoint);
  void inherit_from(const std::string& ns);
  [[nodiscard]] std::vector<const Endpoint*> owners(const IpAddr& address) const;
  // Some owner of the address matches: an endpoint that has it or a network set around it.
  [[nodiscard]] bool owned_by(const Selector& selector, const End& end) const;
  [[nodiscard]] bool of_node(const Selector& selector, const IpAddr& address) const;
  [[nodiscard]] bool names_port(const std::vector<std::string>& names,
                                const EntityMatch& match,
                                const End& end,
                                api::Protocol protocol) const;
  [[nodiscard]] bool in_service(const std::string& service,
                                const End& end,
                                api::Protocol protocol,
                                bool with_port) const;
  [[nodiscard]] bool ports_match(const EntityMatch& match,
                                 const End& end,
                                 api::Protocol protocol) const;
  [[nodiscard]] bool end_matches(const EntityMatch& match,
                                 const End& end,
                                 api::Protocol protocol,
                                 bool destination) const;
  [[nodiscard]] SideVerdict egress(const Packet& packet, const Place& from, const Place& to) const;
  [[nodiscard]] SideVerdict ingress(const Packet& packet, const Place& from, const Place& to) const;
  // Tiers, then profiles, of a workload or of a host itself.
  void endpoint_decides(const Packet& packet,
                        const Endpoint& endpoint,
                        api::PolicyType direction,
                        SideVerdict& verdict) const;
  // What the host endpoint says to a packet on its interface; `forwarded`: from or to a workload.
  void host_decides(const Packet& packet,
                    const Endpoint& host,
                    api::PolicyType direction,
                    bool forwarded,
                    SideVerdict& verdict) const;
  // The verdict of the hook's policies; absent when none of them decides.
  [[nodiscard]] std::optional<bool> hook_verdict(const Packet& packet,
                                                 const Endpoint& host,
                                                 api::PolicyType direction,
                                                 Hook hook,
                                                 std::vector<Step>& path) const;
  // To such a port; with `reply` from one of the other direction.
  [[nodiscard]] bool failsafe(const Packet& packet, api::PolicyType direction, bool reply) const;
  [[nodiscard]] std::optional<bool> tier_verdict(const Packet& packet,
                                                 const Tier& tier,
                                                 const std::vector<const Policy*>& applied,
                                                 api::PolicyType direction,
                                                 std::vector<Step>& path) const;
  // Past the tiers: the first profile that knows the flow decides.
  void profiles_decide(const Packet& packet,
                       const Endpoint& endpoint,
                       api::PolicyType direction,
                       SideVerdict& verdict) const;
  // The first rule that ends the evaluation; Log goes on.
  [[nodiscard]] const Rule* deciding_rule(const Packet& packet,
                                          const Policy& policy,
                                          const std::string& tier,
                                          api::PolicyType direction,
                                          std::vector<Step>& path) const;
  [[nodiscard]] bool rule_matches(const Packet& packet, const Rule& rule) const;

  World world_;
  std::set<std::string> made_tiers_;
  // Worked out when it is first asked for.
  mutable std::map<std::tuple<const Endpoint*, api::PolicyType, Hook>, AppliedTiers> applied_;
  std::map<std::string, api::Labels> inherited_;  // namespace_labels() of every namespace in use
  std::map<std::string, api::Labels> inherited_accounts_;   // service_account_labels()
  std::multimap<IpAddr, const Endpoint*> by_address_;       // workloads before hosts
  std::map<NodeName, std::vector<const Endpoint*>> hosts_;  // by name
};

}  // namespace margay::policy
