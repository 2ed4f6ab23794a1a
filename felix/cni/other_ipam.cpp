// Endpoints whose addresses come from another IPAM plugin, and addresses of ours under another main
// plugin.

#include "cni/chain.h"
#include "felix/cni/endpoint_work.h"
#include "ipam/audit.h"

#include <algorithm>
#include <set>
#include <utility>

namespace margay::felix {

namespace {

cni::CniError other_error(const Error& error, std::string_view what) {
  const bool passing = error.code == Errc::kUnavailable || error.code == Errc::kTimeout ||
                       error.code == Errc::kConflict;
  return {passing ? cni::Code::kTryAgainLater : cni::Code::kFailed,
          std::string(what) + ": " + error.text,
          passing ? "the datastore did not answer; the call may be repeated" : std::string()};
}

std::string secondary(const api::AllocationAttribute& holder, const char* key) {
  const auto found = holder.secondary.find(key);
  return found == holder.secondary.end() ? std::string() : found->second;
}

}  // namespace

Result<EndpointWork::Added, cni::CniError> EndpointWork::add_delegated(NewEndpoint& endpoint) {
  const AddTask& task = *endpoint.task;
  const Identity& identity = task.identity;
  auto answer = cni::parse_delegated(task.config.ipam.type, task.request.delegated);
  if (!answer) {
    return fail(answer.error());
  }
  endpoint.endpoint = endpoint_resource(identity, node_, task.config, answer->addresses);
  if (answer->dns != cni::Dns{}) {
    endpoint.endpoint.metadata.annotations[kDnsAnnotation] = cni::dns_json(answer->dns);
  }
  const auto ports = published_ports(std::get<api::WorkloadEndpoint>(endpoint.endpoint.spec));
  if (const auto ports_free = host_ports_.check(identity.key(), ports); !ports_free) {
    return fail(other_error(ports_free.error(), "publish the ports"));
  }
  if (auto noted = note_add(identity); !noted) {
    return fail(noted.error());
  }
  host_ports_.claim(identity.key(), ports);
  pass(at_step_, Step::kAssignPlanned);
  const auto created = store_.create(endpoint.endpoint);
  if (!created) {
    host_ports_.release(identity.key());
    forget_call(identity);
    return fail(other_error(created.error(), "store the endpoint"));
  }
  auto added = wire_stored(endpoint, answer->addresses, created->revision);
  if (added) {
    added->result.dns = std::move(answer->dns);
  }
  return added;
}

Result<bool, cni::CniError> EndpointWork::is_of_network(const api::Resource& endpoint,
                                                        const Identity& identity) {
  const auto network = endpoint.metadata.annotations.find(kNetworkAnnotation);
  if (network != endpoint.metadata.annotations.end()) {
    return network->second == identity.network;
  }
  const auto held = allocator_.held_by(
      identity.handle,
      [&identity](const api::AllocationAttribute& holder) { return holds_for(holder, identity); });
  if (!held) {
    return fail(other_error(held.error(), "read the addresses of " + identity.handle));
  }
  return !held->empty();
}

Result<void, cni::CniError> EndpointWork::ipam_collect(const NetworkConfig& config) {
  const auto listing = store_.list({.kind = api::Kind::kIPAMBlock, .ns = {}});
  if (!listing) {
    return fail(other_error(listing.error(), "list blocks"));
  }
  using Holder = std::pair<std::string, std::string>;  // handle, interface
  std::set<Holder> gone;
  for (const datastore::Object& object : listing->objects) {
    const auto* block =
        object.resource ? std::get_if<api::IPAMBlock>(&object.resource->spec) : nullptr;
    for (const auto& holder :
         block == nullptr ? std::vector<api::AllocationAttribute>() : block->attributes) {
      if (secondary(holder, "type") == ipam::kAddressOnly && ipam::node_of(holder) == node_.str() &&
          secondary(holder, "network") == config.name) {
        gone.emplace(holder.handle_id, secondary(holder, "interface"));
      }
    }
  }
  for (const cni::Attachment& valid : *config.attachments) {
    gone.erase({handle_name(config.name, valid.container_id), valid.ifname});
  }
  std::optional<cni::CniError> first;
  for (const Holder& holder : gone) {
    const auto match = [&holder](const api::AllocationAttribute& each) {
      return secondary(each, "interface") == holder.second;
    };
    const auto released = allocator_.release(holder.first, match, nullptr);
    if (!released && !first) {
      first = other_error(released.error(), "release " + holder.first);
    }
  }
  return first ? Result<void, cni::CniError>(fail(std::move(*first)))
               : Result<void, cni::CniError>();
}

}  // namespace margay::felix
