#include "api/duration.h"
#include "api/resource_codec.h"

#include <fmt/format.h>

#include <array>

namespace margay::api {

template <typename Visitor>
void describe(Visitor& visit, NodeBgp& bgp) {
  visit.field("asNumber", bgp.as_number);
  visit.field("ipv4Address", bgp.ipv4_address);
  visit.field("ipv6Address", bgp.ipv6_address);
  visit.field("routeReflectorClusterID", bgp.route_reflector_cluster_id);
  visit.ignored("ipv4IPIPTunnelAddr");
  if (bgp.ipv4_address && !bgp.ipv4_address->addr.is_v4()) {
    visit.fail("ipv4Address", bgp.ipv4_address->str() + ": expected an IPv4 address");
  }
  if (bgp.ipv6_address && !bgp.ipv6_address->addr.is_v6()) {
    visit.fail("ipv6Address", bgp.ipv6_address->str() + ": expected an IPv6 address");
  }
  if (bgp == NodeBgp{}) {
    visit.fail("ipv4Address", "bgp without any field: leave bgp out");
  }
}

template <typename Visitor>
void describe(Visitor& visit, NodeAddress& address) {
  visit.required("address", address.address);
  visit.field("type", address.type);
  // Calico writes the two of Kubernetes' types that are addresses, or its own word.
  const bool is_address = IpAddr::parse(address.address) || InterfaceAddr::parse(address.address);
  if (!is_address) {
    visit.fail("address", "\"" + address.address + "\": expected an address");
  }
  constexpr std::array kTypes{"", "CalicoNodeIP", "InternalIP", "ExternalIP"};
  if (std::ranges::find(kTypes, address.type) == kTypes.end()) {
    visit.fail("type", "\"" + address.type + "\": expected CalicoNodeIP, InternalIP or ExternalIP");
  }
}

template <typename Visitor>
void describe(Visitor& visit, Node& node) {
  visit.field("bgp", node.bgp);
  visit.field("addresses", node.addresses);
  for (const char* name : {"orchRefs",
                           "interfaces",
                           "wireguard",
                           "ipv4VXLANTunnelAddr",
                           "ipv6VXLANTunnelAddr",
                           "vxlanTunnelMACAddr",
                           "vxlanTunnelMACAddrV6"}) {
    visit.ignored(name);
  }
}

template void describe(Reader& visit, Node& node);
template void describe(Writer& visit, Node& node);

template <>
struct EnumNames<Switch> {
  static constexpr std::array rows{EnumName<Switch>{"Disabled", Switch::kDisabled},
                                   EnumName<Switch>{"Enabled", Switch::kEnabled}};
};

// What the other controllers do, Margay's agents do without being asked, or there is no use for.
template <typename Visitor>
void describe(Visitor& visit, KubeControllersConfiguration& config) {
  visit.object("controllers", [&config](auto& controllers) {
    controllers.object("node", [&config](auto& node) {
      node.object("hostEndpoint", [&config](auto& endpoint) {
        endpoint.required_or_default("autoCreate", config.auto_host_endpoints);
        endpoint.required_or_default("createDefaultHostEndpoint", config.default_host_endpoint);
        endpoint.unsupported("templates");
      });
      describe_duration(node, "reconcilerPeriod", config.reconciler_period_s);
      describe_duration(node, "leakGracePeriod", config.leak_grace_period_s);
      node.ignored("syncLabels");
    });
    for (const char* name : {"policy",
                             "workloadEndpoint",
                             "serviceAccount",
                             "namespace",
                             "loadBalancer",
                             "migration"}) {
      controllers.ignored(name);
    }
  });
  for (const char* name : {"logSeverityScreen",
                           "healthChecks",
                           "prometheusMetricsPort",
                           "etcdV3CompactionPeriod",
                           "debugProfilePort"}) {
    visit.ignored(name);
  }
}

template void describe(Reader& visit, KubeControllersConfiguration& config);
template void describe(Writer& visit, KubeControllersConfiguration& config);

template <typename Visitor>
void describe(Visitor& visit, NodeStatus& status) {
  visit.required("enforcedRevision", status.enforced_revision);
  visit.field("agent", status.agent);
  visit.field("host", status.host);
}

template void describe(Reader& visit, NodeStatus& status);
template void describe(Writer& visit, NodeStatus& status);

template <typename Visitor>
void describe(Visitor& visit, PendingEdit& edit) {
  visit.field("before", edit.before);
  visit.field("after", edit.after);
}

template <typename Visitor>
void describe(Visitor& visit, PendingChange& change) {
  std::string revert_at = Visitor::kReads ? "" : format_rfc3339(change.revert_at);
  visit.required("revertAt", revert_at);
  visit.field("confirmWithinSeconds", change.confirm_within_s);
  visit.field("edits", change.edits);
  if (const auto time = parse_rfc3339(revert_at)) {
    change.revert_at = *time;
  } else {
    visit.fail("revertAt", "\"" + revert_at + "\": expected a time such as 2026-11-21T12:04:31Z");
  }
}

template void describe(Reader& visit, PendingChange& change);
template void describe(Writer& visit, PendingChange& change);

}  // namespace margay::api
