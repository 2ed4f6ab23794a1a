#include "felix/revert_timer.h"

#include "tests/support/memory_store.h"

#include <doctest/doctest.h>

#include <map>
#include <utility>
#include <vector>

namespace margay::felix {
namespace {

using std::chrono::seconds;

constexpr const char* kName = "a";

std::shared_ptr<const api::Resource> tier(double order) {
  api::Tier spec;
  spec.order = order;
  return std::make_shared<const api::Resource>(api::Resource{{.name = kName}, spec});
}

// A tier that goes from 1 to 10 on trial for a minute; clock and timers by hand.
struct Trial {
  test::MemoryStore store;
  std::chrono::system_clock::time_point now{wall_now()};
  std::vector<std::pair<std::chrono::milliseconds, std::function<void()>>> timers;
  std::vector<datastore::Object> taken;
  std::vector<std::string> lines;
  RevertTimer timer{{store,
                     [](const std::function<void()>& task) { task(); },
                     [](const std::function<void()>& task) { task(); },
                     [this](std::chrono::milliseconds delay, std::function<void()> task) {
                       timers.emplace_back(delay, std::move(task));
                     },
                     [this] { return now; },
                     [this](const std::vector<datastore::Object>& objects) { taken = objects; },
                     [this](const std::string& line) { lines.push_back(line); }}};

  // `fresh`: the agent sees it being made; `clock_is_off`: of this node, against the writer's.
  explicit Trial(bool fresh = true, seconds clock_is_off = seconds(0)) {
    now += clock_is_off;
    REQUIRE(store.create(*tier(1)));
    REQUIRE(datastore::begin_pending(
        store, {{tier(1)->key(), tier(10)}}, wall_now() + seconds(60), seconds(60)));
    api::Resource changed = *tier(10);
    changed.metadata.resource_version = std::to_string(store.get(changed.key())->revision.value());
    REQUIRE(store.update(changed));
    timer.on_pending(
        std::get<api::PendingChange>(store.get(datastore::pending_key())->resource->spec), fresh);
  }
  double order() {
    return std::get<api::Tier>(store.get(tier(0)->key())->resource->spec).order.value_or(0);
  }
  // Runs the timers whose time has come after `time`.
  void pass(std::chrono::milliseconds time) {
    now += time;
    for (auto& [delay, task] : std::exchange(timers, {})) {
      if (delay <= time) {
        task();
      } else {
        timers.emplace_back(delay - time, std::move(task));
      }
    }
  }
};

}  // namespace

TEST_SUITE("felix.revert_timer") {
  TEST_CASE("nothing before its time, everything after it") {
    Trial trial;
    trial.pass(seconds(59));
    CHECK(trial.order() == 10);
    trial.pass(seconds(2));
    CHECK(trial.order() == 1);
    CHECK_FALSE(trial.store.get(datastore::pending_key()));
    CHECK(trial.timers.empty());
    CHECK(trial.taken.empty());  // the watch brings it
  }

  TEST_CASE("the time is that which was given, whatever the node's clock says and does") {
    for (const seconds off : {seconds(-7200), seconds(7200)}) {
      CAPTURE(off.count());
      Trial trial(true, off);
      trial.pass(seconds(30));
      trial.now += 2 * off;  // set
      trial.pass(seconds(29));
      CHECK(trial.order() == 10);
      trial.pass(seconds(2));
      CHECK(trial.order() == 1);
    }
  }

  TEST_CASE("an agent that finds a trial at its start gives it what is left, never more than all") {
    Trial later(false, seconds(50));
    later.pass(seconds(9));
    CHECK(later.order() == 10);
    later.pass(seconds(2));
    CHECK(later.order() == 1);

    Trial behind(false, seconds(-7200));
    behind.pass(seconds(61));
    CHECK(behind.order() == 1);
  }

  TEST_CASE("what is confirmed is kept") {
    Trial trial;
    REQUIRE(datastore::confirm_pending(trial.store));
    trial.timer.on_gone();
    trial.pass(seconds(120));
    CHECK(trial.order() == 10);
    CHECK(trial.timers.empty());
  }

  TEST_CASE("cut off the store, the node goes back for itself, and the store follows") {
    Trial trial;
    trial.store.set_away(true);
    trial.pass(seconds(61));
    REQUIRE(trial.taken.size() == 1);
    REQUIRE(trial.taken[0].resource);
    CHECK(std::get<api::Tier>(trial.taken[0].resource->spec).order == 1);
    CHECK(trial.lines.size() == 2);
    trial.pass(RevertTimer::kRetry);
    CHECK(trial.lines.size() == 2);  // said once
    trial.store.set_away(false);
    trial.pass(RevertTimer::kRetry);
    CHECK(trial.order() == 1);
  }

  TEST_CASE("cut off the store while others confirm: what they have is taken when it is back") {
    Trial trial;
    trial.store.set_away(true);
    trial.pass(seconds(61));
    trial.store.set_away(false);
    REQUIRE(datastore::confirm_pending(trial.store));
    trial.store.set_away(true);
    trial.timer.on_gone();
    trial.taken.clear();
    trial.pass(RevertTimer::kRetry);
    CHECK(trial.taken.empty());
    trial.store.set_away(false);
    trial.pass(RevertTimer::kRetry);
    REQUIRE(trial.taken.size() == 1);
    REQUIRE(trial.taken[0].resource);
    CHECK(std::get<api::Tier>(trial.taken[0].resource->spec).order == 10);
  }
}

}  // namespace margay::felix
