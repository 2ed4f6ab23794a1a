// Endpoints whose addresses come from another IPAM plugin, and addresses of ours under another main
// plugin.

#include "cni/chain.h"
#include "felix/cni/add_result.h"
#include "felix/cni/cni_error.h"
#include "felix/cni/endpoint_work.h"
#include "ipam/audit.h"

#include <algorithm>
#include <set>
#include <utility>

namespace margay::felix {

namespace {

using cni::Code;

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
    return fail(cni_error(ports_free.error(), "publish the ports"));
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
    return fail(cni_error(created.error(), "store the endpoint"));
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
    return fail(cni_error(held.error(), "read the addresses of " + identity.handle));
  }
  return !held->empty();
}

Result<EndpointWork::IpamAdded, cni::CniError> EndpointWork::ipam_add(const CniRequest& request,
                                                                      const NetworkConfig& config,
                                                                      const Identity& identity) {
  if (auto wrong = check_names(identity)) {
    return fail(std::move(*wrong));
  }
  replay_journal();
  if (auto owed = nothing_owed(identity); !owed) {
    return fail(owed.error());
  }
  auto held = allocator_.held_by(identity.handle, of_attachment(identity));
  if (!held) {
    return fail(cni_error(held.error(), "read the addresses"));
  }
  const bool made = held->empty();
  if (made) {
    auto assign = assign_request(request, config, identity);
    if (!assign) {
      return fail(assign.error());
    }
    assign->holder.secondary["type"] = ipam::kAddressOnly;
    if (auto noted = note_add(identity); !noted) {
      return fail(noted.error());
    }
    const auto assigned = allocator_.assign(*assign, nullptr);
    if (!assigned) {
      forget_call(identity);
      return fail(cni_error(assigned.error(), "assign an address"));
    }
    *held = assigned->addresses;
  }
  IpamAdded added{.result = {}, .made = made};
  cni::AddResult& result = added.result;
  for (const IpAddr& addr : *held) {
    const auto length = allocator_.pool_length(addr);
    if (!length) {
      if (made) {
        undo(identity);
      }
      return fail(cni_error(length.error(), "read the pools"));
    }
    const auto gateway = std::ranges::find(config.ipam.gateways, addr.family(), &IpAddr::family);
    if (gateway == config.ipam.gateways.end()) {
      result.ips.push_back({InterfaceAddr{addr, *length}, std::nullopt, std::nullopt});
      continue;
    }
    result.ips.push_back({InterfaceAddr{addr, *length}, *gateway, std::nullopt});
    append_default_route(result, addr.family(), *gateway);
  }
  return added;
}

Result<void, cni::CniError> EndpointWork::ipam_check(const NetworkConfig& config,
                                                     const Identity& identity) {
  if (!config.previous) {
    return fail(plain_error(Code::kBadConfig, "CHECK without prevResult"));
  }
  const auto held = allocator_.held_by(identity.handle, of_attachment(identity));
  if (!held) {
    return fail(cni_error(held.error(), "read the addresses"));
  }
  if (held->empty()) {
    return fail(plain_error(Code::kUnknownContainer,
                            "no address is allocated to container " + identity.container_id +
                                " interface " + identity.ifname));
  }
  const auto& told = config.previous->addresses;
  for (const IpAddr& addr : *held) {
    if (std::ranges::find(told, addr) == told.end()) {
      return fail(plain_error(Code::kFailed, "address " + addr.str() + " is not in prevResult"));
    }
  }
  for (const IpAddr& addr : told) {
    if (std::ranges::find(*held, addr) != held->end()) {
      continue;
    }
    // Outside our pools it is what another plugin of the chain gave.
    const auto ours = allocator_.in_pool(addr);
    if (!ours) {
      return fail(cni_error(ours.error(), "read the pools"));
    }
    if (*ours) {
      return fail(plain_error(Code::kFailed, "address " + addr.str() + " is not allocated"));
    }
  }
  return {};
}

Result<void, cni::CniError> EndpointWork::ipam_collect(const NetworkConfig& config) {
  const auto listing = store_.list({.kind = api::Kind::kIPAMBlock, .ns = {}});
  if (!listing) {
    return fail(cni_error(listing.error(), "list blocks"));
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
      first = cni_error(released.error(), "release " + holder.first);
    }
  }
  return first ? Result<void, cni::CniError>(fail(std::move(*first)))
               : Result<void, cni::CniError>();
}

}  // namespace margay::felix
