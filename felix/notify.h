#pragma once
// Tells systemd about the agent's state (sd_notify protocol: one datagram to $NOTIFY_SOCKET). Does
// nothing elsewhere.

#include <string_view>

namespace margay::felix {

// "READY=1", "STOPPING=1", "STATUS=...".
void notify_systemd(std::string_view state);

}  // namespace margay::felix
