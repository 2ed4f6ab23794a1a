#include "kernel/model/route.h"

#include <algorithm>

namespace margay {
namespace {

constexpr std::uint32_t kIpv6DefaultMetric = 1024;  // linux/ipv6_route.h IP6_RT_PRIO_USER

std::string_view type_prefix(RouteType type) {
  switch (type) {
    case RouteType::kUnicast:
      return "";
    case RouteType::kLocal:
      return "local ";
    case RouteType::kBlackhole:
      return "blackhole ";
    case RouteType::kUnreachable:
      return "unreachable ";
    case RouteType::kProhibit:
      return "prohibit ";
    case RouteType::kOther:
      return "other ";
  }
  return "";
}

}  // namespace

std::string RouteSpec::str() const {
  std::string out = fmt::format("{}{}", type_prefix(type), key.prefix.str());
  for (const NextHop& hop : next_hops) {
    if (hop.gateway) {
      out += fmt::format(" via {}", hop.gateway->str());
    }
    if (!hop.name.empty()) {
      out += fmt::format(" dev {}", hop.name);
    } else if (hop.ifindex.value() != 0) {
      out += fmt::format(" ifindex {}", hop.ifindex.value());
    }
  }
  out += fmt::format(" table {} proto {}", key.table.value(), protocol.value());
  if (key.metric != 0) {
    out += fmt::format(" metric {}", key.metric);
  }
  return out;
}

RouteSpec route_to_interface(const IpAddr& addr, const IfName& name) {
  RouteSpec route;
  route.key.prefix = Prefix::host(addr);
  route.scope = RouteScope::kLink;
  NextHop hop;
  hop.name = name.str();
  route.next_hops.push_back(std::move(hop));
  return canonical(std::move(route));
}

RouteSpec blackhole_route(const Prefix& prefix) {
  RouteSpec route;
  route.key.prefix = prefix;
  route.protocol = kProtocolBlackhole;
  route.type = RouteType::kBlackhole;
  return canonical(std::move(route));
}

RouteSpec local_route(const IpAddr& addr, RouteProtocol protocol) {
  RouteSpec route;
  route.key.prefix = Prefix::host(addr);
  route.key.table = kTableLocal;
  route.protocol = protocol;
  route.type = RouteType::kLocal;
  route.scope = RouteScope::kHost;
  NextHop hop;
  hop.name = "lo";
  route.next_hops.push_back(std::move(hop));
  return canonical(std::move(route));
}

RouteSpec route_via(const Prefix& prefix,
                    const std::vector<IpAddr>& gateways,
                    RouteProtocol protocol) {
  RouteSpec route;
  route.key.prefix = prefix;
  route.protocol = protocol;
  for (const IpAddr& gateway : gateways) {
    NextHop hop;
    hop.gateway = gateway;
    route.next_hops.push_back(std::move(hop));
  }
  return canonical(std::move(route));
}

RouteSpec canonical(RouteSpec route) {
  std::ranges::sort(route.next_hops);
  if (route.key.prefix.family() == Family::kIpv6) {
    route.scope = RouteScope::kGlobal;
    if (route.key.metric == 0) {
      route.key.metric = kIpv6DefaultMetric;
    }
  }
  return route;
}

}  // namespace margay
