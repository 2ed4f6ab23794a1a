#pragma once
// BmpExporter: one BMP session (RFC 7854) to one collector, on the loop of the speaker.
//
//   connect -> Initiation, Peer Up of every session -> the table, a slice per turn -> End-of-RIB
//                                                 \-> what comes meanwhile and from then on, as it
//                                                     comes
//
// The collector never holds up BGP: what it has not read is bounded. The dump waits for it; when
// live messages reach the bound, or it reads nothing for a while, the connection is given up, and
// the next one, after a pause that doubles, begins anew with the whole table. So a collector has
// either everything or knows that it has not. Internal to bgp/.

#include "base/byte_io.h"
#include "bgp/monitor/adj_in.h"
#include "bgp/monitor/bmp.h"
#include "bgp/monitor/settings.h"
#include "bgp/monitored.h"
#include "bgp/net/transport.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <set>
#include <string>

namespace margay::bgp {

class BmpExporter : public std::enable_shared_from_this<BmpExporter> {
 public:
  using Report = std::function<void(const std::string& what)>;  // for the log

  BmpExporter(boost::asio::io_context& loop,
              Transport& transport,
              const Monitored& monitored,
              BmpSettings settings,
              Report report);

  void start();
  void stop();  // says so to the collector; final

  void on_up(const MonitoredSession& session);
  // The session is still among the monitored ones.
  void on_down(const MonitoredSession& session, const bmp::PeerDownReason& reason);
  void on_update(const MonitoredSession& session, Bytes body);
  // The table has taken the UPDATE.
  void on_updated(const MonitoredSession& session, const UpdateSubject& subject);
  // Other import filters: what they leave is told again.
  void on_refiltered(const MonitoredSession& session);
  // The table is another one; there are no sessions now.
  void on_new_table();

  [[nodiscard]] const BmpSettings& settings() const { return settings_; }
  [[nodiscard]] BmpStatus status() const;

 private:
  static constexpr std::chrono::milliseconds kFirstPause{1000};  // before the next attempt

  // A walk over the table.
  struct Walk {
    std::uint32_t at = 0;
    std::set<PeerId> peers;
    bool first = true;  // the dump after connecting; else after a change of filters
  };

  void connect();
  void on_connected(std::shared_ptr<Connection> connection);
  void on_lost(const std::string& why);
  void retry();
  void give_up(const std::string& why);
  void greet();
  void write_peer_up(const MonitoredSession& session);
  void tell(const MonitoredSession& session, bool post_policy, Bytes updates, bool now);
  [[nodiscard]] bmp::PeerHeader header(const MonitoredSession& session,
                                       bool post_policy,
                                       bool now) const;
  void schedule_walk();
  void walk_slice();
  void end_walk(const Walk& walk);
  void schedule_flush();
  void flush();
  void tick();
  void arm_tick();
  void report_statistics();

  boost::asio::io_context& loop_;
  Transport& transport_;
  const Monitored& monitored_;
  BmpSettings settings_;
  Report report_;
  std::unique_ptr<Connecting> connecting_;
  std::shared_ptr<Connection> connection_;
  boost::asio::steady_timer retry_timer_;
  boost::asio::steady_timer tick_timer_;
  ByteWriter pending_;  // of this turn of the loop
  bool flush_scheduled_ = false;
  bool walk_scheduled_ = false;
  bool stopped_ = false;
  bool failed_ = false;  // and the log knows
  std::deque<Walk> walks_;
  std::chrono::milliseconds pause_;
  std::chrono::system_clock::time_point since_ = std::chrono::system_clock::now();
  std::chrono::steady_clock::time_point progress_;    // when the collector read something last
  std::chrono::steady_clock::time_point statistics_;  // when they are due
  std::uint64_t queued_bytes_ = 0;                    // on this connection, ever
  std::uint64_t written_bytes_ = 0;                   // as last seen
  std::uint64_t messages_ = 0;
  std::uint32_t lost_ = 0;
  std::string last_error_;
};

}  // namespace margay::bgp
