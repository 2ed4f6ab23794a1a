#pragma once
// Monitoring: everything that looks at sessions from outside: BMP collectors, MRT files, records of
// peers. A peer tells it what happens (bgp/speaker_peer.h); where nobody listens that costs a
// comparison. Lives on the speaker's loop. Internal to bgp/.

#include "bgp/bmp_exporter.h"
#include "bgp/mrt_dumper.h"
#include "bgp/recorder.h"

#include <boost/asio/io_context.hpp>

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace margay::bgp {

class Monitoring {
 public:
  // For the log: "bmp 192.0.2.1:11019", "connection refused".
  using Report = std::function<void(const std::string& what, const std::string& why)>;

  Monitoring(boost::asio::io_context& loop, Report report);

  // Touches only what changed.
  void configure(const std::vector<BmpSettings>& bmp, const std::optional<MrtSettings>& mrt);
  // The table was made anew; there are no sessions.
  void set_table(const Rib& rib, Asn asn, RouterId router_id);
  // Collectors are told that it is the end.
  void stop();

  // ---- what peers tell
  void on_state(const mrt::Ends& ends, SessionState from, SessionState to);
  void on_up(MonitoredSession session);
  void on_down(PeerId id, const SessionDown& down);
  void on_update(PeerId id, Bytes body);
  // The table took it; what it said was malformed.
  void on_updated(PeerId id, Bytes body, const UpdateReport& report);
  void on_refiltered(PeerId id);
  [[nodiscard]] std::shared_ptr<Recorder> recorder(const RecordSettings& settings,
                                                   const std::string& peer);

  [[nodiscard]] std::vector<BmpStatus> bmp_status() const;
  [[nodiscard]] std::optional<MrtStatus> mrt_status() const;
  void dump_table(MrtDumper::OnDumped on_dumped);

 private:
  [[nodiscard]] FileThread& files();

  boost::asio::io_context& loop_;
  Report report_;
  Transport transport_;
  Monitored monitored_;
  std::unique_ptr<FileThread> files_;  // once something needs it
  std::vector<std::shared_ptr<BmpExporter>> exporters_;
  std::shared_ptr<MrtDumper> dumper_;
};

}  // namespace margay::bgp
