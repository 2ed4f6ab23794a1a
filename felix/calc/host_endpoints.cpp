#include "felix/calc/host_endpoints.h"

#include <algorithm>
#include <set>
#include <utility>

namespace margay::felix {

void HostEndpoints::set(const std::string& name, const api::HostEndpoint& endpoint) {
  endpoints_.insert_or_assign(name, endpoint);
}

void HostEndpoints::remove(const std::string& name) {
  endpoints_.erase(name);
}

bool HostEndpoints::set_interfaces(InterfaceAddresses interfaces) {
  if (interfaces == interfaces_) {
    return false;
  }
  interfaces_ = std::move(interfaces);
  return true;
}

bool HostEndpoints::needs_interfaces() const {
  return std::ranges::any_of(
      endpoints_, [](const auto& entry) { return entry.second.interface_name.str().empty(); });
}

std::map<IfName, std::string> HostEndpoints::by_interface() const {
  std::map<IfName, std::string> out;
  for (const auto& [name, endpoint] : endpoints_) {
    if (!endpoint.interface_name.str().empty()) {
      out.emplace(endpoint.interface_name, name);
    }
  }
  for (const auto& [name, endpoint] : endpoints_) {
    if (!endpoint.interface_name.str().empty()) {
      continue;
    }
    for (const auto& [interface, addresses] : interfaces_) {
      if (std::ranges::find_first_of(addresses, endpoint.expected_ips) != addresses.end()) {
        out.emplace(interface, name);
      }
    }
  }
  return out;
}

std::vector<std::string> HostEndpoints::unresolved() const {
  std::set<std::string> used;
  for (const auto& [interface, name] : by_interface()) {
    used.insert(name);
  }
  std::vector<std::string> out;
  for (const auto& [name, endpoint] : endpoints_) {
    if (!used.contains(name)) {
      out.push_back(name);
    }
  }
  return out;
}

}  // namespace margay::felix
