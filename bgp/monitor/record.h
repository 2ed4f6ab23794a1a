#pragma once
// RecordedPeer: the machine of a peer (bgp/fsm/peer.h) that can write down what happens to it, so
// that it can be made to happen again (bgp/monitor/replay.h).
//
// A record is lines of JSON. The first one is the header: how machine and table are set. Then each
// line is an input with its time in nanoseconds since the header ("in": bytes, a connection, a
// deadline ...), what the machine decided on it ("out", with the deadline that follows), or what
// the table was asked and answered ("table"). Bytes are hexadecimal. It begins with a new machine,
// as only then everything that it decides is in the record. Passwords are not: they are the
// kernel's.
//
// Without a sink it only passes on.

#include "bgp/fsm/peer.h"
#include "bgp/rib/rib.h"

#include <functional>
#include <string>

namespace margay::bgp {

struct RecordHeader {
  std::string peer;
  std::string time;  // of the clock on the wall, for people
  PeerSettings settings;
  RibOptions rib;
  RibPeer table;  // its codec and router_id come with each session
};

class RecordedPeer {
 public:
  using Sink = std::function<void(std::string line)>;

  explicit RecordedPeer(const PeerSettings& settings) : settings_(settings), machine_(settings) {}

  // Begins a record, with a machine that is new. The settings of the header are made this one's.
  void begin(const RecordHeader& header, Sink sink, TimePoint now);
  // Ends it; why, for who reads it.
  void end(std::string_view why);
  [[nodiscard]] bool recording() const { return static_cast<bool>(sink_); }
  [[nodiscard]] const PeerSettings& settings() const { return settings_; }

  // ---- as Peer has them
  void start(TimePoint now);
  void stop(const Notification& reason);
  void on_connected(Side side, const Endpoints& endpoints, TimePoint now);
  void on_connect_failed(TimePoint now);
  void on_closed(Side side, std::string_view why, TimePoint now);
  std::size_t on_bytes(Side side, Bytes bytes, TimePoint now);
  void on_update_error(const Notification& notification, TimePoint now);
  void on_send_progress(Side side, bool progress, bool waiting, TimePoint now);
  void on_deadline(TimePoint now);
  void probe(TimePoint now);
  void give_up_silent(TimePoint now);
  void set_restarting(bool restarting);
  bool request_refresh(AfiSafi family);
  [[nodiscard]] Actions take_actions();
  [[nodiscard]] std::optional<TimePoint> next_deadline() const { return machine_.next_deadline(); }
  [[nodiscard]] bool accepts_incoming() const { return machine_.accepts_incoming(); }
  [[nodiscard]] bool holds_off() const { return machine_.holds_off(); }
  [[nodiscard]] bool has_session() const { return machine_.has_session(); }
  [[nodiscard]] SessionState state() const { return machine_.state(); }
  [[nodiscard]] const Negotiated* facts() const { return machine_.facts(); }
  [[nodiscard]] std::optional<Side> established_side() const { return machine_.established_side(); }

  // ---- what the table was told of this peer
  enum class TableCall : std::uint8_t { kUp, kDown, kRestarting };
  void on_table(TableCall call);
  void on_stale_dropped(Family family);
  void on_long_lived(Family family);  // RFC 9494
  void on_filters(const PeerFilters& filters);
  // What it answered to an UPDATE, and what it holds then.
  void on_update(const Result<UpdateReport, Notification>& answer, const PeerCounts& counts);

 private:
  [[nodiscard]] std::int64_t since(TimePoint now) const;

  PeerSettings settings_;
  Peer machine_;
  Sink sink_;
  TimePoint begun_;
  TimePoint last_;  // of the last input
};

}  // namespace margay::bgp
