#pragma once
// apply --confirm and confirm: changes that take themselves back unless somebody confirms them.

#include "cli/context.h"
#include "cli/resources.h"

#include <chrono>
#include <vector>

namespace margay::cli {

inline constexpr std::chrono::seconds kLongestConfirm{86'400};

// run_documents() on trial: until `time` has passed without `margayctl confirm`.
[[nodiscard]] Result<std::vector<Outcome>> run_on_trial(Context& context,
                                                        const std::vector<Input>& inputs,
                                                        const RunOptions& options,
                                                        std::chrono::seconds time);

// The change that waits stays, or goes at once.
[[nodiscard]] int confirm(Context& context, bool revert);

}  // namespace margay::cli
