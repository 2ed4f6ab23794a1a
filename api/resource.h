#pragma once
// Resource: one typed object of any kind, and its text forms.
//
// Decoding is strict (but for Kubernetes' own objects, see api/kubernetes.h): unknown field, wrong
// type, missing field, value out of range are errors that name the path, the value and what was
// expected; the first bad field of a document is reported, other documents go on. Encoding is
// canonical and shows defaults. decode(encode(x)) == x for every valid x.

#include "api/admin_policy.h"
#include "api/bgp_filter.h"
#include "api/endpoint.h"
#include "api/ipam.h"
#include "api/kubernetes.h"
#include "api/metadata.h"
#include "api/network.h"
#include "api/pending_change.h"
#include "api/policy.h"

#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace margay::api {

// The alternatives are in the order of Kind.
using Spec = std::variant<Node,
                          IPPool,
                          BGPConfiguration,
                          BGPPeer,
                          GlobalNetworkPolicy,
                          NetworkPolicy,
                          KubernetesNetworkPolicy,
                          Tier,
                          Namespace,
                          WorkloadEndpoint,
                          FelixConfiguration,
                          IPAMBlock,
                          IPAMHandle,
                          IPAMConfiguration,
                          BlockAffinity,
                          StagedGlobalNetworkPolicy,
                          StagedNetworkPolicy,
                          StagedKubernetesNetworkPolicy,
                          GlobalNetworkSet,
                          NetworkSet,
                          HostEndpoint,
                          Profile,
                          ServiceAccount,
                          Service,
                          EndpointSlice,
                          AdminNetworkPolicy,
                          BaselineAdminNetworkPolicy,
                          ClusterNetworkPolicy,
                          KubeControllersConfiguration,
                          NodeStatus,
                          PendingChange,
                          BGPFilter,
                          Secret,
                          IPReservation,
                          KubernetesNode>;

struct Resource {
  Metadata metadata;
  Spec spec;

  [[nodiscard]] Kind kind() const { return static_cast<Kind>(spec.index()); }
  [[nodiscard]] ResourceKey key() const { return {kind(), metadata.ns, metadata.name}; }
  bool operator==(const Resource&) const = default;
};

// The same as far as a person wrote it: the store's own fields do not count.
[[nodiscard]] bool same_content(const Resource& a, const Resource& b);

// One document of a YAML (or JSON) stream; `number` counts from 1.
struct Document {
  unsigned number = 1;
  Result<Resource> resource;
};

// Every document of a text, in order. YAML with several documents, JSON, and lists (kind: List) are
// taken. A syntax error costs its document, not the others. Errors read: `document 2,
// spec.ingress[0].action: "allow": expected Allow, Deny, Pass or Log`.
[[nodiscard]] std::vector<Document> decode_documents(std::string_view text);

// One JSON object, as stores keep it.
[[nodiscard]] Result<Resource> decode_json(std::string_view json);
[[nodiscard]] std::string encode_json(const Resource& resource);  // one line
[[nodiscard]] std::string encode_yaml(const Resource& resource);

// The resource with the fields of a JSON merge patch (RFC 7386), given as JSON or YAML: null
// removes a field, objects are merged, anything else takes its place. kInvalid for what is no
// patch, or what comes out is no resource.
[[nodiscard]] Result<Resource> merge_patch(const Resource& resource, std::string_view patch);

}  // namespace margay::api
