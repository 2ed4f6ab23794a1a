#include "ipam/survey.h"

#include "api/resource.h"

namespace margay::ipam {

namespace {

// Calls `take` with each object of the kind as it last was valid; with null for one that never was,
// as far as the store knows.
template <typename Spec, typename Take>
Result<void> for_each(datastore::Store& store, api::Kind kind, const Take& take) {
  const auto listing = store.list({.kind = kind, .ns = {}});
  if (!listing) {
    return fail(listing.error());
  }
  for (const datastore::Object& object : listing->objects) {
    const auto& valid = object.resource ? object.resource : object.last_valid;
    take(object.key, valid ? &std::get<Spec>(valid->spec) : nullptr);
  }
  return {};
}

// Of the kinds of which nothing follows from an object that cannot be read.
template <typename Spec, typename Out>
Result<void> collect(datastore::Store& store, api::Kind kind, std::vector<Out>& out) {
  return for_each<Spec>(store, kind, [&out](const auto&, const Spec* spec) {
    if (spec != nullptr) {
      out.push_back(*spec);
    }
  });
}

void take_endpoint(AuditInput& input,
                   const api::ResourceKey& key,
                   const api::WorkloadEndpoint* endpoint) {
  const std::string name = key.ns + "/" + key.name;
  if (endpoint == nullptr) {
    input.unreadable.push_back(name);
    return;
  }
  input.nodes_in_use.insert(endpoint->node.str());
  for (const Prefix& net : endpoint->ip_networks) {
    input.endpoints[net.addr()].push_back(name);
  }
}

}  // namespace

Result<AuditInput> survey(datastore::Store& store, std::int64_t unix_now) {
  AuditInput input;
  input.unix_now = unix_now;
  for (const auto& done :
       {for_each<api::IPAMBlock>(store,
                                 api::Kind::kIPAMBlock,
                                 [&](const auto&, const auto*block) {
                                   if (block != nullptr && !block->deleted) {
                                     input.blocks.push_back(*block);
                                   }
                                 }),
        collect<api::IPAMHandle>(store, api::Kind::kIPAMHandle, input.handles),
        collect<api::BlockAffinity>(store, api::Kind::kBlockAffinity, input.affinities),
        for_each<api::IPPool>(store,
                              api::Kind::kIPPool,
                              [&](const auto&, const auto*pool) {
                                if (pool != nullptr) {
                                  input.pools.push_back(pool->cidr);
                                }
                              }),
        // Its name is enough: a node whose object is invalid is not gone.
        for_each<api::Node>(store,
                            api::Kind::kNode,
                            [&](const auto&key, const auto*) { input.nodes.insert(key.name); }),
        for_each<api::WorkloadEndpoint>(
            store, api::Kind::kWorkloadEndpoint, [&](const auto&key, const auto*endpoint) {
              take_endpoint(input, key, endpoint);
            })}) {
    if (!done) {
      return fail(done.error());
    }
  }
  return input;
}

}  // namespace margay::ipam
