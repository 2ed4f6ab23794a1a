#pragma once
// Limits of the rate at which a container sends and receives, on the host's side, where the
// container cannot change them.
//
//   to the container      token bucket (tbf) on the host end, which queues what comes too fast
//   from the container    what enters at the host end is led through an ifb device with a token
//                         bucket of its own, and goes on from the host end as if nothing had been
//
// The ifb device bears our prefix and the host end's digits, and goes when the host end is removed.

#include "base/result.h"
#include "base/strong.h"
#include "kernel/model/link.h"

#include <string>

namespace margay {

// The ifb device of a host end.
[[nodiscard]] IfName limiter_name(const IfName& host_name);
[[nodiscard]] std::string host_end_of_limiter(std::string limiter);

// On a fresh link. The error names what this kernel lacks.
[[nodiscard]] Result<void> set_limits(const LinkState& host_end, const Bandwidth& bandwidth);
// Names the limit that is not in place.
[[nodiscard]] Result<void> check_limits(const LinkState& host_end, const Bandwidth& bandwidth);

}  // namespace margay
