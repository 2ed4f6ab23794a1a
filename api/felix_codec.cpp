#include "api/duration.h"
#include "api/resource_codec.h"
#include "api/rule_codec.h"

#include <fmt/format.h>

#include <array>

namespace margay::api {

template <>
struct EnumNames<EndpointToHostAction> {
  using Action = EndpointToHostAction;
  static constexpr bool kAnyCase = true;  // Calico's own installer writes capitals
  static constexpr std::array rows{EnumName<Action>{"Drop", Action::kDrop},
                                   EnumName<Action>{"Return", Action::kReturn},
                                   EnumName<Action>{"Accept", Action::kAccept}};
};
template <>
struct EnumNames<SourceSpoofing> {
  static constexpr std::array rows{EnumName<SourceSpoofing>{"Disabled", SourceSpoofing::kDisabled},
                                   EnumName<SourceSpoofing>{"Any", SourceSpoofing::kAny}};
  static constexpr bool kAnyCase = true;
};

template <>
struct EnumNames<NatExclusions> {
  static constexpr std::array rows{
      EnumName<NatExclusions>{"IPPoolsOnly", NatExclusions::kPools},
      EnumName<NatExclusions>{"IPPoolsAndHostIPs", NatExclusions::kPoolsAndHosts}};
  static constexpr bool kAnyCase = true;
};

template <>
struct EnumNames<EstablishedConnections> {
  using Mode = EstablishedConnections;
  static constexpr bool kAnyCase = true;
  static constexpr std::array rows{EnumName<Mode>{"Keep", Mode::kKeep},
                                   EnumName<Mode>{"Reevaluate", Mode::kReevaluate}};
};

template <typename Visitor>
void describe(Visitor& visit, FailsafePort& port) {
  describe_port_protocol(visit, port.protocol);
  describe_port_number(visit, "port", port.port);
  visit.field("net", port.net);
}

namespace {

// Calico's parameters that this version has nothing behind. Taking one silently would tell a
// person that it works.
constexpr auto kFelixUnsupported = std::to_array<const char*>({
    "allowIPIPPacketsFromWorkloads",
    "allowVXLANPacketsFromWorkloads",
    "bpfConnectTimeLoadBalancing",
    "bpfEnabled",
    "bpfExternalServiceMode",
    "bpfKubeProxyIptablesCleanupEnabled",
    "bpfLogLevel",
    "chainInsertMode",
    "dataplaneDriver",
    "dataplaneWatchdogTimeout",
    "defaultEndpointToHostActionIPv6",
    "deviceRouteProtocol",
    "deviceRouteSourceAddress",
    "deviceRouteSourceAddressIPv6",
    "disableConntrackInvalidCheck",
    "endpointStatusPathPrefix",
    "externalNodesList",
    "featureDetectOverride",
    "floatingIPs",
    "flowLogsFlushInterval",
    "flowLogsGoldmaneServer",
    "genericXDPEnabled",
    "healthEnabled",
    "healthHost",
    "healthPort",
    "healthTimeoutOverrides",
    "interfaceExclude",
    "interfaceRefreshInterval",
    "ipForwarding",
    "ipipEnabled",
    "ipipMTU",
    "ipsetsRefreshInterval",
    "iptablesBackend",
    "iptablesFilterAllowAction",
    "iptablesFilterDenyAction",
    "iptablesMangleAllowAction",
    "iptablesMarkMask",
    "iptablesRefreshInterval",
    "kubeNodePortRanges",
    "logFilePath",
    "logSeverityFile",
    "logSeveritySys",
    "maxIpsetSize",
    "mtuIfacePattern",
    "natOutgoingAddress",
    "netlinkTimeout",
    "nftablesFilterAllowAction",
    "nftablesFilterDenyAction",
    "nftablesMangleAllowAction",
    "nftablesMarkMask",
    "nftablesMode",
    "nftablesRefreshInterval",
    "policySyncPathPrefix",
    "programClusterRoutes",
    "prometheusGoMetricsEnabled",
    "prometheusMetricsEnabled",
    "prometheusMetricsHost",
    "prometheusMetricsPort",
    "prometheusProcessMetricsEnabled",
    "removeExternalRoutes",
    "reportingInterval",
    "reportingTTL",
    "routeSource",
    "routeSyncDisabled",
    "routeTableRange",
    "routeTableRanges",
    "serviceLoopPrevention",
    "usageReportingEnabled",
    "usageReportingInitialDelay",
    "usageReportingInterval",
    "vxlanEnabled",
    "vxlanMTU",
    "vxlanMTUV6",
    "vxlanPort",
    "vxlanVNI",
    "windowsManageFirewallRules",
    "wireguardEnabled",
    "wireguardEnabledV6",
    "wireguardInterfaceName",
    "wireguardListeningPort",
    "wireguardMTU",
    "xdpEnabled",
    "xdpRefreshInterval",
});

// A port, or a range as "32768:65535"; not a name.
template <typename Visitor>
void describe_nat_ports(Visitor& visit, std::optional<PortRange>& range) {
  visit.custom(
      "natPortRange",
      [&range](ReadState& state, const std::string& path, const json::value& in) {
        Port port;
        read_value(state, path, in, port);
        if (const auto* numbers = std::get_if<PortRange>(&port)) {
          range = *numbers;
        } else {
          state.fail_at(path, shown(in) + ": expected a range such as 32768:65535");
        }
      },
      [&range] { return range ? write_value(Port(*range)) : json::value(nullptr); });
}

// An empty list means no failsafe ports at all, so it is kept apart from an absent one.
template <typename Visitor>
void describe_failsafe(Visitor& visit,
                       const char* name,
                       std::optional<std::vector<FailsafePort>>& ports) {
  visit.custom(
      name,
      [&ports](ReadState& state, const std::string& path, const json::value& in) {
        read_value(state, path, in, ports.emplace());
      },
      [&ports] { return ports ? write_value(*ports) : json::value(nullptr); });
}

}  // namespace

template <typename Visitor>
void describe(Visitor& visit, FelixConfiguration& config) {
  constexpr std::size_t kLongestLogPrefix = 29;
  visit.field("defaultEndpointToHostAction", config.default_endpoint_to_host_action);
  visit.field("logSeverityScreen", config.log_severity_screen);
  visit.field("logPrefix", config.log_prefix);
  visit.field("interfacePrefix", config.interface_prefix);
  visit.field("ipv6Support", config.ipv6_support);
  visit.field("prometheusMetricsListen", config.prometheus_metrics_listen);
  describe_duration(visit, "routeRefreshInterval", config.route_refresh_interval_s);
  visit.field("establishedConnections", config.established_connections);
  describe_failsafe(visit, "failsafeInboundHostPorts", config.failsafe_inbound_host_ports);
  describe_failsafe(visit, "failsafeOutboundHostPorts", config.failsafe_outbound_host_ports);
  visit.field("dnsTrustedServers", config.dns_trusted_servers);
  describe_duration(visit, "dnsExtraTTL", config.dns_extra_ttl_s);
  visit.field("workloadSourceSpoofing", config.workload_source_spoofing);
  visit.field("natOutgoingExclusions", config.nat_outgoing_exclusions);
  describe_nat_ports(visit, config.nat_port_range);
  for (const std::string& server :
       config.dns_trusted_servers.value_or(std::vector<std::string>())) {
    if (!DnsServer::parse(server)) {
      visit.fail(
          "dnsTrustedServers",
          fmt::format("{}: expected an address, a CIDR or k8s-service:NAMESPACE/NAME", server));
    }
  }
  for (const char* name : kFelixUnsupported) {
    visit.unsupported(name, "not supported by Margay yet");
  }
  check_log_severity(visit, config.log_severity_screen);
  if (config.log_prefix && config.log_prefix->size() > kLongestLogPrefix) {
    visit.fail("logPrefix",
               fmt::format("{} bytes: at most {}", config.log_prefix->size(), kLongestLogPrefix));
  }
}

template void describe(Reader& visit, FelixConfiguration& config);
template void describe(Writer& visit, FelixConfiguration& config);

namespace {

std::vector<FailsafePort> tcp_ports(std::initializer_list<std::uint16_t> numbers) {
  std::vector<FailsafePort> ports;
  for (const std::uint16_t number : numbers) {
    ports.push_back({kTcp, number, std::nullopt});
  }
  return ports;
}

}  // namespace

std::optional<DnsServer> DnsServer::parse(std::string_view text) {
  constexpr std::string_view kService = "k8s-service:";
  if (!text.starts_with(kService)) {
    if (const auto addr = IpAddr::parse(text)) {
      return DnsServer{Prefix::host(*addr), {}};
    }
    const auto net = Prefix::parse(text);
    return net ? std::optional(DnsServer{*net, {}}) : std::nullopt;
  }
  const std::string_view name = text.substr(kService.size());
  const std::size_t slash = name.find('/');
  const std::string_view ns =
      slash == std::string_view::npos ? "kube-system" : name.substr(0, slash);
  const std::string_view service = slash == std::string_view::npos ? name : name.substr(slash + 1);
  if (ns.empty() || service.empty() || service.find_first_of(":/") != std::string_view::npos) {
    return std::nullopt;
  }
  return DnsServer{std::nullopt, fmt::format("{}/{}", ns, service)};
}

// DHCP and ssh, BGP, etcd, the Kubernetes API server and Typha, as Calico has them.
std::vector<FailsafePort> default_failsafe_inbound() {
  std::vector<FailsafePort> ports = tcp_ports({22, 179, 2379, 2380, 5473, 6443, 6666, 6667});
  ports.push_back({kUdp, 68, std::nullopt});
  return ports;
}
std::vector<FailsafePort> default_failsafe_outbound() {
  std::vector<FailsafePort> ports = tcp_ports({179, 2379, 2380, 5473, 6443, 6666, 6667});
  ports.push_back({kUdp, 53, std::nullopt});
  ports.push_back({kUdp, 67, std::nullopt});
  return ports;
}

}  // namespace margay::api
