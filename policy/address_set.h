#pragma once
// AddressSet: what a rule looks an address up in, by meaning; Member: what such a set holds.
//
// The renderer makes a kernel set of each that a rule uses, the calculation keeps its members, and
// rules with the same meaning share it. kSelector holds the addresses of endpoints and the networks
// of network sets that a selector matches; kNamedPort holds (address, protocol, port) of endpoints
// that give one of the names to a port; kService the same for the endpoints of a Service;
// kServiceAddresses their addresses alone; kNodes the addresses of Nodes; kDomains those that names
// have led to.

#include "api/policy.h"
#include "base/ip_addr.h"
#include "policy/model.h"

#include <compare>
#include <cstdint>
#include <string>
#include <vector>

namespace margay::policy {

struct AddressSet {
  enum class Kind : std::uint8_t {
    kSelector,
    kNamedPort,
    kService,
    kServiceAddresses,
    kNodes,
    kDomains
  };
  Kind kind = Kind::kSelector;
  std::string selector;            // canonical; kSelector, kNamedPort, kNodes
  std::vector<std::string> names;  // sorted; kNamedPort: of ports, kDomains: patterns
  api::Protocol protocol{0};       // kNamedPort
  std::string service;             // "namespace/name"
  auto operator<=>(const AddressSet&) const = default;
  bool operator==(const AddressSet&) const = default;

  // Members carry protocol and port.
  [[nodiscard]] bool with_ports() const {
    return kind == Kind::kNamedPort || kind == Kind::kService;
  }
  // Unique, stable over restarts; the selector itself for kSelector.
  [[nodiscard]] std::string text() const;
};

struct Member {
  Prefix net;                 // a host prefix unless it comes from a network set
  api::Protocol protocol{0};  // with ports only
  std::uint16_t port = 0;
  auto operator<=>(const Member&) const = default;
  bool operator==(const Member&) const = default;
};

[[nodiscard]] AddressSet selector_set(const Selector& selector);
// The set for names in `ports` or `notPorts` of a side. Names narrow to the side's selector where
// there is one; `names` is named_ports or not_named_ports of it.
[[nodiscard]] AddressSet named_port_set(const EntityMatch& side,
                                        const std::vector<std::string>& names,
                                        std::optional<api::Protocol> protocol);
[[nodiscard]] AddressSet nodes_set(const Selector& selector);
[[nodiscard]] AddressSet domains_set(const std::vector<std::string>& patterns);  // sorted
[[nodiscard]] AddressSet service_set(const std::string& service, bool with_ports);
// Every set that the rules of a policy look into, without repeats.
[[nodiscard]] std::vector<AddressSet> address_sets_of(const Policy& policy);

}  // namespace margay::policy
