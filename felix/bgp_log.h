#pragma once
// What a BGP speaker tells, in the log: each event at the level that its reader needs.

#include "bgp/speaker.h"

namespace spdlog {
class logger;
}

namespace margay::felix {

// error: someone must act; warn: a session or what it brings is lost, and it goes on trying.
void log_event(spdlog::logger& log, const bgp::SpeakerEvent& event);

}  // namespace margay::felix
