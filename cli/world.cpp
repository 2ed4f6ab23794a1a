#include "cli/world.h"

#include <utility>

namespace margay::cli {

namespace {

using datastore::Object;

void add_node(const Object& object, policy::World& world) {
  const auto name = NodeName::parse(object.key.name);
  const auto* node = std::get_if<api::Node>(&object.resource->spec);
  if (!name || node == nullptr) {
    return;
  }
  if (node->bgp && node->bgp->ipv4_address) {
    world.nodes.emplace(node->bgp->ipv4_address->addr, *name);
  }
  if (node->bgp && node->bgp->ipv6_address) {
    world.nodes.emplace(node->bgp->ipv6_address->addr, *name);
  }
  for (const api::NodeAddress& address : node->addresses) {
    if (const auto addr = IpAddr::parse(address.address)) {
      world.nodes.emplace(*addr, *name);
    }
  }
}

void add(const Object& object, StoredWorld& out) {
  const api::Resource& resource = *object.resource;
  switch (object.key.kind) {
    case api::Kind::kGlobalNetworkPolicy:
    case api::Kind::kNetworkPolicy:
    case api::Kind::kKubernetesNetworkPolicy:
      if (auto compiled = policy::compile(resource)) {
        out.world.policies.push_back(std::move(*compiled));
      } else {
        out.skipped.push_back(object.key.str() + ": " + compiled.error().text);
      }
      return;
    case api::Kind::kTier:
      out.world.tiers.push_back(policy::compile_tier(resource));
      return;
    case api::Kind::kNamespace:
      out.world.namespaces.emplace(object.key.name, resource.metadata.labels);
      return;
    case api::Kind::kWorkloadEndpoint:
      out.world.endpoints.push_back(policy::make_endpoint(resource));
      return;
    case api::Kind::kNode:
      add_node(object, out.world);
      return;
    case api::Kind::kFelixConfiguration:
      if (const auto& felix = std::get<api::FelixConfiguration>(resource.spec);
          object.key.name == "default" && felix.default_endpoint_to_host_action) {
        out.world.endpoint_to_host = *felix.default_endpoint_to_host_action;
      }
      return;
    case api::Kind::kIPPool:
    case api::Kind::kBGPConfiguration:
    case api::Kind::kBGPPeer:
    case api::Kind::kIPAMBlock:
    case api::Kind::kIPAMHandle:
    case api::Kind::kIPAMConfiguration:
    case api::Kind::kBlockAffinity:
      return;
  }
}

}  // namespace

Result<StoredWorld> read_world(datastore::Store& store) {
  const auto listing = store.list({});
  if (!listing) {
    return fail(listing.error());
  }
  StoredWorld out;
  for (const Object& object : listing->objects) {
    if (object.resource) {
      add(object, out);
    } else {
      out.skipped.push_back(object.key.str() + ": " +
                            (object.invalid ? object.invalid->text : std::string("invalid")));
    }
  }
  return out;
}

}  // namespace margay::cli
