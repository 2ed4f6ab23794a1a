#pragma once
// The conformance suite of Store: what datastore/store.h promises, as scenarios that every
// implementation has to pass. The fixture is the world around one empty store.

#include "datastore/store.h"

#include <memory>
#include <span>

namespace margay::test {

class StoreFixture {
 public:
  StoreFixture() = default;
  StoreFixture(const StoreFixture&) = delete;
  StoreFixture& operator=(const StoreFixture&) = delete;
  virtual ~StoreFixture() = default;

  // Another user of the same store, for a thread of its own.
  [[nodiscard]] virtual std::shared_ptr<datastore::Store> connect() = 0;
  // Makes the store unreachable, and reachable again with what it held.
  virtual void set_away(bool away) = 0;
  // A change that leaves a text which does not decode.
  virtual void spoil(const api::ResourceKey& key) = 0;
  // Forgets the history up to now.
  virtual void compact() = 0;
};

struct StoreScenario {
  const char* name;
  void (*run)(StoreFixture&);
};
[[nodiscard]] std::span<const StoreScenario> store_scenarios();

// For tests of stores: small resources, and waiting for a watch.
[[nodiscard]] api::Resource a_tier(const std::string& name, double order);
[[nodiscard]] api::ResourceKey tier_key(const std::string& name);
// Everything until `count` events came, or half a minute passed.
[[nodiscard]] std::vector<datastore::Event> await_events(datastore::Watch& watch,
                                                         std::size_t count);

}  // namespace margay::test
