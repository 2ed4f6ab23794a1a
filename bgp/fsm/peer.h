#pragma once
// Peer: one configured neighbour. It decides when to connect, owns the sessions of at most one
// outgoing and one incoming connection, and leaves one of them (RFC 4271 section 6.8).
//
//            start                connected              OPEN, KEEPALIVE
//   Idle ----------> Connect ---------------> OpenSent ------------------> Established
//     ^  idle hold     |  ^ retry                |                            |
//     |<---------------|--|----------------------+----------------------------+  ended
//                   failed v
//                    Active  <- passive peers wait here for an incoming connection
//
// Driver contract: call an input, then execute take_actions() in order before the next input. Bytes
// of a connection are handed to on_bytes, which returns how many it used; the rest is to be offered
// again with more behind it. When the table refuses an UPDATE (UpdateReceived), call
// on_update_error and drop the remaining UpdateReceived and RefreshReceived of that batch.
//
// Differences to the RFC's letter: incoming connections are taken in every state but a stopped
// Idle, also while a back-off runs, as the other side's back-off protects us; only where the peer
// told more prefixes than it may nothing is taken for a minute. DelayOpen is not used.

#include "bgp/fsm/session.h"

#include <chrono>
#include <optional>
#include <random>
#include <string_view>

namespace margay::bgp {

struct PeerSettings {
  SessionSettings session;
  bool passive = false;                           // never connects
  std::chrono::seconds connect_retry{5};          // after a failed attempt, jittered
  std::chrono::milliseconds idle_hold_min{1000};  // after a session ended; doubles
  std::chrono::milliseconds idle_hold_max{60000};
  std::uint32_t seed = 1;  // of the jitter
  bool operator==(const PeerSettings&) const = default;
};

class Peer {
 public:
  explicit Peer(const PeerSettings& settings);

  // ---- inputs
  void start(TimePoint now);
  // Closes everything with this NOTIFICATION and stays Idle until start.
  void stop(const Notification& reason);
  void on_connected(Side side, const Endpoints& endpoints, TimePoint now);
  void on_connect_failed(TimePoint now);
  // The connection was closed by the peer or by an error; not after CloseConnection.
  void on_closed(Side side, std::string_view why, TimePoint now);
  std::size_t on_bytes(Side side, Bytes bytes, TimePoint now);
  // The established session must end: bad UPDATE, too many prefixes.
  void on_update_error(const Notification& notification, TimePoint now);
  void on_send_progress(Side side, bool progress, bool waiting, TimePoint now);
  void on_deadline(TimePoint now);

  // The R bit of sessions opened from now on (RFC 4724): true while the process has just started.
  void set_restarting(bool restarting) { settings_.session.restarting = restarting; }

  // ---- outputs
  // After a session that had to end for too many prefixes: no connection is wanted for a while.
  [[nodiscard]] bool holds_off() const { return over_limit_ && timers_.running(Timer::kIdleHold); }
  [[nodiscard]] Actions take_actions();
  [[nodiscard]] std::optional<TimePoint> next_deadline() const;

  // Whether a new incoming connection is of use; else refuse it with connection_rejected().
  [[nodiscard]] bool accepts_incoming() const;
  [[nodiscard]] static std::vector<std::uint8_t> connection_rejected();
  // A new incoming connection is there while the one before has not said a word. Its end may have
  // been lost, and it would keep the peer out for minutes: it gives way.
  void give_up_silent(TimePoint now);
  // A connection was refused because a session is established. The peer may have lost that one
  // without a word (power, a cut wire): asks it, so that this shows now and not when the hold timer
  // ends. The peer's next connection is taken then.
  void probe(TimePoint now);
  [[nodiscard]] SessionState state() const;
  [[nodiscard]] bool has_session() const { return outgoing_ || incoming_; }
  // Of the established session, or null.
  [[nodiscard]] const Negotiated* facts() const;
  [[nodiscard]] std::optional<Side> established_side() const;
  // A ROUTE-REFRESH request of ours; false when the peer cannot.
  bool request_refresh(AfiSafi family);

 private:
  enum class Timer : std::uint8_t { kConnectRetry, kIdleHold };

  [[nodiscard]] std::optional<Session>& session(Side side);
  [[nodiscard]] const std::optional<Session>& session(Side side) const;
  void connect_or_wait(TimePoint now);
  void cancel_connecting();
  void resolve_collision(Side opened, TimePoint now);
  void end(Side side, const Notification& notification, TimePoint now);
  // Removes sessions that have ended and decides what is next.
  void sweep(TimePoint now);
  [[nodiscard]] Duration jittered(Duration full);

  PeerSettings settings_;
  bool started_ = false;
  bool connecting_ = false;
  std::optional<Session> outgoing_;
  std::optional<Session> incoming_;
  TimerSet<Timer> timers_;
  unsigned failures_ = 0;  // in a row, without an established session that was of use
  // The table refused what the peer said in its last session: that one comes up again says nothing.
  bool refused_ = false;
  bool over_limit_ = false;  // refused, for its number of prefixes
  std::optional<TimePoint> established_at_;
  std::minstd_rand random_;
  Actions actions_;
};

}  // namespace margay::bgp
