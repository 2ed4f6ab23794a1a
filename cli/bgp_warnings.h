#pragma once
// What a change of BGP configuration does that its author should hear before: peers that lead to no
// session, filters and passwords that are not there, and sessions that most nodes lose.

#include "base/result.h"
#include "cli/context.h"
#include "datastore/pending_change.h"
#include "datastore/store.h"

#include <string>
#include <vector>

namespace margay::cli {

// One line each; none while the store and the edits have no Node, as selectors then match nothing
// for that reason.
[[nodiscard]] Result<std::vector<std::string>> bgp_warnings(
    datastore::Store& store, const std::vector<datastore::PlannedEdit>& edits);

// Prints them; how many there were. The datastore not answering is for the command itself to say.
std::size_t print_bgp_warnings(Context& context,
                               datastore::Store& store,
                               const std::vector<datastore::PlannedEdit>& edits);

}  // namespace margay::cli
