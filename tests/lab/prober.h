#pragma once
// Real TCP connections from inside a network namespace, many at a time, without starting a process
// for each.

#include "base/ip_addr.h"
#include "base/result.h"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

namespace margay::lab {

struct Target {
  IpAddr addr;
  std::uint16_t port = 0;
};

// True per target: the connection was established within the time. A refused one is false, as is a
// dropped one.
[[nodiscard]] Result<std::vector<bool>> connect_all(const std::string& netns_path,
                                                    const std::vector<Target>& targets,
                                                    std::chrono::milliseconds timeout);

// One attempt after the other, each started `interval` after the one before, until told to stop. An
// attempt counts as denied when no answer came within `timeout`.
struct Attempt {
  std::chrono::steady_clock::time_point started;
  bool connected = false;
};
struct StreamOptions {
  std::chrono::microseconds interval{500};
  std::chrono::milliseconds timeout{500};
  std::chrono::milliseconds longest{10'000};
};
// Runs until `stop` or the longest time, then waits for the outcome of what is under way.
[[nodiscard]] Result<std::vector<Attempt>> connect_repeatedly(const std::string& netns_path,
                                                              const Target& target,
                                                              const StreamOptions& options,
                                                              const std::atomic<bool>& stop);

}  // namespace margay::lab
