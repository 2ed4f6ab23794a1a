#pragma once
// The probe's commands. Each parses its own words and returns the exit code: 0 done, 1 failed, 2
// usage.

#include <span>

namespace margay::probe {

using Words = std::span<char* const>;

inline constexpr int kDone = 0;
inline constexpr int kFailed = 1;
inline constexpr int kUsage = 2;

// connect HOST:PORT [--timeout=2s] [--protocol=tcp|udp|sctp] [--source=ADDRESS]: silent and 0, or
// TIMEOUT, REFUSED or OTHER on stderr and 1.
int connect_one(Words words);
// reach HOST:PORT... [--timeout=500ms] [--protocol=tcp|udp|sctp] [--source=ADDRESS]: all at once;
// one line "HOST:PORT ok|timeout|refused|other" each.
int reach_many(Words words);
// serve [--tcp 80,81] [--udp 80] [--sctp 80] [--bind ADDRESS]: echoes, and answers an INIT of SCTP;
// says "ready" once it listens.
int serve(Words words);
// stream HOST:PORT [--rate=1000] [--duration=10s] [--protocol=udp|tcp] [--new-flows]: one JSON line
// with what was lost.
int stream(Words words);

}  // namespace margay::probe
