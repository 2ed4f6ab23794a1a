#include "tests/flow/bgp/network.h"

#include <algorithm>
#include <utility>

namespace margay::bgp::test {

namespace {

std::size_t index(Side side) {
  return static_cast<std::size_t>(side);
}
std::uint32_t number(const IpAddr& address) {
  std::uint32_t value = 0;
  for (const std::uint8_t byte : address.bytes()) {
    value = value << 8U | byte;
  }
  return value;
}

}  // namespace

Network::NodeIndex Network::add_node(Asn asn) {
  const RouterId id{number(address(nodes_.size()))};
  nodes_.push_back(std::unique_ptr<Node>(new Node{asn, Rib({asn, id, id, 16}), {}, {}}));
  return nodes_.size() - 1;
}

void Network::link(NodeIndex a, NodeIndex b, const LinkOptions& options) {
  PeerSettings settings;
  settings.session.hold_time_s = options.hold_time_s;
  add_neighbor(a, b, settings, options.b_is_client);
  settings.passive = options.b_is_passive;
  add_neighbor(b, a, settings, false);
}

void Network::add_neighbor(NodeIndex node,
                           NodeIndex other,
                           const PeerSettings& settings,
                           bool client) {
  PeerSettings own = settings;
  own.session.local_asn = nodes_[node]->asn;
  own.session.remote_asn = nodes_[other]->asn;
  own.session.local_id = RouterId{number(address(node))};
  own.seed = static_cast<std::uint32_t>(random_());
  const PeerId id{static_cast<std::uint16_t>(other + 1)};
  auto& neighbor = nodes_[node]
                       ->neighbors.emplace(other, Neighbor{id, Peer(own), client, {}, {}, false})
                       .first->second;
  neighbor.machine.start(now_);
  settle(node, other);
}

SessionState Network::state(NodeIndex node, NodeIndex other) const {
  return nodes_[node]->neighbors.at(other).machine.state();
}

std::size_t Network::open_connections() const {
  return static_cast<std::size_t>(std::ranges::count_if(
      pipes_, [](const auto& pipe) { return !pipe->closed[0] && !pipe->closed[1]; }));
}

void Network::settle(NodeIndex node, NodeIndex other) {
  Neighbor& neighbor = nodes_[node]->neighbors.at(other);
  bool skip_routes = false;
  for (Actions actions = neighbor.machine.take_actions(); !actions.empty();
       actions = neighbor.machine.take_actions()) {
    for (Action& action : actions) {
      execute({node, other, Side::kOutgoing}, action, skip_routes);
    }
  }
}

void Network::execute(const End& end, Action& action, bool& skip_routes) {
  Node& node = *nodes_[end.node];
  Neighbor& neighbor = node.neighbors.at(end.other);
  if (std::holds_alternative<StartConnect>(action)) {
    neighbor.wants_connection = true;
  } else if (std::holds_alternative<CancelConnect>(action)) {
    neighbor.wants_connection = false;
  } else if (const auto* bytes = std::get_if<SendBytes>(&action)) {
    send(end.node, end.other, bytes->side, bytes->bytes);
  } else if (const auto* closing = std::get_if<CloseConnection>(&action)) {
    if (const auto pipe = std::exchange(neighbor.pipes[index(closing->side)], nullptr)) {
      const bool first = pipe->ends[0].node == end.node;
      pipe->closed[first ? 0 : 1] = true;
    }
    neighbor.partial[index(closing->side)].clear();
  } else if (const auto* up = std::get_if<SessionUp>(&action)) {
    on_up(end, up->facts);
  } else if (const auto* down = std::get_if<SessionDown>(&action)) {
    if (down->was_established) {
      node.rib.peer_down(neighbor.id);
    }
  } else if (const auto* update = std::get_if<UpdateReceived>(&action); update && !skip_routes) {
    const auto report = node.rib.update(neighbor.id, update->body);
    if (!report) {
      skip_routes = true;
      neighbor.machine.on_update_error(report.error(), now_);
    }
  }
}

void Network::on_up(const End& end, const Negotiated& facts) {
  Node& node = *nodes_[end.node];
  const Neighbor& neighbor = node.neighbors.at(end.other);
  RibPeer peer;
  peer.id = neighbor.id;
  peer.codec = facts.codec;
  peer.router_id = facts.peer.id;
  peer.address = address(end.other);
  peer.reflector_client = neighbor.client;
  node.rib.peer_up(peer);
}

void Network::send(NodeIndex node, NodeIndex other, Side side, Bytes bytes) {
  const auto& pipe = nodes_[node]->neighbors.at(other).pipes[index(side)];
  if (pipe) {
    auto& queue = pipe->towards[pipe->ends[0].node == node ? 1 : 0];
    queue.insert(queue.end(), bytes.begin(), bytes.end());
  }
}

bool Network::connect_all() {
  bool any = false;
  for (NodeIndex node = 0; node < nodes_.size(); ++node) {
    for (auto& entry : nodes_[node]->neighbors) {
      const NodeIndex other = entry.first;
      Neighbor& from = entry.second;
      if (silent_ || !std::exchange(from.wants_connection, false)) {
        continue;
      }
      any = true;
      Neighbor& to = nodes_[other]->neighbors.at(node);
      if (!to.machine.accepts_incoming()) {
        from.machine.on_connect_failed(now_);
        settle(node, other);
        continue;
      }
      const auto pipe = std::make_shared<Pipe>();
      pipe->ends = {End{node, other, Side::kOutgoing}, End{other, node, Side::kIncoming}};
      pipes_.push_back(pipe);
      from.pipes[index(Side::kOutgoing)] = pipe;
      to.pipes[index(Side::kIncoming)] = pipe;
      from.machine.on_connected(Side::kOutgoing, {address(node), address(other)}, now_);
      settle(node, other);
      to.machine.on_connected(Side::kIncoming, {address(other), address(node)}, now_);
      settle(other, node);
    }
  }
  return any;
}

bool Network::deliver_all() {
  bool any = false;
  for (std::size_t i = 0; i < pipes_.size() && !silent_; ++i) {
    const auto pipe = pipes_[i];
    any = deliver(*pipe, 0) || any;
    any = deliver(*pipe, 1) || any;
    if (reset_at_ != 0 && carried_ >= reset_at_) {
      reset_at_ = 0;
      reset_connections();
      return true;
    }
  }
  std::erase_if(pipes_, [](const auto& pipe) { return pipe->closed[0] && pipe->closed[1]; });
  return any;
}

bool Network::deliver(Pipe& pipe, std::size_t reader) {
  if (pipe.closed[reader]) {
    return false;
  }
  const End end = pipe.ends[reader];
  Neighbor& neighbor = nodes_[end.node]->neighbors.at(end.other);
  auto& queue = pipe.towards[reader];
  if (queue.empty()) {
    if (!pipe.closed[1 - reader]) {
      return false;
    }
    pipe.closed[reader] = true;
    neighbor.pipes[index(end.side)] = nullptr;
    neighbor.partial[index(end.side)].clear();
    neighbor.machine.on_closed(end.side, "closed by the peer", now_);
    settle(end.node, end.other);
    return true;
  }
  const std::size_t most = piece_ != 0 ? piece_ : 1 + random_() % 64;
  const auto size = static_cast<std::ptrdiff_t>(std::min(most, queue.size()));
  std::vector<std::uint8_t> bytes = std::exchange(neighbor.partial[index(end.side)], {});
  bytes.insert(bytes.end(), queue.begin(), queue.begin() + size);
  queue.erase(queue.begin(), queue.begin() + size);
  carried_ += static_cast<std::size_t>(size);
  const std::size_t used = neighbor.machine.on_bytes(end.side, bytes, now_);
  settle(end.node, end.other);
  if (!pipe.closed[reader]) {
    neighbor.partial[index(end.side)].assign(bytes.begin() + static_cast<std::ptrdiff_t>(used),
                                             bytes.end());
  }
  return true;
}

void Network::reset_connections() {
  for (const auto& pipe : std::exchange(pipes_, {})) {
    for (std::size_t i = 0; i < pipe->ends.size(); ++i) {
      const End end = pipe->ends[i];
      if (std::exchange(pipe->closed[i], true)) {
        continue;
      }
      Neighbor& neighbor = nodes_[end.node]->neighbors.at(end.other);
      neighbor.pipes[index(end.side)] = nullptr;
      neighbor.partial[index(end.side)].clear();
      neighbor.machine.on_closed(end.side, "connection reset", now_);
      settle(end.node, end.other);
    }
  }
}

bool Network::flush_all() {
  bool any = false;
  for (NodeIndex node = 0; node < nodes_.size(); ++node) {
    Node& self = *nodes_[node];
    for (const PeerOutput& output : self.rib.take_output()) {
      any = true;
      const NodeIndex other = output.peer.value() - 1U;
      if (const auto side = self.neighbors.at(other).machine.established_side()) {
        send(node, other, *side, *output.bytes);
      }
    }
    for (FibChange& change : self.rib.take_fib_changes()) {
      if (change.next_hops.empty()) {
        self.kernel.erase(change.prefix);
      } else {
        self.kernel[change.prefix] = std::move(change.next_hops);
      }
    }
  }
  return any;
}

void Network::fire_deadlines() {
  for (NodeIndex node = 0; node < nodes_.size(); ++node) {
    for (auto& entry : nodes_[node]->neighbors) {
      const auto deadline = entry.second.machine.next_deadline();
      if (deadline && *deadline <= now_) {
        entry.second.machine.on_deadline(now_);
        settle(node, entry.first);
      }
    }
  }
}

TimePoint Network::next_event(TimePoint end) const {
  TimePoint next = end;
  for (const auto& node : nodes_) {
    for (const auto& entry : node->neighbors) {
      next = std::min(next, entry.second.machine.next_deadline().value_or(end));
    }
  }
  return next;
}

void Network::run(Duration duration) {
  const TimePoint end = now_ + duration;
  while (true) {
    bool busy = true;
    while (busy) {
      busy = connect_all();
      busy = deliver_all() || busy;
      busy = flush_all() || busy;
    }
    if (now_ >= end) {
      return;
    }
    now_ = std::max(now_, next_event(end));
    fire_deadlines();
  }
}

}  // namespace margay::bgp::test
