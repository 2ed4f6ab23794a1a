#pragma once
// margayd cleanup: removes everything that Margay ever put into this kernel, and nothing else.

#include "base/result.h"
#include "felix/config.h"

#include <string>

namespace margay::felix {

// The nftables table, routes of protocols 90, 91 and 92, the host ends of containers; settings
// become what they were. Goes on after a failure and reports the first. Refused while an agent uses
// the run directory: it would put it all back.
[[nodiscard]] Result<void> cleanup_kernel(const AgentConfig& config);

// Where the agent notes what settings were.
[[nodiscard]] std::string sysctl_record_path(const std::string& state_dir);

}  // namespace margay::felix
