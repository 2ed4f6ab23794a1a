// From the store's objects to the kernel, in memory: whole states one after the other, with a
// failure at every single call into the kernel. Whatever the way, the kernel ends as after a fresh
// start on the last state.

#include "felix/dataplane/link_reconciler.h"
#include "felix/dataplane/nft_reconciler.h"
#include "felix/dataplane/route_reconciler.h"
#include "felix/kernel_delta.h"
#include "tests/support/fake_kernel.h"
#include "tests/unit/felix/calc/states.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <functional>
#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

namespace margay::felix {
namespace {

using test::all_states;
using test::NamedState;
using test::State;

constexpr unsigned kMostRetries = 20;

// Host ends of all endpoints of all states: they are there from the beginning.
std::set<std::string> all_links(const std::vector<NamedState>& states) {
  std::set<std::string> names;
  for (const NamedState& state : states) {
    for (const auto& [key, object] : state.state) {
      if (const auto* endpoint = std::get_if<api::WorkloadEndpoint>(&object->spec)) {
        names.insert(endpoint->interface_name.str());
      }
    }
  }
  return names;
}

enum class Area : std::uint8_t { kNft, kRoutes, kLinks };
constexpr std::array kAreas{Area::kNft, Area::kRoutes, Area::kLinks};

// A node without threads: calculation, rendering, reconcilers, kernels in memory.
class NodeInMemory {
 public:
  explicit NodeInMemory(const std::set<std::string>& links) {
    for (const std::string& link : links) {
      links_kernel_.add_link(link);
    }
    graph_.on_interfaces({{*IfName::parse("eth0"), {*IpAddr::parse("192.0.2.1")}}});
    graph_.on_domain("www.example.org", {*IpAddr::parse("198.51.100.7")});
    graph_.on_in_sync();
    policy_.set_in_sync(true);
    routes_.set_in_sync(true);
    link_ends_.set_in_sync(true);
  }

  // The n-th call of an area fails, once.
  void fail(Area area, unsigned call) { point(area).fail_call(call); }
  unsigned calls(Area area) { return point(area).calls(); }

  // Single updates in an order that the seed decides, some applied on the way.
  void go_to(const State& next, std::mt19937& random) {
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
    std::ranges::shuffle(updates, random);
    for (const auto& update : updates) {
      update();
      if (random() % 4 == 0) {
        take();
        if (random() % 2 == 0) {
          apply();
        }
      }
    }
    take();
    apply();
    now_ = next;
  }

  // Until nothing is left to try; false when that takes too long.
  bool settle() {
    for (unsigned round = 0; round < kMostRetries; ++round) {
      if (apply()) {
        return true;
      }
      time_ += std::chrono::seconds(30);  // the longest back-off
    }
    return false;
  }

  [[nodiscard]] nft::Table table() const { return nft_kernel_.table().value_or(nft::Table()); }
  [[nodiscard]] const std::map<RouteKey, RouteSpec>& routes() const { return route_kernel_.routes; }

 private:
  test::FailurePoint& point(Area area) {
    return area == Area::kNft      ? nft_kernel_.failures
           : area == Area::kRoutes ? route_kernel_.failures
                                   : links_kernel_.failures;
  }

  void take() {
    const KernelDelta delta = kernel_delta(graph_.take_changes(), renderer_);
    policy_.set_desired(delta.nft);
    for (const RouteKey& key : delta.remove_routes) {
      routes_.remove_desired(key);
    }
    for (const RouteSpec& route : delta.set_routes) {
      routes_.set_desired(route);
    }
    for (const std::string& link : delta.remove_links) {
      link_ends_.remove_desired(link);
    }
    for (const std::string& link : delta.add_links) {
      link_ends_.add_desired(link);
    }
  }

  bool apply() {
    bool clean = policy_.apply().clean();
    clean = routes_.apply(time_).clean() && clean;
    return link_ends_.apply(time_).clean() && clean;
  }

  CalcGraph graph_{*NodeName::parse("n1")};
  Renderer renderer_{LayoutOptions{}};
  test::FakeNftKernel nft_kernel_;
  test::FakeRouteKernel route_kernel_;
  test::FakeLinkKernel links_kernel_;
  NftReconciler policy_{nft_kernel_};
  RouteReconciler routes_{
      route_kernel_, links_kernel_, {{kProtocolLocal, kProtocolBlackhole}, "mgy"}};
  // No link of the states has this prefix: they stay, and what is removed is not in question here.
  LinkReconciler link_ends_{links_kernel_, "zz"};
  TimePoint time_{};
  State now_;
};

class Sequence {
 public:
  Sequence(const std::vector<NamedState>& states, unsigned seed) : seed_(seed) {
    std::mt19937 random(seed);
    constexpr unsigned kSteps = 4;
    for (unsigned i = 0; i < kSteps; ++i) {
      steps_.push_back(&states.at(random() % states.size()));
    }
    links_ = all_links(states);
  }

  // The calls that a run without faults makes.
  [[nodiscard]] std::map<Area, unsigned> calls() const {
    NodeInMemory node(links_);
    run(node);
    REQUIRE(node.settle());
    std::map<Area, unsigned> out;
    for (const Area area : kAreas) {
      out[area] = node.calls(area);
    }
    return out;
  }

  void check(Area area, unsigned call) const {
    CAPTURE(seed_);
    CAPTURE(static_cast<int>(area));
    CAPTURE(call);
    CAPTURE(steps_.back()->name);
    NodeInMemory node(links_);
    node.fail(area, call);
    run(node);
    REQUIRE(node.settle());
    NodeInMemory fresh(links_);
    std::mt19937 random(0);
    fresh.go_to(steps_.back()->state, random);
    REQUIRE(fresh.settle());
    CHECK(node.table() == fresh.table());
    CHECK(node.routes() == fresh.routes());
  }

 private:
  void run(NodeInMemory& node) const {
    std::mt19937 random(seed_ + 1);
    for (const NamedState* step : steps_) {
      node.go_to(step->state, random);
    }
  }

  unsigned seed_;
  std::vector<const NamedState*> steps_;
  std::set<std::string> links_;
};

}  // namespace

TEST_SUITE("flow.dataplane") {
  TEST_CASE("a failure at every call into the kernel, and the end is that of a fresh start") {
    constexpr unsigned kSeeds = 40;
    const auto states = all_states();
    unsigned runs = 0;
    for (unsigned seed = 0; seed < kSeeds; ++seed) {
      const Sequence sequence(states, seed);
      for (const auto& [area, calls] : sequence.calls()) {
        for (unsigned call = 1; call <= calls; ++call) {
          sequence.check(area, call);
          ++runs;
        }
      }
    }
    CHECK(runs > kSeeds * 10);  // or the faults hit nothing
  }
}

}  // namespace margay::felix
