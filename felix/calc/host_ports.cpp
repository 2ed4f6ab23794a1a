#include "felix/calc/host_ports.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace margay::felix {

bool HostPort::overlaps(const HostPort& other) const {
  return family == other.family && protocol == other.protocol && port == other.port &&
         (!addr || !other.addr || addr == other.addr);
}

std::string HostPort::str() const {
  const std::string name = api::to_string(api::Protocol{protocol});
  return addr ? fmt::format(
                    "{}:{}/{}", addr->is_v6() ? "[" + addr->str() + "]" : addr->str(), port, name)
              : fmt::format("{}/{}", port, name);
}

PublishedPorts published_ports(const api::WorkloadEndpoint& endpoint) {
  PublishedPorts out;
  for (const api::EndpointPort& port : endpoint.ports) {
    if (port.host_port == 0) {
      continue;
    }
    for (const Family family : {Family::kIpv4, Family::kIpv6}) {
      const auto own = std::ranges::find_if(
          endpoint.ip_networks, [&](const Prefix& net) { return net.family() == family; });
      if (own == endpoint.ip_networks.end() || (port.host_ip && port.host_ip->family() != family)) {
        continue;
      }
      HostPort at{family, port.protocol.number, port.host_port, port.host_ip};
      if (at.addr && at.addr->is_unspecified()) {
        at.addr.reset();
      }
      out.emplace_back(at, HostPortTarget{own->addr(), port.port});
    }
  }
  return out;
}

void HostPorts::claim(const api::ResourceKey& key, const PublishedPorts& ports) {
  for (const auto& [port, target] : ports) {
    claims_[port].insert_or_assign(key, target);
    dirty_.insert(port);
  }
}

void HostPorts::release(const api::ResourceKey& key, const PublishedPorts& ports) {
  for (const auto& [port, target] : ports) {
    const auto claims = claims_.find(port);
    if (claims != claims_.end() && claims->second.erase(key) > 0 && claims->second.empty()) {
      claims_.erase(claims);
    }
    dirty_.insert(port);
  }
}

HostPorts::Changes HostPorts::take_changes() {
  Changes changes;
  for (const HostPort& port : std::exchange(dirty_, {})) {
    const auto claims = claims_.find(port);
    if (claims == claims_.end()) {
      if (emitted_.erase(port) > 0) {
        changes.remove.push_back(port);
      }
      continue;
    }
    const HostPortTarget& target = claims->second.begin()->second;
    const auto [known, fresh] = emitted_.try_emplace(port, target);
    if (fresh || known->second != target) {
      known->second = target;
      changes.set.emplace_back(port, target);
    }
  }
  return changes;
}

}  // namespace margay::felix
