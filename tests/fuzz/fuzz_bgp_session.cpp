// Three peers and their table, driven by a script of events: connections that come and go, bytes in
// pieces, time, what the operator does. The machines and the table must bear every script, what
// they send must be whole messages, and no deadline may be left behind.
#include "base/byte_io.h"
#include "bgp/fsm/peer.h"
#include "bgp/rib/rib.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <utility>

namespace {

using namespace margay;
using namespace margay::bgp;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::size_t kPeers = 3;
constexpr Asn kOurs{65000};

void require(bool condition) {
  if (!condition) {
    std::abort();
  }
}

enum class Op : std::uint8_t {
  kConnected,
  kConnectFailed,
  kClosed,
  kBytes,
  kOpen,
  kKeepalive,
  kTime,
  kStartStop,
  kOutput,
  kTable,
  kProbe,
  kSendProgress,
  kCount,
};

// One peer as its driver has it (bgp/speaker_peer.cpp), without sockets.
class Neighbour {
 public:
  Neighbour(std::size_t number, Rib& rib)
      : rib_(rib),
        id_(static_cast<std::uint16_t>(number + 1)),
        asn_(number == 0 ? kOurs : Asn{static_cast<std::uint32_t>(65000 + number)}),
        machine_(settings(number)) {}

  void start(TimePoint now) {
    machine_.start(now);
    settle(now);
  }
  void stop(TimePoint now) {
    machine_.stop(Notification::cease(CeaseError::kAdministrativeReset));
    settle(now);
  }
  void connected(Side side, TimePoint now) {
    if (side == Side::kOutgoing ? connecting_ : machine_.accepts_incoming() && !wire(side).up) {
      connecting_ = connecting_ && side != Side::kOutgoing;
      wire(side) = Wire{true, {}};
      machine_.on_connected(side, {IpAddr::v4(0x0A000001), address()}, now);
      settle(now);
    }
  }
  void connect_failed(TimePoint now) {
    if (std::exchange(connecting_, false)) {
      machine_.on_connect_failed(now);
      settle(now);
    }
  }
  void closed(Side side, TimePoint now) {
    if (wire(side).up) {
      wire(side) = {};
      machine_.on_closed(side, "closed by the script", now);
      settle(now);
    }
  }
  void bytes(Side side, Bytes more, TimePoint now) {
    if (!wire(side).up) {
      return;
    }
    std::vector<std::uint8_t> all = std::move(wire(side).partial);
    all.insert(all.end(), more.begin(), more.end());
    Bytes left(all);
    while (!left.empty() && wire(side).up) {
      const std::size_t used = machine_.on_bytes(side, left, now);
      require(used <= left.size());
      settle(now);
      if (used == 0) {
        break;
      }
      left = left.subspan(used);
    }
    if (wire(side).up) {
      wire(side).partial.assign(left.begin(), left.end());
    }
  }
  void time(TimePoint now) {
    machine_.on_deadline(now);
    settle(now);
    const auto next = machine_.next_deadline();
    require(!next || *next > now);
  }
  void probe(TimePoint now) {
    machine_.probe(now);
    settle(now);
  }
  void send_progress(Side side, bool progress, bool waiting, TimePoint now) {
    machine_.on_send_progress(side, progress, waiting, now);
  }
  [[nodiscard]] std::vector<std::uint8_t> open(std::uint8_t flavour) const {
    Open open{asn_, static_cast<std::uint16_t>((flavour & 1U) != 0 ? 90 : 0), remote_id(), {}};
    open.capabilities.emplace_back(MultiprotocolCapability{kIpv4Unicast});
    if ((flavour & 2U) != 0) {
      open.capabilities.emplace_back(MultiprotocolCapability{kIpv6Unicast});
    }
    if ((flavour & 4U) != 0) {
      open.capabilities.emplace_back(
          GracefulRestartCapability{.restart_time_s = 120, .entries = {{kIpv4Unicast, true}}});
    }
    if ((flavour & 8U) == 0) {
      open.capabilities.emplace_back(FourOctetAsCapability{asn_});
    }
    open.capabilities.emplace_back(RouteRefreshCapability{});
    return encode_open(open);
  }
  [[nodiscard]] PeerId id() const { return id_; }
  [[nodiscard]] bool in_table() const { return in_table_; }
  [[nodiscard]] bool established() const { return machine_.established_side().has_value(); }

 private:
  struct Wire {
    bool up = false;
    std::vector<std::uint8_t> partial;
  };

  static PeerSettings settings(std::size_t number) {
    PeerSettings settings;
    settings.session.local_asn = kOurs;
    settings.session.remote_asn =
        number == 0 ? kOurs : Asn{static_cast<std::uint32_t>(65000 + number)};
    settings.session.local_id = RouterId{0x0A000001};
    settings.session.graceful_restart_s = 120;
    settings.passive = number == 2;
    return settings;
  }
  [[nodiscard]] RouterId remote_id() const { return RouterId{0x0A000000U + 1U + id_.value()}; }
  [[nodiscard]] IpAddr address() const { return IpAddr::v4(0x0A000000U + 1U + id_.value()); }
  [[nodiscard]] Wire& wire(Side side) { return wires_.at(static_cast<std::size_t>(side)); }

