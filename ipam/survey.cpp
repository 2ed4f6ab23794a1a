#include "ipam/survey.h"

#include "api/resource.h"

namespace margay::ipam {

namespace {

// Calls `take` with each valid object of the kind.
template <typename Spec, typename Take>
Result<void> for_each(datastore::Store& store, api::Kind kind, const Take& take) {
  const auto listing = store.list({.kind = kind, .ns = {}});
  if (!listing) {
    return fail(listing.error());
  }
  for (const datastore::Object& object : listing->objects) {
    if (object.resource) {
      take(object.key, std::get<Spec>(object.resource->spec));
    }
  }
  return {};
}

}  // namespace

Result<AuditInput> survey(datastore::Store& store, std::int64_t unix_now) {
  AuditInput input;
  input.unix_now = unix_now;
  for (const auto& done :
       {for_each<api::IPAMBlock>(store,
                                 api::Kind::kIPAMBlock,
                                 [&](const auto&, const auto&block) {
                                   if (!block.deleted) {
                                     input.blocks.push_back(block);
                                   }
                                 }),
        for_each<api::IPAMHandle>(
            store,
            api::Kind::kIPAMHandle,
            [&](const auto&, const auto&handle) { input.handles.push_back(handle); }),
        for_each<api::BlockAffinity>(
            store,
            api::Kind::kBlockAffinity,
            [&](const auto&, const auto&affinity) { input.affinities.push_back(affinity); }),
        for_each<api::IPPool>(
            store,
            api::Kind::kIPPool,
            [&](const auto&, const auto&pool) { input.pools.push_back(pool.cidr); }),
        for_each<api::Node>(store,
                            api::Kind::kNode,
                            [&](const auto&key, const auto&) { input.nodes.insert(key.name); }),
        for_each<api::WorkloadEndpoint>(
            store, api::Kind::kWorkloadEndpoint, [&](const auto&key, const auto&endpoint) {
              input.nodes_in_use.insert(endpoint.node.str());
              for (const Prefix& net : endpoint.ip_networks) {
                input.endpoints[net.addr()].push_back(key.ns + "/" + key.name);
              }
            })}) {
    if (!done) {
      return fail(done.error());
    }
  }
  return input;
}

}  // namespace margay::ipam
