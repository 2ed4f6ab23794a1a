#include "bgp/rib/rib.h"

#include "base/assert.h"
#include "bgp/rib/rib_state.h"

#include <algorithm>
#include <utility>

namespace margay::bgp {

namespace {

// RFC 4271 section 9.1.2 and RFC 4456 section 8: loops.
Rejection reject(const AttributeSet& attributes, const RibPeer& peer, const RibOptions& options) {
  if (attributes.as_path.count(peer.codec.local_asn) > peer.allowed_local_as) {
    return Rejection::kOwnAs;
  }
  if (attributes.originator_id == options.router_id) {
    return Rejection::kOriginator;
  }
  const auto& clusters = attributes.cluster_list;
  return std::ranges::find(clusters, options.cluster_id) != clusters.end() ? Rejection::kClusterLoop
                                                                           : Rejection::kNone;
}

}  // namespace

std::string_view to_string(Rejection rejection) {
  switch (rejection) {
    case Rejection::kNone:
      return "";
    case Rejection::kOwnAs:
      return "our own AS is in the AS path";
    case Rejection::kOriginator:
      return "we are its originator";
    case Rejection::kClusterLoop:
      return "our cluster is in the cluster list";
    case Rejection::kFilter:
      return "rejected by the import filter";
  }
  return "";
}

Rib::Rib(const RibOptions& options) : state_(std::make_unique<State>()) {
  state_->options = options;
}

Rib::~Rib() = default;

void Rib::peer_up(const RibPeer& config) {
  const std::size_t number = config.id.value();
  MARGAY_ASSERT(number != 0);
  if (state_->peers.size() <= number) {
    state_->peers.resize(number + 1);
  }
  std::unique_ptr<TablePeer>& peer = state_->peers[number];
  MARGAY_ASSERT(!peer || peer->group == nullptr);
  if (!peer) {
    peer = std::make_unique<TablePeer>();
  }
  peer->config = config;
  peer->told_before.clear();
  peer->full_ipv4 = config.codec.ipv4.enabled;
  peer->full_ipv6 = config.codec.ipv6.enabled;
  state_->join(*peer);
}

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
  // What is stale already was not said again in the last session: RFC 4724 section 4.2.
  state_->remove_paths_of(id, [](const Path& path, Family) { return path.stale; });
  for (Path& path : state_->paths) {
    path.stale = path.stale || path.peer == id;
  }
  state_->leave(peer);
  peer.full_ipv4 = false;
  peer.full_ipv6 = false;
}

void Rib::drop_stale(PeerId id, Family family) {
  if (state_->find_peer(id) != nullptr) {
    state_->remove_paths_of(
        id, [family](const Path& path, Family of_path) { return path.stale && of_path == family; });
  }
}

void Rib::refresh(PeerId id, Family family) {
  TablePeer& peer = state_->peer(id);
  peer.full(family) = peer.config.codec.of(family).enabled;
}

Result<UpdateReport, Notification> Rib::update(PeerId id, Bytes body) {
  TablePeer& peer = state_->peer(id);
  auto decoded = decode_update(body, peer.config.codec);
  if (!decoded) {
    return fail(decoded.error());
  }
  UpdateReport report;
  report.end_of_rib = decoded->end_of_rib;
  report.notes = std::move(decoded->notes);
  for (const AttributeNote& note : report.notes) {
    report.outcome = std::max(report.outcome.value_or(note.outcome), note.outcome);
  }
  for (const Nlri& nlri : decoded->withdrawn) {
    report.withdrawn += state_->remove_path(id, nlri) ? 1U : 0U;
  }
  for (Announcement& announcement : decoded->announced) {
    const Rejection rejection = reject(announcement.attributes, peer.config, state_->options);
    if (!peer.config.codec.internal && announcement.attributes.has(kGracefulShutdown)) {
      announcement.attributes.local_pref = 0;  // RFC 8326 section 4.2: others first
    }
    const AttributePool::Id set = state_->pool.intern(std::move(announcement.attributes));
    for (const Nlri& nlri : announcement.prefixes) {
      state_->admit(peer.config, nlri, set, rejection);
    }
    state_->pool.release(set);
    report.announced += static_cast<std::uint32_t>(announcement.prefixes.size());
  }
  if (peer.received > peer.config.max_prefixes) {
    return fail(Notification::cease(CeaseError::kMaximumPrefixes));
  }
  return report;
}

