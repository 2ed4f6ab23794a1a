#include "felix/kernel_delta.h"

#include "felix/render/render_delta.h"

namespace margay::felix {

KernelDelta kernel_delta(const CalcChanges& changes, Renderer& renderer) {
  KernelDelta delta;
  delta.nft = render_delta(changes, renderer);
  for (const IfName& link : changes.remove_links) {
    delta.remove_links.push_back(link.str());
  }
  for (const IfName& link : changes.set_links) {
    delta.add_links.push_back(link.str());
  }
  for (const IpAddr& addr : changes.remove_routes) {
    delta.remove_routes.push_back(canonical(route_to_interface(addr, IfName())).key);
  }
  for (const LocalRoute& route : changes.set_routes) {
    delta.set_routes.push_back(canonical(route_to_interface(route.addr, route.interface)));
  }
  for (const Prefix& block : changes.remove_blackholes) {
    delta.remove_routes.push_back(canonical(blackhole_route(block)).key);
  }
  for (const Prefix& block : changes.set_blackholes) {
    delta.set_routes.push_back(canonical(blackhole_route(block)));
  }
  return delta;
}

}  // namespace margay::felix
