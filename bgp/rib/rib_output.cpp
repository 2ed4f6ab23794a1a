// Update groups: what changed for a group is decided and encoded once, in segments by the peer the
// paths came from, so that the source of a path is left out by not handing it the segment.

#include "base/assert.h"
#include "bgp/rib/rib_state.h"
#include "bgp/rib/rib_told.h"

#include <algorithm>
#include <utility>

namespace margay::bgp {

namespace {

using Buffer = std::shared_ptr<const std::vector<std::uint8_t>>;

Buffer take(UpdatePacker& packer) {
  return std::make_shared<const std::vector<std::uint8_t>>(packer.take());
}

// Turns rounds of one group into bytes for its members.
class GroupWriter {
 public:
  GroupWriter(Rib::State& state, Group& group, std::vector<PeerOutput>& out)
      : state_(state), group_(group), out_(out) {}

  // What changed: withdrawals for all, announcements for those who had the full table.
  void write_changes(const Round& round) {
    for (const auto& [peer, prefixes] : round.withdrawn_from()) {
      if (state_.peer(peer).lag) {
        continue;
      }
      UpdatePacker packer(group_.target.codec);
      packer.withdraw(prefixes);
      out_.push_back(PeerOutput{peer, take(packer)});
    }
    for (const auto& [source, segment] : round.by_source()) {
      if (!segment.withdrawn.empty()) {
        UpdatePacker packer(group_.target.codec);
        packer.withdraw(segment.withdrawn);
        deliver(take(packer), source, [](const TablePeer&) { return true; });
      }
    }
    write_announcements(round, false);
  }

  // The table as it stands, for those who wait for it.
  void write_full(const Round& round) { write_announcements(round, true); }

  void write_end(PeerId member, Family family) {
    UpdatePacker packer(group_.target.codec);
    packer.end_of_rib(unicast(family));
    out_.push_back(PeerOutput{member, take(packer)});
  }

  // What one member missed, whoever said it.
  void write_missed(PeerId member, const Round& round) {
    for (const auto& [source, segment] : round.by_source()) {
      UpdatePacker packer(group_.target.codec);
      packer.withdraw(segment.withdrawn);
      pack_announcements(packer, round.family(), source, segment);
      if (const Buffer bytes = take(packer); !bytes->empty()) {
        out_.push_back(PeerOutput{member, bytes});
      }
    }
  }

 private:
  template <typename Wants>
  void deliver(const Buffer& bytes, PeerId source, const Wants& wants) {
    if (bytes->empty()) {
      return;
    }
    for (const PeerId member : group_.members) {
      const TablePeer& peer = state_.peer(member);
      if (member != source && !peer.lag && wants(peer)) {
        out_.push_back(PeerOutput{member, bytes});
      }
    }
  }

  void pack_announcements(UpdatePacker& packer,
                          Family family,
                          PeerId source,
                          const Round::Segment& segment) {
    if (segment.announced.empty()) {
      return;  // the source may be gone
    }
    const ExportSource from = state_.source(source);
    for (const Batch& batch : segment.announced) {
      const AttributeSet set = exported(
          state_.pool.get(batch.set), family, batch.rule, from, group_.target, state_.options);
      // Attributes that leave no room for a prefix: RFC 8654 section 4.
      if (!packer.announce(encode_attributes(set, family, group_.target.codec), batch.prefixes)) {
        packer.withdraw(batch.prefixes);
      }
    }
  }

  void write_announcements(const Round& round, bool to_waiting) {
    const Family family = round.family();
    const auto wants = [&](const TablePeer& peer) { return peer.full(family) == to_waiting; };
    for (const auto& [source, segment] : round.by_source()) {
      UpdatePacker packer(group_.target.codec);
      pack_announcements(packer, family, source, segment);
      deliver(take(packer), source, wants);
    }
  }

