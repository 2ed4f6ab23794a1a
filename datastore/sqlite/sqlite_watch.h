#pragma once
// The watch of the embedded datastore: reads the change log on a connection of its own.

#include "datastore/store.h"

#include <memory>
#include <string>

namespace margay::datastore {

// identity: of the store that `from` belongs to; another file under the same path answers
// kCompacted.
[[nodiscard]] std::unique_ptr<Watch> make_sqlite_watch(std::string path,
                                                       std::string identity,
                                                       const ListQuery& query,
                                                       Revision from);

}  // namespace margay::datastore
