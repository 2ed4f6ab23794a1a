#pragma once
// BfdPeers: the far ends of many BFD sessions with one speaker, on a thread of their own with
// real-time priority where that is permitted. Any of them falls silent and speaks again on demand;
// when the speaker found out is written down.

#include "base/ip_addr.h"
#include "bgp/bfd/session.h"

#include <atomic>
#include <chrono>
#include <cstddef>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

namespace margay::bench {

class BfdPeers {
 public:
  using Clock = std::chrono::steady_clock;
  struct Settings {
    std::vector<IpAddr> addresses;  // of this namespace
    IpAddr speaker;
    std::chrono::milliseconds interval{50};
    std::uint8_t multiplier = 3;
  };
  // Of one session that was silenced.
  struct Silence {
    std::optional<Clock::time_point> last_packet;  // the last one that it sent
    std::optional<Clock::time_point> detected;     // the speaker says that the session is down
  };

  static Result<std::unique_ptr<BfdPeers>> start(const Settings& settings);
  ~BfdPeers();
  BfdPeers(const BfdPeers&) = delete;
  BfdPeers& operator=(const BfdPeers&) = delete;

  // Sends nothing more from now on; speaks again, as after a start.
  void silence(std::size_t peer);
  void resume(std::size_t peer);
  [[nodiscard]] Silence silence_of(std::size_t peer) const;
  [[nodiscard]] bool all_up() const;
  // Sessions that went down, on either side, though nobody was silent.
  [[nodiscard]] unsigned false_alarms() const;

 private:
  struct Peer {
    int fd = -1;  // to send from
    bool silent = false;
    std::optional<bfd::Session> session;
    Silence silence;
  };

  BfdPeers() = default;
  Result<void> open(const Settings& settings);
  void serve(std::stop_token stop);
  void read_all();
  void on_packet(Peer& peer, const bfd::ControlPacket& packet, Clock::time_point now);
  void settle(Peer& peer);
  [[nodiscard]] std::optional<Clock::time_point> next_deadline() const;
  [[nodiscard]] bfd::SessionSettings settings_of(std::size_t peer) const;

  Settings settings_;
  int receiver_ = -1;
  mutable std::mutex mutex_;  // of all below
  std::vector<Peer> peers_;
  unsigned false_alarms_ = 0;
  std::jthread thread_;  // last: it uses the others
};

}  // namespace margay::bench
