#include "felix/cni/add_result.h"

#include <array>
#include <set>

namespace margay::felix {

namespace {

IpAddr gateway_of(Family family) {
  return *IpAddr::parse(family == Family::kIpv4 ? kGatewayV4 : kGatewayV6);
}

}  // namespace

void append_default_route(cni::AddResult& result, Family family, const IpAddr& gateway) {
  const IpAddr zero =
      family == Family::kIpv4 ? IpAddr() : IpAddr::v6(std::array<std::uint8_t, 16>{});
  result.routes.push_back({Prefix::masked(zero, 0), gateway});
}

cni::AddResult make_result(const api::WorkloadEndpoint& endpoint,
                           const WiringResult& wired,
                           const std::string& netns) {
  cni::AddResult result;
  result.interfaces.push_back(
      {endpoint.interface_name.str(), std::string(kHostMac), wired.mtu, std::string()});
  result.interfaces.push_back({endpoint.endpoint, endpoint.mac, wired.mtu, netns});
  std::set<Family> families;
  for (const Prefix& network : endpoint.ip_networks) {
    const Family family = network.family();
    const IpAddr gateway = gateway_of(family);
    result.ips.push_back({InterfaceAddr{network.addr(), network.length()}, gateway, 1U});
    if (families.insert(family).second) {
      append_default_route(result, family, gateway);
      const auto table = wired.tables.find(family);
      result.routes.back().table = table == wired.tables.end() ? 0 : table->second.value();
    }
  }
  return result;
}

}  // namespace margay::felix
