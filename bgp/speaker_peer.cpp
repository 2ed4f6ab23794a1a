#include "bgp/speaker_peer.h"

#include <boost/asio/post.hpp>

#include <net/if.h>

#include <algorithm>
#include <limits>
#include <utility>

namespace margay::bgp {

namespace asio = boost::asio;

namespace {

constexpr std::size_t kMaxMalformed = 16;  // kept for people
constexpr std::size_t kMaxHistory = 32;    // so are these
// Bytes for a peer that does not read; beyond, it gets the newest state when it reads again.
constexpr std::size_t kMaxQueued = std::size_t{4} << 20U;
constexpr std::chrono::seconds kStaleLimit{120};  // for a peer that is back to say its table

// Of whole messages: RFC 4271 section 4.1, the length is in octets 17 and 18.
std::uint64_t messages_in(Bytes bytes) {
  constexpr std::size_t kLengthAt = 16;
  std::uint64_t count = 0;
  while (bytes.size() >= kHeaderSize) {
    const std::size_t length = ByteReader(bytes.subspan(kLengthAt)).u16();
    bytes = bytes.subspan(std::clamp(length, kHeaderSize, bytes.size()));
    ++count;
  }
  return count;
}

constexpr Family kFamilies[] = {Family::kIpv4, Family::kIpv6};

RestartTimes restart_times_of(const Open& open) {
  RestartTimes times;
  const auto* restart = find_capability<GracefulRestartCapability>(open.capabilities);
  if (restart == nullptr) {
    return times;
  }
  if (!restart->entries.empty()) {
    times.restart = std::chrono::seconds(restart->restart_time_s);
  }
  for (const auto& entry : restart->entries) {
    if (const auto family = unicast_family(entry.family); family && restart->restart_time_s > 0) {
      times.restarting.insert(*family);
    }
  }
  // RFC 9494 section 3.1: without the other one it is ignored.
  const auto* long_lived = find_capability<LongLivedGracefulRestartCapability>(open.capabilities);
  times.knows_long_lived = long_lived != nullptr;
  if (long_lived != nullptr) {
    for (const auto& entry : long_lived->entries) {
      const auto family = unicast_family(entry.family);
      if (family && entry.stale_time_s > 0) {
        times.long_lived.emplace(*family, entry.stale_time_s);
      }
    }
  }
  return times;
}

// The F bit: the peer says that it went on forwarding.
template <typename Restart>
bool kept_forwarding(const Open& open, AfiSafi family) {
  const auto* capability = find_capability<Restart>(open.capabilities);
  return capability != nullptr &&
         std::ranges::any_of(capability->entries, [family](const auto& entry) {
           return entry.family == family && entry.forwarding_kept;
         });
}

// RFC 4724 section 4.2, RFC 8538 section 4: whether the end of a session may be a restart.
bool may_be_restart(const SessionDown& down, bool notification_restart) {
  if (!down.sent && !down.received) {
    return true;
  }
  if (!notification_restart) {
    return false;
  }
  if (down.received) {
    return down.received->code != ErrorCode::kCease ||
           down.received->subcode != static_cast<std::uint8_t>(CeaseError::kHardReset);
  }
  return !ends_for_good(*down.sent);
}

// Two links may have neighbours of the same link-local address; the table tells peers apart by it.
IpAddr table_address(const IpAddr& address, IfIndex link) {
  if (link == IfIndex()) {
    return address;
  }
  constexpr std::size_t kPlace = 4;  // of the zeros in fe80::/64
  std::array<std::uint8_t, 16> bytes{};
  std::ranges::copy(address.bytes(), bytes.begin());
  for (std::size_t i = 0; i < sizeof(std::uint32_t); ++i) {
    constexpr unsigned kBits = 8;
    bytes.at(kPlace + i) = static_cast<std::uint8_t>(link.value() >> (kBits * (3 - i)));
  }
  return IpAddr::v6(bytes);
}

}  // namespace

SpeakerPeer::SpeakerPeer(SpeakerServices services,
                         PeerConfig config,
                         PeerId id,
                         const PeerSettings& settings)
    : services_(std::move(services)),
      config_(std::move(config)),
      id_(id),
      address_(config_.interface.empty() ? config_.address : IpAddr()),
      machine_(settings),
      timer_(services_.loop),
      stale_timer_(services_.loop) {}

void SpeakerPeer::start() {
  if (config_.interface.empty()) {
    set_password(config_.password);
    set_recorder();
    start_machine();
  }
}

// NOLINTNEXTLINE(misc-no-recursion): settle posts what leads here, and never calls it
void SpeakerPeer::start_machine() {
  if (may_begin_record()) {
    begin_record();
    return;
  }
  machine_.start(Clock::now());
  settle();
}

// The listener refuses connections from the peer that are not signed with it.
void SpeakerPeer::set_password(const std::string& password) {
  if (config_.password.empty() || address_.is_unspecified()) {
    return;
  }
  if (auto set = services_.transport.set_password(Prefix::host(address_), password); !set) {
    services_.report(ListenFailed{set.error().text});
  }
}

bool SpeakerPeer::is_from(Connection& connection) const {
  const IpAddr address = connection.remote_address();
  if (config_.interface.empty()) {
    return address == address_ &&
           (config_.arrives_on.empty() ||
            connection.arrival() == IfIndex(::if_nametoindex(config_.arrives_on.c_str())));
  }
  const IfIndex link = connection.link();
  const bool ours = config_.address.is_unspecified() || config_.address == address;
  return ours && address.is_v6() && address.is_link_local() && link != IfIndex() && link == link_;
}

void SpeakerPeer::on_link(const LinkNeighbor& link) {
  const bool same_link = link.index == link_;
  if (!same_link) {
    lose_link();
    link_ = link.index;
  }
  const IpAddr there =
      config_.address.is_unspecified() ? link.other.value_or(IpAddr()) : config_.address;
  moved_.reset();
  if (!link.own || there.is_unspecified() || (same_link && there == address_)) {
    return;
  }
  if (machine_.has_session()) {
    moved_ = LinkNeighbor{link.index, link.own, there};
  } else {
    move_to(there, link.index);
  }
}

// The interface went down or is another one: what was learnt over it is of no use.
void SpeakerPeer::lose_link() {
  if (address_.is_unspecified()) {
    return;
  }
  machine_.stop(Notification::cease(CeaseError::kOtherConfigurationChange));
  settle();
  set_password({});
  address_ = IpAddr();
  moved_.reset();
  last_error_ = fmt::format("interface {} went down", config_.interface);
  if (in_table_) {
    leave_table();
    services_.schedule_flush();
  }
  services_.moved();
}

// There is no session: the next one is with the router at this address.
// NOLINTNEXTLINE(misc-no-recursion): as above
void SpeakerPeer::move_to(const IpAddr& address, IfIndex link) {
  moved_.reset();
  machine_.stop(Notification::cease(CeaseError::kOtherConfigurationChange));
  settle();
  set_password({});
  address_ = address;
  link_ = link;
  set_password(config_.password);
  if (!recorder_) {
    set_recorder();
  }
  start_machine();
  services_.moved();
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
  set_password({});
  if (std::exchange(in_table_, false)) {
    services_.rib.peer_down(id_);
    services_.schedule_flush();
  }
}

void SpeakerPeer::on_incoming(std::shared_ptr<Connection> connection) {
  if (const IpAddr from = connection->remote_address();
      from != address_ && !machine_.has_session() && config_.held.empty()) {
    move_to(from, connection->link());  // known by its connection before it was heard
  }
  machine_.give_up_silent(Clock::now());
  settle();
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
      self->on_drained(side);
    }
  };
  handlers.on_progress = [weak, side] {
    if (const auto self = weak.lock()) {
      self->machine_.on_send_progress(side, true, true, Clock::now());
      self->arm_timer();
    }
  };
  const Endpoints endpoints{
      wire.connection->local_address(), wire.connection->remote_address(), link_};
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
    messages_in_ += messages_in(bytes.first(used));
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

