#pragma once
// LoadPeer: one end of a BGP session made for measuring. It sends bytes that were encoded before
// and keeps one bit per prefix of what it is told, so that its own work does not hide the
// speaker's. Prefixes are numbered: number n is the n-th /24 from 11.0.0.0 on. It never blocks:
// whoever owns it waits (wait_for, LoadPeers) and calls pump(). Single-threaded.

#include "bgp/wire/message.h"

#include <chrono>
#include <cstdint>
#include <optional>
#include <vector>

namespace margay::bench {

// Long enough to be without keepalives in a measurement; with none at all GoBGP gives up.
inline constexpr std::uint16_t kLongHoldTime = 240;

[[nodiscard]] Prefix numbered_prefix(std::uint32_t number);
// Absent for a prefix below the first one.
[[nodiscard]] std::optional<std::uint32_t> number_of(const Prefix& prefix);

class LoadPeer {
 public:
  using Clock = std::chrono::steady_clock;
  struct Options {
    IpAddr local;
    IpAddr remote;
    Asn asn;
    Asn remote_asn;
    std::uint32_t prefixes = 0;   // numbers that may come
    std::uint32_t own_begin = 0;  // of these, those that it announces itself do not count
    std::uint32_t own_end = 0;
    std::uint16_t hold_time_s = 0;       // 0: no keepalives either way
    std::size_t read_bytes = 256 << 10;  // at most in one read
  };

  // Begins to connect.
  static Result<LoadPeer> connect(const Options& options);
  // Connects and establishes, as often as it takes until the deadline.
  static Result<LoadPeer> establish(const Options& options, Clock::time_point deadline);
  ~LoadPeer();
  LoadPeer(LoadPeer&& other) noexcept;
  LoadPeer& operator=(LoadPeer&& other) noexcept;
  LoadPeer(const LoadPeer&) = delete;
  LoadPeer& operator=(const LoadPeer&) = delete;

  [[nodiscard]] const Options& options() const { return options_; }
  [[nodiscard]] const bgp::CodecContext& context() const { return context_; }
  [[nodiscard]] bool connected() const { return !connecting_; }
  [[nodiscard]] bool heard() const { return opens_ != 0; }  // the speaker's OPEN
  [[nodiscard]] bool established() const { return opens_ != 0 && keepalives_ != 0 && greeted_; }
  void queue(bgp::Bytes bytes) { out_ = bytes; }  // once established; must stay until sent
  [[nodiscard]] bool sending() const { return connecting_ || !out_.empty(); }
  // Writes and reads what is possible now, a keepalive among it when a third of the hold time has
  // passed; an error when the session has ended, the end of a connection that the speaker did not
  // want among it, or when it was silent for longer than the hold time.
  Result<void> pump();
  // The longest that the speaker was silent since the session came up.
  [[nodiscard]] Clock::duration longest_silence() const { return longest_silence_; }
  [[nodiscard]] int descriptor() const { return fd_; }
  // Prefixes that are announced and not withdrawn.
  [[nodiscard]] std::uint32_t held() const { return held_; }

 private:
  LoadPeer() = default;
  static Result<LoadPeer> try_once(const Options& options, Clock::time_point deadline);
  Result<void> finish_connect();
  Result<void> on_frame(const bgp::Frame& frame);
  void on_open();
  void mark(bgp::Bytes nlri, bool announced);
  Result<void> send_some();
  Result<void> read_some();
  Result<void> keep_alive();

  Options options_;
  int fd_ = -1;
  bool connecting_ = false;
  bool greeted_ = false;  // our first KEEPALIVE is on its way
  bgp::CodecContext context_;
  std::vector<std::uint8_t> hello_;
  bgp::Bytes out_;
  std::vector<std::uint8_t> in_;
  std::size_t filled_ = 0;
  std::size_t opens_ = 0;
  std::size_t keepalives_ = 0;
  std::vector<bool> has_;
  std::uint32_t held_ = 0;
  Clock::duration hold_time_{};  // zero: none
  Clock::time_point told_{};     // the last keepalive of ours
  Clock::time_point heard_{};
  Clock::duration longest_silence_{};
};

// Waits until one of the peers can do something, at most until the deadline.
void wait_for(const std::vector<const LoadPeer*>& peers, LoadPeer::Clock::time_point deadline);

}  // namespace margay::bench
