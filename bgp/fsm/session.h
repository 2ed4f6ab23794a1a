#pragma once
// Session: the life of one TCP connection to a peer, from our OPEN to the end (RFC 4271 section 8,
// states OpenSent, OpenConfirm, Established). Before a connection there is Peer (bgp/fsm/peer.h),
// which owns at most two sessions and resolves collisions.
//
// Sans-I/O: bytes and the time go in, actions come out, in the order in which to execute them. A
// session reads no clock and owns no socket. All closing goes through end(), so NOTIFICATION,
// timers and state cannot drift apart.

#include "base/timer_set.h"
#include "bgp/wire/message.h"

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace margay::bgp {

// RFC 4271 section 8.2.2, in this order of progress.
enum class SessionState : std::uint8_t {
  kIdle,
  kConnect,
  kActive,
  kOpenSent,
  kOpenConfirm,
  kEstablished,
};
[[nodiscard]] std::string_view to_string(SessionState state);

enum class Side : std::uint8_t { kOutgoing, kIncoming };  // who opened the connection

// Records of sessions hold all of these: a new one has its line in bgp/monitor/record_codec.cpp.
struct SessionSettings {
  Asn local_asn;
  Asn remote_asn;  // 0: any but ours
  RouterId local_id;
  std::uint16_t hold_time_s = 90;  // 0: no keepalives; 1 and 2 are not possible
  // For the peer's OPEN to come: RFC 4271 section 8.2.2, a large value.
  std::chrono::seconds open_time = std::chrono::minutes(4);
  bool ipv4 = true;
  bool ipv6 = true;
  bool extended_message = true;    // RFC 8654
  bool extended_next_hop = false;  // RFC 8950, on connections over IPv6
  bool add_path_receive = false;   // RFC 7911, of every family
  bool add_path_send = false;
  bool enforce_first_as = true;
  std::optional<Role> role;  // RFC 9234: ours; external sessions only
  bool strict_role = false;  // a peer that says none is refused
  // RFC 4724: how long peers may keep our routes while we restart; 0: not offered. Forwarding is
  // always said to be kept: our routes stay in the kernel.
  std::uint16_t graceful_restart_s = 0;
  bool restarting = false;  // R bit: we have just started
  // RFC 9494: how long they may keep them after that, as a last choice; 0: we only do it for them.
  // Offered along with graceful restart.
  std::uint32_t long_lived_s = 0;
  std::uint8_t keepalive_percent = 100;  // of a third of the hold time; 75 to 100 is the jitter
  bool operator==(const SessionSettings&) const = default;
};

struct Endpoints {
  IpAddr local;
  IpAddr remote;
  IfIndex link = {};  // of link-local addresses
};

// What both OPEN messages agreed on.
struct Negotiated {
  CodecContext codec;
  Open peer;
  std::uint16_t hold_time_s = 0;
  bool route_refresh = false;
  bool enhanced_refresh = false;
  // RFC 8538: a NOTIFICATION, too, is a restart, unless it says hard reset.
  bool notification_restart = false;
  // Both OPEN messages, whole, as they were on the wire.
  std::vector<std::uint8_t> sent_open;
  std::vector<std::uint8_t> received_open;
};

struct StartConnect {};   // open a TCP connection; answer on_connected or on_connect_failed
struct CancelConnect {};  // forget that attempt; no answer
struct SendBytes {
  Side side = Side::kOutgoing;
  std::vector<std::uint8_t> bytes;
};
struct CloseConnection {  // after what was sent before is written; no answer
  Side side = Side::kOutgoing;
};
struct SessionUp {
  Side side = Side::kOutgoing;
  Negotiated facts;
};
struct SessionDown {
  // False: this connection never came up; another one of the peer may be established.
  bool was_established = false;
  std::string reason;
  std::optional<Notification> sent;
  std::optional<Notification> received;
};
// The body points into the bytes of the on_bytes call that made it.
struct UpdateReceived {
  Bytes body;
};
struct RefreshReceived {
  RouteRefresh refresh;
};
using Action = std::variant<StartConnect,
                            CancelConnect,
                            SendBytes,
                            CloseConnection,
                            SessionUp,
                            SessionDown,
                            UpdateReceived,
                            RefreshReceived>;
using Actions = std::vector<Action>;

class Session {
 public:
  // The connection is there: sends OPEN.
  Session(const SessionSettings& settings,
          Side side,
          const Endpoints& endpoints,
          TimePoint now,
          Actions& out);

  // Handles the first message of the bytes; returns its size, 0 when it is not complete or the
  // session has ended.
  std::size_t on_message(Bytes bytes, TimePoint now, Actions& out);
  void on_deadline(TimePoint now, Actions& out);
  // A valid OPEN has come and no other connection is preferred: sends KEEPALIVE, OpenConfirm.
  void confirm(TimePoint now, Actions& out);
  // Whether the other end is still the one of this session: a KEEPALIVE out of turn, which a peer
  // that has lost the connection answers with a reset. At most one a second.
  void probe(TimePoint now, Actions& out);
  // The socket took bytes (progress) or not, and something is still waiting in the queue or not.
  void on_send_progress(bool progress, bool waiting, TimePoint now);
  // Ends the session from our side.
  void end(const Notification& notification, Actions& out);
  // The connection is gone.
  void on_closed(std::string_view why, Actions& out);

  [[nodiscard]] std::optional<TimePoint> next_deadline() const;
  [[nodiscard]] SessionState state() const { return state_; }  // kIdle: it has ended
  [[nodiscard]] Side side() const { return side_; }
  [[nodiscard]] bool awaits_confirmation() const { return awaits_confirmation_; }
  [[nodiscard]] const Negotiated& facts() const { return facts_; }

 private:
  void on_frame(const Frame& frame, TimePoint now, Actions& out);
  void on_open(Bytes body, Actions& out);
  void on_keepalive(TimePoint now, Actions& out);
  void on_update(Bytes body, TimePoint now, Actions& out);
  void on_refresh(Bytes body, TimePoint now, Actions& out);
  void on_notification(Bytes body, Actions& out);
  [[nodiscard]] Result<void, Notification> negotiate(const Open& open);
  void unexpected(Actions& out);  // RFC 6608
  void down(SessionDown event, Actions& out);
  void restart_hold(TimePoint now);
  [[nodiscard]] Duration keepalive_interval() const;
  // What says to the peer that our routes shall go (RFC 8538 section 4).
  [[nodiscard]] Notification as_sent(const Notification& notification) const;

  SessionSettings settings_;
  Side side_;
  Endpoints endpoints_;
  SessionState state_ = SessionState::kOpenSent;
  bool awaits_confirmation_ = false;
  Negotiated facts_;
  std::optional<TimePoint> hold_deadline_;
  std::optional<TimePoint> keepalive_deadline_;
  std::optional<TimePoint> send_hold_deadline_;
  std::optional<TimePoint> probed_;
  std::vector<std::uint8_t> sent_open_;
};

}  // namespace margay::bgp