// NOLINTNEXTLINE(misc-no-recursion): as above
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
  if (at_rest()) {
    services_.at_rest(config_.name);
  }
  if (moved_ && !machine_.has_session()) {
    // NOLINTNEXTLINE(misc-no-recursion): as above
    asio::post(services_.loop, [weak = weak_from_this()] {
      if (const auto self = weak.lock(); self && !self->stopped_ && self->moved_) {
        const LinkNeighbor there = *std::exchange(self->moved_, std::nullopt);
        self->move_to(*there.other, there.index);
      }
    });
  }
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
    const auto family = unicast_family(refresh->refresh.family);
    if (family && !skip_routes && refresh->refresh.subtype == RouteRefresh::Subtype::kRequest) {
      services_.rib.refresh(id_, *family);
      services_.schedule_flush();
    }
  }
}

void SpeakerPeer::start_connecting() {
  ConnectRequest request;
  request.address = address_;
  request.link = link_;
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
  messages_out_ += messages_in(*bytes);
  connection->send(std::move(bytes));
  if (connection->queued() > 0) {
    machine_.on_send_progress(side, false, true, Clock::now());
  }
}

void SpeakerPeer::queue(const SharedBytes& bytes) {
  const auto side = machine_.established_side();
  if (side && wire(*side).connection) {
    messages_out_ += messages_in(*bytes);
    wire(*side).connection->queue(bytes);
  }
}

