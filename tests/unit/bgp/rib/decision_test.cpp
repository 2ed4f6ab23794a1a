#include "bgp/rib/decision.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <vector>

using margay::Asn;
using margay::IpAddr;
using margay::RouterId;
using margay::bgp::Candidate;
using margay::bgp::decide;
using margay::bgp::DecisionKey;
using margay::bgp::DecisionStep;
using margay::bgp::Origin;
using margay::bgp::Ranking;

namespace {

struct Offer {
  std::string name;
  DecisionKey key;
  bool local = false;
  bool external = true;
  std::uint32_t router_id = 1;
  std::uint32_t address = 1;
  std::uint32_t path_id = 0;
};

std::vector<Candidate> candidates(const std::vector<Offer>& offers) {
  std::vector<Candidate> out;
  for (const Offer& offer : offers) {
    out.push_back({.key = &offer.key,
                   .local = offer.local,
                   .external = offer.external,
                   .router_id = RouterId(offer.router_id),
                   .peer_address = IpAddr::v4(offer.address),
                   .path_id = offer.path_id});
  }
  return out;
}

}  // namespace

TEST_SUITE("bgp.rib.decision") {
  TEST_CASE("each step decides when all before it are equal") {
    struct Row {
      DecisionStep step;
      void (*worsen)(Offer&);
    };
    const Row rows[] = {
        {DecisionStep::kLocalPref, [](Offer& offer) { offer.key.local_pref = 99; }},
        {DecisionStep::kAsPathLength, [](Offer& offer) { offer.key.as_path_length = 2; }},
        {DecisionStep::kOrigin, [](Offer& offer) { offer.key.origin = Origin::kEgp; }},
        {DecisionStep::kMed, [](Offer& offer) { offer.key.med = 1; }},
        {DecisionStep::kExternal, [](Offer& offer) { offer.external = false; }},
        {DecisionStep::kRouterId, [](Offer& offer) { offer.router_id = 2; }},
        {DecisionStep::kClusterLength, [](Offer& offer) { offer.key.cluster_length = 1; }},
        {DecisionStep::kPeerAddress, [](Offer& offer) { offer.address = 2; }},
        {DecisionStep::kPathId, [](Offer& offer) { offer.path_id = 1; }},
    };
    for (std::size_t i = 0; i < std::size(rows); ++i) {
      CAPTURE(i);
      // The loser is worse in this step and better in every later one.
      Offer good{.name = "good"};
      Offer bad{.name = "bad"};
      rows[i].worsen(bad);
      for (std::size_t later = i + 1; later < std::size(rows); ++later) {
        rows[later].worsen(good);
      }
      for (const bool swapped : {false, true}) {
        const std::vector<Offer> offers = swapped ? std::vector{bad, good} : std::vector{good, bad};
        const Ranking ranking = decide(candidates(offers));
        CHECK(offers[ranking.best].name == "good");
        CHECK(ranking.lost_at[1 - ranking.best] == rows[i].step);
        CHECK((ranking.equal.size() == 2) == (rows[i].step > DecisionStep::kExternal));
      }
    }
  }

  TEST_CASE("our own route wins over everything") {
    const std::vector<Offer> offers{{.name = "learnt", .key = {.local_pref = 1000}},
                                    {.name = "own", .local = true, .external = false}};
    const Ranking ranking = decide(candidates(offers));
    CHECK(ranking.best == 1);
    CHECK(ranking.lost_at[0] == DecisionStep::kLocal);
  }

  TEST_CASE("MED counts between paths of one neighbour only, in any order of arrival") {
    // Pairwise: a beats b (router id), b beats c (router id), c beats a (MED): a cycle without
    // groups.
    const std::vector<Offer> offers{
        {.name = "a", .key = {.med = 10, .neighbour = Asn(1)}, .router_id = 1},
        {.name = "b", .key = {.med = 0, .neighbour = Asn(2)}, .router_id = 2},
        {.name = "c", .key = {.med = 5, .neighbour = Asn(1)}, .router_id = 3},
    };
    std::vector<std::size_t> order{0, 1, 2};
    do {
      std::vector<Offer> shuffled;
      for (const std::size_t i : order) {
        shuffled.push_back(offers[i]);
      }
      const Ranking ranking = decide(candidates(shuffled));
      CHECK(shuffled[ranking.best].name == "b");
      for (std::size_t i = 0; i < shuffled.size(); ++i) {
        if (shuffled[i].name == "a") {
          CHECK(ranking.lost_at[i] == DecisionStep::kMed);
        }
        if (shuffled[i].name == "c") {
          CHECK(ranking.lost_at[i] == DecisionStep::kRouterId);
        }
      }
    } while (std::next_permutation(order.begin(), order.end()));
  }

  TEST_CASE("every permutation of mixed paths has the same winner and the same equals") {
    std::vector<Offer> offers;
    for (unsigned i = 0; i < 6; ++i) {
      offers.push_back({.name = std::to_string(i),
                        .key = {.as_path_length = 1 + i % 2, .med = i, .neighbour = Asn(i % 3)},
                        .external = i != 4,
                        .router_id = 10 - i,
                        .address = i});
    }
    std::vector<std::size_t> order{0, 1, 2, 3, 4, 5};
    std::string winner;
    std::string equals;
    do {
      std::vector<Offer> shuffled;
      for (const std::size_t i : order) {
        shuffled.push_back(offers[i]);
      }
      const Ranking ranking = decide(candidates(shuffled));
      std::vector<std::string> names;
      for (const std::size_t i : ranking.equal) {
        names.push_back(shuffled[i].name);
      }
      std::ranges::sort(names);
      std::string joined;
      for (const std::string& name : names) {
        joined += name;
      }
      winner = winner.empty() ? shuffled[ranking.best].name : winner;
      equals = equals.empty() ? joined : equals;
      REQUIRE(shuffled[ranking.best].name == winner);
      REQUIRE(joined == equals);
    } while (std::next_permutation(order.begin(), order.end()));
    CHECK(winner == "2");
    CHECK(equals == "02");
  }
}
