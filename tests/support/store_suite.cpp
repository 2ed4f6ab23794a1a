#include "tests/support/store_suite.h"

#include <doctest/doctest.h>

#include <array>
#include <chrono>
#include <poll.h>
#include <set>
#include <string>
#include <thread>

namespace margay::test {

using api::Kind;
using datastore::Change;
using datastore::Create;
using datastore::Event;
using datastore::ListQuery;
using datastore::Object;
using datastore::Remove;
using datastore::Revision;
using datastore::Store;
using datastore::Update;
using datastore::Watch;

namespace {

using Clock = std::chrono::steady_clock;

api::Resource a_policy(const std::string& ns, const std::string& name) {
  api::NetworkPolicy policy;
  policy.types = {api::PolicyType::kIngress};
  return {{.name = name, .ns = ns}, policy};
}

template <typename T>
T value(Result<T> result) {
  REQUIRE_MESSAGE(result, (result ? std::string() : result.error().text));
  return std::move(*result);
}

template <typename T>
Errc code(const Result<T>& result) {
  REQUIRE_FALSE(result);
  CHECK_FALSE(result.error().text.empty());
  return result.error().code;
}

double order_of(const Object& object) {
  REQUIRE(object.resource);
  return std::get<api::Tier>(object.resource->spec).order.value_or(-1);
}

std::vector<std::string> names(const std::vector<Object>& objects) {
  std::vector<std::string> out;
  for (const Object& object : objects) {
    out.push_back(object.key.str());
  }
  return out;
}

Revision now(Store& store) {
  return value(store.list({})).revision;
}

void create_and_get(StoreFixture& fixture) {
  const auto store = fixture.connect();
  const Object created = value(store->create(a_tier("blue", 5)));
  REQUIRE(created.resource);
  const api::Metadata& metadata = created.resource->metadata;
  CHECK_FALSE(metadata.uid.empty());
  CHECK(metadata.creation_timestamp.size() == 20);
  CHECK(metadata.creation_timestamp.back() == 'Z');
  CHECK(metadata.resource_version == std::to_string(created.revision.value()));

  const Object got = value(fixture.connect()->get(tier_key("blue")));
  REQUIRE(got.resource);
  CHECK(*got.resource == *created.resource);
  CHECK(got.revision == created.revision);
  CHECK_FALSE(got.invalid);

  CHECK(code(store->create(a_tier("blue", 6))) == Errc::kExists);
  CHECK(code(store->get(tier_key("green"))) == Errc::kNotFound);
  CHECK(order_of(value(store->get(tier_key("blue")))) == 5);
}

void update_by_revision(StoreFixture& fixture) {
  const auto store = fixture.connect();
  const Object first = value(store->create(a_tier("blue", 1)));
  api::Resource changed = *first.resource;
  std::get<api::Tier>(changed.spec).order = 2;
  const Object second = value(store->update(changed));
  CHECK(first.revision < second.revision);
  CHECK(order_of(second) == 2);
  CHECK(second.resource->metadata.uid == first.resource->metadata.uid);
  CHECK(second.resource->metadata.creation_timestamp ==
        first.resource->metadata.creation_timestamp);

  CHECK(code(store->update(changed)) == Errc::kConflict);  // still the first revision
  CHECK(code(store->update(a_tier("blue", 3))) == Errc::kInvalid);
  api::Resource missing = *second.resource;
  missing.metadata.name = "green";
  CHECK(code(store->update(missing)) == Errc::kNotFound);
  CHECK(order_of(value(store->get(tier_key("blue")))) == 2);

  // Neither uid nor time of creation are the caller's to choose.
  api::Resource forged = *second.resource;
  forged.metadata.uid = "forged";
  forged.metadata.creation_timestamp = "2000-01-01T00:00:00Z";
  const Object third = value(store->update(forged));
  CHECK(third.resource->metadata.uid == first.resource->metadata.uid);
  CHECK(third.resource->metadata.creation_timestamp == first.resource->metadata.creation_timestamp);
}

void remove_by_revision(StoreFixture& fixture) {
  const auto store = fixture.connect();
  const Object first = value(store->create(a_tier("blue", 1)));
  const Object second = value(store->update(*first.resource));
  CHECK(code(store->remove(tier_key("blue"), first.revision)) == Errc::kConflict);
  const Object removed = value(store->remove(tier_key("blue"), second.revision));
  CHECK(order_of(removed) == 1);
  CHECK(code(store->get(tier_key("blue"))) == Errc::kNotFound);
  CHECK(code(store->remove(tier_key("blue"))) == Errc::kNotFound);

  const Object again = value(store->create(a_tier("blue", 2)));
  CHECK(second.revision < again.revision);
  CHECK(again.resource->metadata.uid != first.resource->metadata.uid);
  CHECK(store->remove(tier_key("blue")));
}

void list_by_kind_and_namespace(StoreFixture& fixture) {
  const auto store = fixture.connect();
  for (const api::Resource& resource : {a_policy("b", "y"),
                                        a_tier("t2", 2),
                                        a_policy("a", "z"),
                                        a_policy("a", "x"),
                                        a_tier("t1", 1)}) {
    REQUIRE(store->create(resource));
  }
  using Names = std::vector<std::string>;
  const auto listed = [&](const ListQuery& query) {
    Names out = names(value(store->list(query)).objects);
    Names keys;
    for (const api::ResourceKey& key : value(store->keys(query))) {
      keys.push_back(key.str());
    }
    CHECK(keys == out);
    return out;
  };
  CHECK(listed({}) ==
        Names{"NetworkPolicy a/x", "NetworkPolicy a/z", "NetworkPolicy b/y", "Tier t1", "Tier t2"});
  CHECK(listed({.kind = Kind::kTier}) == Names{"Tier t1", "Tier t2"});
  CHECK(listed({.kind = Kind::kNetworkPolicy, .ns = "a"}) ==
        Names{"NetworkPolicy a/x", "NetworkPolicy a/z"});
  CHECK(listed({.ns = "b"}) == Names{"NetworkPolicy b/y"});
  CHECK(listed({.kind = Kind::kNode}).empty());
}

void commit_is_all_or_nothing(StoreFixture& fixture) {
  const auto store = fixture.connect();
  const Object blue = value(store->create(a_tier("blue", 1)));
  const Object moved = value(store->update(*blue.resource));
  const Revision before = now(*store);

  const std::vector<Change> bad{Create{a_tier("green", 1)}, Update{*blue.resource}};  // stale
  const auto refused = store->commit(bad);
  CHECK(code(refused) == Errc::kConflict);
  CHECK(refused.error().text.find("Tier blue") != std::string::npos);
  CHECK(code(store->get(tier_key("green"))) == Errc::kNotFound);
  CHECK(now(*store) == before);

  const std::vector<Change> good{
      Create{a_tier("green", 1)}, Update{*moved.resource}, Remove{tier_key("green"), {}}};
  const auto stored = value(store->commit(good));
  REQUIRE(stored.size() == 3);
  CHECK(stored[0].key == tier_key("green"));
  CHECK(stored[0].revision < stored[1].revision);
  CHECK(stored[1].key == tier_key("blue"));
  CHECK(code(store->get(tier_key("green"))) == Errc::kNotFound);
  CHECK(store->commit({}));
}

void watch_follows_a_list(StoreFixture& fixture) {
  const auto store = fixture.connect();
  REQUIRE(store->create(a_tier("old", 1)));
  const auto listing = value(store->list({.kind = Kind::kTier}));
  const auto watch = value(store->watch({.kind = Kind::kTier}, listing.revision));
  CHECK(value(watch->take()).empty());

  const auto writer = fixture.connect();
  const std::vector<Change> two{Create{a_tier("a", 1)}, Create{a_tier("b", 2)}};
  REQUIRE(writer->commit(two));
  REQUIRE(writer->create(a_policy("ns", "other-kind")));
  REQUIRE(writer->update(*value(writer->get(tier_key("a"))).resource));
  REQUIRE(writer->remove(tier_key("old")));

  const auto events = await_events(*watch, 4);
  REQUIRE(events.size() == 4);
  CHECK(events[0].object.key == tier_key("a"));
  CHECK(events[1].object.key == tier_key("b"));
  CHECK(order_of(events[1].object) == 2);
  CHECK(events[2].object.key == tier_key("a"));
  CHECK(events[2].object.resource->metadata.resource_version ==
        std::to_string(events[2].object.revision.value()));
  CHECK(events[3].type == Event::Type::kDelete);
  CHECK(events[3].object.key == tier_key("old"));
  CHECK_FALSE(events[3].object.resource);
  for (std::size_t i = 1; i < events.size(); ++i) {
    CHECK(events[i - 1].object.revision < events[i].object.revision);
  }
  CHECK(watch->revision() == now(*store));
}

void watch_by_namespace(StoreFixture& fixture) {
  const auto store = fixture.connect();
  const auto watch = value(store->watch({.ns = "a"}, now(*store)));
  REQUIRE(store->create(a_policy("b", "x")));
  REQUIRE(store->create(a_policy("a", "x")));
  const auto events = await_events(*watch, 1);
  REQUIRE(events.size() == 1);
  CHECK(events[0].object.key.str() == "NetworkPolicy a/x");
}

void watch_from_the_past(StoreFixture& fixture) {
  const auto store = fixture.connect();
  const Object first = value(store->create(a_tier("a", 1)));
  REQUIRE(store->create(a_tier("b", 2)));
  REQUIRE(store->remove(tier_key("a")));
  const auto watch = value(store->watch({}, first.revision));
  CHECK(watch->revision() == first.revision);  // nothing was delivered yet
  const auto events = await_events(*watch, 2);
  REQUIRE(events.size() == 2);
  CHECK(events[0].object.key == tier_key("b"));
  CHECK(events[1].type == Event::Type::kDelete);
}

void lost_history_is_told(StoreFixture& fixture) {
  const auto store = fixture.connect();
  const Object first = value(store->create(a_tier("a", 1)));
  const auto behind = value(store->watch({}, first.revision));
  REQUIRE(store->create(a_tier("b", 2)));
  const Revision last = now(*store);
  fixture.compact();
  CHECK(code(store->watch({}, first.revision)) == Errc::kCompacted);
  CHECK(code(behind->take()) == Errc::kCompacted);
  CHECK(code(store->watch({}, Revision(last.value() + 1))) == Errc::kCompacted);

  const auto fresh = value(store->watch({}, last));
  REQUIRE(store->create(a_tier("c", 3)));
  CHECK(await_events(*fresh, 1).size() == 1);
}

void away_and_back(StoreFixture& fixture) {
  const auto store = fixture.connect();
  const Object first = value(store->create(a_tier("a", 1)));
  const auto watch = value(store->watch({}, first.revision));
  CHECK(value(watch->take()).empty());

  fixture.set_away(true);
  CHECK(code(store->get(tier_key("a"))) == Errc::kUnavailable);
  CHECK(code(store->list({})) == Errc::kUnavailable);
  CHECK(code(store->create(a_tier("b", 2))) == Errc::kUnavailable);
  CHECK(code(store->remove(tier_key("a"))) == Errc::kUnavailable);
  CHECK(code(store->watch({}, first.revision)) == Errc::kUnavailable);
  CHECK(code(watch->take()) == Errc::kUnavailable);
  CHECK(watch->revision() == first.revision);

  fixture.set_away(false);
  CHECK(order_of(value(store->get(tier_key("a")))) == 1);
  REQUIRE(store->create(a_tier("b", 2)));
  const auto events = await_events(*watch, 1);  // resumes where it was
  REQUIRE(events.size() == 1);
  CHECK(events[0].object.key == tier_key("b"));
}

void invalid_objects_are_shown(StoreFixture& fixture) {
  const auto store = fixture.connect();
  const Object created = value(store->create(a_tier("a", 1)));
  const auto watch = value(store->watch({}, created.revision));
  fixture.spoil(tier_key("a"));

  const auto events = await_events(*watch, 1);
  REQUIRE(events.size() == 1);
  CHECK(events[0].type == Event::Type::kPut);
  CHECK_FALSE(events[0].object.resource);
  CHECK(events[0].object.invalid);

  const Object spoilt = value(store->get(tier_key("a")));
  CHECK_FALSE(spoilt.resource);
  REQUIRE(spoilt.invalid);
  CHECK(created.revision < spoilt.revision);
  const auto listing = value(store->list({}));
  REQUIRE(listing.objects.size() == 1);
  CHECK(listing.objects[0].invalid);
  CHECK(value(store->keys({})) == std::vector{tier_key("a")});

  // It is mended like any other object, by its revision, and can be removed.
  api::Resource mended = a_tier("a", 7);
  mended.metadata.resource_version = std::to_string(created.revision.value());
  CHECK(code(store->update(mended)) == Errc::kConflict);
  mended.metadata.resource_version = std::to_string(spoilt.revision.value());
  CHECK(order_of(value(store->update(mended))) == 7);
  fixture.spoil(tier_key("a"));
  CHECK(store->remove(tier_key("a")));
}

// Each thread counts up under compare-and-swap; returns how often it won.
void count_up(Store& store, int times) {
  for (int won = 0; won < times;) {
    const auto object = store.get(tier_key("counter"));
    if (!object) {
      return;
    }
    api::Resource resource = *object->resource;
    auto& tier = std::get<api::Tier>(resource.spec);
    tier.order = tier.order.value_or(0) + 1;
    const auto stored = store.update(resource);
    if (stored) {
      ++won;
    } else if (stored.error().code != Errc::kConflict) {
      return;
    }
  }
}

void concurrent_writers_lose_nothing(StoreFixture& fixture) {
  constexpr int kThreads = 4;
  constexpr int kTimes = 50;
  const auto store = fixture.connect();
  const Object counter = value(store->create(a_tier("counter", 0)));
  const auto watch = value(store->watch({}, counter.revision));
  std::array<std::shared_ptr<Store>, kThreads> stores;
  for (auto& one : stores) {
    one = fixture.connect();
  }
  std::vector<std::thread> threads;
  threads.reserve(kThreads);
  for (const auto& one : stores) {
    threads.emplace_back([&one] { count_up(*one, kTimes); });
  }
  const auto events = await_events(*watch, kThreads * kTimes);
  for (std::thread& thread : threads) {
    thread.join();
  }
  CHECK(order_of(value(store->get(tier_key("counter")))) == kThreads * kTimes);
  REQUIRE(events.size() == kThreads * kTimes);
  for (std::size_t i = 0; i < events.size(); ++i) {
    CHECK(order_of(events[i].object) == static_cast<double>(i + 1));
    CHECK(events[i].object.revision.value() == counter.revision.value() + i + 1);
  }
}

constexpr auto kScenarios = std::to_array<StoreScenario>({
    {"create and get", create_and_get},
    {"update by revision", update_by_revision},
    {"remove by revision", remove_by_revision},
    {"list by kind and namespace", list_by_kind_and_namespace},
    {"commit is all or nothing", commit_is_all_or_nothing},
    {"watch follows a list", watch_follows_a_list},
    {"watch by namespace", watch_by_namespace},
    {"watch from the past", watch_from_the_past},
    {"lost history is told", lost_history_is_told},
    {"away and back", away_and_back},
    {"invalid objects are shown", invalid_objects_are_shown},
    {"concurrent writers lose nothing", concurrent_writers_lose_nothing},
});

}  // namespace

std::span<const StoreScenario> store_scenarios() {
  return kScenarios;
}

api::Resource a_tier(const std::string& name, double order) {
  return {{.name = name}, api::Tier{.order = order}};
}

api::ResourceKey tier_key(const std::string& name) {
  return {Kind::kTier, "", name};
}

std::vector<Event> await_events(Watch& watch, std::size_t count) {
  const auto end = Clock::now() + std::chrono::seconds(30);
  std::vector<Event> events;
  while (events.size() < count && Clock::now() < end) {
    pollfd ready{watch.descriptor(), POLLIN, 0};
    ::poll(&ready, 1, 1000);
    if (ready.revents == 0) {
      continue;
    }
    auto taken = watch.take();
    if (taken) {
      events.insert(events.end(), taken->begin(), taken->end());
    } else if (taken.error().code != Errc::kUnavailable) {
      FAIL_CHECK(taken.error().text);
      break;
    }
  }
  return events;
}

}  // namespace margay::test
