#include "felix/cni/port_ledger.h"

#include <utility>

namespace margay::felix {

Result<void> PortLedger::check(const api::ResourceKey& endpoint, const PublishedPorts& ports) {
  if (ports.empty()) {
    return {};
  }
  const bool fresh = !loaded_;
  if (fresh) {
    if (auto done = load(); !done) {
      return done;
    }
  }
  auto found = conflict(endpoint, ports);
  if (found && !fresh) {
    // The owner may have gone by other ways than DEL.
    if (auto done = load(); !done) {
      return done;
    }
    found = conflict(endpoint, ports);
  }
  if (found) {
    return fail(Errc::kExists, "host port {} belongs to {}", found->port.str(), found->owner.str());
  }
  return {};
}

void PortLedger::claim(const api::ResourceKey& endpoint, const PublishedPorts& ports) {
  claimed_.insert_or_assign(endpoint, ports);
  own(endpoint, ports);
}

void PortLedger::own(const api::ResourceKey& endpoint, const PublishedPorts& ports) {
  for (const auto& [port, target] : ports) {
    owners_.insert_or_assign(port, endpoint);
  }
}

void PortLedger::release(const api::ResourceKey& endpoint) {
  claimed_.erase(endpoint);
  std::erase_if(owners_, [&endpoint](const auto& entry) { return entry.second == endpoint; });
}

std::optional<PortLedger::Conflict> PortLedger::conflict(const api::ResourceKey& endpoint,
                                                         const PublishedPorts& ports) const {
  for (const auto& [port, target] : ports) {
    // What could overlap differs in the address alone, which is compared last.
    const HostPort first{port.family, port.protocol, port.port, std::nullopt};
    for (auto owner = owners_.lower_bound(first); owner != owners_.end(); ++owner) {
      const HostPort& taken = owner->first;
      if (taken.family != port.family || taken.protocol != port.protocol ||
          taken.port != port.port) {
        break;
      }
      if (taken.overlaps(port) && owner->second != endpoint) {
        return Conflict{taken, owner->second};
      }
    }
  }
  return std::nullopt;
}

Result<void> PortLedger::load() {
  const auto listing = store_.list({.kind = api::Kind::kWorkloadEndpoint, .ns = {}});
  if (!listing) {
    return fail(listing.error());
  }
  owners_.clear();
  for (const datastore::Object& object : listing->objects) {
    if (!object.resource) {
      continue;
    }
    const auto& endpoint = std::get<api::WorkloadEndpoint>(object.resource->spec);
    if (endpoint.node == node_) {
      own(object.key, published_ports(endpoint));
    }
  }
  for (const auto& [endpoint, ports] : claimed_) {
    own(endpoint, ports);
  }
  loaded_ = true;
  return {};
}

}  // namespace margay::felix
