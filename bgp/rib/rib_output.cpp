// Update groups: what changed for a group is decided and encoded once, in segments by the peer the
// paths came from, so that the source of a path is left out by not handing it the segment.
//
//   best path of p: from A, then from B       everyone but B: announcement    B only: withdrawal

#include "base/assert.h"
#include "bgp/rib/rib_state.h"

#include <algorithm>
#include <map>
#include <unordered_map>
#include <utility>

namespace margay::bgp {

namespace {

// Prefixes of one family with one set of one source, changed by one rule, in order of arrival.
struct Batch {
  AttributePool::Id set = 0;
  std::uint16_t rule = 0;
  std::vector<Nlri> prefixes;
};

// What one group is to be told about one family.
struct Round {
  struct Segment {
    std::vector<Nlri> withdrawn;
    std::vector<Batch> announced;
    std::unordered_map<std::uint64_t, std::size_t> batch_of;
  };

  Family family;
  std::map<PeerId, Segment> by_source;                 // for everyone but the source
  std::map<PeerId, std::vector<Nlri>> withdrawn_from;  // for this peer only

  void announce(const Sent& sent, const Prefix& prefix) {
    constexpr unsigned kRuleBits = 16;
    Segment& segment = by_source[sent.source];
    const std::uint64_t key = static_cast<std::uint64_t>(sent.set) << kRuleBits | sent.rule;
    const auto [batch, made] = segment.batch_of.insert({key, segment.announced.size()});
    if (made) {
      segment.announced.push_back(Batch{sent.set, sent.rule, {}});
    }
    segment.announced[batch->second].prefixes.push_back(Nlri{prefix, 0});
  }
  void withdraw(PeerId source, const Prefix& prefix) {
    by_source[source].withdrawn.push_back(Nlri{prefix, 0});
  }
};

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
    for (const auto& [peer, prefixes] : round.withdrawn_from) {
      if (state_.peer(peer).lag) {
        continue;
      }
      UpdatePacker packer(group_.target.codec);
      packer.withdraw(prefixes);
      out_.push_back(PeerOutput{peer, take(packer)});
    }
    for (const auto& [source, segment] : round.by_source) {
      if (!segment.withdrawn.empty()) {
        UpdatePacker packer(group_.target.codec);
        packer.withdraw(segment.withdrawn);
        deliver(take(packer), source, [](const TablePeer&) { return true; });
      }
    }
    write_announcements(round, false);
  }

  // The table as it stands, for those who wait for it, and the end mark.
  void write_full(const Round& round) {
    write_announcements(round, true);
    UpdatePacker packer(group_.target.codec);
    packer.end_of_rib(unicast(round.family));
    deliver(take(packer), kLocalPeer, [&round](const TablePeer& peer) {
      return peer.full(round.family);
    });
  }

