#pragma once
// From stored resources to the evaluator's World, one by one.

#include "api/resource.h"
#include "policy/evaluator.h"

namespace margay::policy {

// Adds what a resource means to policy; kinds that mean nothing to it change nothing. Order does
// not matter. Errors: a policy that does not compile; the world is unchanged then.
[[nodiscard]] Result<void> add(const api::Resource& resource, World& world);

// The endpoints that a slice gives to its service; "" as service: none.
struct SliceMembers {
  std::string service;  // "namespace/name"
  std::vector<ServiceEndpoint> endpoints;
};
[[nodiscard]] SliceMembers members_of_slice(const api::Resource& endpoint_slice);

// Every address that the Node says it has, sorted.
[[nodiscard]] std::vector<IpAddr> node_addresses(const api::Node& node);

}  // namespace margay::policy
