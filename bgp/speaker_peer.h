#pragma once
// SpeakerPeer: the driver of one configured peer: executes what its machine (bgp/fsm) decides, on
// sockets and on the table. Lives on the speaker's loop. Internal to bgp/.

#include "bgp/monitor/record.h"
#include "bgp/monitoring.h"
#include "bgp/net/link_neighbors.h"
#include "bgp/net/transport.h"
#include "bgp/rib/rib.h"
#include "bgp/speaker.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include <array>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

namespace margay::bgp {

// What a peer needs of its speaker.
struct SpeakerServices {
  boost::asio::io_context& loop;
  Transport& transport;
  Rib& rib;
  Monitoring& monitoring;
  std::function<void()> schedule_flush;  // the table may have something to send
  std::function<void(const SpeakerEvent&)> report;
  std::function<void()> moved;                           // a peer is at another address now
  std::function<void(const std::string& name)> at_rest;  // a peer came to have nothing here
};

// How long a peer asked us to keep its routes while it restarts.
struct RestartTimes {
  std::chrono::seconds restart{};                       // RFC 4724
  std::set<Family> restarting{};                        // the families it is for
  std::map<Family, std::chrono::seconds> long_lived{};  // RFC 9494, after that
  bool knows_long_lived = false;

  [[nodiscard]] bool any() const { return !restarting.empty() || !long_lived.empty(); }
};

// Stale routes of a family: how long they stay.
struct KeptFamily {
  TimePoint until;                        // then they go, or become long-lived ones
  std::optional<TimePoint> long_lived{};  // RFC 9494: they are, and were to stay until then
};

class SpeakerPeer : public std::enable_shared_from_this<SpeakerPeer> {
 public:
  SpeakerPeer(SpeakerServices services, PeerConfig config, PeerId id, const PeerSettings& settings);

  // An unnumbered peer starts when it is found.
  void start();
  // Closes with this NOTIFICATION; or, when absent, silently, so that the peer keeps our routes
  // (RFC 4724). Final.
  void stop(const std::optional<Notification>& reason);
  void on_incoming(std::shared_ptr<Connection> connection);
  // What is known of the interface of an unnumbered peer.
  void on_link(const LinkNeighbor& link);
  // Whether the connection is this peer's.
  [[nodiscard]] bool is_from(Connection& connection) const;
  // To an established peer, with what comes after it, or by flush.
  void queue(const SharedBytes& bytes);
  void flush();
  // Filters, BFD or the record are others now. The session goes on; routes that the change concerns
  // are taken, told or withdrawn.
  void change(const PeerConfig& config);
  // RFC 9384: an established session ends, and its routes go at once.
  void on_bfd_down(std::string_view why);
  void set_restarting(bool restarting) { machine_.set_restarting(restarting); }

  [[nodiscard]] const PeerConfig& config() const { return config_; }
  // Where the peer is; 0.0.0.0 while an unnumbered one has not been found.
  [[nodiscard]] const IpAddr& address() const { return address_; }
  [[nodiscard]] IfIndex link() const { return link_; }
  // No session, and no routes kept for one that may come back.
  [[nodiscard]] bool at_rest() const {
    return !in_table_ && !machine_.has_session() && !machine_.holds_off();
  }
  // Nothing that others are to hear of is still to come from it: it said the end of its table, or
  // restarts itself, or would not say it (RFC 4724 section 4.1).
  [[nodiscard]] bool said_all() const;
  [[nodiscard]] PeerId id() const { return id_; }
  [[nodiscard]] PeerStatus status() const;

 private:
  static constexpr std::size_t kSides = 2;
  struct Wire {
    std::shared_ptr<Connection> connection;
    std::vector<std::uint8_t> partial;  // of the next message
  };

  [[nodiscard]] Wire& wire(Side side) { return wires_.at(static_cast<std::size_t>(side)); }
  void attach(Side side, std::shared_ptr<Connection> connection);
  void on_bytes(Side side, Bytes bytes);
  void on_closed(Side side, const std::string& reason);
  void on_drained(Side side);
  // Executes what the machine decided, until it has nothing more to say, and arms its timer.
  void settle();
  void move_to(const IpAddr& address, IfIndex link);
  void lose_link();
  void set_password(const std::string& password);
  void execute(Action& action, bool& skip_routes);
  void start_connecting();
  void write(Side side, SharedBytes bytes);
  void close(Side side);
  void on_up(const SessionUp& up);
  void on_down(const SessionDown& down);
  void on_update(const UpdateReceived& update, bool& skip_routes);
  void on_end_of_rib(AfiSafi family);
  void on_limit();
  void watch_limit();
  // Routes of a peer that is away, or is back and has not said them again.
  void keep(Family family);
  void keep_longer(Family family);
  void drop_stale(Family family);
  void drop_what_was_not_kept(const Open& open);
  void leave_table();
  void arm_stale_timer();
  void expire_stale();
  void note(const std::string& what);
  [[nodiscard]] std::string trouble() const;
  void arm_timer();
  [[nodiscard]] mrt::Ends ends() const;
  [[nodiscard]] RibPeer table_peer() const;  // without what each session brings
  // Recording (bgp/monitor/record.h): begins where the peer has no session, nor routes of one.
  void set_recorder();
  [[nodiscard]] bool may_begin_record() const;
  void begin_record();
  void start_machine();  // with a record where one is asked for
  void review_record();
  [[nodiscard]] std::string record_text() const;

  SpeakerServices services_;
  PeerConfig config_;
  PeerId id_;
  IpAddr address_;
  IfIndex link_;
  std::optional<LinkNeighbor> moved_;  // to be followed when the session has ended
  RecordedPeer machine_;
  std::shared_ptr<Recorder> recorder_;
  std::array<Wire, kSides> wires_;
  std::unique_ptr<Connecting> connecting_;
  boost::asio::steady_timer timer_;
  boost::asio::steady_timer stale_timer_;
  bool timer_armed_ = false;
  bool stopped_ = false;
  bool in_table_ = false;  // the table knows this peer, established or restarting

  SessionState state_ = SessionState::kIdle;
  std::chrono::system_clock::time_point since_ = std::chrono::system_clock::now();
  std::uint32_t flaps_ = 0;
  std::string ended_;       // why the last established session did
  std::string last_error_;  // of attempts since then
  std::vector<Flap> history_;
  std::string last_notification_;
  std::uint64_t messages_in_ = 0;
  std::uint64_t messages_out_ = 0;
  std::vector<std::string> malformed_;
  std::set<AfiSafi> end_of_rib_;
  RestartTimes restart_times_;  // of the peer, from its last OPEN
  bool notification_restart_ = false;
  std::map<Family, KeptFamily> kept_;  // while it is away, or is back and has not said the end
  bool over_limit_ = false;            // it told more prefixes than it should, and was not ended
  std::string shut_;                   // why it stays down until it is configured anew
  std::string local_address_;
  IpAddr local_;
};

}  // namespace margay::bgp
