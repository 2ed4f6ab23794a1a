#include "datastore/pending_change.h"

#include "tests/support/memory_store.h"

#include <doctest/doctest.h>

#include <memory>
#include <string>

namespace margay::datastore {
namespace {

std::shared_ptr<const api::Resource> tier(const std::string& name, double order) {
  api::Tier spec;
  spec.order = order;
  return std::make_shared<const api::Resource>(api::Resource{{.name = name}, spec});
}

double order_of(Store& store, const std::string& name) {
  const auto object = store.get({api::Kind::kTier, {}, name});
  return object ? std::get<api::Tier>(object->resource->spec).order.value_or(-1) : -2;
}

void put(Store& store, const std::string& name, double order) {
  api::Resource resource = *tier(name, order);
  if (const auto object = store.get(resource.key())) {
    resource.metadata.resource_version = std::to_string(object->revision.value());
    REQUIRE(store.update(resource));
  } else {
    REQUIRE(store.create(resource));
  }
}

// a changes, b comes, c goes, and d was never there.
struct Trial {
  test::MemoryStore store;
  static constexpr std::chrono::seconds kTime{60};
  WallSeconds until = wall_now() + kTime;

  Trial() {
    put(store, "a", 1);
    put(store, "c", 3);
    REQUIRE(begin_pending(store,
                          {{{api::Kind::kTier, {}, "a"}, tier("a", 10)},
                           {{api::Kind::kTier, {}, "b"}, tier("b", 20)},
                           {{api::Kind::kTier, {}, "c"}, nullptr},
                           {{api::Kind::kTier, {}, "d"}, nullptr}},
                          until,
                          kTime));
  }
  void change() {
    put(store, "a", 10);
    put(store, "b", 20);
    REQUIRE(store.remove({api::Kind::kTier, {}, "c"}));
  }
};

}  // namespace

TEST_SUITE("datastore.pending_change") {
  TEST_CASE("what was changed, made and deleted is as before, and the record goes with it") {
    Trial trial;
    trial.change();
    const auto reverted = revert_pending(trial.store);
    REQUIRE(reverted);
    CHECK(reverted->restored.size() == 3);
    CHECK(reverted->left.empty());
    CHECK(order_of(trial.store, "a") == 1);
    CHECK(order_of(trial.store, "b") == -2);
    CHECK(order_of(trial.store, "c") == 3);
    CHECK(revert_pending(trial.store).error().code == Errc::kNotFound);
  }

  TEST_CASE("a change that got only half its way is taken back as far as it got") {
    Trial trial;
    put(trial.store, "a", 10);
    const auto reverted = revert_pending(trial.store);
    REQUIRE(reverted);
    CHECK(reverted->restored.size() == 1);
    CHECK(order_of(trial.store, "a") == 1);
    CHECK(order_of(trial.store, "c") == 3);
  }

  TEST_CASE("what somebody else changed since stays as it is") {
    Trial trial;
    trial.change();
    put(trial.store, "a", 11);
    const auto reverted = revert_pending(trial.store);
    REQUIRE(reverted);
    REQUIRE(reverted->left.size() == 1);
    CHECK(reverted->left[0].name == "a");
    CHECK(order_of(trial.store, "a") == 11);
    CHECK(order_of(trial.store, "b") == -2);
  }

  TEST_CASE("confirmed is kept, and only one change waits at a time") {
    Trial trial;
    trial.change();
    const auto second = begin_pending(trial.store, {}, trial.until, Trial::kTime);
    REQUIRE_FALSE(second);
    CHECK(second.error().code == Errc::kConflict);
    CHECK(second.error().text.find(format_rfc3339(trial.until)) != std::string::npos);
    REQUIRE(confirm_pending(trial.store));
    CHECK(order_of(trial.store, "b") == 20);
    CHECK(confirm_pending(trial.store).error().code == Errc::kNotFound);
  }

  TEST_CASE("an invalid object is refused, as it could not be put back; a race is run again") {
    test::MemoryStore store;
    put(store, "a", 1);
    store.spoil({api::Kind::kTier, {}, "a"}, Error{Errc::kInvalid, "spoilt", 0});
    const auto begun = begin_pending(
        store, {{{api::Kind::kTier, {}, "a"}, nullptr}}, wall_now(), std::chrono::seconds(60));
    REQUIRE_FALSE(begun);
    CHECK(begun.error().code == Errc::kInvalid);
    CHECK_FALSE(store.get(pending_key()));

    Trial trial;
    trial.change();
    // The calls of a round: the record, three objects (the fourth never was), the commit.
    trial.store.fail_call(5, Error{Errc::kConflict, "somebody was first", 0});
    const unsigned calls = trial.store.calls();
    REQUIRE(revert_pending(trial.store));
    CHECK(trial.store.calls() == calls + 10);
    CHECK(order_of(trial.store, "a") == 1);
  }
}

}  // namespace margay::datastore