void SpeakerPeer::flush() {
  const auto side = machine_.established_side();
  const auto connection = side ? wire(*side).connection : nullptr;
  if (!connection) {
    return;
  }
  connection->flush();
  if (connection->queued() > 0) {
    machine_.on_send_progress(*side, false, true, Clock::now());
  }
  if (connection->queued() > kMaxQueued) {
    services_.rib.pause(id_);
  }
  arm_timer();
}

void SpeakerPeer::on_drained(Side side) {
  machine_.on_send_progress(side, true, false, Clock::now());
  arm_timer();
  if (in_table_ && machine_.established_side() == side) {
    services_.rib.resume(id_);
    services_.schedule_flush();
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
  last_error_.clear();
  end_of_rib_.clear();
  // If it was restarting: what it does not say again goes when it is done, or then.
  drop_what_was_not_kept(up.facts.peer);
  over_limit_ = false;
  restart_times_ = restart_times_of(up.facts.peer);
  notification_restart_ = up.facts.notification_restart;
  RibPeer peer = table_peer();
  peer.codec = up.facts.codec;
  peer.router_id = up.facts.peer.id;
  peer.role = up.facts.codec.internal ? std::nullopt : config_.role;
  peer.long_lived = restart_times_.knows_long_lived;
  services_.rib.peer_up(peer);
  machine_.on_table(RecordedPeer::TableCall::kUp);
  in_table_ = true;
  const auto connection = wire(up.side).connection;
  services_.monitoring.on_up({.id = id_,
                              .name = config_.name,
                              .address = address_,
                              .local_address = local_,
                              .local_port = connection ? connection->local_port() : kBgpPort,
                              .remote_port = connection ? connection->remote_port() : config_.port,
                              .asn = up.facts.peer.asn,
                              .local_asn = config_.local_asn,
                              .facts = up.facts,
                              .since = std::chrono::system_clock::now()});
  services_.report(PeerUp{config_.name});
  services_.schedule_flush();
}

RibPeer SpeakerPeer::table_peer() const {
  RibPeer peer;
  peer.id = id_;
  peer.address = table_address(address_, link_);
  peer.reflector_client = config_.reflector_client;
  peer.next_hop = config_.next_hop;
  peer.allowed_local_as = config_.allowed_local_as;
  peer.export_learned = config_.export_learned;
  peer.max_prefixes = config_.max_prefixes_action == MaxPrefixesAction::kWarn
                          ? std::numeric_limits<std::uint32_t>::max()
                          : config_.max_prefixes;
  peer.filters = config_.filters;
  return peer;
}

mrt::Ends SpeakerPeer::ends() const {
  const Negotiated* facts = machine_.facts();
  return {.peer_asn = facts == nullptr ? config_.asn : facts->peer.asn,
          .local_asn = config_.local_asn,
          .peer = address_,
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
    ended_ = fmt::format("BFD: {}", why);
  }
}

void SpeakerPeer::on_down(const SessionDown& down) {
  if (down.sent || down.received) {
    last_notification_ =
        down.sent ? "sent " + to_string(*down.sent) : "received " + to_string(*down.received);
  }
  if (!down.was_established) {
    last_error_ = down.reason;
    return;
  }
  ended_ = down.reason;
  last_error_.clear();
  ++flaps_;
  const auto now = std::chrono::system_clock::now();
  history_.insert(
      history_.begin(),
      Flap{now, std::chrono::duration_cast<std::chrono::seconds>(now - since_), down.reason});
  history_.resize(std::min(history_.size(), kMaxHistory));
  services_.monitoring.on_down(id_, down);
  services_.report(PeerDown{config_.name, down.reason});
  // The peer may just restart and go on forwarding.
  if (may_be_restart(down, notification_restart_) && restart_times_.any()) {
    services_.rib.peer_restarting(id_);
    machine_.on_table(RecordedPeer::TableCall::kRestarting);
    for (const Family family : kFamilies) {
      keep(family);
    }
    expire_stale();
  } else {
    leave_table();
  }
  services_.schedule_flush();
}

// The session ended, and the peer may be back. RFC 9494 section 4.2: a long-lived time that runs
// goes on, whatever happens until its table has been said again.
void SpeakerPeer::keep(Family family) {
  const auto found = kept_.find(family);
  if (found != kept_.end() && found->second.long_lived) {
    found->second.until = *found->second.long_lived;
  } else if (restart_times_.restarting.contains(family)) {
    kept_[family] = {Clock::now() + restart_times_.restart};
  } else {
    keep_longer(family);  // RFC 9494 section 4.2: its restart time is zero
  }
}

// The restart time is over. What the peer wants kept for longer stays as the last choice.
void SpeakerPeer::keep_longer(Family family) {
  const auto wanted = restart_times_.long_lived.find(family);
  if (wanted == restart_times_.long_lived.end()) {
    drop_stale(family);
    return;
  }
  services_.rib.peer_long_lived(id_, family);
  machine_.on_long_lived(family);
  const TimePoint until = Clock::now() + wanted->second;
  kept_[family] = {until, until};
}

void SpeakerPeer::drop_stale(Family family) {
  kept_.erase(family);
  services_.rib.drop_stale(id_, family);
  machine_.on_stale_dropped(family);
}

// RFC 4724 section 4.2, RFC 9494 section 4.3: at once, where the new session does not say that
// forwarding went on.
void SpeakerPeer::drop_what_was_not_kept(const Open& open) {
  for (const Family family : kFamilies) {
    const auto found = kept_.find(family);
    if (found == kept_.end()) {
      continue;
    }
    KeptFamily& kept = found->second;
    const AfiSafi id = unicast(family);
    const bool forwarded = kept.long_lived
                               ? kept_forwarding<LongLivedGracefulRestartCapability>(open, id)
                               : kept_forwarding<GracefulRestartCapability>(open, id);
    if (!forwarded) {
      drop_stale(family);
      continue;
    }
    kept.until = Clock::now() + kStaleLimit;
    kept.until = std::max(kept.until, kept.long_lived.value_or(kept.until));
  }
  arm_stale_timer();
}

void SpeakerPeer::leave_table() {
  kept_.clear();
  stale_timer_.cancel();
  services_.rib.peer_down(id_);
  machine_.on_table(RecordedPeer::TableCall::kDown);
  in_table_ = false;
}

void SpeakerPeer::arm_stale_timer() {
  if (kept_.empty()) {
    stale_timer_.cancel();
    return;
  }
  const auto first =
      std::ranges::min_element(kept_, {}, [](const auto& entry) { return entry.second.until; });
  stale_timer_.expires_at(first->second.until);
  stale_timer_.async_wait([weak = weak_from_this()](const boost::system::error_code& errc) {
    const auto self = weak.lock();
    // One that was on its way already when the timer was set anew says nothing.
    if (self && !errc && self->stale_timer_.expiry() <= Clock::now()) {
      self->expire_stale();
    }
  });
}

// The peer did not come back in time, or came back and never said the end of its table.
void SpeakerPeer::expire_stale() {
  if (!in_table_ || stopped_) {
    return;
  }
  const bool back = machine_.established_side().has_value();
  for (const Family family : kFamilies) {
    const auto found = kept_.find(family);
    if (found == kept_.end() || found->second.until > Clock::now()) {
      continue;
    }
    if (back || found->second.long_lived) {
      drop_stale(family);
    } else {
      keep_longer(family);
    }
  }
  if (kept_.empty() && !back) {
    leave_table();
    services_.at_rest(config_.name);
  }
  arm_stale_timer();
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
    const Notification& why = report.error();
    const bool limit = why.code == ErrorCode::kCease &&
                       why.subcode == static_cast<std::uint8_t>(CeaseError::kMaximumPrefixes);
    if (limit) {
      on_limit();
    } else {
      note(to_string(why));
    }
    machine_.on_update_error(why, Clock::now());
    if (limit && config_.max_prefixes_action == MaxPrefixesAction::kDown) {
      machine_.stop(why);
    }
    return;
  }
  watch_limit();
  services_.monitoring.on_updated(id_, update.body, *report);
  for (const AttributeNote& what : report->notes) {
    note(to_string(what));
  }
  if (report->end_of_rib) {
    on_end_of_rib(*report->end_of_rib);
  }
  services_.schedule_flush();
}

