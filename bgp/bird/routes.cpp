#include "bgp/bird/routes.h"

#include "bgp/rib/decision.h"

#include <algorithm>
#include <iterator>

namespace margay::bgp::bird {

namespace {

PathView view_of(const ListedPath& path, const PathSources& sources) {
  PathView view;
  const auto source = sources.find(path.protocol);
  view.peer = source == sources.end() ? kLocalPeer : source->second.id;
  view.attributes = path.attributes;
  view.best = path.best;
  view.stale = path.stale;
  if (path.unreachable && path.from_peer) {
    view.rejected = "BIRD cannot use its next hop";
  }
  return view;
}

// Which of the usable paths go beside the best, and why the others lost.
void rank(const ListedRoute& listed, const PathSources& sources, RouteView& route) {
  std::vector<DecisionKey> keys;
  std::vector<std::size_t> usable;
  for (std::size_t i = 0; i < route.paths.size(); ++i) {
    if (route.paths[i].rejected.empty()) {
      usable.push_back(i);
      keys.push_back(decision_key(route.paths[i].attributes));
    }
  }
  std::vector<Candidate> candidates;
  for (std::size_t i = 0; i < usable.size(); ++i) {
    const PathView& path = route.paths[usable[i]];
    const auto source = sources.find(listed.paths[usable[i]].protocol);
    Candidate candidate;
    candidate.key = &keys[i];
    candidate.local = source == sources.end();
    if (!candidate.local) {
      candidate.external = source->second.external;
      candidate.router_id = path.attributes.originator_id.value_or(source->second.router_id);
      candidate.peer_address = source->second.address;
    }
    candidates.push_back(candidate);
  }
  if (candidates.empty()) {
    return;
  }
  const Ranking ranking = decide(candidates);
  for (std::size_t i = 0; i < usable.size(); ++i) {
    route.paths[usable[i]].lost_at = ranking.lost_at[i];
  }
  PathView& best = route.paths[usable[ranking.best]];
  if (!best.best || best.peer == kLocalPeer) {
    return;  // BIRD sees it otherwise: its choice, and none beside it
  }
  for (const std::size_t equal : ranking.equal) {
    route.paths[usable[equal]].multipath = true;
  }
}

void sort_paths(RouteView& route) {
  std::ranges::stable_sort(route.paths, [](const PathView& a, const PathView& b) {
    const auto place = [](const PathView& path) {
      return std::tuple(
          !path.best, !path.rejected.empty(), -static_cast<int>(path.lost_at), path.peer);
    };
    return place(a) < place(b);
  });
}

}  // namespace

std::vector<RouteView> route_views(const std::vector<ListedRoute>& table,
                                   const std::vector<ListedRoute>& filtered,
                                   const PathSources& sources) {
  std::map<Prefix, RouteView> all;
  for (const ListedRoute& listed : table) {
    RouteView route{listed.prefix, {}};
    for (const ListedPath& path : listed.paths) {
      route.paths.push_back(view_of(path, sources));
    }
    rank(listed, sources, route);
    all.insert_or_assign(listed.prefix, std::move(route));
  }
  for (const ListedRoute& listed : filtered) {
    RouteView& route = all.try_emplace(listed.prefix, RouteView{listed.prefix, {}}).first->second;
    for (const ListedPath& path : listed.paths) {
      route.paths.push_back(view_of(path, sources));
      route.paths.back().best = false;
      route.paths.back().rejected = kFiltered;
    }
  }
  std::vector<RouteView> out;
  for (auto& entry : all) {
    sort_paths(entry.second);
    out.push_back(std::move(entry.second));
  }
  return out;
}

std::vector<RouteView> plain_views(const std::vector<ListedRoute>& table,
                                   const PathSources& sources) {
  std::vector<RouteView> out;
  for (const ListedRoute& listed : table) {
    RouteView route{listed.prefix, {}};
    for (const ListedPath& path : listed.paths) {
      PathView view = view_of(path, sources);
      view.best = false;
      view.rejected.clear();
      route.paths.push_back(std::move(view));
    }
    out.push_back(std::move(route));
  }
  return out;
}

NextHops next_hops(const std::vector<RouteView>& routes, unsigned max_multipath) {
  NextHops out;
  for (const RouteView& route : routes) {
    if (route.paths.empty() || !route.paths.front().best || !route.paths.front().rejected.empty() ||
        route.paths.front().peer == kLocalPeer) {
      continue;
    }
    const NextHop& best = route.paths.front().attributes.next_hop;
    std::vector<NextHop> hops;
    for (const PathView& path : route.paths) {
      if (path.multipath && path.attributes.next_hop != best) {
        hops.push_back(path.attributes.next_hop);
      }
    }
    std::ranges::sort(hops);
    hops.erase(std::unique(hops.begin(), hops.end()), hops.end());
    hops.resize(std::min<std::size_t>(hops.size(), max_multipath - 1));
    hops.insert(std::ranges::lower_bound(hops, best), best);
    out.emplace(route.prefix, std::move(hops));
  }
  return out;
}

NextHops held(const NextHops& before, NextHops after) {
  for (const auto& [prefix, hops] : before) {
    auto& now = after.try_emplace(prefix).first->second;
    if (std::ranges::includes(hops, now)) {
      now = hops;
    }
  }
  return after;
}

std::vector<FibChange> changes(const NextHops& before, const NextHops& after) {
  std::vector<FibChange> out;
  for (const auto& [prefix, hops] : after) {
    const auto known = before.find(prefix);
    if (known == before.end() || known->second != hops) {
      out.push_back({prefix, hops});
    }
  }
  for (const auto& [prefix, hops] : before) {
    if (!after.contains(prefix)) {
      out.push_back({prefix, {}});
    }
  }
  std::ranges::sort(out, {}, &FibChange::prefix);
  return out;
}

}  // namespace margay::bgp::bird