  // What one member missed, whoever said it.
  void write_missed(PeerId member, const Round& round) {
    for (const auto& [source, segment] : round.by_source) {
      UpdatePacker packer(group_.target.codec);
      packer.withdraw(segment.withdrawn);
      pack_announcements(packer, round.family, source, segment);
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
    for (const Batch& batch : segment.announced) {
      const AttributeSet set = exported(state_.pool.get(batch.set),
                                        family,
                                        batch.rule,
                                        state_.source(source),
                                        group_.target,
                                        state_.options);
      // Attributes that leave no room for a prefix: RFC 8654 section 4.
      if (!packer.announce(encode_attributes(set, family, group_.target.codec), batch.prefixes)) {
        packer.withdraw(batch.prefixes);
      }
    }
  }

  void write_announcements(const Round& round, bool to_waiting) {
    for (const auto& [source, segment] : round.by_source) {
      UpdatePacker packer(group_.target.codec);
      pack_announcements(packer, round.family, source, segment);
      deliver(take(packer), source, [&](const TablePeer& peer) {
        return peer.full(round.family) == to_waiting;
      });
    }
  }

  Rib::State& state_;
  Group& group_;
  std::vector<PeerOutput>& out_;
};

void forget(Rib::State& state, Group& group, Sent& sent) {
  state.pool.release(sent.set);
  sent.any = false;
  --group.advertised;
}

// Brings what the group was told up to date and notes the difference.
void note_change(Rib::State& state, Group& group, std::uint32_t slot, Round& round) {
  Sent& sent = group.sent[slot];
  sent.dirty = false;
  const Wanted wanted = state.wanted(group, slot);
  const Path* path = wanted.path;
  const Prefix& prefix = state.table[slot].prefix;
  if (path == nullptr) {
    if (sent.any) {
      round.withdraw(sent.source, prefix);
      forget(state, group, sent);
      state.note_for_lagging(group, slot);
    }
    return;
  }
  if (sent.any && sent.set == path->set && sent.source == path->peer && sent.rule == wanted.rule) {
    return;
  }
  const bool moved = sent.any && sent.source != path->peer;
  if (moved && std::ranges::binary_search(group.members, path->peer)) {
    round.withdrawn_from[path->peer].push_back(Nlri{prefix, 0});
  }
  state.pool.hold(path->set);
  if (sent.any) {
    forget(state, group, sent);
  }
  sent.set = path->set;
  sent.source = path->peer;
  sent.rule = wanted.rule;
  sent.any = true;
  ++group.advertised;
  round.announce(sent, prefix);
  state.note_for_lagging(group, slot);
}

// A member that can take more again hears of what it missed; when that was all, it is one of the
// group like the others.
void write_missed(Rib::State& state, Group& group, GroupWriter& writer, TablePeer& peer) {
  Round missed[] = {{Family::kIpv4, {}, {}}, {Family::kIpv6, {}, {}}};
  for (const std::uint32_t slot : state.take_owed(peer)) {
    const Prefix& prefix = state.table[slot].prefix;
    Round& round = missed[prefix.family() == Family::kIpv4 ? 0 : 1];
    if (peer.lag->told[slot]) {
      round.announce(group.sent[slot], prefix);
    } else {
      round.withdraw(kLocalPeer, prefix);
    }
  }
  for (const Round& round : missed) {
    writer.write_missed(peer.config.id, round);
  }
  if (peer.lag->owed_count == 0) {
    state.end_lag(peer);
  }
}

// What the member was told under other filters and would not be told now.
void withdraw_told_before(Rib::State& state,
                          const Group& group,
                          PeerId member,
                          Family family,
                          std::vector<PeerOutput>& out) {
  std::vector<Prefix>& told = state.peer(member).told_before;
  std::vector<Nlri> gone;
  std::erase_if(told, [&](const Prefix& prefix) {
    if (prefix.family() != family) {
      return false;
    }
    const std::uint32_t slot = state.table.find(prefix);
    const bool wanted = slot != kNoIndex && slot < group.sent.size() && group.sent[slot].any &&
                        group.sent[slot].source != member;
    if (!wanted) {
      gone.push_back(Nlri{prefix, 0});
    }
    return true;
  });
  if (!gone.empty()) {
    UpdatePacker packer(group.target.codec);
    packer.withdraw(gone);
    out.push_back(PeerOutput{member, take(packer)});
  }
}

void write_group(Rib::State& state, Group& group, std::vector<PeerOutput>& out) {
  GroupWriter writer(state, group, out);
  Round changes[] = {{Family::kIpv4, {}, {}}, {Family::kIpv6, {}, {}}};
  for (const std::uint32_t slot : std::exchange(group.dirty, {})) {
    const bool is_v4 = state.table[slot].prefix.family() == Family::kIpv4;
    note_change(state, group, slot, changes[is_v4 ? 0 : 1]);
  }
  for (const PeerId member : group.members) {
    if (TablePeer& peer = state.peer(member); peer.lag && peer.lag->writable) {
      write_missed(state, group, writer, peer);
    }
  }
  const auto awaits = [&state](PeerId id, Family family) {
    return state.peer(id).full(family) && !state.peer(id).lag;
  };
  for (const Round& round : changes) {
    writer.write_changes(round);
    const bool awaited =
        std::ranges::any_of(group.members, [&](PeerId id) { return awaits(id, round.family); });
    if (!awaited) {
      continue;
    }
    Round full{round.family, {}, {}};
    for (std::uint32_t slot = 0; slot < group.sent.size(); ++slot) {
      const Sent& sent = group.sent[slot];
      if (sent.any && state.table[slot].prefix.family() == round.family) {
        full.announce(sent, state.table[slot].prefix);
      }
    }
    for (const PeerId member : group.members) {
      if (awaits(member, round.family)) {
        withdraw_told_before(state, group, member, round.family, out);
      }
    }
    writer.write_full(full);
    for (const PeerId member : group.members) {
      if (awaits(member, round.family)) {
        state.peer(member).full(round.family) = false;
      }
    }
  }
}

}  // namespace

bool Rib::has_output() const {
  return !state_->dirty.empty() || std::ranges::any_of(state_->groups, [](const auto& group) {
    return !group->dirty.empty();
  }) || std::ranges::any_of(state_->peers, [](const auto& peer) {
    return peer && (peer->lag ? peer->lag->writable : peer->full_ipv4 || peer->full_ipv6);
  });
}

std::vector<PeerOutput> Rib::take_output() {
  state_->decide_all();
  std::vector<PeerOutput> out;
  for (const auto& group : state_->groups) {
    write_group(*state_, *group, out);
  }
  state_->free_gone();
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
    peer.group->target = target;
    for (std::uint32_t slot = 0; slot < table.bound(); ++slot) {
      if (table[slot].used) {
        mark_in(*peer.group, slot);
      }
    }
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
  for (const Sent& sent : group.sent) {
    if (sent.any) {
      pool.release(sent.set);
    }
  }
  std::erase_if(groups, [&group](const auto& candidate) { return candidate.get() == &group; });
}

void Rib::State::mark_in(Group& group, std::uint32_t slot) const {
  if (group.sent.size() <= slot) {
    group.sent.resize(table.bound());
  }
  if (!group.sent[slot].dirty) {
    group.sent[slot].dirty = true;
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

Wanted Rib::State::wanted(const Group& group, std::uint32_t slot) const {
  const std::uint32_t best = table[slot].best;
  if (best == kNoIndex) {
    return {};
  }
  const Path& path = paths[best];
  const ExportVerdict verdict =
      may_export(pool.get(path.set), table[slot].prefix, source(path.peer), group.target);
  return verdict.allowed ? Wanted{&path, verdict.rule} : Wanted{};
}

}  // namespace margay::bgp
