// The calculation and the renderer against the evaluator: random stores change step by step, and
// after each step every flow must get the same verdict from a walk through the rendered table as
// from the evaluator, which reads the same resources in the plainest way. The table that grew by
// differences must equal one rendered from nothing.

#include "felix/calc/calc_graph.h"
#include "felix/render/renderer.h"
#include "felix/render/rules.h"
#include "felix/render/table_walk.h"
#include "policy/evaluator.h"
#include "policy/world.h"
#include "tests/flow/policy/brute_force.h"
#include "tests/flow/policy/random_world.h"

#include <doctest/doctest.h>

#include <cstdlib>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <type_traits>
#include <vector>

namespace api = margay::api;
namespace nft = margay::nft;
namespace policy = margay::policy;
using margay::IfName;
using margay::IpAddr;
using margay::NodeName;
using margay::Prefix;

namespace {

using margay::test::Chance;
using margay::test::flow_between;
using margay::test::kElsewhere;
using margay::test::kHere;
using margay::test::kHereAddress;
using margay::test::kOutside;
using margay::test::kOutside6;
using margay::test::kOutsideName;
using margay::test::kUplink;
using margay::test::Objects;
using margay::test::parsed;
using margay::test::print;
using margay::test::world_of;

// A node without a kernel: the table that would be there.
class Node {
 public:
  Node() {
    graph_.on_interfaces({{parsed<IfName>(kUplink), {parsed<IpAddr>(kHereAddress)}}});
    graph_.on_domain(kOutsideName, {parsed<IpAddr>(kOutside), parsed<IpAddr>(kOutside6)});
    graph_.on_in_sync();
  }

  void set(const api::Resource& resource) {
    graph_.on_object(std::make_shared<const api::Resource>(resource));
  }
  void remove(const api::ResourceKey& key) { graph_.on_deleted(key); }
  const nft::Table& table() {
    const margay::felix::CalcChanges changes = graph_.take_changes();
    renderer_.apply(changes);
    nft::apply(renderer_.take_delta(), table_);
    return table_;
  }

 private:
  margay::felix::CalcGraph graph_{parsed<NodeName>(kHere)};
  // Merges all that can be, as a thousand rules would be.
  margay::felix::Renderer renderer_{margay::felix::LayoutOptions{}, {.merge_from = 2}};
  nft::Table table_;
};

struct Place {
  IpAddr address;
  std::optional<IfName> interface;  // of a workload here
};

std::vector<Place> places(const Objects& objects) {
  std::vector<Place> out{{parsed<IpAddr>(kOutside), {}}, {parsed<IpAddr>(kOutside6), {}}};
  for (const auto& [key, resource] : objects) {
    const auto* spec = std::get_if<api::WorkloadEndpoint>(&resource.spec);
    for (std::size_t i = 0; spec != nullptr && i < spec->ip_networks.size(); ++i) {
      out.push_back(
          {spec->ip_networks[i].addr(),
           spec->node.str() == kHere ? std::optional(spec->interface_name) : std::nullopt});
    }
  }
  return out;
}

margay::felix::WalkPacket packet_of(const policy::Flow& flow, const Place& from, const Place& to) {
  return {.input = from.interface.value_or(parsed<IfName>(kUplink)),
          .output = to.interface.value_or(parsed<IfName>(kUplink)),
          .source = flow.source,
          .destination = flow.destination,
          .protocol = nft::Proto(flow.protocol.number),
          .source_port = flow.source_port,
          .destination_port = flow.destination_port,
          .icmp_type = flow.icmp_type,
          .icmp_code = flow.icmp_code,
          // What others do with the mark must not look like a Pass.
          .mark = flow.destination_port % 2 == 0 ? margay::felix::kPassMark : margay::Mark()};
}

std::string describe(const policy::Flow& flow, const policy::Verdict& verdict) {
  std::string text = flow.source.str() + " -> " + flow.destination.str() + " " +
                     api::to_string(flow.protocol) + " " + std::to_string(flow.destination_port);
  for (const auto* side : {&verdict.egress, &verdict.ingress}) {
    for (const policy::Step& step : side->path) {
      text += "; " + (step.policy ? step.policy->str() : step.tier) + ": " + step.why;
    }
  }
  return text;
}

// Asks the walk and the evaluator, and counts.
class Comparison {
 public:
  Comparison(const Objects& objects, const nft::Table& table, Chance& chance)
      : objects_(objects),
        walk_(table),
        chance_(chance),
        evaluator_(world_of(objects)),
        brute_force_(objects) {}

  void run() {
    const std::vector<Place> all = places(objects_);
    const Place host{parsed<IpAddr>(kHereAddress), {}};
    for (const Place& from : all) {
      for (const Place& to : all) {
        if (from.address.family() == to.address.family() && (from.interface || to.interface) &&
            from.interface != to.interface) {
          forward(from, to);
        }
      }
      if (from.address.is_v4()) {
        to_host(from, host);
        from_host(host, from);
      }
    }
  }
  [[nodiscard]] unsigned count() const { return count_; }
  // The first flow on which they differ; empty: none.
  [[nodiscard]] const std::string& mismatch() const { return mismatch_; }

