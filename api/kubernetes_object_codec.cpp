// Objects that kubectl prints: unknown fields are skipped, as clients of Kubernetes do.

#include "api/resource_codec.h"
#include "api/rule_codec.h"

#include <boost/beast/core/detail/base64.hpp>
#include <fmt/format.h>

namespace margay::api {

template <>
struct EnumNames<AddressType> {
  static constexpr std::array rows{EnumName<AddressType>{"IPv4", AddressType::kIpv4},
                                   EnumName<AddressType>{"IPv6", AddressType::kIpv6},
                                   EnumName<AddressType>{"FQDN", AddressType::kFqdn}};
};

template <>
struct EnumNames<TrafficPolicy> {
  static constexpr std::array rows{EnumName<TrafficPolicy>{"Cluster", TrafficPolicy::kCluster},
                                   EnumName<TrafficPolicy>{"Local", TrafficPolicy::kLocal}};
};

namespace {

std::string to_base64(const std::string& bytes) {
  namespace base64 = boost::beast::detail::base64;
  std::string out(base64::encoded_size(bytes.size()), '\0');
  out.resize(base64::encode(out.data(), bytes.data(), bytes.size()));
  return out;
}
// Nothing when it is no base64.
std::optional<std::string> from_base64(const std::string& text) {
  namespace base64 = boost::beast::detail::base64;
  std::string out(base64::decoded_size(text.size()), '\0');
  const auto [written, read] = base64::decode(out.data(), text.data(), text.size());
  out.resize(written);
  return to_base64(out) == text ? std::optional(std::move(out)) : std::nullopt;
}

template <typename Visitor>
void describe_secret_data(Visitor& visit, Secret& secret) {
  visit.custom(
      "data",
      [&secret](ReadState& state, const std::string& path, const json::value& in) {
        std::map<std::string, std::string> texts;
        read_value(state, path, in, texts);
        for (const auto& [key, text] : texts) {
          if (auto bytes = from_base64(text)) {
            secret.data.insert_or_assign(key, std::move(*bytes));
          } else {
            state.fail_at(fmt::format("{}.{}", path, key),
                          "expected base64; plain text goes to stringData");
          }
        }
      },
      [&secret] {
        std::map<std::string, std::string> texts;
        for (const auto& [key, bytes] : secret.data) {
          texts.emplace(key, to_base64(bytes));
        }
        return texts.empty() ? json::value(nullptr) : write_value(texts);
      });
  visit.custom(
      "stringData",
      [&secret](ReadState& state, const std::string& path, const json::value& in) {
        std::map<std::string, std::string> texts;
        read_value(state, path, in, texts);
        for (auto& [key, text] : texts) {
          secret.data.insert_or_assign(key, std::move(text));
        }
      },
      [] { return json::value(nullptr); });
}

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

// What people write by hand has the first address only.
template <typename Visitor>
void describe_cluster_ip(Visitor& visit, std::vector<IpAddr>& addresses) {
  visit.custom(
      "clusterIP",
      [&addresses](ReadState& /*state*/, const std::string& /*path*/, const json::value& in) {
        const auto addr =
            in.is_string() ? IpAddr::parse(in.get_string()) : fail(Errc::kInvalid, "no text");
        if (addr && addresses.empty()) {
          addresses.push_back(*addr);
        }
      },
      [] { return json::value(nullptr); });
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
  visit.field("nodeName", endpoint.node);
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
void describe(Visitor& visit, KubernetesNode& node) {
  visit.skip_unknown();
  visit.field("unschedulable", node.unschedulable);
}
template void describe(Reader& visit, KubernetesNode& node);
template void describe(Writer& visit, KubernetesNode& node);

template <typename Visitor>
void describe(Visitor& visit, ServiceAccount& /*account*/) {
  visit.skip_unknown();
}
template void describe(Reader& visit, ServiceAccount& account);
template void describe(Writer& visit, ServiceAccount& account);

template <typename Visitor>
void describe(Visitor& visit, Service& service) {
  visit.skip_unknown();
  visit.field("type", service.type);
  visit.field("selector", service.selector);
  describe_cluster_ips(visit, service.cluster_ips);
  describe_cluster_ip(visit, service.cluster_ips);
  visit.field("externalIPs", service.external_ips);
  visit.field("externalTrafficPolicy", service.external_traffic_policy);
  visit.list("ports", service.ports, [](auto& of_port, ServicePort& port) {
    describe_service_port(of_port, port);
  });
}
template void describe(Reader& visit, Service& service);
template void describe(Writer& visit, Service& service);

template <typename Visitor>
void describe_status(Visitor& visit, Service& service) {
  visit.skip_unknown();
  visit.object("loadBalancer", [&service](auto& balancer) {
    balancer.skip_unknown();
    balancer.list("ingress", service.load_balancer_ips, [](auto& ingress, IpAddr& addr) {
      ingress.skip_unknown();
      ingress.field("ip", addr);
    });
  });
  std::erase_if(service.load_balancer_ips,
                [](const IpAddr& addr) { return addr.is_unspecified(); });  // known by a host name
}
template void describe_status(Reader& visit, Service& service);
template void describe_status(Writer& visit, Service& service);

template <typename Visitor>
void describe(Visitor& visit, Secret& secret) {
  visit.skip_unknown();
  visit.required_or_default("type", secret.type);
  describe_secret_data(visit, secret);
}
template void describe(Reader& visit, Secret& secret);
template void describe(Writer& visit, Secret& secret);

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
