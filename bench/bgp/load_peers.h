#pragma once
// LoadPeers: many LoadPeers of one process, waited for together.
//
// The first one knocks until the speaker listens; then the others come, as many at a time as asked
// for: a place is free when the speaker has sent its OPEN. A connection that is refused, or ends,
// is made anew a moment later; that a session ended which was up is told. Single-threaded.

#include "bench/bgp/load_peer.h"

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace margay::bench {

class LoadPeers {
 public:
  using Clock = LoadPeer::Clock;
  struct Lost {
    std::size_t peer = 0;
    Clock::time_point at;
    std::string why;
  };

  // Some speakers take no more than a handful of connections in one go (listen backlog), and a
  // kernel whose SYN found no room tries again after seconds.
  static constexpr std::size_t kFew = 4;
  static Result<std::unique_ptr<LoadPeers>> start(std::vector<LoadPeer::Options> options,
                                                  std::size_t at_once = kFew);
  ~LoadPeers();
  LoadPeers(const LoadPeers&) = delete;
  LoadPeers& operator=(const LoadPeers&) = delete;

  // Readable when step() has something to do, except to try again.
  [[nodiscard]] int descriptor() const { return epoll_; }
  [[nodiscard]] std::size_t size() const { return places_.size(); }
  [[nodiscard]] std::size_t established() const { return established_; }
  [[nodiscard]] std::uint32_t held(std::size_t peer) const;
  // When the speaker was found to listen.
  [[nodiscard]] Clock::time_point opened_at() const { return opened_at_; }
  // The bytes must stay until sent; the peer is established.
  void send(std::size_t peer, bgp::Bytes bytes);
  // Ends the connection, as if the peer had died; it comes again a moment later.
  void drop(std::size_t peer);
  // Waits until something can be done, at most until the deadline, and does it.
  Result<void> step(Clock::time_point deadline);
  // Steps until the condition holds; fails at the deadline.
  Result<void> until(const std::function<bool()>& condition, Clock::time_point deadline);
  // Those that have come up, and the sessions that have ended, since the last call.
  [[nodiscard]] std::vector<std::size_t> take_established();
  [[nodiscard]] std::vector<Lost> take_lost();

 private:
  struct Place {
    LoadPeer::Options options;
    std::optional<LoadPeer> peer;  // absent: until `retry`, or until the door is open
    Clock::time_point retry{};
    bool heard = false;
    bool up = false;
    bool asks_to_write = false;
    std::string why;  // the last attempt failed
  };

  LoadPeers(int epoll, std::size_t at_once) : epoll_(epoll), at_once_(at_once) {}
  Result<void> begin(std::size_t peer);
  Result<void> begin_due();
  void pump(std::size_t peer);
  void watch(std::size_t peer, bool added);
  void give_up(std::size_t peer, const std::string& why);
  void close(std::size_t peer);

  int epoll_;
  std::size_t at_once_;
  bool open_ = false;  // the speaker listens
  Clock::time_point opened_at_{};
  std::vector<Place> places_;
  std::size_t waiting_ = 0;  // places without a peer
  std::size_t unheard_ = 0;  // peers that have not been answered yet
  std::size_t established_ = 0;
  std::vector<std::size_t> fresh_;
  std::vector<Lost> lost_;
};

}  // namespace margay::bench
