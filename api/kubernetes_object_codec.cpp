// Objects that kubectl prints: unknown fields are skipped, as clients of Kubernetes do.

#include "api/resource_codec.h"
#include "api/rule_codec.h"

namespace margay::api {

template <>
struct EnumNames<AddressType> {
  static constexpr std::array rows{EnumName<AddressType>{"IPv4", AddressType::kIpv4},
                                   EnumName<AddressType>{"IPv6", AddressType::kIpv6},
                                   EnumName<AddressType>{"FQDN", AddressType::kFqdn}};
};

namespace {

// Ports of services and slices: whatever has ports.
template <typename Visitor>
void describe_protocol(Visitor& visit, Protocol& protocol) {
  describe_port_protocol(visit, protocol);
}

template <typename Visitor>
void describe_service_port(Visitor& visit, ServicePort& port) {
  visit.skip_unknown();
  visit.field("name", port.name);
  describe_protocol(visit, port.protocol);
  describe_port_number(visit, "port", port.port);
  visit.field("targetPort", port.target_port);
}

// Headless services write "None".
template <typename Visitor>
void describe_cluster_ips(Visitor& visit, std::vector<IpAddr>& addresses) {
  visit.custom(
      "clusterIPs",
      [&addresses](ReadState& state, const std::string& path, const json::value& in) {
        std::vector<std::string> texts;
        read_value(state, path, in, texts);
        for (const std::string& text : texts) {
          if (const auto addr = IpAddr::parse(text)) {
            addresses.push_back(*addr);
          } else if (text != "None" && !text.empty()) {
            state.fail_at(path, shown(in) + ": expected addresses, or None");
          }
        }
      },
      [&addresses] { return addresses.empty() ? json::value(nullptr) : write_value(addresses); });
}

template <typename Visitor>
void describe_slice_port(Visitor& visit, SlicePort& port) {
  visit.skip_unknown();
  visit.field("name", port.name);
  describe_protocol(visit, port.protocol);
  visit.field("port", port.port);
}

template <typename Visitor>
void describe_slice_endpoint(Visitor& visit, SliceEndpoint& endpoint) {
  visit.skip_unknown();
  visit.custom(
      "addresses",
      [&endpoint](ReadState& state, const std::string& path, const json::value& in) {
        std::vector<std::string> texts;
        read_value(state, path, in, texts);
        for (const std::string& text : texts) {
          if (const auto addr = IpAddr::parse(text)) {
            endpoint.addresses.push_back(*addr);  // names of a FQDN slice are of no use here
          }
        }
      },
      [&endpoint] { return write_value(endpoint.addresses); });
  visit.object("conditions", [&endpoint](auto& conditions) {
    conditions.skip_unknown();
    conditions.field("ready", endpoint.ready);
    conditions.field("serving", endpoint.serving);
    conditions.field("terminating", endpoint.terminating);
  });
}

}  // namespace

template <typename Visitor>
void describe(Visitor& visit, Namespace& /*ns*/) {
  visit.skip_unknown();
}
template void describe(Reader& visit, Namespace& ns);
template void describe(Writer& visit, Namespace& ns);

template <typename Visitor>
void describe(Visitor& visit, ServiceAccount& /*account*/) {
  visit.skip_unknown();
}
template void describe(Reader& visit, ServiceAccount& account);
template void describe(Writer& visit, ServiceAccount& account);

template <typename Visitor>
void describe(Visitor& visit, Service& service) {
  visit.skip_unknown();
  visit.field("selector", service.selector);
  describe_cluster_ips(visit, service.cluster_ips);
  visit.list("ports", service.ports, [](auto& of_port, ServicePort& port) {
    describe_service_port(of_port, port);
  });
}
template void describe(Reader& visit, Service& service);
template void describe(Writer& visit, Service& service);

template <typename Visitor>
void describe(Visitor& visit, EndpointSlice& slice) {
  visit.skip_unknown();
  visit.required("addressType", slice.address_type);
  visit.list("endpoints", slice.endpoints, [](auto& of_endpoint, SliceEndpoint& endpoint) {
    describe_slice_endpoint(of_endpoint, endpoint);
  });
  visit.list("ports", slice.ports, [](auto& of_port, SlicePort& port) {
    describe_slice_port(of_port, port);
  });
}
template void describe(Reader& visit, EndpointSlice& slice);
template void describe(Writer& visit, EndpointSlice& slice);

}  // namespace margay::api
