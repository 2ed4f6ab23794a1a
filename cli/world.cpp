#include "cli/world.h"

#include "policy/staged.h"
#include "policy/validate.h"
#include "policy/world.h"

#include <map>
#include <memory>
#include <utility>

namespace margay::cli {

using datastore::Object;

namespace {

using Objects = std::map<api::ResourceKey, std::shared_ptr<const api::Resource>>;

Result<void> overlay(const Input& input, Objects& objects) {
  for (const api::Document& document : api::decode_documents(input.text)) {
    if (!document.resource) {
      return fail(document.resource.error(), "{}", input.name);
    }
    if (auto valid = policy::validate(*document.resource); !valid) {
      return fail(valid.error(), "{}: document {}", input.name, document.number);
    }
    objects.insert_or_assign(document.resource->key(),
                             std::make_shared<const api::Resource>(*document.resource));
  }
  return {};
}

Result<void> remove(const Input& input, Objects& objects) {
  for (const api::Document& document : api::decode_documents(input.text)) {
    if (!document.resource) {
      return fail(document.resource.error(), "{}", input.name);
    }
    objects.erase(document.resource->key());
  }
  return {};
}

void build(const Objects& objects, policy::World& world, std::vector<std::string>& skipped) {
  for (const auto& [key, resource] : objects) {
    if (auto added = policy::add(*resource, world); !added) {
      skipped.push_back(key.str() + ": " + added.error().text);
    }
  }
}

std::optional<policy::World> staged_world(Objects objects) {
  const Objects stored = objects;
  bool any = false;
  for (const auto& [key, resource] : stored) {
    auto staged = policy::unstaged(*resource);
    if (!staged) {
      continue;
    }
    any = true;
    const api::ResourceKey plain = staged->policy.key();
    if (staged->removes) {
      objects.erase(plain);
    } else {
      objects.insert_or_assign(plain,
                               std::make_shared<const api::Resource>(std::move(staged->policy)));
    }
  }
  if (!any) {
    return std::nullopt;
  }
  policy::World world;
  std::vector<std::string> told;  // already, of the world as it is
  build(objects, world, told);
  return world;
}

}  // namespace

Result<StoredWorld> read_world(datastore::Store& store) {
  return read_world(store, {}, {});
}

Result<StoredWorld> read_world(datastore::Store& store,
                               const std::vector<Input>& with,
                               const std::vector<Input>& removed) {
  const auto listing = store.list({});
  if (!listing) {
    return fail(listing.error());
  }
  StoredWorld out;
  Objects objects;
  for (const Object& object : listing->objects) {
    if (object.resource) {
      objects.emplace(object.key, object.resource);
    } else {
      out.skipped.push_back(object.key.str() + ": " +
                            (object.invalid ? object.invalid->text : std::string("invalid")));
    }
  }
  for (const Input& input : with) {
    if (auto done = overlay(input, objects); !done) {
      return fail(done.error());
    }
  }
  for (const Input& input : removed) {
    if (auto done = remove(input, objects); !done) {
      return fail(done.error());
    }
  }
  build(objects, out.world, out.skipped);
  out.staged = staged_world(std::move(objects));
  return out;
}

}  // namespace margay::cli
