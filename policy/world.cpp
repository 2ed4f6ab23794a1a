#include "policy/world.h"

#include <algorithm>
#include <utility>

namespace margay::policy {

namespace {

std::vector<IpAddr> uplinks_of(const api::Node& node) {
  std::vector<IpAddr> out;
  for (const auto* own : {node.bgp ? &node.bgp->ipv4_address : nullptr,
                          node.bgp ? &node.bgp->ipv6_address : nullptr}) {
    if (own != nullptr && *own) {
      out.push_back((*own)->addr);
    }
  }
  for (const api::NodeAddress& address : node.addresses) {
    const auto addr = IpAddr::parse(address.address);
    if (addr && address.type == "InternalIP") {
      out.push_back(*addr);
    }
  }
  return out;
}

// One overload per kind that matters; the template takes the rest.
struct Adder {
  const api::Resource& resource;
  World& world;

  template <typename Spec>
  Result<void> operator()(const Spec& /*spec*/) const {
    if (!is_policy(resource.kind())) {
      return {};
    }
    auto compiled = compile(resource);
    if (!compiled) {
      return fail(compiled.error());
    }
    world.policies.push_back(std::move(*compiled));
    return {};
  }
  Result<void> operator()(const api::Profile& profile) const {
    auto compiled = compile_profile(resource);
    if (!compiled) {
      return fail(compiled.error());
    }
    world.profiles.emplace(resource.metadata.name, std::move(*compiled));
    world.profile_labels.emplace(resource.metadata.name, profile.labels_to_apply);
    return {};
  }
  Result<void> operator()(const api::Tier& /*tier*/) const {
    world.tiers.push_back(compile_tier(resource));
    return {};
  }
  Result<void> operator()(const api::Namespace& /*ns*/) const {
    world.namespaces.emplace(resource.metadata.name, resource.metadata.labels);
    return {};
  }
  Result<void> operator()(const api::ServiceAccount& /*account*/) const {
    world.service_accounts.emplace(resource.metadata.ns + "/" + resource.metadata.name,
                                   resource.metadata.labels);
    return {};
  }
  Result<void> operator()(const api::WorkloadEndpoint& /*endpoint*/) const {
    world.endpoints.push_back(make_endpoint(resource));
    return {};
  }
  Result<void> operator()(const api::HostEndpoint& /*endpoint*/) const {
    world.host_endpoints.push_back(make_endpoint(resource));
    return {};
  }
  Result<void> operator()(const api::NetworkSet& set) const {
    world.network_sets.push_back({resource.metadata.ns + "/" + resource.metadata.name,
                                  resource.metadata.ns,
                                  network_set_labels(resource),
                                  set.nets});
    return {};
  }
  Result<void> operator()(const api::GlobalNetworkSet& set) const {
    world.network_sets.push_back(
        {resource.metadata.name, {}, network_set_labels(resource), set.nets});
    return {};
  }
  Result<void> operator()(const api::EndpointSlice& /*slice*/) const {
    SliceMembers members = members_of_slice(resource);
    if (!members.service.empty()) {
      std::ranges::move(members.endpoints, std::back_inserter(world.services[members.service]));
    }
    return {};
  }
  Result<void> operator()(const api::Node& node) const {
    const auto name = NodeName::parse(resource.metadata.name);
    if (!name) {
      return {};
    }
    for (const IpAddr& address : node_addresses(node)) {
      world.nodes.emplace(address, *name);
    }
    world.node_labels.insert_or_assign(*name, resource.metadata.labels);
    world.node_uplinks.insert_or_assign(*name, uplinks_of(node));
    return {};
  }
  Result<void> operator()(const api::FelixConfiguration& felix) const {
    if (resource.metadata.name != "default") {
      return {};  // of one node
    }
    world.endpoint_to_host = felix.default_endpoint_to_host_action.value_or(world.endpoint_to_host);
    world.dns_servers = felix.dns_trusted_servers.value_or(world.dns_servers);
    world.established = felix.established_connections.value_or(world.established);
    world.failsafe_inbound = felix.failsafe_inbound_host_ports.value_or(world.failsafe_inbound);
    world.failsafe_outbound = felix.failsafe_outbound_host_ports.value_or(world.failsafe_outbound);
    return {};
  }
};

}  // namespace

Result<void> add(const api::Resource& resource, World& world) {
  return std::visit(Adder{resource, world}, resource.spec);
}

std::vector<IpAddr> node_addresses(const api::Node& node) {
  std::vector<IpAddr> out;
  if (node.bgp && node.bgp->ipv4_address) {
    out.push_back(node.bgp->ipv4_address->addr);
  }
  if (node.bgp && node.bgp->ipv6_address) {
    out.push_back(node.bgp->ipv6_address->addr);
  }
  for (const api::NodeAddress& address : node.addresses) {
    if (const auto addr = IpAddr::parse(address.address)) {
      out.push_back(*addr);
    }
  }
  std::ranges::sort(out);
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

SliceMembers members_of_slice(const api::Resource& resource) {
  const auto& slice = std::get<api::EndpointSlice>(resource.spec);
  SliceMembers out;
  const auto label = resource.metadata.labels.find(std::string(api::kServiceNameLabel));
  if (label == resource.metadata.labels.end()) {
    return out;
  }
  out.service = resource.metadata.ns + "/" + label->second;
  for (const api::SliceEndpoint& endpoint : slice.endpoints) {
    for (const IpAddr& addr : endpoint.addresses) {
      if (slice.ports.empty()) {
        out.endpoints.push_back({addr, api::Protocol{0}, 0});
      }
      for (const api::SlicePort& port : slice.ports) {
        out.endpoints.push_back({addr, port.protocol, port.port.value_or(0)});
      }
    }
  }
  return out;
}

}  // namespace margay::policy
