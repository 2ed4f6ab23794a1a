#pragma once
// Session: one BFD session in asynchronous mode (RFC 5880 section 6), without demand, echo and
// authentication. Pure: packets and the time go in, packets and changes of state come out.
//
// Driver contract: after each call take_packets(), send them, take_change(), and call on_deadline()
// at next_deadline().

#include "base/timer_set.h"
#include "bgp/bfd/packet.h"

#include <chrono>
#include <cstdint>
#include <optional>
#include <random>
#include <utility>
#include <vector>

namespace margay::bfd {

struct SessionSettings {
  std::chrono::microseconds interval{300000};  // to send and to receive at, while Up
  std::uint8_t multiplier = 3;                 // so many packets may be missed, less one
  std::uint32_t discriminator = 1;             // unique in this process, not 0
  std::uint32_t seed = 1;                      // of the jitter
  bool operator==(const SessionSettings&) const = default;
};

// What the client is told. `administrative`: the peer took its session down on purpose, which says
// nothing of the path (RFC 5882 section 3.2).
struct Change {
  State state = State::kDown;
  Diagnostic diagnostic = Diagnostic::kNone;
  bool administrative = false;
};

class Session {
 public:
  // Slower than this while the session is not Up (RFC 5880 section 6.8.3).
  static constexpr std::chrono::seconds kSlowInterval{1};

  Session(const SessionSettings& settings, TimePoint now);

  void on_packet(const ControlPacket& packet, TimePoint now);
  void on_deadline(TimePoint now);
  // The last packets of a session that is not wanted any more.
  void shut_down();

  [[nodiscard]] std::vector<ControlPacket> take_packets() { return std::exchange(packets_, {}); }
  [[nodiscard]] std::optional<Change> take_change() { return std::exchange(change_, {}); }
  [[nodiscard]] std::optional<TimePoint> next_deadline() const { return timers_.next_deadline(); }
  [[nodiscard]] State state() const { return state_; }
  [[nodiscard]] std::uint32_t discriminator() const { return settings_.discriminator; }
  // After so long without a packet the session goes down; 0 before the first packet.
  [[nodiscard]] std::chrono::microseconds detection_time() const;

 private:
  enum class Timer : std::uint8_t { kTransmit, kDetect };

  void enter(State state, Diagnostic diagnostic, bool administrative);
  void answer_state(const ControlPacket& packet);
  void send(bool final);
  void arm_transmit(TimePoint now);
  [[nodiscard]] std::chrono::microseconds desired_min_tx() const;

  SessionSettings settings_;
  State state_ = State::kDown;
  Diagnostic diagnostic_ = Diagnostic::kNone;
  bool polling_ = false;  // our timers changed and the peer has not said that it knows
  std::uint32_t remote_discriminator_ = 0;
  std::chrono::microseconds remote_min_rx_{1};
  std::chrono::microseconds remote_min_tx_{0};
  std::uint8_t remote_multiplier_ = 0;
  std::minstd_rand random_;
  TimerSet<Timer> timers_;
  std::vector<ControlPacket> packets_;
  std::optional<Change> change_;
};

}  // namespace margay::bfd
