#pragma once
// Engine: BFD sessions on a thread of their own, so that nothing the speaker is busy with delays a
// packet (RFC 5881 single hop, RFC 5883 multihop).
//
// Given the peers that are wanted, as often as they change; out come changes of state. The thread
// runs with real-time priority where that is permitted. All functions may be called from any
// thread; callbacks run on the engine's and must not block.

#include "base/ip_addr.h"
#include "base/strong.h"
#include "bgp/bfd/session.h"

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace margay::bfd {

// Where a session leads to: one for each.
struct Remote {
  IpAddr address;
  IfIndex link = {};  // of a link-local address
  auto operator<=>(const Remote&) const = default;
};

struct PeerConfig {
  Remote remote;
  std::optional<IpAddr> local;   // source of our packets; absent: the kernel chooses
  std::optional<bool> multihop;  // absent: unless the address is on a network of ours
  std::chrono::microseconds interval{300000};
  std::uint8_t multiplier = 3;
  bool operator==(const PeerConfig&) const = default;
};

class Engine {
 public:
  struct Callbacks {
    std::function<void(const Remote& remote, const Change& change)> on_change;
    std::function<void(const Error& error)> on_error;  // a socket that cannot be had
  };

  explicit Engine(Callbacks callbacks);
  // Peers are told that we go on purpose (AdminDown).
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  void configure(std::vector<PeerConfig> peers);

 private:
  class Loop;
  std::shared_ptr<Loop> loop_;
};

}  // namespace margay::bfd
