#pragma once
// CalcGraph: what of the whole store matters on this node, kept while the store changes.
//
//   WorkloadEndpoint --+--> members:  all endpoints x selectors of active rules  --> addresses per
//   selector Namespace labels --+--> subjects: local endpoints x policy subjects          -->
//   active policies policies, tiers  -----------------------------------+--> stacks per local
//   endpoint, in order local endpoints, own blocks  ---------------------------> routes Node,
//   BGPPeer, BGPConfiguration, IPPool, own blocks  ---> BgpInputs
//
// Inputs say what is now true; order, repeats and deletions of the unknown do not matter. An object
// that became invalid keeps its last valid version in force and is listed. take_changes() gives the
// difference since the last call, and nothing before the first in-sync. The cost follows the
// change: a label costs the selectors that mention it, a policy the endpoints it selects. Pure: no
// I/O, no logging, one thread.

#include "api/resource.h"
#include "felix/calc/bgp_inputs.h"
#include "felix/calc/host_endpoints.h"
#include "felix/calc/host_ports.h"
#include "felix/calc/member_index.h"
#include "felix/calc/outgoing_nat.h"
#include "felix/calc/stack.h"
#include "policy/label_index.h"
#include "policy/model.h"
#include "policy/world.h"

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

namespace margay::felix {

struct LocalEndpoint {
  IfName interface;
  std::vector<IpAddr> addresses;
  std::vector<Prefix> spoofed;  // sources beside its addresses that it may send from, sorted
  PolicyStack ingress;
  PolicyStack egress;
  PublishedPorts published;
  bool operator==(const LocalEndpoint&) const = default;
};

// What this node takes from FelixConfiguration "default" and "node.NAME".
struct FelixSettings {
  api::EndpointToHostAction endpoint_to_host = api::EndpointToHostAction::kDrop;
  std::string log_prefix = "margay-packet";
  std::string log_severity;  // empty: not said
  api::EstablishedConnections established = api::EstablishedConnections::kKeep;
  std::vector<api::FailsafePort> failsafe_inbound = api::default_failsafe_inbound();
  std::vector<api::FailsafePort> failsafe_outbound = api::default_failsafe_outbound();
  // Whose answers tell what domain names lead to, sorted; empty while no policy asks for names.
  std::vector<Prefix> dns_servers;
  std::uint32_t dns_extra_ttl_s = 0;
  api::SourceSpoofing spoofing = api::SourceSpoofing::kDisabled;
  api::NatExclusions nat_exclusions = api::NatExclusions::kPoolsAndHosts;
  std::optional<api::PortRange> nat_ports;
  bool operator==(const FelixSettings&) const = default;
};

struct LocalRoute {
  IpAddr addr;
  IfName interface;
};

// Apply in this order: members, policies, endpoints; removals of policies and sets last.
struct CalcChanges {
  std::map<policy::AddressSet, MemberDelta> members;
  std::vector<policy::PolicyPtr> set_policies;
  std::vector<std::pair<api::ResourceKey, LocalEndpoint>> set_endpoints;
  std::vector<api::ResourceKey> remove_endpoints;
  std::vector<api::ResourceKey> remove_policies;
  std::vector<policy::AddressSet> remove_sets;
  std::optional<HostInterfaces> hosts;  // all of them, when they changed
  std::vector<IfName> set_links;        // host interfaces of local endpoints
  std::vector<IfName> remove_links;
  std::vector<LocalRoute> set_routes;
  std::vector<IpAddr> remove_routes;
  HostPorts::Changes host_ports;
  std::vector<Prefix> set_blackholes;
  std::vector<Prefix> remove_blackholes;
  std::optional<FelixSettings> settings;  // when they changed
  std::optional<NatRules> nat;            // when they changed
  std::optional<BgpInputs> bgp;           // when they changed
};

struct InvalidObject {
  Error error;
  bool last_valid_in_force = false;
};

class CalcGraph {
 public:
  explicit CalcGraph(NodeName node);

