#pragma once
// Documents of the policy kinds. Internal to api/.

#include "api/codec.h"
#include "api/policy.h"

namespace margay::api {

void describe(Reader& visit, Tier& tier);
void describe(Writer& visit, Tier& tier);
void describe(Reader& visit, GlobalNetworkPolicy& policy);
void describe(Writer& visit, GlobalNetworkPolicy& policy);
void describe(Reader& visit, NetworkPolicy& policy);
void describe(Writer& visit, NetworkPolicy& policy);
void describe(Reader& visit, KubernetesNetworkPolicy& policy);
void describe(Writer& visit, KubernetesNetworkPolicy& policy);
void describe(Reader& visit, Namespace& ns);
void describe(Writer& visit, Namespace& ns);
void describe(Reader& visit, WorkloadEndpoint& endpoint);
void describe(Writer& visit, WorkloadEndpoint& endpoint);

}  // namespace margay::api
