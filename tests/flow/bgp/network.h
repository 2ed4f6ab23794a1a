#pragma once
// Network: whole speakers (session machines and tables, no sockets) joined back to back in memory,
// with the time under the test's control. Bytes travel in pieces of a chosen size; links can be
// reset or go silent. Everything happens inside run(), in a fixed order.

#include "bgp/fsm/peer.h"
#include "bgp/rib/rib.h"

#include <array>
#include <deque>
#include <map>
#include <memory>
#include <random>
#include <vector>

namespace margay::bgp::test {

class Network {
 public:
  using NodeIndex = std::size_t;
  struct LinkOptions {
    bool b_is_client = false;  // of a's reflection
    bool b_is_passive = false;
    std::uint16_t hold_time_s = 90;
  };

  // piece: at most so many bytes arrive at once; 0: a random number.
  explicit Network(std::size_t piece = 4096, std::uint32_t seed = 1)
      : piece_(piece), random_(seed) {}

  NodeIndex add_node(Asn asn);
  void link(NodeIndex a, NodeIndex b, const LinkOptions& options);
  void link(NodeIndex a, NodeIndex b) { link(a, b, LinkOptions()); }
  void run(Duration duration);

  [[nodiscard]] Rib& rib(NodeIndex node) { return nodes_[node]->rib; }
  // What the kernel of a node would hold: next hops by prefix.
  [[nodiscard]] const std::map<Prefix, std::vector<NextHop>>& kernel(NodeIndex node) const {
    return nodes_[node]->kernel;
  }
  [[nodiscard]] static IpAddr address(NodeIndex node) {
    return IpAddr::v4(0x0A000001U + static_cast<std::uint32_t>(node));
  }
  [[nodiscard]] SessionState state(NodeIndex node, NodeIndex other) const;
  [[nodiscard]] std::size_t open_connections() const;
  [[nodiscard]] std::size_t bytes_carried() const { return carried_; }

  // All connections end, as by a RST.
  void reset_connections();
  // Once, when so many bytes have been carried.
  void reset_after(std::size_t bytes) { reset_at_ = bytes; }
  // Nothing arrives any more and no connection is made, but none is closed.
  void set_silent(bool silent) { silent_ = silent; }

 private:
  struct End {
    NodeIndex node = 0;
    NodeIndex other = 0;
    Side side = Side::kOutgoing;
  };
  struct Pipe {
    std::array<End, 2> ends;
    std::array<std::deque<std::uint8_t>, 2> towards;  // by the end that reads
    std::array<bool, 2> closed{};                     // by that end
  };
  struct Neighbor {
    PeerId id;
    Peer machine;
    bool client = false;
    std::array<std::shared_ptr<Pipe>, 2> pipes;
    std::array<std::vector<std::uint8_t>, 2> partial;
    bool wants_connection = false;
  };
  struct Node {
    Asn asn;
    Rib rib;
    std::map<NodeIndex, Neighbor> neighbors;
    std::map<Prefix, std::vector<NextHop>> kernel;
  };

  void add_neighbor(NodeIndex node, NodeIndex other, const PeerSettings& settings, bool client);
  void settle(NodeIndex node, NodeIndex other);
  void execute(const End& end, Action& action, bool& skip_routes);
  void on_up(const End& end, const Negotiated& facts);
  void send(NodeIndex node, NodeIndex other, Side side, Bytes bytes);
  bool connect_all();
  bool deliver_all();
  bool deliver(Pipe& pipe, std::size_t reader);
  bool flush_all();
  void fire_deadlines();
  [[nodiscard]] TimePoint next_event(TimePoint end) const;

  std::size_t piece_;
  std::minstd_rand random_;
  TimePoint now_{std::chrono::seconds(1000)};
  std::vector<std::unique_ptr<Node>> nodes_;
  std::vector<std::shared_ptr<Pipe>> pipes_;
  std::size_t carried_ = 0;
  std::size_t reset_at_ = 0;
  bool silent_ = false;
};

}  // namespace margay::bgp::test
