#pragma once
// HostEndpoints: which of a node's host endpoints governs which of its interfaces.
//
// An endpoint names an interface, or all of them ("*"), or none: then it stands for the interfaces
// that have one of its expected addresses. A named interface comes before an expected address, both
// before "*", and of several the first by name is taken (calico: host endpoint resolution).

#include "api/endpoint.h"
#include "base/ip_addr.h"
#include "base/strong.h"

#include <map>
#include <string>
#include <vector>

namespace margay::felix {

using InterfaceAddresses = std::map<IfName, std::vector<IpAddr>>;

class HostEndpoints {
 public:
  void set(const std::string& name, const api::HostEndpoint& endpoint);
  void remove(const std::string& name);
  // The node's own interfaces, without those of workloads. True when they differ from before.
  bool set_interfaces(InterfaceAddresses interfaces);

  // Some endpoint is known by its addresses alone.
  [[nodiscard]] bool needs_interfaces() const;
  // Endpoint names by interface; api::kEveryInterface for all that are not in it.
  [[nodiscard]] std::map<IfName, std::string> by_interface() const;
  // Endpoints that govern nothing: shadowed, or none of their addresses is here.
  [[nodiscard]] std::vector<std::string> unresolved() const;

 private:
  std::map<std::string, api::HostEndpoint> endpoints_;  // by name
  InterfaceAddresses interfaces_;
};

}  // namespace margay::felix
