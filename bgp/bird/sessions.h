#pragma once
// What BIRD says of its sessions and of itself: `show protocols all`, `show bfd sessions`,
// `show status`. Written for people, so nothing is taken for granted: what is missing stays empty.
// Pure.

#include "bgp/bird/reply.h"
#include "bgp/speaker.h"

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace margay::bgp::bird {

struct Session {
  std::string protocol;
  PeerState state = PeerState::kIdle;
  std::chrono::system_clock::time_point since;
  std::string last_error;
  RouterId router_id;
  std::string local_address;
  std::chrono::seconds hold_time{};  // negotiated
  std::vector<std::string> capabilities;
  PeerCounts counts;         // both families
  bool no_listener = false;  // BIRD cannot listen for it and does not try again
};

struct Protocols {
  std::vector<Session> sessions;
  // Another one when routes may have changed: states and counters of all protocols.
  std::string fingerprint;
};
[[nodiscard]] Protocols read_protocols(const Reply& reply);

// State by the peer's address.
[[nodiscard]] std::map<std::string, std::string> read_bfd(const Reply& reply);

struct DaemonState {
  std::string version;      // "2.0.12"
  bool recovering = false;  // started anew, waits for peers' routes (RFC 4724)
  bool reconfiguring = false;
};
[[nodiscard]] DaemonState read_status(const Reply& reply);

// "2026-11-22 03:20:40.497", UTC; the epoch when it is no time.
[[nodiscard]] std::chrono::system_clock::time_point read_time(std::string_view text);

}  // namespace margay::bgp::bird
