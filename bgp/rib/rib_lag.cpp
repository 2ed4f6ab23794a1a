// Peers that read more slowly than the table changes.

#include "bgp/rib/rib_state.h"

#include <algorithm>
#include <utility>

namespace margay::bgp {

namespace {

bool has_route(const Group& group, std::uint32_t slot, PeerId member) {
  bool any = false;
  group.for_each_sent(slot,
                      [&](std::uint32_t, const Sent& sent) { any = any || sent.source != member; });
  return any;
}

}  // namespace

void Lag::note(std::uint32_t slot, bool any) {
  // What came and went without its knowledge is not its business.
  const bool wanted = any || told.get(slot);
  if (owed.get(slot) != wanted) {
    owed.at(slot) = wanted;
    owed_count += wanted ? 1 : std::size_t{0} - 1;
  }
}

std::vector<std::uint32_t> Lag::told_of(std::uint32_t slot) const {
  if (const auto paths = told_paths.find(slot); paths != told_paths.end()) {
    return paths->second;
  }
  return told.get(slot) ? std::vector<std::uint32_t>{0} : std::vector<std::uint32_t>();
}

void Lag::set_told(std::uint32_t slot, std::vector<std::uint32_t> path_ids) {
  told.at(slot) = !path_ids.empty();
  told_paths.erase(slot);
  if (!path_ids.empty() && path_ids != std::vector<std::uint32_t>{0}) {
    told_paths.emplace(slot, std::move(path_ids));
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
  auto lag = std::make_unique<Lag>();
  state_->table.for_each([&](std::uint32_t slot) {
    std::vector<std::uint32_t> told;
    state_->for_each_told(peer, slot, [&told](std::uint32_t path_id) { told.push_back(path_id); });
    if (!told.empty()) {
      lag->set_told(slot, std::move(told));
    }
  });
  peer.lag = std::move(lag);
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
  const std::size_t wanted = std::min(options.slice, lag.owed_count);
  table.for_each([&](std::uint32_t slot) {
    // What is not decided yet may still name a peer that is gone: it stays owed.
    if (slots.size() < wanted && lag.owed.get(slot) && !table[slot].dirty) {
      lag.owed.at(slot) = false;
      slots.push_back(slot);
    }
  });
  lag.owed_count -= slots.size();
  let_go_of_withheld();
  return slots;
}

bool Rib::State::owed(std::uint32_t slot) const {
  return std::ranges::any_of(lagging,
                             [&](PeerId id) { return find_peer(id)->lag->owed.get(slot); });
}

void Rib::State::end_lag(TablePeer& peer) {
  if (!peer.lag) {
    return;
  }
  peer.lag.reset();
  std::erase(lagging, peer.config.id);
  let_go_of_withheld();
}

void Rib::State::let_go_of_withheld() {
  for (const std::uint32_t slot : std::exchange(withheld, {})) {
    table[slot].gone = true;
    gone.push_back(slot);
  }
}

}  // namespace margay::bgp
