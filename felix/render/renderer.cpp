#include "felix/render/renderer.h"

#include "felix/render/host_layout.h"
#include "felix/render/nat_layout.h"

#include <algorithm>
#include <array>
#include <utility>

namespace margay::felix {

namespace {

constexpr std::array kDirections{api::PolicyType::kIngress, api::PolicyType::kEgress};

nft::ElementKey interface_key(const IfName& name) {
  return nft::single(nft::key(name));
}
nft::ElementKey source_key(const IfName& name, const IpAddr& addr) {
  return nft::single(nft::key(name, addr));
}
nft::ElementKey self_key(const IfName& name) {
  return nft::single(nft::key(name, name));
}
nft::ElementKey member_key(const policy::AddressSet& set, const policy::Member& member) {
  return nft::single(
      set.with_ports()
          ? nft::key(member.net.addr(), nft::Proto(member.protocol.number), nft::Port(member.port))
          : nft::key(member.net.addr()));
}
const char* source_set(const IpAddr& addr) {
  return addr.is_v4() ? kSourceSet4 : kSourceSet6;
}
const char* dispatch_map(api::PolicyType direction) {
  return direction == api::PolicyType::kIngress ? kIngressMap : kEgressMap;
}

const PolicyStack& stack_of(const RenderEndpoint& endpoint, api::PolicyType direction) {
  return direction == api::PolicyType::kIngress ? endpoint.ingress : endpoint.egress;
}

}  // namespace

Renderer::Renderer(LayoutOptions layout, RuleOptions rules)
    : layout_(std::move(layout)), rule_options_(std::move(rules)), table_(base_table(layout_)) {
  for (const auto& [name, chain] : table_.chains) {
    touched_chains_.insert(name);
  }
  for (const auto& [name, set] : table_.sets) {
    touched_sets_.insert(name);
  }
}

namespace {

std::vector<BgpAccess> bgp_access(const BgpInputs& inputs) {
  std::vector<BgpAccess> out;
  for (const BgpPeerInput& peer : inputs.peers) {
    if (peer.arrives_on && peer.source) {
      out.push_back({*peer.arrives_on, *peer.source, inputs.listen_port});
    }
  }
  return out;
}

}  // namespace

void Renderer::apply(const CalcChanges& changes) {
  if (changes.bgp) {
    LayoutOptions layout = layout_;
    layout.bgp_access = bgp_access(*changes.bgp);
    set_options(std::move(layout), rule_options_);
  }
  if (changes.settings) {
    LayoutOptions layout = layout_;
    layout.endpoint_to_host = changes.settings->endpoint_to_host;
    layout.failsafe_inbound = changes.settings->failsafe_inbound;
    layout.failsafe_outbound = changes.settings->failsafe_outbound;
    layout.dns_servers = changes.settings->dns_servers;
    layout.nat_ports = changes.settings->nat_ports;
    set_options(std::move(layout),
                RuleOptions{changes.settings->log_prefix, rule_options_.merge_from});
  }
  for (const auto& [set, members] : changes.members) {
    add_members(set, members.add);
    remove_members(set, members.remove);
  }
  for (const policy::PolicyPtr& policy : changes.set_policies) {
    set_policy(policy);
  }
  for (const auto& [key, endpoint] : changes.set_endpoints) {
    set_endpoint(key,
                 {endpoint.interface,
                  endpoint.addresses,
                  endpoint.spoofed,
                  endpoint.ingress,
                  endpoint.egress});
  }
  if (changes.hosts) {
    set_hosts(*changes.hosts);
  }
  if (changes.nat) {
    set_nat(*changes.nat);
  }
  for (const auto& [port, target] : changes.host_ports.set) {
    set_host_port(port, target);
  }
  for (const HostPort& port : changes.host_ports.remove) {
    remove_host_port(port);
  }
  for (const api::ResourceKey& key : changes.remove_endpoints) {
    remove_endpoint(key);
  }
  for (const api::ResourceKey& key : changes.remove_policies) {
    remove_policy(key);
  }
  for (const policy::AddressSet& set : changes.remove_sets) {
    forget_set(set);
  }
}

void Renderer::set_options(LayoutOptions layout, RuleOptions rules) {
  if (layout == layout_ && rules == rule_options_) {
    return;
  }
  const auto endpoints = std::exchange(endpoints_, {});
  auto hosts = std::exchange(hosts_, {});
  auto nat = std::exchange(nat_, {});
  const auto host_ports = std::exchange(host_ports_, {});
  const auto policies = std::exchange(policies_, {});
  auto contents = std::exchange(contents_, {});
  std::set<std::string> told_chains = std::move(told_chains_);
  std::set<std::string> told_sets = std::move(told_sets_);
  *this = Renderer(std::move(layout), std::move(rules));
  // What the kernel holds from before is compared by name: everything old is touched.
  touched_chains_.insert(told_chains.begin(), told_chains.end());
  touched_sets_.insert(told_sets.begin(), told_sets.end());
  told_chains_ = std::move(told_chains);
  told_sets_ = std::move(told_sets);
  contents_ = std::move(contents);
  for (const auto& [key, policy] : policies) {
    set_policy(policy);
  }
  for (const auto& [key, placed] : endpoints) {
    set_endpoint(key, placed.endpoint);
  }
  set_hosts(std::move(hosts));
  set_nat(std::move(nat));
  for (const auto& [port, target] : host_ports) {
    set_host_port(port, target);
  }
}

void Renderer::set_nat(NatRules rules) {
  nat_ = std::move(rules);
  render_nat();
}

// A node that comes or goes is an element or two.
void Renderer::render_nat() {
  nft::Table now = nat_table(layout_, nat_, published_families());
  for (auto& [name, set] : now.sets) {
    const auto known = table_.sets.find(name);
    if (known == table_.sets.end()) {
      add_set(name, std::move(set));
      continue;
    }
    const nft::Elements old = known->second.elements;
    for (const auto& [key, data] : old) {
      if (!set.elements.contains(key)) {
        remove_element(name, key);
      }
    }
    for (const auto& [key, data] : set.elements) {
      if (!old.contains(key)) {
        add_element(name, key, data);
      }
    }
  }
  for (const char* name : kNatChains) {
    if (const auto chain = now.chains.find(name); chain != now.chains.end()) {
      set_chain(name, std::move(chain->second));
    } else if (table_.chains.contains(name)) {
      remove_chain(name);
    }
  }
  for (const char* name : kNatSets) {
    if (!now.sets.contains(name) && table_.sets.contains(name)) {
      remove_set(name);
    }
  }
}

std::set<Family> Renderer::published_families() const {
  // Addresses are ordered by family first.
  return published_.empty() ? std::set<Family>()
                            : std::set<Family>{published_.begin()->first.family(),
                                               published_.rbegin()->first.family()};
}

// The rules of a family come with its first port and go with its last.
void Renderer::set_host_port(const HostPort& port, const HostPortTarget& target) {
  const auto known = host_ports_.find(port);
  if (known != host_ports_.end() && known->second == target) {
    return;
  }
  const bool first = !published_families().contains(port.family);
  if (first) {
    for (auto& [name, set] : empty_published_sets(port.family).sets) {
      add_set(name, set);
    }
  }
  if (++published_[target.addr] == 1) {
    add_element(published_sets(port.family).hairpin, hairpin_element(target.addr), {});
  }
  const std::optional<HostPortTarget> old =
      known == host_ports_.end() ? std::nullopt : std::optional(known->second);
  host_ports_.insert_or_assign(port, target);
  PublishedElement element = published_element(port, target);
  add_element(element.map, element.key, std::move(element.data));
  if (old) {
    release_published(old->addr);
  }
  if (first) {
    render_nat();
  }
}

void Renderer::remove_host_port(const HostPort& port) {
  const auto known = host_ports_.find(port);
  if (known == host_ports_.end()) {
    return;
  }
  const HostPortTarget target = known->second;
  host_ports_.erase(known);
  const PublishedElement element = published_element(port, target);
  remove_element(element.map, element.key);
  release_published(target.addr);
  if (!published_families().contains(port.family)) {
    render_nat();
    for (const auto& [name, set] : empty_published_sets(port.family).sets) {
      remove_set(name);
    }
  }
}

void Renderer::release_published(const IpAddr& workload) {
  if (--published_.at(workload) == 0) {
    published_.erase(workload);
    remove_element(published_sets(workload.family()).hairpin, hairpin_element(workload));
  }
}

void Renderer::set_hosts(HostInterfaces hosts) {
  const auto for_each = [](const HostInterfaces& all, auto&& visit) {
    for (const auto& [interface, stacks] : all) {
      for (const auto& [hook, stack] : stacks) {
        visit(stack, direction_of(hook));
      }
    }
  };
  // The new ones first: stacks that both use are not taken down in between.
  for_each(hosts, [this](const PolicyStack& stack, api::PolicyType direction) {
    use_stack(stack, {direction, stack_chain_name(stack, direction)});
  });
  const HostInterfaces old = std::exchange(hosts_, std::move(hosts));
  render_hosts();
  for_each(old, [this](const PolicyStack& stack, api::PolicyType direction) {
    release_stack(stack, {direction, stack_chain_name(stack, direction)});
  });
}

void Renderer::render_hosts() {
  const std::set<std::string> old_chains = std::exchange(host_chains_, {});
  const std::set<std::string> old_sets = std::exchange(host_sets_, {});
  nft::Table now = host_table(layout_, hosts_);
  for (auto& [name, set] : now.sets) {
    host_sets_.insert(name);
    add_set(name, std::move(set));
  }
  for (auto& [name, chain] : now.chains) {
    host_chains_.insert(name);
    set_chain(name, std::move(chain));
  }
  for (const std::string& name : old_chains) {
    if (!host_chains_.contains(name)) {
      remove_chain(name);
    }
  }
  for (const std::string& name : old_sets) {
    if (!host_sets_.contains(name)) {
      remove_set(name);
    }
  }
}

Renderer::Placed Renderer::place(RenderEndpoint endpoint, const Placed* before) {
  Placed placed{std::move(endpoint), {}, {}};
  for (const api::PolicyType direction : kDirections) {
    const PolicyStack& stack = stack_of(placed.endpoint, direction);
    std::string& name =
        direction == api::PolicyType::kIngress ? placed.ingress_chain : placed.egress_chain;
    if (before != nullptr && stack_of(before->endpoint, direction) == stack) {
      name = before->chain(direction);
    } else if (!stack.empty()) {
      name = stack_chain_name(stack, direction);
    }
  }
  return placed;
}

void Renderer::set_endpoint(const api::ResourceKey& key, RenderEndpoint endpoint) {
  const auto existing = endpoints_.find(key);
  if (existing == endpoints_.end()) {
    const Placed& placed =
        endpoints_.emplace(key, place(std::move(endpoint), nullptr)).first->second;
    put_endpoint(key, placed);
    return;
  }
  if (existing->second.endpoint == endpoint) {
    return;
  }
  // The new state first: stacks that both use are not taken down in between.
  const Placed old = std::exchange(existing->second, place(std::move(endpoint), &existing->second));
  const RenderEndpoint& now = existing->second.endpoint;
  const auto owner = interface_owners_.find(now.interface);
  if (old.endpoint.interface == now.interface && old.endpoint.sources == now.sources &&
      old.endpoint.spoofed == now.spoofed && owner != interface_owners_.end() &&
      owner->second == key) {
    move_endpoint(old, existing->second);
    return;
  }
  put_endpoint(key, existing->second);
  drop_endpoint(key, old);
}

void Renderer::remove_endpoint(const api::ResourceKey& key) {
  const auto existing = endpoints_.find(key);
  if (existing == endpoints_.end()) {
    return;
  }
  const Placed old = std::move(existing->second);
  endpoints_.erase(existing);
  drop_endpoint(key, old);
}

void Renderer::put_endpoint(const api::ResourceKey& key, const Placed& placed) {
  const RenderEndpoint& endpoint = placed.endpoint;
  interface_owners_.insert_or_assign(endpoint.interface, key);
  for (const api::PolicyType direction : kDirections) {
    use_stack(stack_of(endpoint, direction), {direction, placed.chain(direction)});
  }
  use_spoofed(endpoint.spoofed);
  put_elements(placed);
}

void Renderer::move_endpoint(const Placed& from, const Placed& to) {
  for (const api::PolicyType direction : kDirections) {
    const PolicyStack& old = stack_of(from.endpoint, direction);
    const PolicyStack& now = stack_of(to.endpoint, direction);
    if (old == now) {
      continue;
    }
    use_stack(now, {direction, to.chain(direction)});
    put_verdict(to, direction);
    release_stack(old, {direction, from.chain(direction)});
  }
}

void Renderer::put_verdict(const Placed& placed, api::PolicyType direction) {
  const PolicyStack& stack = stack_of(placed.endpoint, direction);
  nft::Verdict verdict = stack.profile_allows ? nft::Verdict::accept() : nft::Verdict::drop();
  if (!stack.empty()) {
    verdict = nft::Verdict::go_to(placed.chain(direction));
  }
  add_element(
      dispatch_map(direction), interface_key(placed.endpoint.interface), std::move(verdict));
}

void Renderer::use_spoofed(const std::vector<Prefix>& nets) {
  if (!nets.empty() && ++spoofed_users_[spoofed_chain_name(nets)] == 1) {
    set_chain(spoofed_chain_name(nets), spoofed_chain(nets));
  }
}

void Renderer::release_spoofed(const std::vector<Prefix>& nets) {
  if (nets.empty()) {
    return;
  }
  const std::string name = spoofed_chain_name(nets);
  if (--spoofed_users_.at(name) == 0) {
    spoofed_users_.erase(name);
    remove_chain(name);
  }
}

void Renderer::put_elements(const Placed& placed) {
  const RenderEndpoint& endpoint = placed.endpoint;
  for (const api::PolicyType direction : kDirections) {
    put_verdict(placed, direction);
  }
  if (!endpoint.spoofed.empty()) {
    add_element(kSpoofedMap,
                interface_key(endpoint.interface),
                nft::Verdict::go_to(spoofed_chain_name(endpoint.spoofed)));
  }
  add_element(kSelfSet, self_key(endpoint.interface), std::monostate{});
  for (const IpAddr& addr : endpoint.sources) {
    add_element(source_set(addr), source_key(endpoint.interface, addr), std::monostate{});
  }
}

void Renderer::drop_endpoint(const api::ResourceKey& key, const Placed& placed) {
  const RenderEndpoint& endpoint = placed.endpoint;
  for (const api::PolicyType direction : kDirections) {
    remove_element(dispatch_map(direction), interface_key(endpoint.interface));
  }
  if (!endpoint.spoofed.empty()) {
    remove_element(kSpoofedMap, interface_key(endpoint.interface));
  }
  remove_element(kSelfSet, self_key(endpoint.interface));
  for (const IpAddr& addr : endpoint.sources) {
    remove_element(source_set(addr), source_key(endpoint.interface, addr));
  }
  // The interface may belong to another endpoint by now, or to this one in a new form.
  if (const auto owner = interface_owners_.find(endpoint.interface);
      owner != interface_owners_.end()) {
    const auto heir = endpoints_.find(owner->second);
    if (heir != endpoints_.end() && heir->second.endpoint.interface == endpoint.interface) {
      put_elements(heir->second);
    } else if (owner->second == key) {
      interface_owners_.erase(owner);
    }
  }
  for (const api::PolicyType direction : kDirections) {
    release_stack(stack_of(endpoint, direction), {direction, placed.chain(direction)});
  }
  release_spoofed(endpoint.spoofed);
}

void Renderer::use_stack(const PolicyStack& stack, const StackKey& key) {
  if (stack.empty()) {
    return;
  }
  const api::PolicyType direction = key.first;
  Stacks::value_type& entry = *stacks_.try_emplace(key).first;
  StackUse& use = entry.second;
  if (++use.endpoints > 1) {
    return;
  }
  use.stack = stack;
  for (const api::ResourceKey& policy : stack.rule_chains()) {
    PolicyUse& users = used_policies_[{policy, direction}];
    users.insert(&entry);
    if (users.size() == 1) {
      render_policy(policy, direction);
    }
  }
  render_stack_chains(entry);
}

void Renderer::release_stack(const PolicyStack& stack, const StackKey& key) {
  if (stack.empty()) {
    return;
  }
  const api::PolicyType direction = key.first;
  const auto found = stacks_.find(key);
  MARGAY_ASSERT(found != stacks_.end());
  if (--found->second.endpoints > 0) {
    return;
  }
  for (const std::string& chain : found->second.chains) {
    remove_chain(chain);
  }
  for (const api::ResourceKey& policy : stack.rule_chains()) {
    const auto use = used_policies_.find({policy, direction});
    if (use == used_policies_.end()) {
      continue;  // the policy stands in the stack twice
    }
    use->second.erase(&*found);
    if (use->second.empty()) {
      used_policies_.erase(use);
      drop_policy_chain(policy, direction);
    }
  }
  stacks_.erase(found);
}

bool Renderer::can_pass(const api::ResourceKey& policy, api::PolicyType direction) const {
  const auto found = rendered_.find({policy, direction});
  return found != rendered_.end() && found->second.can_pass;
}

void Renderer::render_stack_chains(Stacks::value_type& stack) {
  auto& [key, use] = stack;
  const StackChains rendered =
      render_stack(use.stack,
                   key.first,
                   key.second,
                   [this, direction = key.first](const api::ResourceKey& policy) {
                     return can_pass(policy, direction);
                   });
  std::vector<std::string> names;
  for (const auto& [name, chain] : rendered.chains) {
    set_chain(name, chain);
    names.push_back(name);
  }
  for (const std::string& old : use.chains) {
    if (std::ranges::find(names, old) == names.end()) {
      remove_chain(old);
    }
  }
  use.chains = std::move(names);
}

void Renderer::set_policy(policy::PolicyPtr policy) {
  const api::ResourceKey& key = policy->key;
  policies_.insert_or_assign(key, policy);
  for (const api::PolicyType direction : kDirections) {
    if (used_policies_.contains({key, direction})) {
      render_policy(key, direction);
    }
  }
}

void Renderer::remove_policy(const api::ResourceKey& key) {
  policies_.erase(key);
  for (const api::PolicyType direction : kDirections) {
    if (used_policies_.contains({key, direction})) {
      render_policy(key, direction);
    }
  }
}

void Renderer::render_policy(const api::ResourceKey& key, api::PolicyType direction) {
  RenderedRules rules;
  if (const auto policy = policies_.find(key); policy != policies_.end()) {
    rules = render_rules(
        *policy->second, direction, rule_options_, [this](const auto& set, Family family) {
          const auto contents = contents_.find(set);
          return contents != contents_.end() && contents->second.nets.contains(family);
        });
  } else {
    rules.rules.push_back({{nft::Counter{}, nft::Verdict::drop()}, "policy not known yet"});
  }
  const bool could_pass = can_pass(key, direction);
  use_sets(rules);
  set_chain(policy_chain_name(key, direction), nft::Chain{std::nullopt, std::move(rules.rules)});
  const RuleNeeds old = std::exchange(
      rendered_[{key, direction}],
      RuleNeeds{std::move(rules.sets), std::move(rules.literal_sets), rules.can_pass});
  release_sets(old);
  if (could_pass == rules.can_pass) {
    return;
  }
  for (Stacks::value_type* stack : used_policies_.at({key, direction})) {
    render_stack_chains(*stack);
  }
}

void Renderer::drop_policy_chain(const api::ResourceKey& key, api::PolicyType direction) {
  const auto rendered = rendered_.find({key, direction});
  MARGAY_ASSERT(rendered != rendered_.end());
  release_sets(rendered->second);
  rendered_.erase(rendered);
  remove_chain(policy_chain_name(key, direction));
}

void Renderer::use_sets(const RuleNeeds& rules) {
  for (const SetRef& ref : rules.sets) {
    if (++set_users_[ref] == 1) {
      add_set(set_name(ref.set, ref.family, ref.nets), kernel_set(ref));
    }
  }
  for (const auto& [name, set] : rules.literal_sets) {
    if (++literal_users_[name] == 1) {
      add_set(name, set);
    }
  }
}

void Renderer::release_sets(const RuleNeeds& rules) {
  for (const SetRef& ref : rules.sets) {
    if (--set_users_[ref] == 0) {
      set_users_.erase(ref);
      remove_set(set_name(ref.set, ref.family, ref.nets));
    }
  }
  for (const auto& [name, set] : rules.literal_sets) {
    if (--literal_users_[name] == 0) {
      literal_users_.erase(name);
      remove_set(name);
    }
  }
}

nft::Set Renderer::kernel_set(const SetRef& ref) const {
  nft::Set set;
  set.spec = set_spec(ref);
  const auto contents = contents_.find(ref.set);
  if (contents == contents_.end()) {
    return set;
  }
  if (ref.nets) {
    if (const auto nets = contents->second.nets.find(ref.family);
        nets != contents->second.nets.end()) {
      for (const Prefix& net : nets->second.outermost()) {
        set.elements.emplace(nft::element(net), std::monostate{});
      }
    }
    return set;
  }
  for (const policy::Member& member : contents->second.hosts) {
    if (member.net.family() == ref.family) {
      set.elements.emplace(member_key(ref.set, member), std::monostate{});
    }
  }
  return set;
}

void Renderer::add_members(const policy::AddressSet& set,
                           const std::vector<policy::Member>& members) {
  for (const policy::Member& member : members) {
    put_member(set, member, true);
  }
}

void Renderer::remove_members(const policy::AddressSet& set,
                              const std::vector<policy::Member>& members) {
  for (const policy::Member& member : members) {
    put_member(set, member, false);
  }
}

void Renderer::put_member(const policy::AddressSet& set,
                          const policy::Member& member,
                          bool present) {
  Contents& contents = contents_[set];
  const Family family = member.net.family();
  if (member.net.is_host()) {
    const bool changed =
        present ? contents.hosts.insert(member).second : contents.hosts.erase(member) == 1;
    if (changed && set_users_.contains({set, family, false})) {
      const std::string name = set_name(set, family, false);
      if (present) {
        add_element(name, member_key(set, member), std::monostate{});
      } else {
        remove_element(name, member_key(set, member));
      }
    }
    return;
  }
  const bool had_nets = contents.nets.contains(family);
  if (!present && !had_nets) {
    return;
  }
  NetSet& nets = contents.nets[family];
  const NetSet::Change change = present ? nets.insert(member.net) : nets.erase(member.net);
  if (nets.empty()) {
    contents.nets.erase(family);
  }
  if (set_users_.contains({set, family, true})) {
    const std::string name = set_name(set, family, true);
    for (const Prefix& net : change.remove) {
      remove_element(name, nft::element(net));
    }
    for (const Prefix& net : change.add) {
      add_element(name, nft::element(net), std::monostate{});
    }
  }
  if (had_nets != contents.nets.contains(family)) {
    render_users(set);
  }
}

void Renderer::render_users(const policy::AddressSet& set) {
  std::vector<std::pair<api::ResourceKey, api::PolicyType>> users;
  for (const auto& [use, rules] : rendered_) {
    const auto ref = rules.sets.lower_bound({set, Family::kIpv4, false});
    if (ref != rules.sets.end() && ref->set == set) {
      users.push_back(use);
    }
  }
  for (const auto& [key, direction] : users) {
    render_policy(key, direction);
  }
}

void Renderer::forget_set(const policy::AddressSet& set) {
  const auto found = contents_.find(set);
  if (found == contents_.end()) {
    return;
  }
  // A set that is still looked into, which the calculation never forgets, ends empty.
  Contents& contents = found->second;
  remove_members(set, {contents.hosts.begin(), contents.hosts.end()});
  while (!contents.nets.empty()) {
    put_member(set, {*contents.nets.begin()->second.outermost().begin()}, false);
  }
  contents_.erase(found);
}

// In the form of dumps, so that those who compare them with the kernel need no copy.
void Renderer::set_chain(const std::string& name, nft::Chain chain) {
  chain.rules = nft::canonical(std::move(chain.rules));
  table_.chains.insert_or_assign(name, std::move(chain));
  touched_chains_.insert(name);
}

void Renderer::remove_chain(const std::string& name) {
  table_.chains.erase(name);
  touched_chains_.insert(name);
}

void Renderer::add_set(const std::string& name, nft::Set set) {
  table_.sets.insert_or_assign(name, std::move(set));
  touched_sets_.insert(name);
}

void Renderer::remove_set(const std::string& name) {
  table_.sets.erase(name);
  touched_sets_.insert(name);
}

void Renderer::add_element(const std::string& set,
                           const nft::ElementKey& key,
                           nft::ElementData data) {
  table_.sets.at(set).elements.insert_or_assign(key, std::move(data));
  touched_elements_[set].insert(key);
}

void Renderer::remove_element(const std::string& set, const nft::ElementKey& key) {
  table_.sets.at(set).elements.erase(key);
  touched_elements_[set].insert(key);
}

nft::Delta Renderer::take_delta() {
  nft::Delta delta;
  if (told_chains_.empty() && told_sets_.empty()) {
    delta.upsert_chains = table_.chains;
    delta.upsert_sets = table_.sets;
    told_chains_ = std::exchange(touched_chains_, {});
    told_sets_ = std::exchange(touched_sets_, {});
    touched_elements_.clear();
    std::erase_if(told_chains_, [this](const auto& name) { return !table_.chains.contains(name); });
    std::erase_if(told_sets_, [this](const auto& name) { return !table_.sets.contains(name); });
    return delta;
  }
  for (const std::string& name : touched_chains_) {
    if (const auto chain = table_.chains.find(name); chain != table_.chains.end()) {
      delta.upsert_chains.emplace(name, chain->second);
      told_chains_.insert(name);
    } else if (told_chains_.erase(name) == 1) {
      delta.remove_chains.insert(name);
    }
  }
  for (const std::string& name : touched_sets_) {
    if (const auto set = table_.sets.find(name); set != table_.sets.end()) {
      delta.upsert_sets.emplace(name, set->second);
      told_sets_.insert(name);
    } else if (told_sets_.erase(name) == 1) {
      delta.remove_sets.insert(name);
    }
  }
  for (const auto& [name, keys] : touched_elements_) {
    const auto set = table_.sets.find(name);
    if (set == table_.sets.end() || touched_sets_.contains(name)) {
      continue;
    }
    nft::ElementDelta& elements = delta.elements[name];
    for (const nft::ElementKey& key : keys) {
      if (const auto element = set->second.elements.find(key);
          element != set->second.elements.end()) {
        elements.add.emplace(key, element->second);
      } else {
        elements.remove.insert(key);
      }
    }
  }
  touched_chains_.clear();
  touched_sets_.clear();
  touched_elements_.clear();
  return delta;
}

}  // namespace margay::felix
