// Status: the table as people see it. Copies; nothing here is on a hot path.

#include "bgp/rib/rib_state.h"

#include <algorithm>
#include <tuple>
#include <utility>

namespace margay::bgp {

namespace {

PathView view_of(const Rib::State& state, std::uint32_t slot, std::uint32_t number) {
  const Path& path = state.paths[number];
  PathView view{.peer = path.peer,
                .path_id = path.path_id,
                .attributes = state.pool.get(path.set),
                .best = number == state.table[slot].best,
                .multipath = path.multipath,
                .stale = path.stale};
  view.rejected = to_string(path.rejection);
  return view;
}

// Best first, then eligible ones by the step at which they lost (later is better), rejected last.
RouteView route_of(const Rib::State& state, std::uint32_t slot) {
  RouteView route{state.table.prefix(slot), {}};
  std::vector<Candidate> candidates;
  std::vector<std::size_t> eligible;
  for (std::uint32_t path = state.table[slot].first_path; path != kNoIndex;
       path = state.paths[path].next) {
    if (state.paths[path].rejection == Rejection::kNone) {
      eligible.push_back(route.paths.size());
      candidates.push_back(state.candidate(state.paths[path]));
    }
    route.paths.push_back(view_of(state, slot, path));
  }
  if (!candidates.empty()) {
    const Ranking ranking = decide(candidates);
    for (std::size_t i = 0; i < eligible.size(); ++i) {
      route.paths[eligible[i]].lost_at = ranking.lost_at[i];
    }
  }
  std::ranges::stable_sort(route.paths, [](const PathView& a, const PathView& b) {
    const auto rank = [](const PathView& path) {
      return std::tuple(!path.best,
                        !path.rejected.empty(),
                        -static_cast<int>(path.lost_at),
                        path.peer,
                        path.path_id);
    };
    return rank(a) < rank(b);
  });
  return route;
}

template <typename Visit>
std::vector<RouteView> collect(const Rib::State& state, const Visit& visit) {
  std::vector<RouteView> routes;
  state.table.for_each([&](std::uint32_t slot) { visit(slot, routes); });
  std::ranges::sort(routes, {}, &RouteView::prefix);
  return routes;
}

}  // namespace

std::vector<RouteView> Rib::routes() const {
  const State& state = *state_;
  return collect(state, [&state](std::uint32_t slot, std::vector<RouteView>& routes) {
    if (state.table[slot].first_path != kNoIndex) {
      routes.push_back(route_of(state, slot));
    }
  });
}

std::optional<RouteView> Rib::route(const Prefix& prefix) const {
  const std::uint32_t slot = state_->table.find(prefix);
  if (slot == kNoIndex || state_->table[slot].first_path == kNoIndex) {
    return std::nullopt;
  }
  return route_of(*state_, slot);
}

std::optional<RouteView> Rib::longest_match(const IpAddr& addr) const {
  std::optional<RouteView> found = route(Prefix::host(addr));
  for (unsigned length = address_bits(addr.family()); !found && length > 0; --length) {
    found = route(Prefix::masked(addr, length - 1));
  }
  return found;
}

std::vector<RouteView> Rib::received(PeerId peer) const {
  const State& state = *state_;
  return collect(state, [&state, peer](std::uint32_t slot, std::vector<RouteView>& routes) {
    for (std::uint32_t path = state.table[slot].first_path; path != kNoIndex;
         path = state.paths[path].next) {
      if (state.paths[path].peer == peer) {
        PathView view = view_of(state, slot, path);
        view.attributes = state.pool.get(state.paths[path].received);
        routes.push_back({state.table.prefix(slot), {std::move(view)}});
      }
    }
  });
}

std::vector<RouteView> Rib::advertised(PeerId id) const {
  const State& state = *state_;
  const TablePeer* peer = state.find_peer(id);
  if (peer == nullptr || peer->group == nullptr) {
    return {};
  }
  const Group& group = *peer->group;
  return collect(state, [&](std::uint32_t slot, std::vector<RouteView>& routes) {
    RouteView route{state.table.prefix(slot), {}};
    group.for_each_sent(slot, [&](std::uint32_t path_id, const Sent& sent) {
      const bool known = sent.source == kLocalPeer || state.find_peer(sent.source) != nullptr;
      if (sent.source == id || !known) {
        return;
      }
      PathView view{.peer = sent.source, .path_id = path_id};
      view.attributes = exported(state.pool.get(sent.set),
                                 route.prefix.family(),
                                 sent.rule,
                                 state.source(sent.source),
                                 group.target,
                                 state.options);
      route.paths.push_back(std::move(view));
    });
    if (!route.paths.empty()) {
      routes.push_back(std::move(route));
    }
  });
}

namespace {

// A rule is counted from 1; 0: none decided.
std::string rule_name(const ExportTarget& target, Family family, std::uint16_t rule) {
  if (rule == 0) {
    return {};
  }
  const FilterRule& deciding = target.filters.exporting(family)[rule - 1U];
  return deciding.name.empty() ? "what no rule matches is rejected" : deciding.name;
}

ExportView explain(const Rib::State& state,
                   const TablePeer& peer,
                   std::uint32_t slot,
                   std::uint32_t number) {
  const Path& path = state.paths[number];
  const ExportTarget& target = peer.group->target;
  ExportView view{.prefix = state.table.prefix(slot), .path = view_of(state, slot, number)};
  const ExportSource source = state.source(path.peer);
  const Family family = view.prefix.family();
  const ExportVerdict verdict = may_export(view.path.attributes, view.prefix, source, target);
  view.rule = rule_name(target, family, verdict.rule);
  if (path.peer == peer.config.id) {
    view.reason = "learnt from this peer";
  } else if (!verdict.allowed()) {
    view.reason = to_string(verdict.denial);
  } else {
    view.told = true;
    view.path.attributes =
        exported(view.path.attributes, family, verdict.rule, source, target, state.options);
  }
  return view;
}

}  // namespace

std::vector<ExportView> Rib::explain_export(PeerId id, const std::optional<Prefix>& prefix) const {
  const State& state = *state_;
  const TablePeer* peer = state.find_peer(id);
  std::vector<ExportView> views;
  if (peer == nullptr || peer->group == nullptr) {
    return views;
  }
  const auto explain_slot = [&](std::uint32_t slot) {
    const bool all = peer->group->add_path(PrefixTable::family(slot));
    for (std::uint32_t path = state.table[slot].first_path; path != kNoIndex;
         path = state.paths[path].next) {
      if (path == state.table[slot].best ||
          (all && state.paths[path].rejection == Rejection::kNone)) {
        views.push_back(explain(state, *peer, slot, path));
      }
    }
  };
  if (!prefix) {
    state.table.for_each(explain_slot);
  } else if (const std::uint32_t slot = state.table.find(*prefix); slot != kNoIndex) {
    explain_slot(slot);
  }
  std::ranges::sort(views, [](const ExportView& a, const ExportView& b) {
    return std::tuple(a.prefix, !a.path.best, a.path.peer, a.path.path_id) <
           std::tuple(b.prefix, !b.path.best, b.path.peer, b.path.path_id);
  });
  return views;
}

PeerCounts Rib::counts(PeerId id) const {
  const TablePeer* peer = state_->find_peer(id);
  if (peer == nullptr) {
    return {};
  }
  PeerCounts counts{.ipv4 = peer->ipv4, .ipv6 = peer->ipv6};
  if (peer->group == nullptr) {
    return counts;
  }
  const Group& group = *peer->group;
  counts.update_group = group.number;
  const Group::Advertised own = id.value() < group.advertised_from.size()
                                    ? group.advertised_from[id.value()]
                                    : Group::Advertised{};
  counts.ipv4.advertised = group.advertised.ipv4 - own.ipv4;
  counts.ipv6.advertised = group.advertised.ipv6 - own.ipv6;
  return counts;
}

std::size_t Rib::prefix_count() const {
  return state_->table.size();
}

std::size_t Rib::path_count() const {
  return state_->path_count;
}

}  // namespace margay::bgp