 private:
  // This node asks for the sides that live here; the other one for its own.
  void forward(const Place& from, const Place& to) {
    compare(from, to, nft::HookPoint::kForward, [&](const policy::Verdict& verdict) {
      return (!from.interface || verdict.egress.allowed) &&
             (!to.interface || verdict.ingress.allowed);
    });
  }
  void to_host(const Place& from, const Place& host) {
    compare(from, host, nft::HookPoint::kInput, [&](const policy::Verdict& verdict) {
      return from.interface ? verdict.allowed : verdict.ingress.allowed;
    });
  }
  void from_host(const Place& host, const Place& to) {
    compare(host, to, nft::HookPoint::kOutput, [&](const policy::Verdict& verdict) {
      return verdict.egress.allowed;
    });
  }

  template <typename Expected>
  void compare(const Place& from, const Place& to, nft::HookPoint hook, Expected expected) {
    const policy::Flow flow = flow_between(from.address, to.address, chance_);
    const policy::Verdict verdict = evaluator_.verdict(flow);
    CHECK(evaluator_.allows(flow) == verdict.allowed);
    // The slowest of the three, so it is asked of a part of the flows.
    constexpr unsigned kBruteForceEvery = 4;
    const margay::test::BruteForce::Sides plain =
        count_ % kBruteForceEvery == 0
            ? brute_force_.verdict(flow)
            : margay::test::BruteForce::Sides{verdict.egress.allowed, verdict.ingress.allowed};
    if (plain.egress != verdict.egress.allowed || plain.ingress != verdict.ingress.allowed) {
      mismatch_ =
          mismatch_.empty() ? "brute force says otherwise: " + describe(flow, verdict) : mismatch_;
    }
    if (walk_.passes(hook, packet_of(flow, from, to)) != expected(verdict)) {
      mismatch_ = mismatch_.empty() ? describe(flow, verdict) : mismatch_;
    }
    ++count_;
  }

  const Objects& objects_;
  margay::felix::TableWalk walk_;
  Chance& chance_;
  policy::Evaluator evaluator_;
  margay::test::BruteForce brute_force_;
  unsigned count_ = 0;
  std::string mismatch_;
};

// What a broken renderer would make: something is wrong with every policy's rules.
enum class Fault : std::uint8_t { kFirstRuleMissing, kLastRuleMissing, kFirstTwoSwapped };

nft::Table broken(nft::Table table, Fault fault) {
  for (auto& [name, chain] : table.chains) {
    if ((!name.starts_with("in/") && !name.starts_with("out/")) || chain.rules.empty()) {
      continue;
    }
    auto& rules = chain.rules.edit();
    if (fault == Fault::kFirstRuleMissing) {
      rules.erase(rules.begin());
    } else if (fault == Fault::kLastRuleMissing) {
      rules.pop_back();
    } else if (rules.size() > 1) {
      std::swap(rules[0], rules[1]);
    }
  }
  return table;
}

// What differs, for the reader of a failure.
std::string names(const nft::Delta& delta) {
  std::string text;
  const auto add = [&text](const char* what, const auto& entries) {
    for (const auto& entry : entries) {
      if constexpr (std::is_same_v<std::decay_t<decltype(entry)>, std::string>) {
        text += std::string(what) + entry;
      } else {
        text += what + entry.first;
      }
    }
  };
  add(" +set ", delta.upsert_sets);
  add(" ~set ", delta.elements);
  add(" -set ", delta.remove_sets);
  add(" ~chain ", delta.upsert_chains);
  add(" -chain ", delta.remove_chains);
  return text;
}

unsigned seeds() {
  const char* wanted = std::getenv("MARGAY_SEEDS");
  return wanted == nullptr ? 2000 : static_cast<unsigned>(std::atoi(wanted));
}

}  // namespace

constexpr unsigned kSteps = 30;

