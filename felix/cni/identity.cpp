#include "felix/cni/identity.h"

#include "base/stable_hash.h"
#include "kernel/wiring.h"
#include "policy/selector.h"

#include <algorithm>
#include <cctype>

namespace margay::felix {

namespace {

constexpr std::size_t kMaxName = 253;

bool is_name_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

std::string doubled_dashes(std::string_view text) {
  std::string out;
  for (const char c : text) {
    out += c;
    if (c == '-') {
      out += c;
    }
  }
  return out;
}

std::string argument(const CniRequest& request, const char* name) {
  const auto found = request.args.find(name);
  return found == request.args.end() ? std::string() : found->second;
}

}  // namespace

std::string object_name(std::string_view text) {
  if (is_dns_subdomain(text)) {
    return std::string(text);
  }
  constexpr std::size_t kHashDigits = 17;  // with its dash
  std::string out(text.substr(0, kMaxName - kHashDigits - 1));
  std::ranges::transform(out, out.begin(), [](unsigned char c) {
    const char small = static_cast<char>(std::tolower(c));
    return is_name_char(small) ? small : '-';
  });
  if (out.empty() || !is_name_char(out.front())) {
    out.insert(0, 1, 'x');
  }
  return out + fmt::format("-{:016x}", stable_hash(text));
}

std::string endpoint_name(const NodeName& node,
                          std::string_view orchestrator,
                          std::string_view workload,
                          std::string_view ifname) {
  return object_name(doubled_dashes(node.str()) + "-" + doubled_dashes(orchestrator) + "-" +
                     doubled_dashes(workload) + "-" + doubled_dashes(ifname));
}

std::string handle_name(std::string_view network, std::string_view container_id) {
  return object_name(fmt::format("{}.{}", network, container_id));
}

bool holds_for(const api::AllocationAttribute& holder, const Identity& identity) {
  const auto interface = holder.secondary.find("interface");
  const auto network = holder.secondary.find("network");  // earlier versions do not say
  return holder.handle_id == identity.handle &&
         (interface == holder.secondary.end() || interface->second == identity.ifname) &&
         (network == holder.secondary.end() ||
          handle_name(network->second, identity.container_id) == identity.handle);
}

ipam::HolderMatch of_attachment(const Identity& identity) {
  return [identity](const api::AllocationAttribute& holder) { return holds_for(holder, identity); };
}

std::optional<cni::CniError> check_names(const Identity& identity) {
  const auto bad = [](const char* what, const std::string& name, const char* expected) {
    return cni::CniError{cni::Code::kBadEnvironment,
                         fmt::format("{} \"{}\": expected {}", what, name, expected),
                         "the container runtime sets these"};
  };
  const auto is_printable = [](const std::string& text) {
    return std::ranges::all_of(text, [](char c) { return c > ' ' && c <= '~'; });
  };
  if (!IfName::parse(identity.ifname) || !is_printable(identity.ifname)) {
    return bad("CNI_IFNAME", identity.ifname, "at most 15 printable characters");
  }
  if (!is_dns_label(identity.ns)) {
    return bad("CNI_ARGS K8S_POD_NAMESPACE",
               identity.ns,
               "at most 63 small letters, digits and '-', a letter or digit at its ends");
  }
  if (!is_printable(identity.workload)) {
    return bad("CNI_ARGS K8S_POD_NAME", identity.workload, "printable characters");
  }
  return std::nullopt;
}

Identity identify(const CniRequest& request,
                  const cni::NetworkConfig& config,
                  const NodeName& node) {
  Identity identity;
  identity.container_id = request.container_id;
  identity.ifname = request.ifname;
  identity.network = config.name;
  identity.ns = argument(request, "K8S_POD_NAMESPACE");
  identity.workload = argument(request, "K8S_POD_NAME");
  identity.orchestrator = "k8s";
  if (identity.ns.empty() || identity.workload.empty()) {
    identity.ns = "default";
    identity.workload = request.container_id;
    identity.orchestrator = "cni";
  }
  identity.endpoint = endpoint_name(node, identity.orchestrator, identity.workload, request.ifname);
  identity.handle = handle_name(config.name, request.container_id);
  identity.host_name = host_interface_name(request.container_id, request.ifname);
  return identity;
}

api::Resource endpoint_resource(const Identity& identity,
                                const NodeName& node,
                                const cni::NetworkConfig& config,
                                const std::vector<IpAddr>& addresses) {
  api::Resource resource;
  resource.metadata.name = identity.endpoint;
  resource.metadata.ns = identity.ns;
  resource.metadata.annotations[kNetworkAnnotation] = identity.network;
  resource.metadata.labels = config.labels;
  resource.metadata.labels[std::string(policy::kNamespaceLabel)] = identity.ns;
  resource.metadata.labels[std::string(policy::kOrchestratorLabel)] = identity.orchestrator;
  api::WorkloadEndpoint endpoint;
  endpoint.orchestrator = identity.orchestrator;
  endpoint.workload = identity.workload;
  endpoint.node = node;
  endpoint.container_id = identity.container_id;
  endpoint.pod = identity.orchestrator == "k8s" ? identity.workload : std::string();
  endpoint.endpoint = identity.ifname;
  for (const IpAddr& addr : addresses) {
    endpoint.ip_networks.push_back(Prefix::host(addr));
  }
  endpoint.profiles = {"kns." + identity.ns};
  endpoint.interface_name = identity.host_name;
  endpoint.mac = config.mac.value_or(derived_mac(identity.host_name)).str();
  endpoint.ports = config.ports;
  resource.spec = std::move(endpoint);
  return resource;
}

}  // namespace margay::felix
