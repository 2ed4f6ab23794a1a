#include "felix/calc/bgp_inputs.h"

#include "base/stable_hash.h"
#include "policy/selector.h"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>

namespace margay::felix {

namespace {

std::optional<IpAddr> address_of(const api::Node& node, Family family) {
  if (!node.bgp) {
    return std::nullopt;
  }
  const auto& address = family == Family::kIpv4 ? node.bgp->ipv4_address : node.bgp->ipv6_address;
  return address ? std::optional(address->addr) : std::nullopt;
}

// The IPv4 address, else a number that depends on the name alone (RFC 6286: any non-zero number
// unique in the AS).
RouterId router_id_of(const NodeName& name, const std::optional<IpAddr>& ipv4) {
  if (ipv4) {
    return RouterId(ipv4->v4_value());
  }
  const auto hash = static_cast<std::uint32_t>(stable_hash(name.str()));
  return RouterId(hash == 0 ? 1 : hash);
}

}  // namespace

void BgpState::set(const api::Resource& resource) {
  const std::string& name = resource.metadata.name;
  if (const auto* node = std::get_if<api::Node>(&resource.spec)) {
    const api::Labels& annotations = resource.metadata.annotations;
    const auto drain = annotations.find(std::string(api::kDrainAnnotation));
    nodes_.insert_or_assign(name,
                            NodeEntry{*node,
                                      resource.metadata.labels,
                                      drain != annotations.end() && drain->second == "true"});
  } else if (const auto* cordoned = std::get_if<api::KubernetesNode>(&resource.spec)) {
    kubernetes_nodes_.insert_or_assign(name, *cordoned);
  } else if (const auto* peer = std::get_if<api::BGPPeer>(&resource.spec)) {
    peers_.insert_or_assign(name, *peer);
  } else if (const auto* filter = std::get_if<api::BGPFilter>(&resource.spec)) {
    filters_.insert_or_assign(name, *filter);
  } else if (const auto* config = std::get_if<api::BGPConfiguration>(&resource.spec)) {
    configurations_.insert_or_assign(name, *config);
  } else if (const auto* pool = std::get_if<api::IPPool>(&resource.spec)) {
    pools_.insert_or_assign(name, *pool);
  } else if (const auto* affinity = std::get_if<api::BlockAffinity>(&resource.spec)) {
    affinities_.insert_or_assign(name, *affinity);
  } else if (const auto* secret = std::get_if<api::Secret>(&resource.spec)) {
    if (resource.metadata.ns == api::kBgpSecretNamespace) {
      secrets_.insert_or_assign(name, *secret);
    }
  } else {
    services_.set(resource);
  }
}

void BgpState::remove(const api::ResourceKey& key) {
  switch (key.kind) {
    case api::Kind::kNode:
      nodes_.erase(key.name);
      return;
    case api::Kind::kKubernetesNode:
      kubernetes_nodes_.erase(key.name);
      return;
    case api::Kind::kBGPPeer:
      peers_.erase(key.name);
      return;
    case api::Kind::kBGPFilter:
      filters_.erase(key.name);
      return;
    case api::Kind::kBGPConfiguration:
      configurations_.erase(key.name);
      return;
    case api::Kind::kIPPool:
      pools_.erase(key.name);
      return;
    case api::Kind::kBlockAffinity:
      affinities_.erase(key.name);
      return;
    case api::Kind::kSecret:
      if (key.ns == api::kBgpSecretNamespace) {
        secrets_.erase(key.name);
      }
      return;
    default:
      services_.remove(key);
      return;
  }
}

bool BgpState::concerns(api::Kind kind) const {
  if (ServiceRoutes::concerns(kind)) {
    return !service_ranges().empty();
  }
  return kind == api::Kind::kSecret || kind == api::Kind::kNode || kind == api::Kind::kBGPPeer ||
         kind == api::Kind::kBGPFilter || kind == api::Kind::kBGPConfiguration ||
         kind == api::Kind::kIPPool || kind == api::Kind::kBlockAffinity ||
         kind == api::Kind::kKubernetesNode;
}

bool BgpState::knows(const api::ResourceKey& key) const {
  switch (key.kind) {
    case api::Kind::kNode:
      return nodes_.contains(key.name);
    case api::Kind::kKubernetesNode:
      return kubernetes_nodes_.contains(key.name);
    case api::Kind::kBGPPeer:
      return peers_.contains(key.name);
    case api::Kind::kBGPFilter:
      return filters_.contains(key.name);
    case api::Kind::kBGPConfiguration:
      return configurations_.contains(key.name);
    case api::Kind::kIPPool:
      return pools_.contains(key.name);
    case api::Kind::kBlockAffinity:
      return affinities_.contains(key.name);
    case api::Kind::kSecret:
      return key.ns == api::kBgpSecretNamespace && secrets_.contains(key.name);
    default:
      return false;
  }
}

const api::BGPConfiguration* BgpState::configuration(const std::string& name) const {
  const auto found = configurations_.find(name);
  return found == configurations_.end() ? nullptr : &found->second;
}

Asn BgpState::asn_of(const NodeEntry& node) const {
  if (node.spec.bgp && node.spec.bgp->as_number) {
    return *node.spec.bgp->as_number;
  }
  const api::BGPConfiguration* config = configuration("default");
  return config != nullptr && config->as_number ? *config->as_number : api::kDefaultAsn;
}

std::set<Prefix> BgpState::own_blocks(const NodeName& node) const {
  std::set<Prefix> blocks;
  for (const auto& [name, affinity] : affinities_) {
    if (affinity.node == node && affinity.state == api::AffinityState::kConfirmed &&
        !affinity.deleted) {
      blocks.insert(affinity.cidr);
    }
  }
  return blocks;
}

bool BgpState::exported(const Prefix& prefix) const {
  return std::ranges::none_of(pools_, [&](const auto& pool) {
    return pool.second.disable_bgp_export && pool.second.cidr.contains(prefix);
  });
}

void BgpState::add_mesh(const NodeName& self, const NodeEntry& own, BgpInputs& inputs) const {
  const api::BGPConfiguration* config = configuration("default");
  const bool mesh = config == nullptr || config->node_to_node_mesh_enabled.value_or(true);
  if (!mesh || (own.spec.bgp && own.spec.bgp->route_reflector_cluster_id)) {
    return;
  }
  for (const auto& [name, node] : nodes_) {
    if (name == self.str() || !node.spec.bgp || node.spec.bgp->route_reflector_cluster_id) {
      continue;
    }
    for (const Family family : {Family::kIpv4, Family::kIpv6}) {
      const auto remote = address_of(node.spec, family);
      const auto local = address_of(own.spec, family);
      if (!remote || !local) {
        continue;
      }
      BgpPeerInput peer;
      peer.name = "mesh-" + name + (family == Family::kIpv4 ? "-v4" : "-v6");
      peer.origin = "mesh";
      peer.address = *remote;
      peer.port = inputs.listen_port;
      peer.asn = asn_of(node);
      peer.source = local;
      if (config != nullptr) {
        peer.restart_time_s = config->node_mesh_max_restart_time_s;
        peer.margay = config->margay;
        if (config->node_mesh_password) {
          take_password(*config->node_mesh_password, peer);
        }
      }
      inputs.peers.push_back(std::move(peer));
    }
  }
}

// Without it the session must not come up: an open one would be worse than none.
void BgpState::take_password(const api::SecretKeyRef& ref, BgpPeerInput& input) const {
  const auto secret = secrets_.find(ref.name);
  if (secret != secrets_.end()) {
    if (const auto value = secret->second.data.find(ref.key);
        value != secret->second.data.end() && !value->second.empty()) {
      input.password = value->second;
      return;
    }
  }
  input.missing_password =
      fmt::format("key {} of Secret {}/{}", ref.key, api::kBgpSecretNamespace, ref.name);
}

void BgpState::take_peer(const std::string& name,
                         const api::BGPPeer& peer,
                         BgpPeerInput& input) const {
  input.origin = name;
  input.local_asn = peer.local_as_number;
  input.next_hop_mode = peer.next_hop_mode;
  input.keepalive_s = peer.keepalive_time_s;
  input.allowed_own_asn = peer.num_allowed_local_as_numbers.value_or(0);
  input.ttl_security_hops = peer.ttl_security_hops.value_or(0);
  input.restart_time_s = peer.max_restart_time_s;
  input.margay = peer.margay;
  input.margay_peer = peer.margay_peer;
  if (peer.password) {
    take_password(*peer.password, input);
  }
  for (const std::string& filter : peer.filters) {
    const auto found = filters_.find(filter);
    input.filters.push_back(
        {filter, found == filters_.end() ? std::nullopt : std::optional(found->second)});
  }
}

// Sessions of a BGPPeer with peerSelector to one other node, a family each.
void BgpState::add_node_peers(const std::string& name,
                              const api::BGPPeer& peer,
                              const std::string& other,
                              const NodeEntry& own,
                              BgpInputs& inputs) const {
  const NodeEntry& node = nodes_.at(other);
  for (const Family family : {Family::kIpv4, Family::kIpv6}) {
    const auto remote = address_of(node.spec, family);
    if (!remote) {
      continue;
    }
    BgpPeerInput input;
    input.name = fmt::format("{}-{}-{}", name, other, family == Family::kIpv4 ? "v4" : "v6");
    take_peer(name, peer, input);
    input.address = *remote;
    input.port = inputs.listen_port;
    input.asn = asn_of(node);
    input.source = peer.use_node_source_address ? address_of(own.spec, family) : std::nullopt;
    const bool other_cluster =
        !node.spec.bgp || node.spec.bgp->route_reflector_cluster_id != inputs.cluster_id;
    input.reflector_client = inputs.cluster_id && other_cluster && input.asn == inputs.asn;
    inputs.peers.push_back(std::move(input));
  }
}

// The workload connects to the node's peering address of the family, over its own interface.
void BgpState::add_workload_peers(const std::string& name,
                                  const api::BGPPeer& peer,
                                  const std::vector<BgpWorkload>& workloads,
                                  BgpInputs& inputs) const {
  const api::BGPConfiguration* config = configuration("default");
  if (config == nullptr) {
    return;
  }
  for (const BgpWorkload& workload : workloads) {
    for (const IpAddr& address : workload.addresses) {
      const auto& peering = address.is_v4() ? config->local_workload_peering_ipv4
                                            : config->local_workload_peering_ipv6;
      if (!peering) {
        continue;
      }
      BgpPeerInput input;
      input.name = fmt::format("{}-{}-{}", name, workload.name, address.str());
      take_peer(name, peer, input);
      input.address = address;
      input.port = inputs.listen_port;
      input.asn = peer.as_number.value_or(Asn());
      input.source = *peering;
      input.arrives_on = workload.interface;
      inputs.peers.push_back(std::move(input));
      if (std::ranges::find(inputs.peering_addresses, *peering) == inputs.peering_addresses.end()) {
        inputs.peering_addresses.push_back(*peering);
      }
    }
  }
}

void BgpState::add_peer(const std::string& name,
                        const api::BGPPeer& peer,
                        const NodeName& self,
                        const NodeEntry& own,
                        const BgpWorkloads& workloads,
                        BgpInputs& inputs) const {
  const auto applies_to = [&peer](const std::string& node, const api::Labels& labels) {
    if (!peer.node.empty()) {
      return peer.node == node;
    }
    return peer.node_selector.empty() || policy::selects(peer.node_selector, labels);
  };
  const bool ours = applies_to(self.str(), own.labels);
  const bool unnumbered = !peer.margay_peer.interface.empty();
  if ((peer.peer_ip || unnumbered) && ours) {
    BgpPeerInput input;
    input.name = name;
    take_peer(name, peer, input);
    input.address = peer.peer_ip.value_or(IpAddr());
    input.port = peer.peer_port;
    input.asn = peer.as_number.value_or(Asn());
    input.reachable_by = peer.reachable_by;
    if (peer.use_node_source_address && !unnumbered) {
      input.source = address_of(own.spec, input.address.family());
    }
    inputs.peers.push_back(std::move(input));
  }
  if (const auto selected = workloads.find(name); selected != workloads.end() && ours) {
    add_workload_peers(name, peer, selected->second, inputs);
  }
  if (peer.peer_selector.empty()) {
    return;
  }
  // Then the session has to be configured here, too.
  const bool selected = peer.reverse_peering == api::ReversePeering::kAuto &&
                        policy::selects(peer.peer_selector, own.labels);
  for (const auto& [other, node] : nodes_) {
    if (other == self.str()) {
      continue;
    }
    const bool there = policy::selects(peer.peer_selector, node.labels);
    if ((ours && there) || (selected && applies_to(other, node.labels))) {
      add_node_peers(name, peer, other, own, inputs);
    }
  }
}

ServiceRanges BgpState::service_ranges() const {
  const api::BGPConfiguration* config = configuration("default");
  if (config == nullptr) {
    return {};
  }
  return {config->service_cluster_ips,
          config->service_external_ips,
          config->service_load_balancer_ips,
          config->service_load_balancer_aggregation.value_or(api::Aggregation::kEnabled) ==
              api::Aggregation::kEnabled};
}

void BgpState::add_communities(BgpInputs& inputs) const {
  const api::BGPConfiguration* config = configuration("default");
  if (config == nullptr) {
    return;
  }
  const auto value_of = [config](const std::string& text) {
    const auto named = std::ranges::find(config->communities, text, &api::NamedCommunity::name);
    return named == config->communities.end() ? api::BgpCommunity::parse(text)
                                              : std::optional(named->value);
  };
  std::vector<Prefix> told = inputs.originated;
  told.insert(told.end(), inputs.node_addresses.begin(), inputs.node_addresses.end());
  for (const Prefix& prefix : told) {
    std::vector<api::BgpCommunity> values;
    for (const api::PrefixAdvertisement& advertisement : config->prefix_advertisements) {
      if (!advertisement.cidr.contains(prefix)) {
        continue;
      }
      for (const std::string& text : advertisement.communities) {
        if (auto value = value_of(text)) {
          values.push_back(std::move(*value));
        }
      }
    }
    if (!values.empty()) {
      std::ranges::sort(values, {}, &api::BgpCommunity::parts);
      values.erase(std::unique(values.begin(), values.end()), values.end());
      inputs.communities.emplace(prefix, std::move(values));
    }
  }
}

// What "default" says, or "node.NAME" instead; a cordon drains where it says so. Whether peers are
// told of the node's own addresses.
bool BgpState::take_configuration(const NodeName& node, BgpInputs& inputs) const {
  bool tells_of_itself = false;
  bool drains_cordoned = false;
  for (const std::string& name : {std::string("default"), "node." + node.str()}) {
    if (const api::BGPConfiguration* config = configuration(name)) {
      inputs.listen_port = config->listen_port.value_or(inputs.listen_port);
      inputs.listen_everywhere =
          config->bind_mode ? *config->bind_mode == api::BindMode::kNone : inputs.listen_everywhere;
      tells_of_itself = config->advertise_node_address.value_or(tells_of_itself);
      drains_cordoned = config->drain_cordoned_nodes.value_or(drains_cordoned);
      inputs.monitoring.bmp =
          config->monitoring.bmp.empty() ? inputs.monitoring.bmp : config->monitoring.bmp;
      inputs.monitoring.mrt =
          config->monitoring.mrt ? config->monitoring.mrt : inputs.monitoring.mrt;
    }
  }
  const auto kubernetes = kubernetes_nodes_.find(node.str());
  inputs.drained = inputs.drained || (drains_cordoned && kubernetes != kubernetes_nodes_.end() &&
                                      kubernetes->second.unschedulable);
  return tells_of_itself;
}

BgpInputs BgpState::compute(const NodeName& node,
                            const std::map<IpAddr, IfName>& local_routes,
                            const BgpWorkloads& workloads) const {
  BgpInputs inputs;
  const auto found = nodes_.find(node.str());
  if (found == nodes_.end() || !found->second.spec.bgp) {
    return inputs;
  }
  const NodeEntry& own = found->second;
  inputs.ipv4 = address_of(own.spec, Family::kIpv4);
  inputs.ipv6 = address_of(own.spec, Family::kIpv6);
  inputs.enabled = inputs.ipv4.has_value() || inputs.ipv6.has_value();
  if (!inputs.enabled) {
    return inputs;
  }
  inputs.asn = asn_of(own);
  inputs.router_id = router_id_of(node, inputs.ipv4);
  inputs.cluster_id = own.spec.bgp->route_reflector_cluster_id;
  inputs.drained = own.drained;
  const bool tells_of_itself = take_configuration(node, inputs);
  add_mesh(node, own, inputs);
  for (const auto& [name, peer] : peers_) {
    add_peer(name, peer, node, own, workloads, inputs);
  }
  // One session per address: a peer of its own wins over the mesh.
  std::ranges::stable_sort(
      inputs.peers, {}, [](const BgpPeerInput& peer) { return peer.origin == "mesh"; });
  std::set<std::tuple<std::string, IpAddr, std::uint16_t>> seen;
  std::erase_if(inputs.peers, [&seen](const BgpPeerInput& peer) {
    return !seen.emplace(peer.margay_peer.interface, peer.address, peer.port).second;
  });
  std::ranges::stable_sort(inputs.peers, {}, &BgpPeerInput::name);
  std::ranges::sort(inputs.peering_addresses);

  const std::set<Prefix> blocks = own_blocks(node);
  std::set<Prefix> originated;
  std::ranges::copy_if(blocks,
                       std::inserter(originated, originated.end()),
                       [this](const Prefix& block) { return exported(block); });
  for (const auto& [addr, interface] : local_routes) {
    const bool in_own = std::ranges::any_of(
        blocks, [&addr = addr](const Prefix& block) { return block.contains(addr); });
    if (!in_own && exported(Prefix::host(addr))) {
      originated.insert(Prefix::host(addr));  // borrowed from another node's block
    }
  }
  if (!own.labels.contains(std::string(kNoServicesLabel))) {
    originated.merge(services_.routes(service_ranges(), node, local_routes));
  }
  inputs.originated.assign(originated.begin(), originated.end());
  for (const auto& address : {inputs.ipv4, inputs.ipv6}) {
    if (tells_of_itself && address) {
      inputs.node_addresses.push_back(Prefix::host(*address));
    }
  }
  add_communities(inputs);
  return inputs;
}

}  // namespace margay::felix