  void on_object(const std::shared_ptr<const api::Resource>& resource);
  void on_invalid(const api::ResourceKey& key, const Error& error);
  void on_deleted(const api::ResourceKey& key);
  // A valid version of it is in force.
  [[nodiscard]] bool knows(const api::ResourceKey& key) const;
  // The node's own interfaces as the kernel has them; asked for while needs_interfaces().
  void on_interfaces(InterfaceAddresses interfaces);
  // The addresses that a domain name leads to now.
  void on_domain(const std::string& name, std::set<IpAddr> addresses) {
    members_.set_domain(name, std::move(addresses));
  }
  // Some policy in force asks for the name, or for any.
  [[nodiscard]] bool wants_domain(const std::string& name) const {
    return members_.wants_domain(name);
  }
  [[nodiscard]] bool wants_domains() const { return members_.uses_domains(); }
  [[nodiscard]] bool needs_interfaces() const { return hosts_.needs_interfaces(); }
  // The objects so far are the whole store.
  void on_in_sync() { in_sync_ = true; }

  [[nodiscard]] CalcChanges take_changes();

  [[nodiscard]] const std::map<api::ResourceKey, InvalidObject>& invalid_objects() const {
    return invalid_;
  }
  [[nodiscard]] const std::map<api::ResourceKey, LocalEndpoint>& local_endpoints() const {
    return emitted_endpoints_;
  }
  // The object of an endpoint; null when it is unknown.
  [[nodiscard]] const api::Resource* endpoint_object(const api::ResourceKey& key) const;
  // Host endpoints of this node that govern no interface.
  [[nodiscard]] std::vector<std::string> unresolved_hosts() const { return hosts_.unresolved(); }
  [[nodiscard]] std::size_t active_policies() const { return active_count_; }

 private:
  struct Endpoint {
    std::shared_ptr<const api::Resource> resource;
    policy::ItemId item;
    std::vector<IpAddr> addresses;
    std::string ns;
    bool local = false;
  };
  struct Host {
    std::shared_ptr<const api::Resource> resource;
    policy::ItemId item;
    bool local = false;
  };
  struct PolicyEntry {
    policy::PolicyPtr policy;
    policy::SelectorId subject;
    std::set<policy::ItemId> endpoints;    // local ones it selects, hosts too
    std::vector<policy::AddressSet> sets;  // of its rules, in use while it is active
    bool active = false;                   // told to the renderer
    bool changed = false;
  };
  void set_endpoint(const std::shared_ptr<const api::Resource>& resource);
  void remove_endpoint(const api::ResourceKey& key);
  void set_policy(const api::Resource& resource);
  void remove_policy(const api::ResourceKey& key);
  void set_namespace(const std::string& name, const api::Labels& labels);
  void remove_namespace(const std::string& name);
  void hold_namespace(const std::string& name);
  void release_namespace(const std::string& name);
  void set_network_set(const api::Resource& resource);
  void remove_network_set(const api::ResourceKey& key);
  void set_slice(const api::Resource& resource);
  void remove_slice(const api::ResourceKey& key);
  void tell_service(const std::string& service);
  void set_profile(const api::Resource& resource);
  void remove_profile(const api::ResourceKey& key);
  void use_profiles(policy::ItemId item, const std::vector<std::string>& profiles, bool used);
  void set_host(const std::shared_ptr<const api::Resource>& resource);
  void remove_host(const api::ResourceKey& key);
  void mark_dirty(policy::ItemId item);
  void mark_endpoints(const std::set<policy::ItemId>& items);
  void set_other(const std::shared_ptr<const api::Resource>& resource);
  void mark_all_endpoints();
  void claim_interface(const api::ResourceKey& key, const Endpoint& endpoint);
  void release_interface(const api::ResourceKey& key, const Endpoint& endpoint);
  [[nodiscard]] bool owns_interface(const api::ResourceKey& key, const Endpoint& endpoint) const;

