#include "datastore/overlay_store.h"
#include "tests/support/memory_store.h"

#include <doctest/doctest.h>

#include <array>
#include <string>
#include <vector>

namespace margay::test {
namespace {

using datastore::Change;
using datastore::Create;
using datastore::OverlayStore;
using datastore::Remove;
using datastore::Update;

api::Resource pool(const std::string& name, const std::string& cidr) {
  api::Resource resource;
  resource.metadata.name = name;
  api::IPPool spec;
  spec.cidr = *Prefix::parse(cidr);
  resource.spec = spec;
  return resource;
}

api::ResourceKey key(const std::string& name) {
  return {api::Kind::kIPPool, {}, name};
}

std::vector<std::string> names(datastore::Store& store) {
  std::vector<std::string> out;
  const auto listing = store.list({.kind = api::Kind::kIPPool, .ns = {}});
  REQUIRE(listing);
  for (const auto& object : listing->objects) {
    out.push_back(object.key.name);
  }
  const auto keys = store.keys({.kind = api::Kind::kIPPool, .ns = {}});
  REQUIRE(keys);
  std::vector<std::string> by_key;
  for (const api::ResourceKey& each : *keys) {
    by_key.push_back(each.name);
  }
  CHECK(by_key == out);
  return out;
}

using Names = std::vector<std::string>;

TEST_SUITE("datastore.overlay") {
  TEST_CASE("what is written over a store is read over it, and the store stays as it is") {
    MemoryStore below;
    REQUIRE(below.create(pool("a", "10.0.0.0/16")));
    REQUIRE(below.create(pool("c", "10.2.0.0/16")));
    const auto before = below.list({})->revision;
    OverlayStore overlay(below);

    REQUIRE(overlay.create(pool("b", "10.1.0.0/16")));
    api::Resource changed = *overlay.get(key("a"))->resource;
    std::get<api::IPPool>(changed.spec).disabled = true;
    const auto updated = overlay.update(changed);
    REQUIRE(updated);
    REQUIRE(overlay.remove(key("c")));

    CHECK(names(overlay) == Names{"a", "b"});
    CHECK(std::get<api::IPPool>(overlay.get(key("a"))->resource->spec).disabled);
    CHECK(overlay.get(key("c")).error().code == Errc::kNotFound);
    CHECK(names(below) == Names{"a", "c"});
    CHECK_FALSE(std::get<api::IPPool>(below.get(key("a"))->resource->spec).disabled);
    CHECK(below.list({})->revision == before);

    // What is written below where the overlay wrote nothing is seen.
    REQUIRE(below.create(pool("d", "10.3.0.0/16")));
    CHECK(names(overlay) == Names{"a", "b", "d"});
    // A removed name is free again.
    CHECK(overlay.create(pool("c", "10.4.0.0/16")).has_value());
    CHECK(names(overlay) == Names{"a", "b", "c", "d"});
  }

  TEST_CASE("changes over a store fail as in it, all or none of them") {
    MemoryStore below;
    REQUIRE(below.create(pool("a", "10.0.0.0/16")));
    const api::Resource first = *below.get(key("a"))->resource;
    OverlayStore overlay(below);
    CHECK(overlay.create(pool("a", "10.0.0.0/16")).error().code == Errc::kExists);
    CHECK(overlay.remove(key("b")).error().code == Errc::kNotFound);
    CHECK(overlay.update(pool("a", "10.0.0.0/16")).error().code == Errc::kInvalid);
    REQUIRE(overlay.update(first));
    CHECK(overlay.update(first).error().code == Errc::kConflict);  // that of before
    CHECK(overlay.remove(key("a"), datastore::Revision(1)).error().code == Errc::kConflict);

    const std::array<Change, 3> changes{Create{pool("b", "10.1.0.0/16")},
                                        Remove{key("a"), std::nullopt},
                                        Create{pool("b", "10.1.0.0/16")}};
    CHECK(overlay.commit(changes).error().code == Errc::kExists);
    CHECK(names(overlay) == Names{"a"});
    CHECK_FALSE(overlay.watch({}, datastore::Revision(0)));
  }
}

}  // namespace
}  // namespace margay::test
