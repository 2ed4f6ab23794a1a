#pragma once
// margayd cleanup: removes everything that Margay ever put into this kernel, and nothing else.

#include "base/result.h"

namespace margay::felix {

// The nftables table, routes of protocols 90, 91 and 92, and the host ends of containers. Goes on
// after a failure and reports the first. Must not run beside an agent, which would put it all back.
[[nodiscard]] Result<void> cleanup_kernel();

}  // namespace margay::felix
