// Whole datastore states, run one after the other in many ways. What comes out must depend on the
// final state only: the rendered table must equal that of a fresh start, and the sets must hold
// what a brute-force matcher finds.

#include "felix/calc/calc_graph.h"
#include "felix/render/renderer.h"
#include "tests/support/resources.h"
#include "tests/unit/felix/calc/states.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <random>

namespace margay::felix {
namespace {

using test::all_states;
using test::from_api;
using test::local_web;
using test::NamedState;
using test::pod;
using test::remote_api;
using test::resource;
using test::ResourcePtr;
using test::State;

// What the store does not tell.
void prepare(CalcGraph& graph) {
  graph.on_interfaces({{*IfName::parse("eth0"), {*IpAddr::parse("192.0.2.1")}}});
  graph.on_domain("www.example.org", {*IpAddr::parse("198.51.100.7")});
}

class Rig {
 public:
  Rig() {
    prepare(graph_);
    graph_.on_in_sync();
  }

  // Moves from the state before to this one by single updates, in an order that a seed decides.
  void go_to(const State& next, std::mt19937* shuffle, bool doubled) {
    std::vector<std::function<void()>> updates;
    for (const auto& [key, object] : next) {
      const auto old = now_.find(key);
      if (old == now_.end() || !(*old->second == *object)) {
        updates.emplace_back([this, copy = object] { graph_.on_object(copy); });
      }
    }
    for (const auto& [key, object] : now_) {
      if (!next.contains(key)) {
        updates.emplace_back([this, copy = key] { graph_.on_deleted(copy); });
      }
    }
    if (shuffle != nullptr) {
      std::ranges::shuffle(updates, *shuffle);
    }
    for (const auto& update : updates) {
      update();
      if (doubled) {
        update();
      }
      if (shuffle != nullptr && (*shuffle)() % 2 == 0) {
        take();  // the state is split over several applies
      }
    }
    take();
    now_ = next;
  }

  void take() {
    const CalcChanges changes = graph_.take_changes();
    renderer_.apply(changes);
    nft::apply(renderer_.take_delta(), kernel_);
    for (const IfName& link : changes.remove_links) {
      links_.erase(link);
    }
    links_.insert(changes.set_links.begin(), changes.set_links.end());
    for (const IpAddr& addr : changes.remove_routes) {
      routes_.erase(addr);
    }
    for (const LocalRoute& route : changes.set_routes) {
      routes_.insert_or_assign(route.addr, route.interface);
    }
  }

  [[nodiscard]] const nft::Table& table() const { return renderer_.table(); }
  [[nodiscard]] const nft::Table& kernel() const {
    return kernel_;
  }  // what the deltas alone add up to
  [[nodiscard]] const std::map<IpAddr, IfName>& routes() const { return routes_; }
  [[nodiscard]] const std::set<IfName>& links() const { return links_; }

