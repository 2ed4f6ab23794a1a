// Peers that read more slowly than the table changes.

#include "bgp/rib/rib_state.h"

#include <algorithm>

namespace margay::bgp {

namespace {

// Of one piece; about a megabyte of UPDATEs.
constexpr std::size_t kPrefixesAtOnce = 65536;

bool bit(const std::vector<bool>& bits, std::uint32_t slot) {
  return slot < bits.size() && bits[slot];
}

bool has_route(const Group& group, std::uint32_t slot, PeerId member) {
  return slot < group.sent.size() && group.sent[slot].any && group.sent[slot].source != member;
}

}  // namespace

void Lag::note(std::uint32_t slot, bool any) {
  if (owed.size() <= slot) {
    owed.resize(slot + 1);
    told.resize(slot + 1);
  }
  // What came and went without its knowledge is not its business.
  const bool wanted = any || told[slot];
  if (owed[slot] != wanted) {
    owed[slot] = wanted;
    owed_count += wanted ? 1 : std::size_t{0} - 1;
  }
}

void Rib::pause(PeerId id) {
  if (state_->find_peer(id) == nullptr || state_->peer(id).group == nullptr) {
    return;
  }
  TablePeer& peer = state_->peer(id);
  if (peer.lag) {
    peer.lag->writable = false;
    return;
  }
  peer.lag = std::make_unique<Lag>();
  peer.lag->told.resize(peer.group->sent.size());
  peer.lag->owed.resize(peer.group->sent.size());
  for (std::uint32_t slot = 0; slot < peer.group->sent.size(); ++slot) {
    peer.lag->told[slot] = has_route(*peer.group, slot, id);
  }
  state_->lagging.push_back(id);
}

void Rib::resume(PeerId id) {
  if (state_->find_peer(id) != nullptr && state_->peer(id).lag) {
    state_->peer(id).lag->writable = true;
  }
}

void Rib::State::note_for_lagging(const Group& group, std::uint32_t slot) {
  for (const PeerId id : lagging) {
    TablePeer& one = peer(id);
    if (one.group == &group) {
      one.lag->note(slot, has_route(group, slot, id));
    }
  }
}

std::vector<std::uint32_t> Rib::State::take_owed(TablePeer& peer) {
  Lag& lag = *peer.lag;
  std::vector<std::uint32_t> slots;
  for (std::uint32_t slot = 0;
       slot < lag.owed.size() && slots.size() < kPrefixesAtOnce && slots.size() < lag.owed_count;
       ++slot) {
    if (lag.owed[slot]) {
      slots.push_back(slot);
    }
  }
  for (const std::uint32_t slot : slots) {
    lag.owed[slot] = false;
    lag.told[slot] = has_route(*peer.group, slot, peer.config.id);
  }
  lag.owed_count -= slots.size();
  gone.insert(gone.end(), withheld.begin(), withheld.end());
  withheld.clear();
  return slots;
}

bool Rib::State::owed(std::uint32_t slot) const {
  return std::ranges::any_of(lagging,
                             [&](PeerId id) { return bit(find_peer(id)->lag->owed, slot); });
}

void Rib::State::end_lag(TablePeer& peer) {
  if (!peer.lag) {
    return;
  }
  peer.lag.reset();
  std::erase(lagging, peer.config.id);
  gone.insert(gone.end(), withheld.begin(), withheld.end());
  withheld.clear();
}

}  // namespace margay::bgp
