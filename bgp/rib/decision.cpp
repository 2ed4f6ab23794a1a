#include "bgp/rib/decision.h"

#include "base/assert.h"

#include <algorithm>
#include <map>

namespace margay::bgp {

namespace {

// Negative: a is better. 0: equal in this step.
int compare(std::uint64_t a, std::uint64_t b) {
  return a < b ? -1 : (a > b ? 1 : 0);
}

constexpr DecisionStep kSteps[] = {
    DecisionStep::kLocal,
    DecisionStep::kLongLived,
    DecisionStep::kLocalPref,
    DecisionStep::kAsPathLength,
    DecisionStep::kOrigin,
    DecisionStep::kMed,
    DecisionStep::kExternal,
    DecisionStep::kRouterId,
    DecisionStep::kClusterLength,
    DecisionStep::kPeerAddress,
    DecisionStep::kPathId,
};

int compare_step(DecisionStep step, const Candidate& a, const Candidate& b) {
  switch (step) {
    case DecisionStep::kLocal:
      return compare(b.local ? 1 : 0, a.local ? 1 : 0);
    case DecisionStep::kLongLived:
      return compare(a.key->long_lived_stale ? 1 : 0, b.key->long_lived_stale ? 1 : 0);
    case DecisionStep::kLocalPref:
      return compare(b.key->local_pref, a.key->local_pref);
    case DecisionStep::kAsPathLength:
      return compare(a.key->as_path_length, b.key->as_path_length);
    case DecisionStep::kOrigin:
      return compare(static_cast<unsigned>(a.key->origin), static_cast<unsigned>(b.key->origin));
    case DecisionStep::kMed:
      return a.key->neighbour == b.key->neighbour ? compare(a.key->med, b.key->med) : 0;
    case DecisionStep::kExternal:
      return compare(b.external ? 1 : 0, a.external ? 1 : 0);
    case DecisionStep::kRouterId:
      return compare(a.router_id.value(), b.router_id.value());
    case DecisionStep::kClusterLength:
      return compare(a.key->cluster_length, b.key->cluster_length);
    case DecisionStep::kPeerAddress:
      return a.peer_address < b.peer_address ? -1 : (b.peer_address < a.peer_address ? 1 : 0);
    case DecisionStep::kPathId:
      return compare(a.path_id, b.path_id);
    case DecisionStep::kNone:
      return 0;
  }
  return 0;
}

// The first step that tells the two apart; kNone if none does.
DecisionStep deciding_step(const Candidate& a, const Candidate& b, int& order) {
  for (const DecisionStep step : kSteps) {
    order = compare_step(step, a, b);
    if (order != 0) {
      return step;
    }
  }
  return DecisionStep::kNone;
}

std::size_t better(std::span<const Candidate> all, std::size_t a, std::size_t b) {
  int order = 0;
  deciding_step(all[a], all[b], order);
  return order <= 0 ? a : b;
}

}  // namespace

std::string_view to_string(DecisionStep step) {
  switch (step) {
    case DecisionStep::kNone:
      return "";
    case DecisionStep::kLocal:
      return "a route of our own is there";
    case DecisionStep::kLongLived:
      return "long-lived stale";
    case DecisionStep::kLocalPref:
      return "lower local preference";
    case DecisionStep::kAsPathLength:
      return "longer AS path";
    case DecisionStep::kOrigin:
      return "worse origin";
    case DecisionStep::kMed:
      return "higher MED";
    case DecisionStep::kExternal:
      return "iBGP after eBGP";
    case DecisionStep::kRouterId:
      return "higher router id";
    case DecisionStep::kClusterLength:
      return "longer cluster list";
    case DecisionStep::kPeerAddress:
      return "higher peer address";
    case DecisionStep::kPathId:
      return "higher path id";
  }
  return "";
}

DecisionKey decision_key(const AttributeSet& attributes) {
  return {.local_pref = attributes.local_pref.value_or(kDefaultLocalPref),
          .as_path_length = attributes.as_path.length(),
          .origin = attributes.origin,
          .med = attributes.med.value_or(0),
          .neighbour = attributes.as_path.first(),
          .cluster_length = static_cast<std::uint32_t>(attributes.cluster_list.size()),
          .long_lived_stale = attributes.has(kLlgrStale)};
}

Ranking decide(std::span<const Candidate> candidates) {
  MARGAY_ASSERT(!candidates.empty());
  Ranking ranking;
  ranking.lost_at.assign(candidates.size(), DecisionStep::kNone);
  // The best of each neighbouring AS, then the best of those: MED is never compared across.
  std::map<Asn, std::size_t> leaders;
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    const auto [leader, first] = leaders.insert({candidates[i].key->neighbour, i});
    if (!first) {
      leader->second = better(candidates, leader->second, i);
    }
  }
  ranking.best = leaders.begin()->second;
  for (const auto& [asn, leader] : leaders) {
    ranking.best = better(candidates, ranking.best, leader);
  }
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    if (i == ranking.best) {
      ranking.equal.push_back(i);
      continue;
    }
    // Against the best, unless MED put it out of the race inside its own group before.
    int order = 0;
    DecisionStep lost = deciding_step(candidates[ranking.best], candidates[i], order);
    if (const std::size_t leader = leaders.at(candidates[i].key->neighbour); leader != i) {
      int inside_order = 0;
      const DecisionStep inside = deciding_step(candidates[leader], candidates[i], inside_order);
      if (order > 0 || (inside == DecisionStep::kMed && lost > inside)) {
        lost = inside;
      }
    }
    ranking.lost_at[i] = lost;
    if (lost > DecisionStep::kExternal) {
      ranking.equal.push_back(i);
    }
  }
  return ranking;
}

}  // namespace margay::bgp