void SpeakerPeer::on_end_of_rib(AfiSafi end) {
  end_of_rib_.insert(end);
  if (const auto family = unicast_family(end); family && kept_.contains(*family)) {
    drop_stale(*family);
    arm_stale_timer();
  }
}

bool SpeakerPeer::said_all() const {
  if (!config_.held.empty() || !shut_.empty()) {
    return true;
  }
  const Negotiated* facts = machine_.facts();
  if (facts == nullptr) {
    return false;
  }
  const auto* restart = find_capability<GracefulRestartCapability>(facts->peer.capabilities);
  const auto said = [&](AfiSafi family, const FamilyContext& codec) {
    return !codec.enabled || end_of_rib_.contains(family);
  };
  return restart == nullptr || restart->restarting ||
         (said(kIpv4Unicast, facts->codec.ipv4) && said(kIpv6Unicast, facts->codec.ipv6));
}

// RFC 4486 section 4: more prefixes than the peer may tell.
void SpeakerPeer::on_limit() {
  const bool down = config_.max_prefixes_action == MaxPrefixesAction::kDown;
  services_.report(TooManyPrefixes{config_.name, config_.max_prefixes});
  if (down) {
    shut_ = fmt::format("more than {} prefixes: down until it is configured anew",
                        config_.max_prefixes);
  }
}