  Rib::State& state_;
  Group& group_;
  std::vector<PeerOutput>& out_;
};

// What the member was told under other filters and would not be told now.
void withdraw_told_before(Rib::State& state,
                          const Group& group,
                          PeerId member,
                          Family family,
                          std::vector<PeerOutput>& out) {
  std::vector<Nlri>& told = state.peer(member).told_before;
  std::vector<Nlri> gone;
  std::erase_if(told, [&](const Nlri& nlri) {
    if (nlri.prefix.family() != family) {
      return false;
    }
    bool wanted = false;
    if (const std::uint32_t slot = state.table.find(nlri.prefix); slot != kNoIndex) {
      group.for_each_sent(slot, [&](std::uint32_t path_id, const Sent& sent) {
        wanted = wanted || (path_id == nlri.path_id && sent.source != member);
      });
    }
    if (!wanted) {
      gone.push_back(nlri);
    }
    return true;
  });
  if (!gone.empty()) {
    UpdatePacker packer(group.target.codec);
    packer.withdraw(gone);
    out.push_back(PeerOutput{member, take(packer)});
  }
}

// A member that can take more again hears of what it missed; when that was all, it is one of the
// group like the others.
void write_missed(Rib::State& state, Group& group, GroupWriter& writer, TablePeer& peer) {
  Round ipv4(Family::kIpv4);
  Round ipv6(Family::kIpv6);
  for (const std::uint32_t slot : state.take_owed(peer)) {
    Round& round = PrefixTable::family(slot) == Family::kIpv4 ? ipv4 : ipv6;
    const Prefix prefix = state.table.prefix(slot);
    const std::vector<std::uint32_t> told = peer.lag->told_of(slot);
    std::vector<std::uint32_t> now;
    group.for_each_sent(slot, [&](std::uint32_t path_id, const Sent& sent) {
      if (sent.source != peer.config.id) {
        now.push_back(path_id);
        round.announce(sent, Nlri{prefix, path_id});
      }
    });
    for (const std::uint32_t path_id : told) {
      if (std::ranges::find(now, path_id) == now.end()) {
        round.withdraw(kLocalPeer, Nlri{prefix, path_id});
      }
    }
    peer.lag->set_told(slot, std::move(now));
  }
  for (const Round* round : {&ipv4, &ipv6}) {
    writer.write_missed(peer.config.id, *round);
  }
  if (peer.lag->owed_count == 0) {
    state.end_lag(peer);
  }
}

bool awaits_full_table(const TablePeer& peer, Family family) {
  return peer.full(family) && !peer.lag;
}

void write_full_table(Rib::State& state,
                      Group& group,
                      Family family,
                      GroupWriter& writer,
                      std::vector<PeerOutput>& out) {
  Round full(family);
  state.table.for_each(family, [&](std::uint32_t slot) {
    group.for_each_sent(slot, [&](std::uint32_t path_id, const Sent& sent) {
      full.announce(sent, Nlri{state.table.prefix(slot), path_id});
    });
  });
  for (const PeerId member : group.members) {
    if (awaits_full_table(state.peer(member), family)) {
      withdraw_told_before(state, group, member, family, out);
    }
  }
  writer.write_full(full);
  for (const PeerId member : group.members) {
    if (TablePeer& peer = state.peer(member); awaits_full_table(peer, family)) {
      peer.full(family) = false;
      peer.end_owed(family) = true;
    }
  }
}

bool may_hear_end(const Rib::State& state, const TablePeer& peer) {
  return !peer.lag && !(state.end_held && peer.config.export_learned);
}

void write_ends(Rib::State& state, Group& group, GroupWriter& writer) {
  for (const PeerId member : group.members) {
    TablePeer& peer = state.peer(member);
    for (const Family family : {Family::kIpv4, Family::kIpv6}) {
      if (peer.end_owed(family) && !peer.full(family) && may_hear_end(state, peer)) {
        peer.end_owed(family) = false;
        writer.write_end(member, family);
      }
    }
  }
}

void write_group(Rib::State& state, Group& group, std::vector<PeerOutput>& out) {
  GroupWriter writer(state, group, out);
  GroupUpdate update(state, group);
  Round ipv4(Family::kIpv4);
  Round ipv6(Family::kIpv6);
  for (const std::uint32_t slot : std::exchange(group.dirty, {})) {
    update.bring_up_to_date(slot, PrefixTable::family(slot) == Family::kIpv4 ? ipv4 : ipv6);
  }
  for (const PeerId member : group.members) {
    if (TablePeer& peer = state.peer(member); peer.lag && peer.lag->writable) {
      write_missed(state, group, writer, peer);
    }
  }
  for (const Round* round : {&ipv4, &ipv6}) {
    writer.write_changes(*round);
    const bool awaited = std::ranges::any_of(group.members, [&](PeerId id) {
      return awaits_full_table(state.peer(id), round->family());
    });
    if (awaited && state.all_decided()) {
      write_full_table(state, group, round->family(), writer, out);
    }
  }
  write_ends(state, group, writer);
}

}  // namespace

bool Rib::has_output() const {
  return !state_->dirty.empty() || std::ranges::any_of(state_->groups, [](const auto& group) {
    return !group->dirty.empty();
  }) || std::ranges::any_of(state_->peers, [this](const auto& peer) {
    if (!peer || peer->lag) {
      return peer && peer->lag->writable;
    }
    const bool end_owed = peer->end_owed_ipv4 || peer->end_owed_ipv6;
    return peer->full_ipv4 || peer->full_ipv6 || (end_owed && may_hear_end(*state_, *peer));
  });
}

void Rib::hold_end_of_rib(bool hold) {
  state_->end_held = hold;
}

std::vector<PeerOutput> Rib::take_output() {
  state_->decide_some();
  std::vector<PeerOutput> out;
  for (const auto& group : state_->groups) {
    write_group(*state_, *group, out);
  }
  return out;
}

void Rib::State::join(TablePeer& peer) {
  const ExportTarget target = export_target(peer.config);
  const auto found = std::ranges::find_if(
      groups, [&target](const auto& group) { return group->target == target; });
  if (found != groups.end()) {
    peer.group = found->get();
  } else {
    groups.push_back(std::make_unique<Group>());
    peer.group = groups.back().get();
    peer.group->number = ++group_count;
    peer.group->target = target;
    table.for_each([&](std::uint32_t slot) { mark_in(*peer.group, slot); });
  }
  auto& members = peer.group->members;
  members.insert(std::ranges::lower_bound(members, peer.config.id), peer.config.id);
}

void Rib::State::leave(TablePeer& peer) {
  if (peer.group == nullptr) {
    return;
  }
  end_lag(peer);
  Group& group = *std::exchange(peer.group, nullptr);
  std::erase(group.members, peer.config.id);
  if (!group.members.empty()) {
    return;
  }
  table.for_each([&](std::uint32_t slot) {
    group.for_each_sent(slot, [&](std::uint32_t, const Sent& sent) { pool.release(sent.set); });
  });
  std::erase_if(groups, [&group](const auto& candidate) { return candidate.get() == &group; });
}

void Rib::State::mark_in(Group& group, std::uint32_t slot) {
  if (!std::exchange(group.is_dirty.at(slot), true)) {
    group.dirty.push_back(slot);
  }
}

void Rib::State::mark_in_groups(std::uint32_t slot) {
  for (const auto& group : groups) {
    mark_in(*group, slot);
  }
}

ExportSource Rib::State::source(PeerId id) const {
  if (id == kLocalPeer) {
    return {.local = true, .router_id = options.router_id};
  }
  const TablePeer* known = find_peer(id);
  MARGAY_ASSERT(known != nullptr);
  return {.internal = known->config.codec.internal,
          .reflector_client = known->config.reflector_client,
          .router_id = known->config.router_id};
}

}  // namespace margay::bgp
