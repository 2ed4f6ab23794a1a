#include "cli/resources.h"

#include "tests/support/memory_store.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

namespace cli = margay::cli;
using cli::Outcome;
using cli::Verb;
using margay::Errc;
using margay::Error;
using margay::api::Kind;
using margay::test::MemoryStore;

namespace {

constexpr const char* kTier = "apiVersion: projectcalico.org/v3\nkind: Tier\nmetadata: {name: t}\n";

std::string tier(const std::string& order, const std::string& metadata = "name: t") {
  return "apiVersion: projectcalico.org/v3\nkind: Tier\nmetadata: {" + metadata +
         "}\nspec: {order: " + order + "}\n";
}

std::vector<Outcome> run(MemoryStore& store, Verb verb, const std::string& text) {
  return cli::run_documents(&store, {{"f.yaml", text}}, {.verb = verb});
}

std::string action(const std::vector<Outcome>& outcomes) {
  REQUIRE(outcomes.size() == 1);
  return outcomes[0].error ? "error: " + outcomes[0].error->text : outcomes[0].action;
}

double order_of(MemoryStore& store) {
  const auto object = store.get({Kind::kTier, "", "t"});
  REQUIRE(object);
  return std::get<margay::api::Tier>(object->resource->spec).order.value_or(-1);
}

}  // namespace

TEST_SUITE("cli.resources") {
  TEST_CASE("apply creates, then leaves alone, then configures, and keeps what the store set") {
    MemoryStore store;
    CHECK(action(run(store, Verb::kApply, tier("1"))) == "created");
    const auto first = store.get({Kind::kTier, "", "t"});
    REQUIRE(first);
    CHECK(action(run(store, Verb::kApply, tier("1"))) == "unchanged");
    CHECK(action(run(store, Verb::kApply, tier("2"))) == "configured");
    const auto second = store.get({Kind::kTier, "", "t"});
    REQUIRE(second);
    CHECK(second->resource->metadata.uid == first->resource->metadata.uid);
    CHECK(second->resource->metadata.creation_timestamp ==
          first->resource->metadata.creation_timestamp);
    CHECK(order_of(store) == 2);
  }

  TEST_CASE("create fails for what exists, replace for what does not") {
    MemoryStore store;
    CHECK(action(run(store, Verb::kReplace, tier("1"))) ==
          "error: Tier t does not exist: use create or apply");
    CHECK(action(run(store, Verb::kCreate, tier("1"))) == "created");
    CHECK(action(run(store, Verb::kCreate, tier("2"))).find("error: ") == 0);
    CHECK(order_of(store) == 1);
    CHECK(action(run(store, Verb::kReplace, tier("3"))) == "replaced");
    CHECK(order_of(store) == 3);
  }

  TEST_CASE("apply tries again when someone else was faster, and reports other failures") {
    MemoryStore store;
    run(store, Verb::kApply, tier("1"));
    store.fail_call(2, Error{Errc::kConflict, "changed", 0});  // get, then update
    CHECK(action(run(store, Verb::kApply, tier("2"))) == "configured");
    CHECK(order_of(store) == 2);

    store.set_away(true);
    CHECK(action(run(store, Verb::kApply, tier("3"))).find("error: ") == 0);
    store.set_away(false);
    CHECK(order_of(store) == 2);
  }

  TEST_CASE("a document with a stale resourceVersion is refused") {
    MemoryStore store;
    run(store, Verb::kApply, tier("1"));
    run(store, Verb::kApply, tier("2"));
    CHECK(action(run(store, Verb::kApply, tier("3", "name: t, resourceVersion: \"1\""))) ==
          "error: metadata.resourceVersion: \"1\": Tier t has changed since, it is at 2");
    CHECK(order_of(store) == 2);
  }

  TEST_CASE("a dry run says the same and stores nothing") {
    MemoryStore store;
    const auto dry = [&store](Verb verb, const std::string& text) {
      return action(
          cli::run_documents(&store, {{"f.yaml", text}}, {.verb = verb, .dry_run = true}));
    };
    CHECK(dry(Verb::kApply, kTier) == "created");
    CHECK_FALSE(store.get({Kind::kTier, "", "t"}));
    run(store, Verb::kApply, tier("1"));
    CHECK(dry(Verb::kApply, tier("2")) == "configured");
    CHECK(dry(Verb::kCreate, tier("2")).find("error: ") == 0);
    CHECK(dry(Verb::kDelete, tier("2")) == "deleted");
    CHECK(order_of(store) == 1);
  }

  TEST_CASE("the system's tiers keep their order and action") {
    MemoryStore store;
    const std::string text =
        "apiVersion: projectcalico.org/v3\nkind: Tier\nmetadata: {name: default}\nspec: {order: "
        "1}\n";
    CHECK(
        action(run(store, Verb::kApply, text)) ==
        "error: document 1: spec: tier default has order 1000000 and default action Deny, always");
  }
}
