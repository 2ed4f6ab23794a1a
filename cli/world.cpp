#include "cli/world.h"

#include "policy/world.h"

#include <utility>

namespace margay::cli {

using datastore::Object;

Result<StoredWorld> read_world(datastore::Store& store) {
  const auto listing = store.list({});
  if (!listing) {
    return fail(listing.error());
  }
  StoredWorld out;
  for (const Object& object : listing->objects) {
    if (object.resource) {
      if (auto added = policy::add(*object.resource, out.world); !added) {
        out.skipped.push_back(object.key.str() + ": " + added.error().text);
      }
    } else {
      out.skipped.push_back(object.key.str() + ": " +
                            (object.invalid ? object.invalid->text : std::string("invalid")));
    }
  }
  return out;
}

}  // namespace margay::cli
