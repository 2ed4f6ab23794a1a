#include "bgp/rib/rib_told.h"

#include "base/assert.h"

#include <algorithm>

namespace margay::bgp {

namespace {

// RFC 7911 section 3: the identifier is ours to choose, and is unique among the paths of a prefix.
std::uint32_t path_id_of(std::uint32_t path) {
  return path + 1;
}

}  // namespace

void Round::announce(const Sent& sent, const Nlri& nlri) {
  constexpr unsigned kRuleBits = 16;
  Segment& segment = by_source_[sent.source];
  const std::uint64_t key = static_cast<std::uint64_t>(sent.set) << kRuleBits | sent.rule;
  if (key != segment.last_key) {
    const auto [batch, made] = segment.batch_of.insert({key, segment.announced.size()});
    if (made) {
      segment.announced.push_back(Batch{sent.set, sent.rule, {}});
    }
    segment.last_key = key;
    segment.last_batch = batch->second;
  }
  segment.announced[segment.last_batch].prefixes.push_back(nlri);
}

void GroupUpdate::bring_up_to_date(std::uint32_t slot, Round& round) {
  group_.is_dirty.at(slot) = false;
  if (state_.table[slot].dirty) {
    return;  // to be decided first, and on the list again then
  }
  changed_ = false;
  if (group_.add_path(round.family())) {
    update_all_paths(slot, round);
  } else {
    update_best(slot, round);
  }
  if (changed_) {
    state_.note_for_lagging(group_, slot);
  }
}

Wanted GroupUpdate::wanted(const Path& path, std::uint32_t slot) {
  const Family family = PrefixTable::family(slot);
  const bool any_prefix = group_.target.filters.exporting(family).empty();
  Verdict& last = family == Family::kIpv4 ? last_ipv4_ : last_ipv6_;
  if (!any_prefix || last.set != path.set || last.source != path.peer) {
    last = {path.set,
            path.peer,
            may_export(state_.pool.get(path.set),
                       state_.table.prefix(slot),
                       state_.source(path.peer),
                       group_.target)};
  }
  return last.verdict.allowed() ? Wanted{&path, last.verdict.rule} : Wanted{};
}

void GroupUpdate::update_best(std::uint32_t slot, Round& round) {
  const std::uint32_t best = state_.table[slot].best;
  tell(group_.sent.at(slot),
       best == kNoIndex ? Wanted{} : wanted(state_.paths[best], slot),
       Nlri{state_.table.prefix(slot), 0},
       round);
}

void GroupUpdate::update_all_paths(std::uint32_t slot, Round& round) {
  const Prefix prefix = state_.table.prefix(slot);
  std::vector<std::pair<std::uint32_t, Wanted>> usable;
  for (std::uint32_t path = state_.table[slot].first_path; path != kNoIndex;
       path = state_.paths[path].next) {
    if (state_.paths[path].rejection != Rejection::kNone) {
      continue;
    }
    if (const Wanted one = wanted(state_.paths[path], slot); one.path != nullptr) {
      usable.emplace_back(path_id_of(path), one);
    }
  }
  std::ranges::sort(usable, {}, [](const auto& one) { return one.first; });
  std::vector<SentPath>& sent = group_.sent_paths[slot];
  for (SentPath& before : sent) {
    const bool still = std::ranges::binary_search(
        usable, before.path_id, {}, [](const auto& one) { return one.first; });
    if (!still) {
      tell(before.sent, {}, Nlri{prefix, before.path_id}, round);
    }
  }
  std::erase_if(sent, [](const SentPath& one) { return !one.sent.any(); });
  for (const auto& [path_id, one] : usable) {
    auto place = std::ranges::lower_bound(sent, path_id, {}, &SentPath::path_id);
    if (place == sent.end() || place->path_id != path_id) {
      place = sent.insert(place, SentPath{path_id, {}});
    }
    tell(place->sent, one, Nlri{prefix, path_id}, round);
  }
  if (sent.empty()) {
    group_.sent_paths.erase(slot);
  }
}

void GroupUpdate::tell(Sent& sent, const Wanted& wanted, const Nlri& nlri, Round& round) {
  const Path* path = wanted.path;
  if (path == nullptr) {
    if (sent.any()) {
      round.withdraw(sent.source, nlri);
      forget(sent, round.family());
      changed_ = true;
    }
    return;
  }
  const bool told = sent.any();
  if (told && sent.set == path->set && sent.source == path->peer && sent.rule == wanted.rule) {
    return;
  }
  if (told && sent.source != path->peer && std::ranges::binary_search(group_.members, path->peer)) {
    round.withdraw_from(path->peer, nlri);
  }
  state_.pool.hold(path->set);
  if (told) {
    forget(sent, round.family());
  }
  sent.set = path->set;
  sent.source = path->peer;
  sent.rule = wanted.rule;
  changed_ = true;
  group_.count_advertised(sent.source, round.family(), 1);
  round.announce(sent, nlri);
}

void GroupUpdate::forget(Sent& sent, Family family) {
  state_.pool.release(std::exchange(sent.set, AttributePool::kNone));
  group_.count_advertised(sent.source, family, std::uint32_t{0} - 1U);
}

}  // namespace margay::bgp
