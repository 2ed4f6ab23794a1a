#pragma once
// From BIRD's table to what the rest of Margay asks a speaker for: views for people, next hops for
// the kernel. BIRD chooses the best path; why the others lost, and which may be used beside it, it
// does not say: that is the decision process of bgp/rib, asked anew. Pure.

#include "bgp/bird/table.h"
#include "bgp/rib/rib.h"

#include <map>
#include <string>
#include <vector>

namespace margay::bgp::bird {

// Why a path is not used that an import filter rejected.
inline constexpr const char* kFiltered = "rejected by the import filter";

// What the decision needs to know of a session.
struct PathSource {
  PeerId id;
  bool external = false;
  RouterId router_id;
  IpAddr address;
};
using PathSources = std::map<std::string, PathSource, std::less<>>;  // by BIRD's protocol

// Ordered by prefix. `filtered`: what import filters rejected. Paths of protocols that are no
// sessions of ours are own networks.
[[nodiscard]] std::vector<RouteView> route_views(const std::vector<ListedRoute>& table,
                                                 const std::vector<ListedRoute>& filtered,
                                                 const PathSources& sources);
// One path each, as a peer said or was told it.
[[nodiscard]] std::vector<RouteView> plain_views(const std::vector<ListedRoute>& table,
                                                 const PathSources& sources);

// The learnt routes that the kernel should have.
using NextHops = std::map<Prefix, std::vector<NextHop>>;
[[nodiscard]] NextHops next_hops(const std::vector<RouteView>& routes, unsigned max_multipath);

// While BIRD has not heard from all peers yet: nothing that was there goes, neither a prefix nor
// one of several next hops.
[[nodiscard]] NextHops held(const NextHops& before, NextHops after);

// From one to the other, ordered by prefix.
[[nodiscard]] std::vector<FibChange> changes(const NextHops& before, const NextHops& after);

}  // namespace margay::bgp::bird