TEST_SUITE("flow.policy") {
  TEST_CASE(
      "a workload sends from its own addresses, and neighbour discovery from link-local ones") {
    Node node;
    api::WorkloadEndpoint spec;
    spec.node = parsed<NodeName>(kHere);
    spec.interface_name = parsed<IfName>("mgy1");
    spec.ip_networks = {parsed<Prefix>("10.0.1.1/32"), parsed<Prefix>("fd00::1/128")};
    spec.profiles = {"kns.x"};
    node.set({{.name = "pod", .ns = "x"}, spec});
    constexpr std::uint8_t kNeighbourSolicitation = 135;
    const auto sends =
        [&](const char* source, const char* destination, nft::Proto protocol, std::uint8_t type) {
          return margay::felix::TableWalk(node.table())
              .passes(nft::HookPoint::kForward,
                      {.input = spec.interface_name,
                       .output = parsed<IfName>(kUplink),
                       .source = parsed<IpAddr>(source),
                       .destination = parsed<IpAddr>(destination),
                       .protocol = protocol,
                       .destination_port = 80,
                       .icmp_type = type});
        };
    CHECK(sends("10.0.1.1", "192.0.2.9", nft::kTcp, 0));
    CHECK_FALSE(sends("10.0.1.2", "192.0.2.9", nft::kTcp, 0));
    CHECK(sends("fd00::1", "2001:db8::9", nft::kTcp, 0));
    CHECK_FALSE(sends("fd00::2", "2001:db8::9", nft::kTcp, 0));
    CHECK(sends("fe80::1", "ff02::1", nft::kIcmpv6, kNeighbourSolicitation));
    CHECK(sends("::", "ff02::1", nft::kIcmpv6, kNeighbourSolicitation));
    CHECK_FALSE(sends("fd00::2", "2001:db8::9", nft::kIcmpv6, kNeighbourSolicitation));
    CHECK_FALSE(sends("fe80::1", "ff02::1", nft::kIcmpv6, 128));

    // From what its endpoint names beside them, where the configuration lets it.
    spec.allowed_source_prefixes = {parsed<Prefix>("198.51.100.0/24"),
                                    parsed<Prefix>("2001:db8:5::/48")};
    node.set({{.name = "pod", .ns = "x"}, spec});
    CHECK_FALSE(sends("198.51.100.7", "192.0.2.9", nft::kTcp, 0));
    api::FelixConfiguration felix;
    felix.workload_source_spoofing = api::SourceSpoofing::kAny;
    node.set({{.name = "default"}, felix});
    CHECK(sends("198.51.100.7", "192.0.2.9", nft::kTcp, 0));
    CHECK(sends("2001:db8:5::1", "2001:db8::9", nft::kTcp, 0));
    CHECK(sends("10.0.1.1", "192.0.2.9", nft::kTcp, 0));
    CHECK_FALSE(sends("198.51.101.7", "192.0.2.9", nft::kTcp, 0));
    felix.workload_source_spoofing = api::SourceSpoofing::kDisabled;
    node.set({{.name = "default"}, felix});
    CHECK_FALSE(sends("198.51.100.7", "192.0.2.9", nft::kTcp, 0));
  }

  TEST_CASE("rendered tables and the evaluator agree on every flow, through every history") {
    unsigned compared = 0;
    for (unsigned seed = 1; seed <= seeds(); ++seed) {
      CAPTURE(seed);
      Chance chance(seed);
      Objects objects;
      Node node;
      for (unsigned step = 0; step < kSteps; ++step) {
        const api::Resource resource = chance.object();
        if (chance.one_in(4) && objects.contains(resource.key())) {
          objects.erase(resource.key());
          node.remove(resource.key());
        } else {
          objects.insert_or_assign(resource.key(), resource);
          node.set(resource);
        }
        if (chance.one_in(kSteps) || step + 1 == kSteps) {
          CAPTURE(step);
          Comparison comparison(objects, node.table(), chance);
          comparison.run();
          if (!comparison.mismatch().empty()) {
            FAIL("the table says otherwise: ", comparison.mismatch(), print(objects));
          }
          compared += comparison.count();
        }
      }
      Node fresh;
      for (auto object = objects.rbegin(); object != objects.rend(); ++object) {
        fresh.set(object->second);
      }
      const nft::Table grown = nft::canonical(node.table());
      const nft::Table direct = nft::canonical(fresh.table());
      if (grown != direct) {
        FAIL("the table depends on its history: ", names(nft::diff(grown, direct)), print(objects));
      }
      for (const auto& [key, resource] : objects) {
        node.remove(key);
      }
      Node empty;
      REQUIRE(node.table() == empty.table());
    }
    CHECK(compared > 60 * seeds());
  }

  TEST_CASE("a renderer that drops a rule, or swaps two, is found out within a few stores") {
    for (const Fault fault :
         {Fault::kFirstRuleMissing, Fault::kLastRuleMissing, Fault::kFirstTwoSwapped}) {
      CAPTURE(static_cast<int>(fault));
      unsigned found_at = 0;
      for (unsigned seed = 1; seed <= 500 && found_at == 0; ++seed) {
        Chance chance(seed);
        Objects objects;
        Node node;
        for (unsigned step = 0; step < kSteps; ++step) {
          const api::Resource resource = chance.object();
          objects.insert_or_assign(resource.key(), resource);
          node.set(resource);
        }
        const nft::Table wrong = broken(node.table(), fault);
        Comparison comparison(objects, wrong, chance);
        for (int round = 0; round < 10; ++round) {
          comparison.run();
        }
        found_at = comparison.mismatch().empty() ? 0 : seed;
      }
      MESSAGE("found with store ", found_at);
      CHECK(found_at != 0);
    }
  }
}