void Rib::originate(const Prefix& prefix, AttributeSet attributes) {
  const AttributePool::Id set = state_->pool.intern(std::move(attributes));
  state_->add_path(kLocalPeer, Nlri{prefix, 0}, {set, set, Rejection::kNone});
  state_->pool.release(set);
}

void Rib::withdraw(const Prefix& prefix) {
  state_->remove_path(kLocalPeer, Nlri{prefix, 0});
}

std::vector<FibChange> Rib::take_fib_changes() {
  State& state = *state_;
  state.decide_all();
  std::vector<FibChange> changes;
  for (const std::uint32_t slot_number : std::exchange(state.fib_dirty, {})) {
    PrefixTable::Slot& slot = state.table[slot_number];
    slot.fib_dirty = false;
    FibChange change{slot.prefix, state.next_hops(slot)};
    const bool learnt = !change.next_hops.empty();
    const bool told = std::exchange(slot.in_fib, learnt);
    if (told || learnt) {
      changes.push_back(std::move(change));
    }
  }
  std::ranges::sort(changes, {}, &FibChange::prefix);
  state.free_gone();
  return changes;
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

TablePeer& Rib::State::peer(PeerId id) {
  MARGAY_ASSERT(find_peer(id) != nullptr);
  return *peers[id.value()];
}

const TablePeer* Rib::State::find_peer(PeerId id) const {
  return id.value() < peers.size() ? peers[id.value()].get() : nullptr;
}

void Rib::State::mark(std::uint32_t slot) {
  if (!table[slot].dirty) {
    table[slot].dirty = true;
    dirty.push_back(slot);
  }
}

void Rib::State::admit(const RibPeer& config,
                       const Nlri& nlri,
                       AttributePool::Id received,
                       Rejection loop) {
  const std::vector<FilterRule>& rules = config.filters.importing(nlri.prefix.family());
  const FilterRule* rule =
      deciding_rule(rules, {nlri.prefix, pool.get(received), true, !config.codec.internal});
  if (rule == nullptr || loop != Rejection::kNone) {
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
  for (std::uint32_t slot = 0; slot < table.bound(); ++slot) {
    if (!table[slot].used) {
      continue;
    }
    for (std::uint32_t path = table[slot].first_path; path != kNoIndex; path = paths[path].next) {
      if (paths[path].peer == config.id) {
        const bool stale = paths[path].stale;
        const AttributePool::Id received = paths[path].received;
        pool.hold(received);
        admit(config,
              Nlri{table[slot].prefix, paths[path].path_id},
              received,
              reject(pool.get(received), config, options));
        pool.release(received);
        paths[path].stale = stale;
      }
    }
  }
}

void Rib::change_filters(PeerId id, PeerFilters filters) {
  TablePeer& peer = state_->peer(id);
  const bool other_import = filters.import_v4 != peer.config.filters.import_v4 ||
                            filters.import_v6 != peer.config.filters.import_v6;
  peer.config.filters = std::move(filters);
  if (other_import) {
    state_->judge_again(peer.config);
  }
  if (peer.group == nullptr || peer.group->target == export_target(peer.config)) {
    return;
  }
  for (std::uint32_t slot = 0; slot < peer.group->sent.size(); ++slot) {
    const Sent& sent = peer.group->sent[slot];
    const bool told = peer.lag ? slot < peer.lag->told.size() && peer.lag->told[slot]
                               : sent.any && sent.source != id;
    if (told) {
      peer.told_before.push_back(state_->table[slot].prefix);
    }
  }
  state_->leave(peer);
  state_->join(peer);
  peer.full_ipv4 = peer.config.codec.ipv4.enabled;
  peer.full_ipv6 = peer.config.codec.ipv6.enabled;
}

void Rib::State::add_path(PeerId id, const Nlri& nlri, const Incoming& incoming) {
  const std::uint32_t slot = table.insert(nlri.prefix);
  std::uint32_t number = table[slot].first_path;
  while (number != kNoIndex &&
         (paths[number].peer != id || paths[number].path_id != nlri.path_id)) {
    number = paths[number].next;
  }
  if (number == kNoIndex) {
    if (free_paths.empty()) {
      number = static_cast<std::uint32_t>(paths.size());
      paths.emplace_back();
    } else {
      number = free_paths.back();
      free_paths.pop_back();
    }
    paths[number] = Path{
        .set = incoming.set, .received = incoming.received, .path_id = nlri.path_id, .peer = id};
    paths[number].next = std::exchange(table[slot].first_path, number);
    ++path_count;
    if (id != kLocalPeer) {
      ++peer(id).received;
      ++peer(id).accepted;
    }
  } else if (paths[number].set == incoming.set && paths[number].received == incoming.received &&
             paths[number].rejection == incoming.rejection) {
    paths[number].stale = false;
    return;  // said again
  } else {
    pool.release(paths[number].set);
    pool.release(paths[number].received);
  }
  pool.hold(incoming.set);
  pool.hold(incoming.received);
  Path& path = paths[number];
  if (id != kLocalPeer) {
    const bool was = path.rejection == Rejection::kNone;
    const bool is = incoming.rejection == Rejection::kNone;
    peer(id).accepted += (is ? 1U : 0U) - (was ? 1U : 0U);
  }
  path.set = incoming.set;
  path.received = incoming.received;
  path.rejection = incoming.rejection;
  path.stale = false;
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
  const std::uint32_t number = *link;
  Path& path = paths[number];
  *link = path.next;
  if (id != kLocalPeer) {
    --peer(id).received;
    peer(id).accepted -= path.rejection == Rejection::kNone ? 1U : 0U;
  }
  pool.release(path.set);
  pool.release(path.received);
  path = Path();
  free_paths.push_back(number);
  --path_count;
  mark(slot);
  return true;
}

template <typename Which>
void Rib::State::remove_paths_of(PeerId id, const Which& which) {
  for (std::uint32_t slot = 0; slot < table.bound(); ++slot) {
    if (!table[slot].used) {
      continue;
    }
    const Prefix prefix = table[slot].prefix;
    std::vector<Nlri> theirs;
    for (std::uint32_t path = table[slot].first_path; path != kNoIndex; path = paths[path].next) {
      if (paths[path].peer == id && which(paths[path], prefix.family())) {
        theirs.push_back(Nlri{prefix, paths[path].path_id});
      }
    }
    for (const Nlri& nlri : theirs) {
      remove_path(id, nlri);
    }
  }
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

void Rib::State::decide_all() {
  for (const std::uint32_t slot : std::exchange(dirty, {})) {
    table[slot].dirty = false;
    decide_slot(slot);
  }
}

void Rib::State::decide_slot(std::uint32_t number) {
  PrefixTable::Slot& slot = table[number];
  std::vector<std::uint32_t> eligible;
  std::vector<Candidate> candidates;
  for (std::uint32_t path = slot.first_path; path != kNoIndex; path = paths[path].next) {
    paths[path].multipath = false;
    if (paths[path].rejection == Rejection::kNone) {
      eligible.push_back(path);
      candidates.push_back(candidate(paths[path]));
    }
  }
  slot.best = kNoIndex;
  if (eligible.size() == 1) {
    slot.best = eligible.front();
  } else if (!eligible.empty()) {
    const Ranking ranking = decide(candidates);
    slot.best = eligible[ranking.best];
    for (const std::size_t index : ranking.equal) {
      paths[eligible[index]].multipath = true;
    }
  }
  if (!slot.fib_dirty) {
    slot.fib_dirty = true;
    fib_dirty.push_back(number);
  }
  if (slot.first_path == kNoIndex) {
    gone.push_back(number);
  }
  mark_in_groups(number);
}

// Frees slots that have no paths any more once kernel and groups were told.
void Rib::State::free_gone() {
  std::vector<std::uint32_t> waiting;
  std::ranges::sort(gone);
  gone.erase(std::unique(gone.begin(), gone.end()), gone.end());
  for (const std::uint32_t number : std::exchange(gone, {})) {
    const PrefixTable::Slot& slot = table[number];
    if (!slot.used || slot.first_path != kNoIndex) {
      continue;
    }
    const bool told =
        !slot.dirty && !slot.fib_dirty && std::ranges::none_of(groups, [number](const auto& group) {
          return number < group->sent.size() &&
                 (group->sent[number].any || group->sent[number].dirty);
        });
    if (told && owed(number)) {
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