  void settle(TimePoint now) {
    for (Actions actions = machine_.take_actions(); !actions.empty();
         actions = machine_.take_actions()) {
      bool skip = false;
      for (const Action& action : actions) {
        execute(action, skip, now);
      }
    }
  }
  void execute(const Action& action, bool& skip, TimePoint now) {
    if (std::holds_alternative<StartConnect>(action)) {
      connecting_ = true;
    } else if (std::holds_alternative<CancelConnect>(action)) {
      connecting_ = false;
    } else if (const auto* send = std::get_if<SendBytes>(&action)) {
      const auto frame = next_frame(send->bytes, true);
      require(frame && frame->has_value() && (*frame)->size == send->bytes.size());
    } else if (const auto* close = std::get_if<CloseConnection>(&action)) {
      wire(close->side) = {};
    } else if (const auto* up = std::get_if<SessionUp>(&action)) {
      RibPeer peer;
      peer.id = id_;
      peer.codec = up->facts.codec;
      peer.router_id = up->facts.peer.id;
      peer.address = address();
      peer.reflector_client = id_.value() == 1;
      peer.max_prefixes = 1000;
      rib_.peer_up(peer);
      in_table_ = true;
    } else if (const auto* down = std::get_if<SessionDown>(&action)) {
      on_down(*down);
    } else if (const auto* update = std::get_if<UpdateReceived>(&action); update && !skip) {
      if (const auto report = rib_.update(id_, update->body); !report) {
        skip = true;
        machine_.on_update_error(report.error(), now);
      }
    } else if (const auto* refresh = std::get_if<RefreshReceived>(&action); refresh && !skip) {
      rib_.refresh(id_, refresh->refresh.family == kIpv6Unicast ? Family::kIpv6 : Family::kIpv4);
    }
  }
  void on_down(const SessionDown& down) {
    if (!down.was_established) {
      return;
    }
    if (!down.sent && !down.received) {
      rib_.peer_restarting(id_);
    } else {
      rib_.peer_down(id_);
      in_table_ = false;
    }
  }

  Rib& rib_;
  PeerId id_;
  Asn asn_;
  Peer machine_;
  std::array<Wire, 2> wires_;
  bool connecting_ = false;
  bool in_table_ = false;
};

class Script {
 public:
  explicit Script(Bytes bytes) : in_(bytes) {
    for (std::size_t i = 0; i < kPeers; ++i) {
      peers_.at(i) = std::make_unique<Neighbour>(i, rib_);
      peers_.at(i)->start(now_);
    }
  }

  void run() {
    while (!in_.empty() && in_.ok()) {
      step();
    }
    take_output();
  }

 private:
  // One byte: the operation and the peer; one byte: how.
  void step() {
    const std::uint8_t first = in_.u8();
    const auto op = static_cast<Op>(first / kPeers % static_cast<unsigned>(Op::kCount));
    Neighbour& peer = *peers_.at(first % kPeers);
    const std::uint8_t how = in_.u8();
    const Side side = (how & 0x80U) != 0 ? Side::kIncoming : Side::kOutgoing;
    switch (op) {
      case Op::kConnected:
        return peer.connected(side, now_);
      case Op::kConnectFailed:
        return peer.connect_failed(now_);
      case Op::kClosed:
        return peer.closed(side, now_);
      case Op::kBytes: {
        const std::size_t size = in_.u16();
        return peer.bytes(side, in_.bytes(std::min<std::size_t>(size, in_.remaining())), now_);
      }
      case Op::kOpen:
        return peer.bytes(side, peer.open(how), now_);
      case Op::kKeepalive:
        return peer.bytes(side, encode_keepalive(), now_);
      case Op::kTime:
        return pass_time((how & 0x80U) != 0 ? Duration(seconds(how)) : Duration(milliseconds(how)));
      case Op::kStartStop:
        return (how & 1U) != 0 ? peer.start(now_) : peer.stop(now_);
      case Op::kOutput:
        return take_output();
      case Op::kTable:
        return table(peer, how);
      case Op::kProbe:
        return peer.probe(now_);
      case Op::kSendProgress:
        return peer.send_progress(side, (how & 1U) != 0, (how & 2U) != 0, now_);
      case Op::kCount:
        return;
    }
  }

  void pass_time(Duration span) {
    now_ += span;
    for (const auto& peer : peers_) {
      peer->time(now_);
    }
  }

  void table(const Neighbour& peer, std::uint8_t how) {
    const Prefix prefix = Prefix::masked(IpAddr::v4(0xC6336400U + (how & 0xF0U)), 28);
    switch (how % 6U) {
      case 0:
        return rib_.originate(prefix);
      case 1:
        return rib_.withdraw(prefix);
      case 2:
        return rib_.pause(peer.id());
      case 3:
        return rib_.resume(peer.id());
      case 4:
        return rib_.drop_stale(peer.id(), Family::kIpv4);
      default:
        if (peer.in_table()) {
          rib_.refresh(peer.id(), Family::kIpv4);
        }
    }
  }

  void take_output() {
    for (const PeerOutput& output : rib_.take_output()) {
      for (Bytes left(*output.bytes); !left.empty();) {
        const auto frame = next_frame(left, true);
        require(frame && frame->has_value());
        left = left.subspan((*frame)->size);
      }
    }
    for (const FibChange& change : rib_.take_fib_changes()) {
      require(std::is_sorted(change.next_hops.begin(), change.next_hops.end()));
    }
    std::size_t paths = 0;
    for (const RouteView& route : rib_.routes()) {
      paths += route.paths.size();
    }
    require(paths == rib_.path_count());
  }

  ByteReader in_;
  TimePoint now_ = TimePoint() + seconds(1000);
  Rib rib_{RibOptions{
      .asn = kOurs, .router_id = RouterId{0x0A000001}, .cluster_id = RouterId{0x0A000001}}};
  std::array<std::unique_ptr<Neighbour>, kPeers> peers_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Script(Bytes(data, size)).run();
  return 0;
}
