#include "felix/calc/calc_graph.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

namespace margay::felix {

using policy::ItemId;
using policy::MatchChange;
using policy::SelectorId;

namespace {

std::vector<IpAddr> addresses_of(const api::WorkloadEndpoint& endpoint) {
  std::vector<IpAddr> out;
  for (const Prefix& prefix : endpoint.ip_networks) {
    out.push_back(prefix.addr());
  }
  std::ranges::sort(out);
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

std::vector<Prefix> host_prefixes(const std::vector<IpAddr>& addresses) {
  std::vector<Prefix> out;
  out.reserve(addresses.size());
  for (const IpAddr& addr : addresses) {
    out.push_back(Prefix::host(addr));
  }
  return out;
}

std::vector<Prefix> sorted(std::vector<Prefix> nets) {
  std::ranges::sort(nets);
  nets.erase(std::unique(nets.begin(), nets.end()), nets.end());
  return nets;
}

// Names in the label index. Namespaces have theirs as they are.
std::string account_parent(const std::string& ns, const std::string& name) {
  return fmt::format("account/{}/{}", ns, name);
}
std::string profile_parent(const std::string& name) {
  return "profile/" + name;
}
std::vector<std::string> parents_of(const api::Resource& endpoint) {
  const auto& spec = std::get<api::WorkloadEndpoint>(endpoint.spec);
  std::vector<std::string> parents{endpoint.metadata.ns};
  if (!spec.service_account.empty()) {
    parents.push_back(account_parent(endpoint.metadata.ns, spec.service_account));
  }
  for (const std::string& profile : spec.profiles) {
    parents.push_back(profile_parent(profile));
  }
  return parents;
}

const std::vector<std::string>& profiles_of(const api::Resource& endpoint) {
  return std::get<api::WorkloadEndpoint>(endpoint.spec).profiles;
}

const IfName& interface_of(const api::Resource& resource) {
  return std::get<api::WorkloadEndpoint>(resource.spec).interface_name;
}

}  // namespace

CalcGraph::CalcGraph(NodeName node) : node_(std::move(node)) {}

// ---- inputs

void CalcGraph::on_object(const std::shared_ptr<const api::Resource>& resource) {
  invalid_.erase(resource->key());
  const api::Kind kind = resource->kind();
  if (ServiceRoutes::concerns(kind)) {
    bgp_.set(*resource);
    bgp_dirty_ = bgp_dirty_ || bgp_.concerns(kind);
  }
  if (kind == api::Kind::kWorkloadEndpoint) {
    set_endpoint(resource);
  } else if (policy::is_policy(kind)) {
    set_policy(*resource);
  } else if (kind == api::Kind::kNamespace) {
    set_namespace(resource->metadata.name, resource->metadata.labels);
  } else if (kind == api::Kind::kNetworkSet || kind == api::Kind::kGlobalNetworkSet) {
    set_network_set(*resource);
  } else if (kind == api::Kind::kServiceAccount) {
    set_parent(account_parent(resource->metadata.ns, resource->metadata.name),
               policy::service_account_labels(resource->metadata.name, resource->metadata.labels));
  } else if (kind == api::Kind::kEndpointSlice) {
    set_slice(*resource);
  } else if (kind == api::Kind::kProfile) {
    set_profile(*resource);
  } else if (kind == api::Kind::kHostEndpoint) {
    set_host(resource);
  } else {
    set_other(resource);
  }
}

void CalcGraph::on_invalid(const api::ResourceKey& key, const Error& error) {
  invalid_.insert_or_assign(key, InvalidObject{error, knows(key)});
}

const api::Resource* CalcGraph::endpoint_object(const api::ResourceKey& key) const {
  const auto found = endpoints_.find(key);
  return found == endpoints_.end() ? nullptr : found->second.resource.get();
}

// A valid version is in force.
bool CalcGraph::knows(const api::ResourceKey& key) const {
  switch (key.kind) {
    case api::Kind::kWorkloadEndpoint:
      return endpoints_.contains(key);
    case api::Kind::kHostEndpoint:
      return host_objects_.contains(key);
    case api::Kind::kTier:
      return tiers_.contains(key.name);
    case api::Kind::kNamespace:
      return namespaces_.contains(key.name);
    case api::Kind::kNetworkSet:
    case api::Kind::kGlobalNetworkSet:
      return network_sets_.contains(key);
    case api::Kind::kEndpointSlice:
      return slices_.contains(key);
    case api::Kind::kFelixConfiguration:
      return felix_.contains(key.name);
    default:
      return policies_.contains(key) || bgp_.knows(key);
  }
}

void CalcGraph::on_deleted(const api::ResourceKey& key) {
  invalid_.erase(key);
  if (ServiceRoutes::concerns(key.kind)) {
    bgp_.remove(key);
    bgp_dirty_ = bgp_dirty_ || bgp_.concerns(key.kind);
  }
  if (key.kind == api::Kind::kWorkloadEndpoint) {
    remove_endpoint(key);
  } else if (policy::is_policy(key.kind)) {
    remove_policy(key);
  } else if (key.kind == api::Kind::kNamespace) {
    remove_namespace(key.name);
  } else if (key.kind == api::Kind::kNetworkSet || key.kind == api::Kind::kGlobalNetworkSet) {
    remove_network_set(key);
  } else if (key.kind == api::Kind::kServiceAccount) {
    remove_parent(account_parent(key.ns, key.name));
  } else if (key.kind == api::Kind::kEndpointSlice) {
    remove_slice(key);
  } else if (key.kind == api::Kind::kProfile) {
    remove_profile(key);
  } else if (key.kind == api::Kind::kHostEndpoint) {
    remove_host(key);
  } else if (key.kind == api::Kind::kTier) {
    if (tiers_.erase(key.name) == 1) {
      mark_all_endpoints();
    }
  } else if (key.kind == api::Kind::kFelixConfiguration) {
    felix_.erase(key.name);
  } else if (bgp_.concerns(key.kind)) {
    if (key.kind == api::Kind::kNode) {
      members_.remove_source(key);
      nat_.remove_node(key.name);
    } else if (key.kind == api::Kind::kIPPool) {
      nat_.remove_pool(key.name);
    } else if (key.kind == api::Kind::kBGPPeer) {
      remove_workload_selector(key.name);
    }
    bgp_.remove(key);
    bgp_dirty_ = true;
  }
}

void CalcGraph::set_other(const std::shared_ptr<const api::Resource>& resource) {
  if (resource->kind() == api::Kind::kTier) {
    const policy::Tier tier = policy::compile_tier(*resource);
    const auto found = tiers_.find(tier.name);
    if (found == tiers_.end() || !(found->second == tier)) {
      tiers_.insert_or_assign(tier.name, tier);
      mark_all_endpoints();
    }
  } else if (const auto* felix = std::get_if<api::FelixConfiguration>(&resource->spec)) {
    felix_.insert_or_assign(resource->metadata.name, *felix);
  } else if (bgp_.concerns(resource->kind())) {
    if (const auto* node = std::get_if<api::Node>(&resource->spec)) {
      members_.set_source(
          resource->key(),
          {resource->metadata.labels, {}, host_prefixes(policy::node_addresses(*node)), {}});
      nat_.set_node(resource->metadata.name, *node);
    } else if (const auto* pool = std::get_if<api::IPPool>(&resource->spec)) {
      nat_.set_pool(resource->metadata.name, *pool);
    } else if (resource->kind() == api::Kind::kBGPPeer) {
      set_workload_selector(*resource);
    }
    bgp_.set(*resource);
    bgp_dirty_ = true;
  }
}

void CalcGraph::mark_all_endpoints() {
  hosts_dirty_ = true;
  for (const auto& [key, endpoint] : endpoints_) {
    if (endpoint.local) {
      dirty_endpoints_.insert(key);
    }
  }
}

// ---- namespaces

void CalcGraph::set_namespace(const std::string& name, const api::Labels& labels) {
  namespaces_.insert_or_assign(name, labels);
  const api::Labels inherited = policy::namespace_labels(name, labels);
  set_parent(name, inherited);
}

void CalcGraph::remove_namespace(const std::string& name) {
  if (namespaces_.erase(name) == 0) {
    return;
  }
  // Its endpoints may live on; a namespace without an object has no labels but its name's.
  if (namespace_users_.contains(name)) {
    const api::Labels inherited = policy::namespace_labels(name, {});
    set_parent(name, inherited);
  } else {
    remove_parent(name);
  }
}

void CalcGraph::set_parent(const std::string& name, const api::Labels& labels) {
  members_.set_parent(name, labels);
  subjects_.set_parent(name, labels);
  bgp_subjects_.set_parent(name, labels);
  drain_subjects();
}

void CalcGraph::remove_parent(const std::string& name) {
  members_.remove_parent(name);
  subjects_.remove_parent(name);
  bgp_subjects_.remove_parent(name);
  drain_subjects();
}

// A namespace without an object has no labels but its name's, while something stands in it.
void CalcGraph::hold_namespace(const std::string& name) {
  if (!name.empty() && ++namespace_users_[name] == 1 && !namespaces_.contains(name)) {
    set_parent(name, policy::namespace_labels(name, {}));
  }
}

void CalcGraph::release_namespace(const std::string& name) {
  if (!name.empty() && --namespace_users_[name] == 0) {
    namespace_users_.erase(name);
    if (!namespaces_.contains(name)) {
      remove_parent(name);
    }
  }
}

// ---- network sets and services

void CalcGraph::set_network_set(const api::Resource& resource) {
  const api::ResourceKey key = resource.key();
  const auto* global = std::get_if<api::GlobalNetworkSet>(&resource.spec);
  MemberSource source;
  source.labels = policy::network_set_labels(resource);
  source.nets =
      sorted(global != nullptr ? global->nets : std::get<api::NetworkSet>(resource.spec).nets);
  if (!key.ns.empty()) {
    source.parents = {key.ns};
  }
  if (network_sets_.insert(key).second) {
    hold_namespace(key.ns);
  }
  members_.set_source(key, std::move(source));
}

void CalcGraph::remove_network_set(const api::ResourceKey& key) {
  if (network_sets_.erase(key) == 1) {
    members_.remove_source(key);
    release_namespace(key.ns);
  }
}

void CalcGraph::set_slice(const api::Resource& resource) {
  policy::SliceMembers members = policy::members_of_slice(resource);
  remove_slice(resource.key());
  if (members.service.empty()) {
    return;
  }
  const std::string service = members.service;
  slices_of_service_[service].insert(resource.key());
  slices_.insert_or_assign(resource.key(), std::move(members));
  tell_service(service);
}

void CalcGraph::remove_slice(const api::ResourceKey& key) {
  const auto found = slices_.find(key);
  if (found == slices_.end()) {
    return;
  }
  const std::string service = found->second.service;
  slices_.erase(found);
  auto& others = slices_of_service_[service];
  others.erase(key);
  if (others.empty()) {
    slices_of_service_.erase(service);
  }
  tell_service(service);
}

void CalcGraph::tell_service(const std::string& service) {
  ServiceMembers members;
  const auto slices = slices_of_service_.find(service);
  if (slices != slices_of_service_.end()) {
    for (const api::ResourceKey& key : slices->second) {
      for (const policy::ServiceEndpoint& endpoint : slices_.at(key).endpoints) {
        const Prefix host = Prefix::host(endpoint.address);
        members.addresses.insert({host});
        if (endpoint.port != 0) {
          members.ports.insert({host, endpoint.protocol, endpoint.port});
        }
      }
    }
  }
  members_.set_service(service, std::move(members));
}

// ---- profiles

void CalcGraph::set_profile(const api::Resource& resource) {
  auto compiled = policy::compile_profile(resource);
  if (!compiled) {
    on_invalid(resource.key(), compiled.error());
    return;
  }
  const std::string& name = resource.metadata.name;
  set_parent(profile_parent(name), std::get<api::Profile>(resource.spec).labels_to_apply);
  const auto [place, added] = policies_.try_emplace(compiled->key);
  PolicyEntry& entry = place->second;
  if (!added && *entry.policy == *compiled) {
    return;
  }
  entry.policy = std::make_shared<const policy::Policy>(std::move(*compiled));
  entry.changed = true;
  dirty_policies_.insert(place->first);
  if (const auto users = profile_users_.find(name); added && users != profile_users_.end()) {
    entry.endpoints = users->second;
    mark_endpoints(users->second);
  }
}

void CalcGraph::remove_profile(const api::ResourceKey& key) {
  remove_parent(profile_parent(key.name));
  remove_policy(key);
}

void CalcGraph::use_profiles(ItemId item, const std::vector<std::string>& profiles, bool used) {
  for (const std::string& name : profiles) {
    auto& users = profile_users_[name];
    const auto profile = policies_.find({api::Kind::kProfile, {}, name});
    const auto change = [&](std::set<ItemId>& items) {
      if (used) {
        items.insert(item);
      } else {
        items.erase(item);
      }
    };
    change(users);
    if (profile != policies_.end()) {
      change(profile->second.endpoints);
      dirty_policies_.insert(profile->first);
    }
    if (users.empty()) {
      profile_users_.erase(name);
    }
  }
}

void CalcGraph::mark_endpoints(const std::set<ItemId>& items) {
  for (const ItemId item : items) {
    mark_dirty(item);
  }
}

void CalcGraph::mark_dirty(ItemId item) {
  const api::ResourceKey& key = keys_by_item_.at(item);
  if (key.kind == api::Kind::kHostEndpoint) {
    hosts_dirty_ = true;
  } else {
    dirty_endpoints_.insert(key);
  }
}

// ---- endpoints

void CalcGraph::set_endpoint(const std::shared_ptr<const api::Resource>& resource) {
  const auto& spec = std::get<api::WorkloadEndpoint>(resource->spec);
  const api::ResourceKey key = resource->key();
  const auto existing = endpoints_.find(key);
  if (existing != endpoints_.end() && *existing->second.resource == *resource) {
    return;
  }
  const bool local = spec.node == node_;
  if (existing != endpoints_.end() &&
      (existing->second.local != local || existing->second.addresses != addresses_of(spec))) {
    remove_endpoint(key);  // what it brought to sets leaves first
  }
  Endpoint& endpoint = endpoints_[key];
  if (endpoint.item == ItemId()) {
    endpoint.item = ItemId(next_item_++);
    endpoint.addresses = addresses_of(spec);
    endpoint.ns = key.ns;
    endpoint.local = local;
    keys_by_item_.emplace(endpoint.item, key);
    hold_namespace(key.ns);
  }
  if (endpoint.resource && local) {
    release_interface(key, endpoint);
    use_profiles(endpoint.item, profiles_of(*endpoint.resource), false);
  }
  endpoint.resource = resource;
  if (local) {
    claim_interface(key, endpoint);
    use_profiles(endpoint.item, profiles_of(*endpoint.resource), true);
  }
  const api::Labels labels = policy::endpoint_labels(*resource);
  const std::vector<std::string> parents = parents_of(*resource);
  members_.set_source(key, {labels, parents, host_prefixes(endpoint.addresses), spec.ports});
  if (local) {
    subjects_.set_item(endpoint.item, labels, parents);
    bgp_subjects_.set_item(endpoint.item, labels, parents);
    drain_subjects();
    dirty_endpoints_.insert(key);
  }
}

void CalcGraph::remove_endpoint(const api::ResourceKey& key) {
  const auto found = endpoints_.find(key);
  if (found == endpoints_.end()) {
    return;
  }
  members_.remove_source(key);
  if (found->second.local) {
    subjects_.remove_item(found->second.item);
    bgp_subjects_.remove_item(found->second.item);
    drain_subjects();
    release_interface(key, found->second);
    use_profiles(found->second.item, profiles_of(*found->second.resource), false);
    dirty_endpoints_.insert(key);
  }
  release_namespace(key.ns);
  keys_by_item_.erase(found->second.item);
  endpoints_.erase(found);
}

// An interface belongs to the first by key of the endpoints that name it: which one that is depends
// on the state alone. The others stay without a dataplane until it is free.
void CalcGraph::claim_interface(const api::ResourceKey& key, const Endpoint& endpoint) {
  auto& claims = interface_claims_[interface_of(*endpoint.resource)];
  claims.insert(key);
  dirty_endpoints_.insert(claims.begin(), claims.end());
}

void CalcGraph::release_interface(const api::ResourceKey& key, const Endpoint& endpoint) {
  const auto claims = interface_claims_.find(interface_of(*endpoint.resource));
  claims->second.erase(key);
  dirty_endpoints_.insert(claims->second.begin(), claims->second.end());
  if (claims->second.empty()) {
    interface_claims_.erase(claims);
  }
}

bool CalcGraph::owns_interface(const api::ResourceKey& key, const Endpoint& endpoint) const {
  return *interface_claims_.at(interface_of(*endpoint.resource)).begin() == key;
}

// ---- host endpoints

void CalcGraph::set_host(const std::shared_ptr<const api::Resource>& resource) {
  const api::ResourceKey key = resource->key();
  const auto existing = host_objects_.find(key);
  if (existing != host_objects_.end()) {
    if (*existing->second.resource == *resource) {
      return;
    }
    remove_host(key);
  }
  const auto& spec = std::get<api::HostEndpoint>(resource->spec);
  Host& host = host_objects_[key];
  host.resource = resource;
  host.item = ItemId(next_item_++);
  host.local = spec.node == node_;
  keys_by_item_.emplace(host.item, key);
  std::vector<std::string> parents;
  for (const std::string& profile : spec.profiles) {
    parents.push_back(profile_parent(profile));
  }
  const api::Labels labels = policy::host_endpoint_labels(*resource);
  members_.set_source(key, {labels, parents, sorted(host_prefixes(spec.expected_ips)), spec.ports});
  if (host.local) {
    use_profiles(host.item, spec.profiles, true);
    hosts_.set(key.name, spec);
    hosts_dirty_ = true;
    subjects_.set_item(host.item, labels, parents);
    drain_subjects();
  }
}

void CalcGraph::remove_host(const api::ResourceKey& key) {
  const auto found = host_objects_.find(key);
  if (found == host_objects_.end()) {
    return;
  }
  members_.remove_source(key);
  if (found->second.local) {
    subjects_.remove_item(found->second.item);
    drain_subjects();
    use_profiles(found->second.item,
                 std::get<api::HostEndpoint>(found->second.resource->spec).profiles,
                 false);
    hosts_.remove(key.name);
    hosts_dirty_ = true;
  }
  keys_by_item_.erase(found->second.item);
  host_objects_.erase(found);
}

void CalcGraph::on_interfaces(InterfaceAddresses interfaces) {
  hosts_dirty_ = hosts_.set_interfaces(std::move(interfaces)) || hosts_dirty_;
}

// ---- policies

void CalcGraph::set_policy(const api::Resource& resource) {
  auto compiled = policy::compile(resource);
  if (!compiled) {
    on_invalid(resource.key(), compiled.error());
    return;
  }
  const auto [place, added] = policies_.try_emplace(compiled->key);
  PolicyEntry& entry = place->second;
  if (!added && *entry.policy == *compiled) {
    return;
  }
  const bool subject_changed = added || !(entry.policy->subject == compiled->subject);
  entry.policy = std::make_shared<const policy::Policy>(std::move(*compiled));
  entry.changed = true;
  dirty_policies_.insert(place->first);
  if (added) {
    entry.subject = SelectorId(next_selector_++);
    policies_by_subject_.emplace(entry.subject, place->first);
  }
  if (subject_changed) {
    subjects_.set_selector(entry.subject, entry.policy->subject);
    drain_subjects();
  }
  mark_endpoints(entry.endpoints);  // order, tier or directions may differ
}

void CalcGraph::remove_policy(const api::ResourceKey& key) {
  const auto found = policies_.find(key);
  if (found == policies_.end()) {
    return;
  }
  PolicyEntry& entry = found->second;
  mark_endpoints(entry.endpoints);
  subjects_.remove_selector(entry.subject);
  policies_by_subject_.erase(entry.subject);
  (void)subjects_.take_changes();  // only what this removal caused, seen to above
  if (entry.active) {
    removed_policies_.insert(key);
    release_sets(entry);
    --active_count_;
  }
  dirty_policies_.erase(key);
  policies_.erase(found);
}

void CalcGraph::drain_subjects() {
  for (const MatchChange& change : subjects_.take_changes()) {
    const api::ResourceKey& key = policies_by_subject_.at(change.selector);
    PolicyEntry& entry = policies_.at(key);
    if (change.matches) {
      entry.endpoints.insert(change.item);
    } else {
      entry.endpoints.erase(change.item);
    }
    dirty_policies_.insert(key);
    mark_dirty(change.item);
  }
}

// ---- sets

// The new ones first: what old and new rules share stays.
void CalcGraph::use_sets(PolicyEntry& entry) {
  PolicyEntry old;
  old.sets = std::exchange(entry.sets, policy::address_sets_of(*entry.policy));
  for (const policy::AddressSet& set : entry.sets) {
    members_.use(set);
  }
  release_sets(old);
}

void CalcGraph::release_sets(PolicyEntry& entry) {
  for (const policy::AddressSet& set : std::exchange(entry.sets, {})) {
    members_.release(set);
  }
}

// ---- outputs

policy::Tier CalcGraph::tier(const std::string& name) const {
  if (const auto found = tiers_.find(name); found != tiers_.end()) {
    return found->second;
  }
  const auto builtin = policy::builtin_tier(name);
  return builtin ? *builtin : policy::missing_tier(name);
}

PolicyStack CalcGraph::stack_of(ItemId item,
                                const std::vector<std::string>& profiles,
                                api::PolicyType direction,
                                policy::Hook hook) const {
  std::map<std::string, std::vector<const policy::Policy*>> by_tier;
  for (const SelectorId subject : subjects_.selectors_of(item)) {
    const policy::Policy& policy = *policies_.at(policies_by_subject_.at(subject)).policy;
    if (policy.applies(direction) && policy.asked_at(hook)) {
      by_tier[policy.tier].push_back(&policy);
    }
  }
  std::vector<policy::Tier> tiers;
  tiers.reserve(by_tier.size());
  for (const auto& [name, policies] : by_tier) {
    tiers.push_back(tier(name));
  }
  std::ranges::sort(
      tiers, [](const policy::Tier& a, const policy::Tier& b) { return policy::before(a, b); });
  PolicyStack stack;
  for (const policy::Tier& tier : tiers) {
    auto& policies = by_tier.at(tier.name);
    std::ranges::sort(policies, [](const policy::Policy* a, const policy::Policy* b) {
      return policy::before(*a, *b);
    });
    TierStack out{tier.name, tier.default_action, {}};
    for (const policy::Policy* policy : policies) {
      out.policies.push_back(policy->key);
    }
    stack.tiers.push_back(std::move(out));
  }
  for (const std::string& name : profiles) {
    const api::ResourceKey key{api::Kind::kProfile, {}, name};
    if (policies_.contains(key)) {
      stack.profiles.push_back(key);
    } else if (policy::allows_by_name(name)) {
      stack.profile_allows = true;
      break;
    }
  }
  return stack;
}

LocalEndpoint CalcGraph::compute(const Endpoint& endpoint) const {
  const std::vector<std::string>& profiles = profiles_of(*endpoint.resource);
  const auto stack = [&](api::PolicyType direction) {
    return stack_of(endpoint.item, profiles, direction, policy::Hook::kNormal);
  };
  const auto& spec = std::get<api::WorkloadEndpoint>(endpoint.resource->spec);
  const bool spoofs = emitted_settings_ && emitted_settings_->spoofing == api::SourceSpoofing::kAny;
  return {spec.interface_name,
          endpoint.addresses,
          spoofs ? sorted(spec.allowed_source_prefixes) : std::vector<Prefix>(),
          stack(api::PolicyType::kIngress),
          stack(api::PolicyType::kEgress),
          published_ports(spec)};
}

void CalcGraph::emit_policies(CalcChanges& changes) {
  for (const api::ResourceKey& key : std::exchange(dirty_policies_, {})) {
    PolicyEntry& entry = policies_.at(key);
    const bool wanted = !entry.endpoints.empty();
    if (wanted && (!entry.active || entry.changed)) {
      use_sets(entry);
      changes.set_policies.push_back(entry.policy);
      active_count_ += entry.active ? 0 : 1;
      entry.active = true;
      removed_policies_.erase(key);
    } else if (!wanted && entry.active) {
      release_sets(entry);
      changes.remove_policies.push_back(key);
      entry.active = false;
      --active_count_;
    }
    entry.changed = false;
  }
  for (const api::ResourceKey& key : std::exchange(removed_policies_, {})) {
    changes.remove_policies.push_back(key);
  }
}

void CalcGraph::emit_endpoints(CalcChanges& changes) {
  for (const api::ResourceKey& key : std::exchange(dirty_endpoints_, {})) {
    const auto found = endpoints_.find(key);
    const auto emitted = emitted_endpoints_.find(key);
    if (found == endpoints_.end() || !found->second.local || !owns_interface(key, found->second)) {
      if (emitted != emitted_endpoints_.end()) {
        unclaim(key, emitted->second);
        emitted_endpoints_.erase(emitted);
        changes.remove_endpoints.push_back(key);
      }
      continue;
    }
    LocalEndpoint now = compute(found->second);
    const bool known = emitted != emitted_endpoints_.end();
    if (known && emitted->second == now) {
      continue;
    }
    if (!known || emitted->second.interface != now.interface ||
        emitted->second.addresses != now.addresses || emitted->second.published != now.published) {
      if (known) {
        unclaim(key, emitted->second);
      }
      claim(key, now);
    }
    emitted_endpoints_.insert_or_assign(key, now);
    changes.set_endpoints.emplace_back(key, std::move(now));
  }
}

void CalcGraph::claim(const api::ResourceKey& key, const LocalEndpoint& endpoint) {
  ++link_users_[endpoint.interface];
  dirty_links_.insert(endpoint.interface);
  for (const IpAddr& addr : endpoint.addresses) {
    address_claims_[addr].insert_or_assign(key, endpoint.interface);
    dirty_addresses_.insert(addr);
  }
  host_ports_.claim(key, endpoint.published);
}

void CalcGraph::unclaim(const api::ResourceKey& key, const LocalEndpoint& endpoint) {
  if (--link_users_[endpoint.interface] == 0) {
    link_users_.erase(endpoint.interface);
  }
  dirty_links_.insert(endpoint.interface);
  for (const IpAddr& addr : endpoint.addresses) {
    const auto claims = address_claims_.find(addr);
    if (claims != address_claims_.end() && claims->second.erase(key) > 0 &&
        claims->second.empty()) {
      address_claims_.erase(claims);
    }
    dirty_addresses_.insert(addr);
  }
  host_ports_.release(key, endpoint.published);
}

HostStacks CalcGraph::host_stacks(const Host& host) const {
  const auto& spec = std::get<api::HostEndpoint>(host.resource->spec);
  HostStacks out;
  for (const HostHook at : kHostHooks) {
    const policy::Hook hook = policy_hook(at);
    PolicyStack stack = stack_of(host.item, spec.profiles, direction_of(at), hook);
    if (hook != policy::Hook::kNormal) {
      // Untracked policy takes a named interface (Calico); past these hooks' tiers nothing denies.
      if (stack.tiers.empty() ||
          (hook == policy::Hook::kUntracked && spec.interface_name.str() == api::kEveryInterface)) {
        continue;
      }
      stack.profiles.clear();
      stack.profile_allows = true;
      for (TierStack& tier : stack.tiers) {
        tier.default_action =
            hook == policy::Hook::kForward ? tier.default_action : api::Action::kPass;
      }
    }
    out.emplace(at, std::move(stack));
  }
  return out;
}

void CalcGraph::emit_hosts(CalcChanges& changes) {
  if (!std::exchange(hosts_dirty_, false)) {
    return;
  }
  HostInterfaces now;
  for (const auto& [interface, name] : hosts_.by_interface()) {
    now.emplace(interface, host_stacks(host_objects_.at({api::Kind::kHostEndpoint, {}, name})));
  }
  if (now != emitted_hosts_) {
    emitted_hosts_ = now;
    changes.hosts = std::move(now);
  }
}

void CalcGraph::emit_links(CalcChanges& changes) {
  for (const IfName& link : std::exchange(dirty_links_, {})) {
    if (link_users_.contains(link)) {
      if (emitted_links_.insert(link).second) {
        changes.set_links.push_back(link);
      }
    } else if (emitted_links_.erase(link) > 0) {
      changes.remove_links.push_back(link);
    }
  }
}

// Of two endpoints that claim one address, the first by key has the route.
void CalcGraph::emit_routes(CalcChanges& changes) {
  // An endpoint of a service may have come or gone.
  bgp_dirty_ =
      bgp_dirty_ || (!dirty_addresses_.empty() && bgp_.concerns(api::Kind::kEndpointSlice));
  for (const IpAddr& addr : std::exchange(dirty_addresses_, {})) {
    // Borrowed addresses are advertised one by one, the others with their block.
    bgp_dirty_ = bgp_dirty_ || std::ranges::none_of(emitted_blackholes_, [&](const Prefix& block) {
                   return block.contains(addr);
                 });
    const auto claims = address_claims_.find(addr);
    if (claims == address_claims_.end()) {
      if (emitted_routes_.erase(addr) > 0) {
        changes.remove_routes.push_back(addr);
      }
      continue;
    }
    const IfName& interface = claims->second.begin()->second;
    const auto [route, fresh] = emitted_routes_.try_emplace(addr, interface);
    if (fresh || route->second != interface) {
      route->second = interface;
      changes.set_routes.push_back({addr, interface});
    }
  }
}

std::vector<Prefix> CalcGraph::dns_servers(const std::vector<std::string>& trusted) const {
  std::vector<Prefix> out;
  for (const std::string& text : trusted) {
    const auto server = api::DnsServer::parse(text);
    if (server && server->net) {
      out.push_back(*server->net);
    }
    const auto slices =
        server ? slices_of_service_.find(server->service) : slices_of_service_.end();
    if (slices == slices_of_service_.end()) {
      continue;
    }
    for (const api::ResourceKey& key : slices->second) {
      for (const policy::ServiceEndpoint& endpoint : slices_.at(key).endpoints) {
        out.push_back(Prefix::host(endpoint.address));
      }
    }
  }
  return sorted(std::move(out));
}

void CalcGraph::emit_settings(CalcChanges& changes) {
  FelixSettings settings;
  std::vector<std::string> trusted{std::string(api::kDefaultDnsServer)};
  for (const std::string& name : {std::string("default"), "node." + node_.str()}) {
    if (const auto found = felix_.find(name); found != felix_.end()) {
      settings.endpoint_to_host =
          found->second.default_endpoint_to_host_action.value_or(settings.endpoint_to_host);
      settings.log_prefix = found->second.log_prefix.value_or(settings.log_prefix);
      settings.log_severity = found->second.log_severity_screen.value_or(settings.log_severity);
      settings.established = found->second.established_connections.value_or(settings.established);
      settings.failsafe_inbound =
          found->second.failsafe_inbound_host_ports.value_or(settings.failsafe_inbound);
      settings.failsafe_outbound =
          found->second.failsafe_outbound_host_ports.value_or(settings.failsafe_outbound);
      settings.nat_exclusions =
          found->second.nat_outgoing_exclusions.value_or(settings.nat_exclusions);
      settings.nat_ports =
          found->second.nat_port_range ? found->second.nat_port_range : settings.nat_ports;
      settings.spoofing = found->second.workload_source_spoofing.value_or(settings.spoofing);
      settings.dns_extra_ttl_s = found->second.dns_extra_ttl_s.value_or(settings.dns_extra_ttl_s);
      trusted = found->second.dns_trusted_servers.value_or(trusted);
    }
  }
  if (members_.uses_domains()) {
    settings.dns_servers = dns_servers(trusted);
  }
  if (emitted_settings_ != settings) {
    if (!emitted_settings_ || emitted_settings_->spoofing != settings.spoofing) {
      mark_all_endpoints();
    }
    emitted_settings_ = settings;
    changes.settings = settings;
  }
}

void CalcGraph::emit_nat(CalcChanges& changes) {
  if (!nat_.take_changed() && !changes.settings) {
    return;
  }
  NatRules rules =
      nat_.rules(emitted_settings_->nat_exclusions == api::NatExclusions::kPoolsAndHosts);
  if (rules != emitted_nat_) {
    emitted_nat_ = rules;
    changes.nat = std::move(rules);
  }
}

CalcChanges CalcGraph::take_changes() {
  CalcChanges changes;
  if (!in_sync_) {
    return changes;
  }
  emit_policies(changes);
  emit_settings(changes);  // they depend on what active policies ask for
  emit_nat(changes);
  emit_endpoints(changes);
  emit_hosts(changes);
  MemberIndex::Changes members = members_.take_changes();
  changes.members = std::move(members.members);
  changes.remove_sets = std::move(members.removed);
  emit_links(changes);
  emit_routes(changes);
  changes.host_ports = host_ports_.take_changes();
  emit_bgp(changes);
  return changes;
}

// ---- BGP peers among the workloads

void CalcGraph::set_workload_selector(const api::Resource& resource) {
  const std::string& name = resource.metadata.name;
  remove_workload_selector(name);
  const std::string& text = std::get<api::BGPPeer>(resource.spec).local_workload_selector;
  const auto selector = policy::Selector::parse(text);
  if (!text.empty() && selector) {
    const auto id = bgp_selectors_.emplace(name, policy::SelectorId(next_selector_++)).first;
    bgp_subjects_.set_selector(id->second, *selector);
  }
}

void CalcGraph::remove_workload_selector(const std::string& bgp_peer) {
  if (const auto known = bgp_selectors_.find(bgp_peer); known != bgp_selectors_.end()) {
    bgp_subjects_.remove_selector(known->second);
    bgp_selectors_.erase(known);
  }
}

// Those whose interfaces and addresses are in force.
BgpWorkloads CalcGraph::bgp_workloads() const {
  BgpWorkloads workloads;
  for (const auto& [bgp_peer, selector] : bgp_selectors_) {
    for (const policy::ItemId item : bgp_subjects_.items_of(selector)) {
      const api::ResourceKey& key = keys_by_item_.at(item);
      if (const auto found = emitted_endpoints_.find(key); found != emitted_endpoints_.end()) {
        const auto& spec = std::get<api::WorkloadEndpoint>(endpoints_.at(key).resource->spec);
        workloads[bgp_peer].push_back(
            {fmt::format("{}.{}", key.ns, spec.pod.empty() ? key.name : spec.pod),
             found->second.interface,
             found->second.addresses});
      }
    }
  }
  return workloads;
}

void CalcGraph::emit_bgp(CalcChanges& changes) {
  const bool rematched = !bgp_subjects_.take_changes().empty();
  const bool moved = !changes.set_endpoints.empty() || !changes.remove_endpoints.empty();
  bgp_dirty_ = bgp_dirty_ || rematched || (moved && !bgp_selectors_.empty());
  if (!std::exchange(bgp_dirty_, false)) {
    return;
  }
  std::set<Prefix> blocks = bgp_.own_blocks(node_);
  std::ranges::set_difference(
      blocks, emitted_blackholes_, std::back_inserter(changes.set_blackholes));
  std::ranges::set_difference(
      emitted_blackholes_, blocks, std::back_inserter(changes.remove_blackholes));
  emitted_blackholes_ = std::move(blocks);

  BgpInputs bgp = bgp_.compute(node_, emitted_routes_, bgp_workloads());
  if (emitted_bgp_ != bgp) {
    emitted_bgp_ = bgp;
    changes.bgp = std::move(bgp);
  }
}

}  // namespace margay::felix
