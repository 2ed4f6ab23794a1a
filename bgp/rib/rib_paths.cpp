// Paths and the decision: what peers said of each prefix, which path is best, and what of it the
// kernel should have.

#include "base/assert.h"
#include "bgp/rib/only_to_customer.h"
#include "bgp/rib/rib_state.h"

#include <algorithm>
#include <utility>

namespace margay::bgp {

void Rib::peer_down(PeerId id) {
  if (state_->find_peer(id) == nullptr) {
    return;
  }
  state_->remove_paths_of(id, [](const Path&, Family) { return true; });
  state_->leave(state_->peer(id));
  // The paths are gone from the table, but groups may still name the peer as the last source.
  state_->peers[id.value()].reset();
}

void Rib::peer_restarting(PeerId id) {
  if (state_->find_peer(id) == nullptr) {
    return;
  }
  TablePeer& peer = state_->peer(id);
  // What is stale already was not said again in the last session: RFC 4724 section 4.2. What is
  // long-lived stale keeps its time: RFC 9494 section 4.2.
  state_->remove_paths_of(id, [this](const Path& path, Family) {
    return path.stale && !state_->pool.get(path.received).has(kLlgrStale);
  });
  for (std::size_t number = 0; number < state_->paths.size(); ++number) {
    if (Path& path = state_->paths[number]; path.peer == id) {
      state_->set_stale(path, true);
    }
  }
  state_->leave(peer);
  peer.full_ipv4 = false;
  peer.full_ipv6 = false;
  peer.end_owed_ipv4 = false;
  peer.end_owed_ipv6 = false;
}

void Rib::peer_long_lived(PeerId id, Family family) {
  if (const TablePeer* peer = state_->find_peer(id)) {
    state_->keep_long_lived(peer->config, family);
  }
}

void Rib::drop_stale(PeerId id, Family family) {
  if (state_->find_peer(id) != nullptr) {
    state_->remove_paths_of(
        id, [family](const Path& path, Family of_path) { return path.stale && of_path == family; });
  }
}

std::vector<FibChange> Rib::take_fib_changes() {
  State& state = *state_;
  std::vector<FibChange> changes;
  for (const std::uint32_t number : std::exchange(state.fib_dirty, {})) {
    PrefixTable::Slot& slot = state.table[number];
    slot.fib_dirty = false;
    if (slot.dirty) {
      continue;  // to be decided anew, and on the list again then
    }
    FibChange change{state.table.prefix(number), state.next_hops(slot)};
    const bool learnt = !change.next_hops.empty();
    const bool told = slot.in_fib;
    slot.in_fib = learnt;
    if (told || learnt) {
      changes.push_back(std::move(change));
    }
  }
  std::ranges::sort(changes, {}, &FibChange::prefix);
  state.free_gone();
  return changes;
}

std::vector<Prefix> Rib::in_fib() const {
  std::vector<Prefix> prefixes;
  state_->table.for_each([&](std::uint32_t slot) {
    if (state_->table[slot].in_fib) {
      prefixes.push_back(state_->table.prefix(slot));
    }
  });
  std::ranges::sort(prefixes);
  return prefixes;
}

std::vector<NextHop> Rib::State::next_hops(const PrefixTable::Slot& slot) const {
  if (slot.best == kNoIndex || paths[slot.best].peer == kLocalPeer) {
    return {};
  }
  const NextHop& best = pool.get(paths[slot.best].set).next_hop;
  std::vector<NextHop> hops;
  for (std::uint32_t path = slot.first_path; path != kNoIndex; path = paths[path].next) {
    const NextHop& hop = pool.get(paths[path].set).next_hop;
    if (paths[path].multipath && hop != best) {
      hops.push_back(hop);
    }
  }
  std::ranges::sort(hops);
  hops.erase(std::unique(hops.begin(), hops.end()), hops.end());
  hops.resize(std::min<std::size_t>(hops.size(), options.max_multipath - 1));
  hops.insert(std::ranges::lower_bound(hops, best), best);
  return hops;
}

void Rib::State::mark(std::uint32_t number) {
  PrefixTable::Slot& slot = table[number];
  if (!slot.dirty) {
    slot.dirty = true;
    dirty.push_back(number);
  }
}

// RFC 4271 section 9.1.2 and RFC 4456 section 8: loops.
Rejection Rib::State::loop_of(AttributePool::Id set, const RibPeer& peer) const {
  const AttributeSet& attributes = pool.get(set);
  if (attributes.as_path.count(peer.codec.local_asn) > peer.allowed_local_as) {
    return Rejection::kOwnAs;
  }
  if (attributes.originator_id == options.router_id) {
    return Rejection::kOriginator;
  }
  if (peer.role && is_leak(attributes, *peer.role, peer.codec.peer_asn)) {
    return Rejection::kLeak;
  }
  const auto& clusters = attributes.cluster_list;
  return std::ranges::find(clusters, options.cluster_id) != clusters.end() ? Rejection::kClusterLoop
                                                                           : Rejection::kNone;
}

void Rib::State::admit(const RibPeer& config,
                       const Nlri& nlri,
                       AttributePool::Id received,
                       Rejection loop) {
  const std::vector<FilterRule>& rules = config.filters.importing(nlri.prefix.family());
  const FilterRule* rule =
      deciding_rule(rules, {nlri.prefix, pool.get(received), true, !config.codec.internal});
  const bool as_it_is = rule == nullptr || (rule->accept && rule->operations.empty());
  if (as_it_is || loop != Rejection::kNone) {
    add_path(config.id, nlri, {received, received, loop});
  } else if (!rule->accept) {
    add_path(config.id, nlri, {received, received, Rejection::kFilter});
  } else {
    AttributeSet changed = pool.get(received);
    apply_operations(*rule, changed);
    const AttributePool::Id set = pool.intern(std::move(changed));
    add_path(config.id, nlri, {received, set, Rejection::kNone});
    pool.release(set);
  }
}

void Rib::State::judge_again(const RibPeer& config) {
  table.for_each([&](std::uint32_t slot) {
    for (std::uint32_t path = table[slot].first_path; path != kNoIndex; path = paths[path].next) {
      if (paths[path].peer == config.id) {
        const bool stale = paths[path].stale;
        const AttributePool::Id received = paths[path].received;
        pool.hold(received);
        admit(config,
              Nlri{table.prefix(slot), paths[path].path_id},
              received,
              loop_of(received, config));
        pool.release(received);
        set_stale(paths[path], stale);
      }
    }
  });
}

void Rib::State::keep_long_lived(const RibPeer& config, Family family) {
  remove_paths_of(config.id, [&](const Path& path, Family of_path) {
    return path.stale && of_path == family && pool.get(path.received).has(kNoLlgr);
  });
  table.for_each(family, [&](std::uint32_t slot) {
    for (std::uint32_t path = table[slot].first_path; path != kNoIndex; path = paths[path].next) {
      if (paths[path].peer != config.id || !paths[path].stale) {
        continue;
      }
      AttributeSet marked = pool.get(paths[path].received);
      marked.add(kLlgrStale);
      const AttributePool::Id received = pool.intern(std::move(marked));
      const Nlri nlri{table.prefix(slot), paths[path].path_id};
      admit(config, nlri, received, loop_of(received, config));
      pool.release(received);
      set_stale(paths[path], true);
    }
  });
}

void Rib::State::add_path(PeerId id, const Nlri& nlri, const Incoming& incoming) {
  const std::uint32_t slot = table.insert(nlri.prefix);
  std::uint32_t number = table[slot].first_path;
  while (number != kNoIndex &&
         (paths[number].peer != id || paths[number].path_id != nlri.path_id)) {
    number = paths[number].next;
  }
  const bool fresh = number == kNoIndex;
  if (fresh) {
    if (free_paths.empty()) {
      number = static_cast<std::uint32_t>(paths.push());
    } else {
      number = free_paths.back();
      free_paths.pop_back();
    }
    paths[number] = Path{.path_id = nlri.path_id, .peer = id};
    paths[number].next = std::exchange(table[slot].first_path, number);
    ++path_count;
  }
  Path& path = paths[number];
  set_stale(path, false);
  if (!fresh && path.set == incoming.set && path.received == incoming.received &&
      path.rejection == incoming.rejection) {
    return;  // said again
  }
  pool.hold(incoming.set);
  pool.hold(incoming.received);
  const bool was = !fresh && path.rejection == Rejection::kNone;
  const bool is = incoming.rejection == Rejection::kNone;
  if (!fresh) {
    pool.release(path.set);
    pool.release(path.received);
  }
  if (id != kLocalPeer) {
    FamilyCounts& counts = peer(id).counts(PrefixTable::family(slot));
    counts.received += fresh ? 1U : 0U;
    counts.accepted += (is ? 1U : 0U) - (was ? 1U : 0U);
  }
  path.set = incoming.set;
  path.received = incoming.received;
  path.rejection = incoming.rejection;
  mark(slot);
}

bool Rib::State::remove_path(PeerId id, const Nlri& nlri) {
  const std::uint32_t slot = table.find(nlri.prefix);
  if (slot == kNoIndex) {
    return false;
  }
  std::uint32_t* link = &table[slot].first_path;
  while (*link != kNoIndex && (paths[*link].peer != id || paths[*link].path_id != nlri.path_id)) {
    link = &paths[*link].next;
  }
  if (*link == kNoIndex) {
    return false;
  }
  unlink_path(slot, *link);
  return true;
}

void Rib::State::unlink_path(std::uint32_t slot, std::uint32_t& link) {
  const std::uint32_t number = link;
  Path& path = paths[number];
  link = path.next;
  if (path.peer != kLocalPeer) {
    FamilyCounts& counts = peer(path.peer).counts(PrefixTable::family(slot));
    --counts.received;
    counts.accepted -= path.rejection == Rejection::kNone ? 1U : 0U;
  }
  set_stale(path, false);
  pool.release(path.set);
  pool.release(path.received);
  path = Path();
  free_paths.push_back(number);
  --path_count;
  mark(slot);
}

void Rib::State::set_stale(Path& path, bool stale) {
  if (path.stale != stale) {
    path.stale = stale;
    peer(path.peer).stale += stale ? 1U : std::uint32_t{0} - 1U;
  }
}

template <typename Which>
void Rib::State::remove_paths_of(PeerId id, const Which& which) {
  table.for_each([&](std::uint32_t slot) {
    std::uint32_t* link = &table[slot].first_path;
    while (*link != kNoIndex) {
      Path& path = paths[*link];
      if (path.peer == id && which(path, PrefixTable::family(slot))) {
        unlink_path(slot, *link);
      } else {
        link = &path.next;
      }
    }
  });
}

Candidate Rib::State::candidate(const Path& path) const {
  if (path.peer == kLocalPeer) {
    return {.key = &pool.key(path.set), .local = true, .router_id = options.router_id};
  }
  const RibPeer& config = find_peer(path.peer)->config;
  return {.key = &pool.key(path.set),
          .external = !config.codec.internal,
          .router_id = pool.get(path.set).originator_id.value_or(config.router_id),
          .peer_address = config.address,
          .path_id = path.path_id};
}

void Rib::State::decide_some() {
  const std::size_t end = std::min(dirty.size(), decided + options.slice);
  for (; decided < end; ++decided) {
    const std::uint32_t slot = dirty[decided];
    table[slot].dirty = false;
    decide_slot(slot);
  }
  if (decided == dirty.size()) {
    decided = 0;
    dirty.clear();
    if (dirty.capacity() > options.slice) {
      dirty.shrink_to_fit();
    }
  }
}

void Rib::State::decide_slot(std::uint32_t number) {
  PrefixTable::Slot& slot = table[number];
  slot.best = best_of(slot);
  if (!slot.fib_dirty && options.fib(PrefixTable::family(number))) {
    slot.fib_dirty = true;
    fib_dirty.push_back(number);
  }
  if (slot.first_path == kNoIndex && !slot.gone) {
    slot.gone = true;
    gone.push_back(number);
  }
  mark_in_groups(number);
}

std::uint32_t Rib::State::best_of(const PrefixTable::Slot& slot) {
  if (slot.first_path == kNoIndex) {
    return kNoIndex;
  }
  if (Path& only = paths[slot.first_path]; only.next == kNoIndex) {
    only.multipath = false;
    return only.rejection == Rejection::kNone ? slot.first_path : kNoIndex;
  }
  std::vector<std::uint32_t> eligible;
  std::vector<Candidate> candidates;
  for (std::uint32_t path = slot.first_path; path != kNoIndex; path = paths[path].next) {
    paths[path].multipath = false;
    if (paths[path].rejection == Rejection::kNone) {
      eligible.push_back(path);
      candidates.push_back(candidate(paths[path]));
    }
  }
  if (eligible.size() < 2) {
    return eligible.empty() ? kNoIndex : eligible.front();
  }
  const Ranking ranking = decide(candidates);
  for (const std::size_t index : ranking.equal) {
    paths[eligible[index]].multipath = true;
  }
  return eligible[ranking.best];
}

// Frees slots that have no paths any more once kernel and groups were told.
void Rib::State::free_gone() {
  std::vector<std::uint32_t> waiting;
  for (const std::uint32_t number : std::exchange(gone, {})) {
    PrefixTable::Slot& slot = table[number];
    if (!slot.used || slot.first_path != kNoIndex) {
      slot.gone = false;
      continue;
    }
    const bool told =
        !slot.dirty && !slot.fib_dirty && std::ranges::all_of(groups, [number](const auto& group) {
          return group->told_nothing(number);
        });
    if (told && owed(number)) {
      slot.gone = false;
      withheld.push_back(number);
    } else if (told) {
      table.erase(number);
    } else {
      waiting.push_back(number);
    }
  }
  gone = std::move(waiting);
}

}  // namespace margay::bgp
