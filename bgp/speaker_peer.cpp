#include "bgp/speaker_peer.h"

#include <algorithm>
#include <utility>

namespace margay::bgp {

namespace asio = boost::asio;

namespace {

constexpr std::size_t kMaxMalformed = 16;         // kept for people
constexpr std::chrono::seconds kStaleLimit{120};  // for a peer that is back to say its table

// The time a peer asked us to keep its routes while it restarts (RFC 4724 section 3); 0: not at
// all.
std::chrono::seconds restart_time_of(const Open& open) {
  for (const Capability& capability : open.capabilities) {
    if (const auto* restart = std::get_if<GracefulRestartCapability>(&capability);
        restart != nullptr && !restart->entries.empty()) {
      return std::chrono::seconds(restart->restart_time_s);
    }
  }
  return {};
}

}  // namespace

SpeakerPeer::SpeakerPeer(SpeakerServices services,
                         PeerConfig config,
                         PeerId id,
                         const PeerSettings& settings)
    : services_(std::move(services)),
      config_(std::move(config)),
      id_(id),
      machine_(settings),
      timer_(services_.loop),
      stale_timer_(services_.loop) {}

void SpeakerPeer::start() {
  set_recorder();
  if (recorder_) {
    begin_record();
    return;
  }
  machine_.start(Clock::now());
  settle();
}

void SpeakerPeer::stop(const std::optional<Notification>& reason) {
  const auto self = shared_from_this();
  if (reason) {
    machine_.stop(*reason);
    settle();
  }
  stopped_ = true;
  machine_.end("the peer was stopped");
  if (recorder_) {
    recorder_->flush();
  }
  timer_.cancel();
  stale_timer_.cancel();
  connecting_.reset();
  for (Wire& wire : wires_) {
    if (wire.connection) {
      std::exchange(wire.connection, nullptr)->close();
    }
  }
  if (std::exchange(in_table_, false)) {
    services_.rib.peer_down(id_);
    services_.schedule_flush();
  }
}

void SpeakerPeer::on_incoming(std::shared_ptr<Connection> connection) {
  if (!machine_.accepts_incoming() || wire(Side::kIncoming).connection) {
    connection->send(
        std::make_shared<const std::vector<std::uint8_t>>(Peer::connection_rejected()));
    connection->close();
    machine_.probe(Clock::now());
    settle();
    return;
  }
  const SocketOptions options{config_.password, config_.ttl, config_.ttl_security_hops};
  if (auto applied = Transport::apply(options, *connection); !applied) {
    last_error_ = applied.error().text;
    connection->close();
    return;
  }
  attach(Side::kIncoming, std::move(connection));
}

void SpeakerPeer::attach(Side side, std::shared_ptr<Connection> connection) {
  Wire& wire = this->wire(side);
  wire.connection = std::move(connection);
  wire.partial.clear();
  local_ = wire.connection->local_address();
  local_address_ = local_.str();
  const std::weak_ptr<SpeakerPeer> weak = weak_from_this();
  Connection::Handlers handlers;
  handlers.on_bytes = [weak, side](Bytes bytes) {
    if (const auto self = weak.lock()) {
      self->on_bytes(side, bytes);
    }
  };
  handlers.on_closed = [weak, side](const std::string& reason) {
    if (const auto self = weak.lock()) {
      self->on_closed(side, reason);
    }
  };
  handlers.on_drained = [weak, side] {
    if (const auto self = weak.lock()) {
      self->machine_.on_send_progress(side, true, false, Clock::now());
      self->arm_timer();
    }
  };
  const Endpoints endpoints{wire.connection->local_address(), wire.connection->remote_address()};
  wire.connection->start(std::move(handlers));
  machine_.on_connected(side, endpoints, Clock::now());
  settle();
}

void SpeakerPeer::on_bytes(Side side, Bytes bytes) {
  // Usually whole messages come: only what is left over is copied.
  std::vector<std::uint8_t> joined;
  if (!wire(side).partial.empty()) {
    joined = std::exchange(wire(side).partial, {});
    joined.insert(joined.end(), bytes.begin(), bytes.end());
    bytes = joined;
  }
  while (!bytes.empty() && wire(side).connection) {
    const std::size_t used = machine_.on_bytes(side, bytes, Clock::now());
    settle();
    if (used == 0) {
      break;
    }
    ++messages_in_;
    bytes = bytes.subspan(used);
  }
  if (wire(side).connection) {
    wire(side).partial.assign(bytes.begin(), bytes.end());
  }
}

void SpeakerPeer::on_closed(Side side, const std::string& reason) {
  wire(side).connection.reset();
  wire(side).partial.clear();
  machine_.on_closed(side, reason, Clock::now());
  settle();
}

void SpeakerPeer::settle() {
  while (!stopped_) {
    Actions actions = machine_.take_actions();
    if (actions.empty()) {
      break;
    }
    bool skip_routes = false;
    for (Action& action : actions) {
      execute(action, skip_routes);
    }
  }
  if (stopped_) {
    return;
  }
  if (const SessionState now = machine_.state(); now != state_) {
    services_.monitoring.on_state(ends(), state_, now);
    state_ = now;
    since_ = std::chrono::system_clock::now();
  }
  arm_timer();
  review_record();
}

void SpeakerPeer::execute(Action& action, bool& skip_routes) {
  if (std::holds_alternative<StartConnect>(action)) {
    start_connecting();
  } else if (std::holds_alternative<CancelConnect>(action)) {
    connecting_.reset();
  } else if (auto* send = std::get_if<SendBytes>(&action)) {
    write(send->side, std::make_shared<const std::vector<std::uint8_t>>(std::move(send->bytes)));
  } else if (const auto* closing = std::get_if<CloseConnection>(&action)) {
    close(closing->side);
  } else if (const auto* up = std::get_if<SessionUp>(&action)) {
    on_up(*up);
  } else if (const auto* down = std::get_if<SessionDown>(&action)) {
    on_down(*down);
  } else if (const auto* update = std::get_if<UpdateReceived>(&action)) {
    if (!skip_routes) {
      on_update(*update, skip_routes);
    }
  } else if (const auto* refresh = std::get_if<RefreshReceived>(&action)) {
    const AfiSafi family = refresh->refresh.family;
    if (!skip_routes && refresh->refresh.subtype == RouteRefresh::Subtype::kRequest) {
      services_.rib.refresh(id_, family == kIpv6Unicast ? Family::kIpv6 : Family::kIpv4);
      services_.schedule_flush();
    }
  }
}

void SpeakerPeer::start_connecting() {
  ConnectRequest request;
  request.address = config_.address;
  request.port = config_.port;
  request.local_address = config_.local_address;
  request.options = {config_.password, config_.ttl, config_.ttl_security_hops};
  connecting_ = services_.transport.connect(
      request, [weak = weak_from_this()](Result<std::shared_ptr<Connection>> outcome) {
        const auto self = weak.lock();
        if (!self || self->stopped_) {
          return;
        }
        self->connecting_.reset();
        if (outcome) {
          self->attach(Side::kOutgoing, std::move(*outcome));
          return;
        }
        self->last_error_ = outcome.error().text;
        self->machine_.on_connect_failed(Clock::now());
        self->settle();
      });
}

void SpeakerPeer::write(Side side, SharedBytes bytes) {
  const auto connection = wire(side).connection;
  if (!connection) {
    return;
  }
  ++messages_out_;
  connection->send(std::move(bytes));
  if (connection->queued() > 0) {
    machine_.on_send_progress(side, false, true, Clock::now());
  }
}

void SpeakerPeer::send(const SharedBytes& bytes) {
  if (const auto side = machine_.established_side()) {
    write(*side, bytes);
    arm_timer();
  }
}

void SpeakerPeer::close(Side side) {
  if (wire(side).connection) {
    std::exchange(wire(side).connection, nullptr)->close();
    wire(side).partial.clear();
  }
}

void SpeakerPeer::on_up(const SessionUp& up) {
  stale_timer_.cancel();
  end_of_rib_.clear();
  restart_time_ = restart_time_of(up.facts.peer);
  if (in_table_) {  // it was restarting: what it does not say again goes when it is done, or then
    arm_stale_timer(kStaleLimit);
  }
  RibPeer peer = table_peer();
  peer.codec = up.facts.codec;
  peer.router_id = up.facts.peer.id;
  services_.rib.peer_up(peer);
  machine_.on_table(RecordedPeer::TableCall::kUp);
  in_table_ = true;
  const auto connection = wire(up.side).connection;
  services_.monitoring.on_up({.id = id_,
                              .name = config_.name,
                              .address = config_.address,
                              .local_address = local_,
                              .local_port = connection ? connection->local_port() : kBgpPort,
                              .remote_port = connection ? connection->remote_port() : config_.port,
                              .asn = config_.asn,
                              .local_asn = config_.local_asn,
                              .facts = up.facts,
                              .since = std::chrono::system_clock::now()});
  services_.report(PeerUp{config_.name});
  services_.schedule_flush();
}

RibPeer SpeakerPeer::table_peer() const {
  RibPeer peer;
  peer.id = id_;
  peer.address = config_.address;
  peer.reflector_client = config_.reflector_client;
  peer.next_hop = config_.next_hop;
  peer.allowed_local_as = config_.allowed_local_as;
  peer.export_learned = config_.export_learned;
  peer.max_prefixes = config_.max_prefixes;
  peer.filters = config_.filters;
  return peer;
}

mrt::Ends SpeakerPeer::ends() const {
  return {.peer_asn = config_.asn,
          .local_asn = config_.local_asn,
          .peer = config_.address,
          .local = local_};
}

void SpeakerPeer::change(const PeerConfig& config) {
  const bool refilter = config_.filters != config.filters;
  const bool rerecord = config_.record != config.record;
  config_ = config;
  if (refilter) {
    machine_.on_filters(config.filters);
  }
  if (in_table_ && refilter) {
    services_.rib.change_filters(id_, config.filters);
    services_.monitoring.on_refiltered(id_);
    services_.schedule_flush();
  }
  if (rerecord) {
    set_recorder();
    review_record();
  }
}

void SpeakerPeer::on_bfd_down(std::string_view why) {
  if (machine_.established_side()) {
    machine_.on_update_error(Notification::cease(CeaseError::kBfdDown), Clock::now());
    settle();
    last_error_ = fmt::format("BFD: {}", why);
  }
}

void SpeakerPeer::on_down(const SessionDown& down) {
  last_error_ = down.reason;
  if (!down.was_established) {
    return;
  }
  ++flaps_;
  services_.monitoring.on_down(id_, down);
  services_.report(PeerDown{config_.name, down.reason});
  // Without a NOTIFICATION the peer may just restart and go on forwarding (RFC 4724 section 4.2).
  const bool silent = !down.sent && !down.received;
  const auto wait = silent ? restart_time_ : std::chrono::seconds(0);
  if (wait.count() > 0) {
    services_.rib.peer_restarting(id_);
    machine_.on_table(RecordedPeer::TableCall::kRestarting);
    arm_stale_timer(wait);
  } else {
    services_.rib.peer_down(id_);
    machine_.on_table(RecordedPeer::TableCall::kDown);
    in_table_ = false;
  }
  services_.schedule_flush();
}

void SpeakerPeer::arm_stale_timer(std::chrono::seconds delay) {
  stale_timer_.expires_after(delay);
  stale_timer_.async_wait([weak = weak_from_this()](const boost::system::error_code& errc) {
    if (const auto self = weak.lock(); self && !errc) {
      self->expire_stale();
    }
  });
}

// The peer did not come back in time, or came back and never said the end of its table.
void SpeakerPeer::expire_stale() {
  if (!in_table_ || stopped_) {
    return;
  }
  if (machine_.established_side()) {
    services_.rib.drop_stale(id_, Family::kIpv4);
    services_.rib.drop_stale(id_, Family::kIpv6);
    machine_.on_stale_dropped(Family::kIpv4);
    machine_.on_stale_dropped(Family::kIpv6);
  } else {
    services_.rib.peer_down(id_);
    machine_.on_table(RecordedPeer::TableCall::kDown);
    in_table_ = false;
  }
  services_.schedule_flush();
}

void SpeakerPeer::on_update(const UpdateReceived& update, bool& skip_routes) {
  services_.monitoring.on_update(id_, update.body);
  auto report = services_.rib.update(id_, update.body);
  if (machine_.recording()) {
    machine_.on_update(report, services_.rib.received_counts(id_));
  }
  if (!report) {
    skip_routes = true;
    note(to_string(report.error()));
    machine_.on_update_error(report.error(), Clock::now());
    return;
  }
  services_.monitoring.on_updated(id_, update.body, *report);
  for (const AttributeNote& what : report->notes) {
    note(to_string(what));
  }
  if (report->end_of_rib) {
    on_end_of_rib(*report->end_of_rib);
  }
  services_.schedule_flush();
}

void SpeakerPeer::on_end_of_rib(AfiSafi family) {
  end_of_rib_.insert(family);
  const Family of_routes = family == kIpv6Unicast ? Family::kIpv6 : Family::kIpv4;
  services_.rib.drop_stale(id_, of_routes);
  machine_.on_stale_dropped(of_routes);
}

void SpeakerPeer::note(const std::string& what) {
  malformed_.insert(malformed_.begin(), what);
  malformed_.resize(std::min(malformed_.size(), kMaxMalformed));
  services_.report(BadUpdate{config_.name, what});
}

void SpeakerPeer::arm_timer() {
  const auto deadline = machine_.next_deadline();
  if (!deadline) {
    timer_.cancel();
    return;
  }
  if (timer_.expiry() == *deadline && timer_armed_) {
    return;
  }
  timer_armed_ = true;
  timer_.expires_at(*deadline);
  timer_.async_wait([weak = weak_from_this()](const boost::system::error_code& errc) {
    const auto self = weak.lock();
    if (!self || errc || self->stopped_) {
      return;
    }
    self->timer_armed_ = false;
    self->machine_.on_deadline(Clock::now());
    self->settle();
  });
}

PeerStatus SpeakerPeer::status() const {
  PeerStatus status;
  status.config = config_;
  status.state = static_cast<PeerState>(machine_.state());
  status.since = since_;
  status.flaps = flaps_;
  status.last_error = config_.held.empty() ? last_error_ : config_.held;
  status.messages_in = messages_in_;
  status.messages_out = messages_out_;
  status.malformed = malformed_;
  status.local_address = local_address_;
  status.record = record_text();
  if (in_table_) {
    status.counts = services_.rib.counts(id_);
  }
  if (const Negotiated* facts = machine_.facts()) {
    status.hold_time = std::chrono::seconds(facts->hold_time_s);
    status.router_id = facts->peer.id;
    for (const Capability& capability : facts->peer.capabilities) {
      status.capabilities.push_back(to_string(capability));
    }
    const bool ipv4 = !facts->codec.ipv4.enabled || end_of_rib_.contains(kIpv4Unicast);
    const bool ipv6 = !facts->codec.ipv6.enabled || end_of_rib_.contains(kIpv6Unicast);
    status.end_of_rib = ipv4 && ipv6;
  }
  return status;
}

}  // namespace margay::bgp
