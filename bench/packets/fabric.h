#pragma once
// Two nodes with a wire between them and a pod on each: the path of packets between nodes, with and
// without overlay and bridge. A server in the far pod answers every byte over TCP.

#include "base/ip_addr.h"
#include "base/result.h"
#include "kernel/netns.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

namespace margay::bench {

class Fabric {
 public:
  static constexpr std::uint16_t kPort = 5000;

  enum class Kind : std::uint8_t {
    kRouted,  // a route to each pod's link, and over the wire to the other node's
    kBridge,  // pods on a bridge, the other node's network routed over the wire (host-gw)
    kVxlan,   // pods on a bridge, the other node's network behind a VXLAN device
  };
  static Result<std::unique_ptr<Fabric>> create(Kind kind);
  ~Fabric();
  Fabric(const Fabric&) = delete;
  Fabric& operator=(const Fabric&) = delete;

  // Inside one node after the other.
  Result<void> in_nodes(const std::function<Result<void>()>& function) const;

  // Microseconds of each of `count` exchanges of one byte each way over one connection.
  Result<std::vector<double>> request_response(unsigned count) const;
  // The same, each over a connection of its own: connect, ask, be answered, close.
  Result<std::vector<double>> connect_request_response(unsigned count) const;

 private:
  struct Side {
    NetNs pod;
    NetNs node;
  };
  Fabric(Kind kind, Side near, Side far)
      : kind_(kind), near_(std::move(near)), far_(std::move(far)) {}
  Result<void> connect() const;
  Result<void> connect_side(unsigned number) const;
  Result<void> serve();
  [[nodiscard]] IpAddr server() const;

  Kind kind_;
  Side near_;
  Side far_;
  int listener_ = -1;
  std::thread server_;
};

}  // namespace margay::bench
