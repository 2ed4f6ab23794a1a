// The stored paths as exporters (BMP, MRT) take them: without copies, and a slice at a time.

#include "bgp/rib/rib_state.h"

#include <algorithm>

namespace margay::bgp {

namespace {

StoredPath stored_path(const Rib::State& state, const Prefix& prefix, const Path& path) {
  return {.peer = path.peer,
          .nlri = Nlri{prefix, path.path_id},
          .received = &state.pool.get(path.received),
          .used = &state.pool.get(path.set),
          .accepted = path.rejection == Rejection::kNone,
          .stale = path.stale};
}

}  // namespace

std::optional<std::uint32_t> Rib::walk(std::uint32_t from,
                                       std::uint32_t places,
                                       const Visitor& visitor) const {
  const PrefixTable& table = state_->table;
  const std::uint32_t bound = table.places();
  const std::uint32_t end = from < bound && bound - from > places ? from + places : bound;
  for (std::uint32_t place = from; place < end; ++place) {
    const std::uint32_t slot = table.slot_at(place);
    if (!table[slot].used) {
      continue;
    }
    for (std::uint32_t path = table[slot].first_path; path != kNoIndex;
         path = state_->paths[path].next) {
      visitor(stored_path(*state_, table.prefix(slot), state_->paths[path]));
    }
  }
  return end < bound ? std::optional(end) : std::nullopt;
}

void Rib::visit(PeerId peer, const Nlri& nlri, const Visitor& visitor) const {
  const std::uint32_t slot = state_->table.find(nlri.prefix);
  std::uint32_t path = slot == kNoIndex ? kNoIndex : state_->table[slot].first_path;
  for (; path != kNoIndex; path = state_->paths[path].next) {
    const Path& stored = state_->paths[path];
    if (stored.peer == peer && stored.path_id == nlri.path_id) {
      visitor(stored_path(*state_, nlri.prefix, stored));
      return;
    }
  }
}

const RibOptions& Rib::options() const {
  return state_->options;
}

PeerCounts Rib::received_counts(PeerId id) const {
  const TablePeer* peer = state_->find_peer(id);
  return peer == nullptr ? PeerCounts() : PeerCounts{.ipv4 = peer->ipv4, .ipv6 = peer->ipv6};
}

}  // namespace margay::bgp