  void drain_subjects();
  void set_parent(const std::string& name, const api::Labels& labels);
  void remove_parent(const std::string& name);
  void use_sets(PolicyEntry& entry);
  void release_sets(PolicyEntry& entry);
  void emit_policies(CalcChanges& changes);
  void emit_endpoints(CalcChanges& changes);
  // Interface, addresses and ports of an emitted endpoint come and go.
  void claim(const api::ResourceKey& key, const LocalEndpoint& endpoint);
  void unclaim(const api::ResourceKey& key, const LocalEndpoint& endpoint);
  void emit_hosts(CalcChanges& changes);
  void emit_links(CalcChanges& changes);
  void emit_routes(CalcChanges& changes);
  [[nodiscard]] std::vector<Prefix> dns_servers(const std::vector<std::string>& trusted) const;
  void emit_nat(CalcChanges& changes);
  void emit_settings(CalcChanges& changes);
  void emit_bgp(CalcChanges& changes);
  void set_workload_selector(const api::Resource& resource);
  void remove_workload_selector(const std::string& bgp_peer);
  [[nodiscard]] BgpWorkloads bgp_workloads() const;
  [[nodiscard]] LocalEndpoint compute(const Endpoint& endpoint) const;
  [[nodiscard]] PolicyStack stack_of(policy::ItemId item,
                                     const std::vector<std::string>& profiles,
                                     api::PolicyType direction,
                                     policy::Hook hook) const;
  [[nodiscard]] HostStacks host_stacks(const Host& host) const;
  [[nodiscard]] policy::Tier tier(const std::string& name) const;

  NodeName node_;
  bool in_sync_ = false;

  std::unordered_map<api::ResourceKey, Endpoint> endpoints_;       // of the whole cluster
  std::map<IfName, std::set<api::ResourceKey>> interface_claims_;  // local endpoints naming it
  std::map<api::ResourceKey, Host> host_objects_;                  // of all nodes
  HostEndpoints hosts_;                                            // of this one
  std::unordered_map<policy::ItemId, api::ResourceKey> keys_by_item_;
  std::map<api::ResourceKey, PolicyEntry> policies_;
  std::map<policy::SelectorId, api::ResourceKey> policies_by_subject_;
  std::map<std::string, policy::Tier> tiers_;
  std::set<api::ResourceKey> network_sets_;
  std::map<std::string, std::set<policy::ItemId>> profile_users_;  // local endpoints, by profile
  std::map<api::ResourceKey, policy::SliceMembers> slices_;
  std::map<std::string, std::set<api::ResourceKey>> slices_of_service_;
  std::map<std::string, api::Labels> namespaces_;    // that exist as objects
  std::map<std::string, unsigned> namespace_users_;  // endpoints in them
  MemberIndex members_;
  policy::LabelIndex subjects_;
  std::uint32_t next_item_ = 1;
  std::uint32_t next_selector_ = 1;

  BgpState bgp_;
  policy::LabelIndex bgp_subjects_;                          // local endpoints and BGPPeers
  std::map<std::string, policy::SelectorId> bgp_selectors_;  // by BGPPeer
  bool bgp_dirty_ = true;
  std::map<std::string, api::FelixConfiguration> felix_;  // "default", "node.NAME"
  std::map<api::ResourceKey, InvalidObject> invalid_;

  std::set<api::ResourceKey> dirty_endpoints_;
  bool hosts_dirty_ = true;
  std::set<api::ResourceKey> dirty_policies_;
  std::set<api::ResourceKey> removed_policies_;  // were active
  std::size_t active_count_ = 0;

  std::map<api::ResourceKey, LocalEndpoint> emitted_endpoints_;
  HostInterfaces emitted_hosts_;
  // By what the emitted endpoints name; what changed since links and routes were emitted.
  std::map<IfName, unsigned> link_users_;
  std::map<IpAddr, std::map<api::ResourceKey, IfName>> address_claims_;
  HostPorts host_ports_;
  std::set<IfName> dirty_links_;
  std::set<IpAddr> dirty_addresses_;
  std::set<IfName> emitted_links_;
  std::map<IpAddr, IfName> emitted_routes_;
  std::set<Prefix> emitted_blackholes_;
  OutgoingNat nat_;
  NatRules emitted_nat_;
  std::optional<FelixSettings> emitted_settings_;
  std::optional<BgpInputs> emitted_bgp_;
};

}  // namespace margay::felix
