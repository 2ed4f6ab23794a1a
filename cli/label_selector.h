#pragma once
// What -l takes: a selector as in policies, or kubectl's "rack=r1,tier!=db,ready,!old".

#include "policy/selector.h"

#include <string_view>

namespace margay::cli {

// Errors are those of a policy's selector, which can say more.
[[nodiscard]] Result<policy::Selector> parse_label_selector(std::string_view text);

}  // namespace margay::cli