// Where that ends no session it is said once, until they are fewer again.
void SpeakerPeer::watch_limit() {
  if (config_.max_prefixes_action != MaxPrefixesAction::kWarn) {
    return;
  }
  const bool over = services_.rib.received_counts(id_).received() > config_.max_prefixes;
  if (over && !over_limit_) {
    services_.report(TooManyPrefixes{config_.name, config_.max_prefixes});
  }
  over_limit_ = over;
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

// What the peer said when it ended the session is not lost by what its closed door says after that.
std::string SpeakerPeer::trouble() const {
  if (!config_.held.empty() || !shut_.empty()) {
    return config_.held + shut_;
  }
  return ended_.empty() || last_error_.empty() ? ended_ + last_error_
                                               : ended_ + "; since then " + last_error_;
}

PeerStatus SpeakerPeer::status() const {
  PeerStatus status;
  status.config = config_;
  status.config.address = address_;
  status.state = static_cast<PeerState>(machine_.state());
  status.since = since_;
  status.flaps = flaps_;
  status.last_error = trouble();
  status.messages_in = messages_in_;
  status.messages_out = messages_out_;
  status.malformed = malformed_;
  status.history = history_;
  status.last_notification = last_notification_;
  if (const auto side = machine_.established_side()) {
    const auto& connection = wires_.at(static_cast<std::size_t>(*side)).connection;
    status.queued_bytes = connection ? connection->queued() : 0;
  }
  status.local_address = local_address_;
  status.record = record_text();
  if (in_table_) {
    status.counts = services_.rib.counts(id_);
  }
  if (const Negotiated* facts = machine_.facts()) {
    status.hold_time = std::chrono::seconds(facts->hold_time_s);
    status.router_id = facts->peer.id;
    status.config.asn = facts->peer.asn;
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
