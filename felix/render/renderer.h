#pragma once
// Renderer: keeps the desired nftables table as endpoints, policies and selector members change.
//
// Each call says what is now true of one thing; take_delta() gives what changed in the table since
// the last one. The cost follows the change: a member is one set element, an endpoint with a known
// stack is a few map elements, a policy is its own chains plus the stacks that use it if its
// ability to pass changed. Chains exist for policies that a stack uses, sets for what a chain looks
// into. A stack may name a policy that is not known yet: its chain drops everything until
// then. Deterministic: the same state renders the same table, whatever the order it came in.

#include "base/ip_addr.h"
#include "base/strong.h"
#include "felix/calc/calc_graph.h"
#include "felix/render/layout.h"
#include "felix/render/net_set.h"
#include "felix/render/rules.h"
#include "policy/model.h"

#include <map>
#include <set>
#include <string>
#include <vector>

namespace margay::felix {

// An endpoint of this node, as far as the kernel is concerned.
struct RenderEndpoint {
  IfName interface;
  std::vector<IpAddr> sources;  // addresses it may send from
  std::vector<Prefix> spoofed;  // and networks, beside them
  PolicyStack ingress;
  PolicyStack egress;
  bool operator==(const RenderEndpoint&) const = default;
};

class Renderer {
 public:
  explicit Renderer(LayoutOptions layout, RuleOptions rules = {});

  // Everything of one calculation, in an order that never leaves a gap.
  void apply(const CalcChanges& changes);

  void set_endpoint(const api::ResourceKey& key, RenderEndpoint endpoint);
  void remove_endpoint(const api::ResourceKey& key);
  // The host endpoints of this node, all of them.
  void set_hosts(HostInterfaces hosts);
  // What is masqueraded when it leaves the cluster.
  void set_nat(NatRules rules);
  // Ports of this node that lead to workloads.
  void set_host_port(const HostPort& port, const HostPortTarget& target);
  void remove_host_port(const HostPort& port);
  void set_policy(policy::PolicyPtr policy);
  void remove_policy(const api::ResourceKey& key);
  // What an address set holds now. Unused sets may be told, too.
  void add_members(const policy::AddressSet& set, const std::vector<policy::Member>& members);
  void remove_members(const policy::AddressSet& set, const std::vector<policy::Member>& members);
  void forget_set(const policy::AddressSet& set);
  // The fixed part or the log prefix changed: everything is rendered anew.
  void set_options(LayoutOptions layout, RuleOptions rules);

  // What changed since the last call; the first one holds the whole table.
  [[nodiscard]] nft::Delta take_delta();
  [[nodiscard]] const nft::Table& table() const { return table_; }
  [[nodiscard]] std::size_t policy_count() const { return used_policies_.size(); }

 private:
  struct StackUse {
    PolicyStack stack;
    unsigned endpoints = 0;
    std::vector<std::string> chains;  // in the table
  };
  using StackKey = std::pair<api::PolicyType, std::string>;  // direction, chain name
  using Stacks = std::map<StackKey, StackUse>;
  // The stacks that jump to a policy's chain.
  using PolicyUse = std::set<Stacks::value_type*>;
  // An endpoint with the names of its stacks' chains, which take time to work out.
  struct Placed {
    RenderEndpoint endpoint;
    std::string ingress_chain;  // empty: no stack
    std::string egress_chain;

    [[nodiscard]] const std::string& chain(api::PolicyType direction) const {
      return direction == api::PolicyType::kIngress ? ingress_chain : egress_chain;
    }
  };

  static Placed place(RenderEndpoint endpoint, const Placed* before);
  void put_endpoint(const api::ResourceKey& key, const Placed& placed);
  void drop_endpoint(const api::ResourceKey& key, const Placed& placed);
  // Only the stacks of the endpoint changed: its one element per direction, nothing else.
  void move_endpoint(const Placed& from, const Placed& to);
  void put_verdict(const Placed& placed, api::PolicyType direction);
  void put_elements(const Placed& placed);
  void use_spoofed(const std::vector<Prefix>& nets);
  void release_spoofed(const std::vector<Prefix>& nets);
  void render_hosts();
  void render_nat();
  [[nodiscard]] std::set<Family> published_families() const;
  void release_published(const IpAddr& workload);
  void use_stack(const PolicyStack& stack, const StackKey& key);
  void release_stack(const PolicyStack& stack, const StackKey& key);
  void render_stack_chains(Stacks::value_type& stack);
  void render_policy(const api::ResourceKey& key, api::PolicyType direction);
  void drop_policy_chain(const api::ResourceKey& key, api::PolicyType direction);
  void use_sets(const RuleNeeds& rules);
  [[nodiscard]] nft::Set kernel_set(const SetRef& ref) const;
  void put_member(const policy::AddressSet& set, const policy::Member& member, bool present);
  // Rules ask an interval set only where there are networks.
  void render_users(const policy::AddressSet& set);
  void release_sets(const RuleNeeds& rules);
  void set_chain(const std::string& name, nft::Chain chain);
  void remove_chain(const std::string& name);
  void add_set(const std::string& name, nft::Set set);
  void remove_set(const std::string& name);
  void add_element(const std::string& set, const nft::ElementKey& key, nft::ElementData data);
  void remove_element(const std::string& set, const nft::ElementKey& key);
  [[nodiscard]] bool can_pass(const api::ResourceKey& policy, api::PolicyType direction) const;

  LayoutOptions layout_;
  RuleOptions rule_options_;
  nft::Table table_;
  std::set<std::string> told_chains_;  // names in the last delta's table
  std::set<std::string> told_sets_;
  std::set<std::string> touched_chains_;
  std::set<std::string> touched_sets_;  // created, removed or both
  std::map<std::string, std::set<nft::ElementKey>> touched_elements_;

  std::map<api::ResourceKey, Placed> endpoints_;
  HostInterfaces hosts_;
  NatRules nat_;
  std::map<HostPort, HostPortTarget> host_ports_;
  std::map<IpAddr, unsigned> published_;  // workload -> ports that lead to it
  std::set<std::string> host_chains_;     // in the table
  std::set<std::string> host_sets_;
  std::map<std::string, unsigned> spoofed_users_;        // chain -> endpoints
  std::map<IfName, api::ResourceKey> interface_owners_;  // the endpoint told last
  std::map<api::ResourceKey, policy::PolicyPtr> policies_;
  struct Contents {
    std::set<policy::Member> hosts;
    std::map<Family, NetSet> nets;
  };
  std::map<policy::AddressSet, Contents> contents_;
  Stacks stacks_;
  std::map<std::pair<api::ResourceKey, api::PolicyType>, PolicyUse> used_policies_;
  std::map<std::pair<api::ResourceKey, api::PolicyType>, RuleNeeds> rendered_;
  std::map<SetRef, unsigned> set_users_;
  std::map<std::string, unsigned> literal_users_;
};

}  // namespace margay::felix