 private:
  CalcGraph graph_{*NodeName::parse("n1")};
  Renderer renderer_{LayoutOptions{}};
  nft::Table kernel_;
  std::map<IpAddr, IfName> routes_;
  std::set<IfName> links_;
  State now_;
};

// Addresses of all endpoints that a selector matches, without any index.
std::set<IpAddr> brute_force(const State& state, const policy::Selector& selector) {
  std::set<IpAddr> found;
  for (const auto& [key, object] : state) {
    const auto* endpoint = std::get_if<api::WorkloadEndpoint>(&object->spec);
    if (endpoint == nullptr) {
      continue;
    }
    const auto space = state.find({api::Kind::kNamespace, {}, key.ns});
    const api::Labels own = policy::endpoint_labels(*object);
    const api::Labels inherited = policy::namespace_labels(
        key.ns, space == state.end() ? api::Labels() : space->second->metadata.labels);
    const std::vector<const api::Labels*> parents{&inherited};
    if (selector.matches(policy::LabelView(own, parents))) {
      for (const Prefix& network : endpoint->ip_networks) {
        found.insert(network.addr());
      }
    }
  }
  return found;
}

// Members come from endpoints and the labels of namespaces alone, which is what brute_force()
// knows.
bool plain(const State& state) {
  return std::ranges::none_of(state, [](const auto& entry) {
    const api::Kind kind = entry.first.kind;
    return kind == api::Kind::kProfile || kind == api::Kind::kServiceAccount ||
           kind == api::Kind::kNetworkSet || kind == api::Kind::kGlobalNetworkSet ||
           kind == api::Kind::kHostEndpoint;
  });
}

void check_sets(const State& state, const nft::Table& table) {
  if (!plain(state)) {
    return;
  }
  for (const auto& [key, object] : state) {
    const bool policy = std::holds_alternative<api::NetworkPolicy>(object->spec) ||
                        std::holds_alternative<api::GlobalNetworkPolicy>(object->spec) ||
                        std::holds_alternative<api::KubernetesNetworkPolicy>(object->spec);
    if (!policy) {
      continue;
    }
    const auto compiled = policy::compile(*object);
    REQUIRE(compiled);
    for (const policy::Rule& rule : compiled->ingress) {
      if (!rule.source.selector) {
        continue;
      }
      for (const Family family : {Family::kIpv4, Family::kIpv6}) {
        const auto set =
            table.sets.find(set_name(policy::selector_set(*rule.source.selector), family, false));
        if (set == table.sets.end()) {
          continue;  // the policy selects no local endpoint
        }
        nft::Elements expected;
        for (const IpAddr& addr : brute_force(state, *rule.source.selector)) {
          if (addr.family() == family) {
            expected.emplace(nft::single(nft::key(addr)), std::monostate{});
          }
        }
        CHECK(set->second.elements == expected);
      }
    }
  }
}

void check(const NamedState& expected, const Rig& rig) {
  CAPTURE(expected.name);
  Rig fresh;
  fresh.go_to(expected.state, nullptr, false);
  REQUIRE(rig.table() == fresh.table());
  REQUIRE(rig.kernel() == rig.table());
  CHECK(rig.routes() == fresh.routes());
  CHECK(rig.links() == fresh.links());
  std::set<nft::ElementKey> interfaces;
  for (const auto& [key, object] : expected.state) {
    if (const auto* endpoint = std::get_if<api::WorkloadEndpoint>(&object->spec);
        endpoint != nullptr && endpoint->node.str() == "n1") {
      interfaces.insert(nft::single(nft::key(endpoint->interface_name)));
    }
  }
  for (const char* map : {kIngressMap, kEgressMap}) {
    std::set<nft::ElementKey> dispatched;
    for (const auto& [key, verdict] : rig.table().sets.at(map).elements) {
      dispatched.insert(key);
    }
    CHECK(dispatched == interfaces);
  }
  check_sets(expected.state, rig.table());
}

TEST_SUITE("felix.calc.sequences") {
  TEST_CASE("states in order, reversed, with empty states between, and doubled updates") {
    std::vector<NamedState> states = all_states();
    CHECK(states.size() >= 80);
    for (int direction = 0; direction < 2; ++direction, std::ranges::reverse(states)) {
      for (const bool emptied : {false, true}) {
        for (const bool doubled : {false, true}) {
          Rig rig;
          for (const NamedState& state : states) {
            rig.go_to(state.state, nullptr, doubled);
            check(state, rig);
            if (emptied) {
              rig.go_to({}, nullptr, doubled);
              check({"empty between", {}}, rig);
            }
          }
        }
      }
    }
  }

  TEST_CASE("random walks over the states with shuffled and split updates") {
    const std::vector<NamedState> states = all_states();
    for (unsigned seed = 1; seed <= 40; ++seed) {
      CAPTURE(seed);
      std::mt19937 random(seed);
      Rig rig;
      for (unsigned step = 0; step < 12; ++step) {
        const NamedState& state = states[random() % states.size()];
        rig.go_to(state.state, &random, seed % 3 == 0);
        check(state, rig);
      }
    }
  }

  TEST_CASE("states squashed into one update end in the last one") {
    const std::vector<NamedState> states = all_states();
    CalcGraph graph(*NodeName::parse("n1"));
    prepare(graph);
    State now;
    for (const NamedState& state : states) {
      for (const auto& [key, object] : now) {
        if (!state.state.contains(key)) {
          graph.on_deleted(key);
        }
      }
      for (const auto& [key, object] : state.state) {
        graph.on_object(object);
      }
      now = state.state;
    }
    graph.on_in_sync();
    Renderer renderer{LayoutOptions{}};
    renderer.apply(graph.take_changes());
    Rig fresh;
    fresh.go_to(now, nullptr, false);
    CHECK(renderer.table() == fresh.table());
  }

  TEST_CASE(
      "nothing comes out before the store is in sync, and deletions of the unknown do nothing") {
    CalcGraph graph(*NodeName::parse("n1"));
    graph.on_object(local_web());
    graph.on_deleted({api::Kind::kNetworkPolicy, "x", "y"});
    graph.on_deleted({api::Kind::kNamespace, {}, "y"});
    graph.on_deleted({api::Kind::kTier, {}, "y"});
    CHECK(graph.take_changes().set_endpoints.empty());
    graph.on_in_sync();
    CHECK(graph.take_changes().set_endpoints.size() == 1);
  }

  TEST_CASE("an object that became invalid keeps its last valid version in force and is listed") {
    Rig rig;
    CalcGraph graph(*NodeName::parse("n1"));
    graph.on_object(local_web());
    graph.on_object(from_api());
    graph.on_in_sync();
    (void)graph.take_changes();
    graph.on_invalid(from_api()->key(), Error{Errc::kInvalid, "spec: broken", 0});
    const CalcChanges changes = graph.take_changes();
    CHECK(changes.set_endpoints.empty());
    CHECK(changes.remove_policies.empty());
    REQUIRE(graph.invalid_objects().size() == 1);
    CHECK(graph.invalid_objects().begin()->second.last_valid_in_force);
    graph.on_deleted(from_api()->key());
    CHECK(graph.invalid_objects().empty());
    CHECK(graph.take_changes().remove_policies.size() == 1);
  }

  TEST_CASE("a label of one remote endpoint costs one set element, no chain") {
    CalcGraph graph(*NodeName::parse("n1"));
    Renderer renderer{LayoutOptions{}};
    for (const ResourcePtr& object : {local_web(), remote_api(), from_api()}) {
      graph.on_object(object);
    }
    graph.on_in_sync();
    renderer.apply(graph.take_changes());
    (void)renderer.take_delta();
    graph.on_object(pod("api", "n2", "10.244.1.1/32", "app: other"));
    renderer.apply(graph.take_changes());
    const nft::Delta delta = renderer.take_delta();
    CHECK(delta.upsert_chains.empty());
    CHECK(delta.upsert_sets.empty());
    REQUIRE(delta.elements.size() == 1);
    CHECK(delta.elements.begin()->second.remove.size() == 1);
    CHECK(delta.elements.begin()->second.add.empty());
  }
}

}  // namespace
}  // namespace margay::felix
