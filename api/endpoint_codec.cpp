#include "api/labels.h"
#include "api/resource_codec.h"
#include "api/rule_codec.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <string_view>

namespace margay::api {

namespace {

template <typename Visitor>
void check_host_prefixes(Visitor& visit, const char* name, const std::vector<Prefix>& networks) {
  for (const Prefix& network : networks) {
    if (!network.is_host()) {
      visit.fail(name, network.str() + ": expected a /32 or /128");
    }
  }
}

bool is_interface_name(std::string_view name) {
  return std::ranges::all_of(name, [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '_' || c == '.' || c == '-';
  });
}

// Endpoint ports are those of protocols that have them, by name.
template <typename Visitor>
void check_port_protocol(Visitor& visit, const EndpointPort& port) {
  if (port.protocol != kTcp && port.protocol != kUdp && port.protocol != kSctp) {
    visit.fail("protocol", to_string(port.protocol) + ": expected TCP, UDP or SCTP");
  }
}

template <typename Visitor>
void check_profiles(Visitor& visit, const std::vector<std::string>& profiles) {
  for (const std::string& profile : profiles) {
    if (profile.starts_with('.') || profile.empty()) {
      visit.fail("profiles", "\"" + profile + "\": expected the name of a profile");
    }
  }
}

template <typename Visitor>
void check_workload(Visitor& visit, const WorkloadEndpoint& endpoint) {
  if (!is_interface_name(endpoint.interface_name.str())) {
    visit.fail("interfaceName",
               "\"" + endpoint.interface_name.str() +
                   "\": expected letters, digits, '_', '.' and '-', at most 15");
  }
  check_profiles(visit, endpoint.profiles);
}

// Endpoints name the ports that rules may refer to; a workload's port without a name is one of the
// host that leads to it.
template <typename Visitor>
void describe_workload_port(Visitor& visit, EndpointPort& port) {
  visit.field("name", port.name);
  visit.field("protocol", port.protocol);
  describe_port_number(visit, "port", port.port);
  visit.field("hostPort", port.host_port);
  visit.field("hostIP", port.host_ip);
  if (port.name.empty() && port.host_port == 0) {
    visit.fail_missing("name", "required, or hostPort");
  }
  check_port_protocol(visit, port);
}

template <typename Visitor>
void describe_host_port(Visitor& visit, EndpointPort& port) {
  visit.required("name", port.name);
  visit.required("protocol", port.protocol);
  describe_port_number(visit, "port", port.port);
  check_port_protocol(visit, port);
}

template <typename Visitor, typename Set>
void describe_nets(Visitor& visit, Set& set) {
  visit.field("nets", set.nets);
}

}  // namespace

template <typename Visitor>
void describe(Visitor& visit, WorkloadEndpoint& endpoint) {
  visit.field("orchestrator", endpoint.orchestrator);
  visit.field("workload", endpoint.workload);
  visit.required("node", endpoint.node);
  visit.field("containerID", endpoint.container_id);
  visit.field("pod", endpoint.pod);
  visit.field("endpoint", endpoint.endpoint);
  visit.field("serviceAccountName", endpoint.service_account);
  visit.field("ipNetworks", endpoint.ip_networks);
  visit.field("profiles", endpoint.profiles);
  visit.required("interfaceName", endpoint.interface_name);
  visit.field("mac", endpoint.mac);
  visit.list("ports", endpoint.ports, [](auto& of_port, EndpointPort& port) {
    describe_workload_port(of_port, port);
  });
  visit.field("allowSpoofedSourcePrefixes", endpoint.allowed_source_prefixes);
  visit.ignored("ipv4Gateway");
  visit.ignored("ipv6Gateway");
  visit.unsupported("ipNATs");
  visit.unsupported("qosControls");
  check_host_prefixes(visit, "ipNetworks", endpoint.ip_networks);
  check_workload(visit, endpoint);
}
template void describe(Reader& visit, WorkloadEndpoint& endpoint);
template void describe(Writer& visit, WorkloadEndpoint& endpoint);

template <typename Visitor>
void describe(Visitor& visit, HostEndpoint& endpoint) {
  visit.required("node", endpoint.node);
  visit.field("interfaceName", endpoint.interface_name);
  visit.field("expectedIPs", endpoint.expected_ips);
  visit.field("profiles", endpoint.profiles);
  visit.list("ports", endpoint.ports, [](auto& of_port, EndpointPort& port) {
    describe_host_port(of_port, port);
  });
  if (endpoint.interface_name.str().empty() && endpoint.expected_ips.empty()) {
    visit.fail_missing("interfaceName", "required, or expectedIPs");
  }
  check_profiles(visit, endpoint.profiles);
}
template void describe(Reader& visit, HostEndpoint& endpoint);
template void describe(Writer& visit, HostEndpoint& endpoint);

template <typename Visitor>
void describe(Visitor& visit, NetworkSet& set) {
  describe_nets(visit, set);
}
template void describe(Reader& visit, NetworkSet& set);
template void describe(Writer& visit, NetworkSet& set);

template <typename Visitor>
void describe(Visitor& visit, GlobalNetworkSet& set) {
  describe_nets(visit, set);
}
template void describe(Reader& visit, GlobalNetworkSet& set);
template void describe(Writer& visit, GlobalNetworkSet& set);

}  // namespace margay::api
