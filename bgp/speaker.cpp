#include "bgp/speaker.h"

#include "bgp/bfd/engine.h"
#include "bgp/monitoring.h"
#include "bgp/speaker_peer.h"

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>

#include <algorithm>
#include <map>
#include <pthread.h>
#include <random>
#include <set>
#include <thread>
#include <utility>

namespace margay::bgp {

namespace asio = boost::asio;

namespace {

// Output after a pause goes at once; while more is coming, at most this often, so that UPDATEs are
// packed.
constexpr std::chrono::milliseconds kPacing{2};

PeerSettings settings_of(const SpeakerConfig& speaker, const PeerConfig& config, bool restarting) {
  static thread_local std::random_device random;
  PeerSettings settings;
  settings.session.local_asn = config.local_asn;
  settings.session.remote_asn = config.asn;
  settings.session.local_id = speaker.router_id;
  settings.session.hold_time_s = static_cast<std::uint16_t>(config.hold_time.count());
  settings.session.enforce_first_as = config.enforce_first_as;
  const auto restart_time = config.graceful_restart.value_or(speaker.graceful_restart);
  settings.session.graceful_restart_s = static_cast<std::uint16_t>(restart_time.count());
  settings.session.restarting = restarting && restart_time.count() > 0;
  settings.passive = config.passive;
  settings.connect_retry = config.connect_retry;
  settings.seed = random();
  constexpr unsigned kLeastPercent = 75;  // RFC 4271 section 10: jitter
  constexpr unsigned kSpread = 26;
  settings.session.keepalive_percent =
      static_cast<std::uint8_t>(kLeastPercent + random() % kSpread);
  return settings;
}

}  // namespace

std::string_view to_string(PeerState state) {
  return to_string(static_cast<SessionState>(state));
}

std::string to_string(const SpeakerEvent& event) {
  if (const auto* up = std::get_if<PeerUp>(&event)) {
    return fmt::format("session established peer={}", up->peer);
  }
  if (const auto* down = std::get_if<PeerDown>(&event)) {
    return fmt::format("session lost peer={} err=\"{}\"", down->peer, down->reason);
  }
  if (const auto* bad = std::get_if<BadUpdate>(&event)) {
    return fmt::format("malformed update peer={} err=\"{}\"", bad->peer, bad->what);
  }
  if (const auto* monitoring = std::get_if<MonitoringChanged>(&event)) {
    return fmt::format("{}: {}", monitoring->where, monitoring->what);
  }
  return fmt::format("cannot listen err=\"{}\"", std::get<ListenFailed>(event).reason);
}

class Speaker::Loop : public std::enable_shared_from_this<Speaker::Loop> {
 public:
  explicit Loop(Callbacks callbacks)
      : callbacks_(std::move(callbacks)),
        flush_timer_(io_),
        restart_timer_(io_),
        listen_timer_(io_),
        started_(Clock::now()) {}

  void run() {
    thread_ = std::thread([this] { io_.run(); });
    pthread_setname_np(thread_.native_handle(), "bgp");
  }
  template <typename F>
  // NOLINTNEXTLINE(misc-no-recursion): as above
  void post(F function) {
    asio::post(io_, std::move(function));
  }
  void finish() {
    post([this] {
      const auto reason = config_.graceful_restart.count() > 0
                              ? std::optional<Notification>()
                              : Notification::cease(CeaseError::kAdministrativeShutdown);
      bfd_.reset();
      monitoring_.stop();
      stop_all(reason);
      transport_.reset();
      listen_timer_.cancel();
      restart_timer_.cancel();
      flush_timer_.cancel();
      keep_running_.reset();
      // What was queued (NOTIFICATIONs) is written by handlers that end by themselves within two
      // seconds.
    });
    thread_.join();
  }

  void configure(SpeakerConfig config) {
    std::ranges::sort(config.peers, {}, &PeerConfig::name);
    const bool identity_changed =
        config.asn != config_.asn || config.router_id != config_.router_id ||
        config.cluster_id != config_.cluster_id || config.max_multipath != config_.max_multipath ||
        config.graceful_restart != config_.graceful_restart;
    const bool listen_changed = config.listen_port != config_.listen_port ||
                                config.listen_addresses != config_.listen_addresses;
    if (!rib_ || identity_changed) {
      stop_all(Notification::cease(CeaseError::kOtherConfigurationChange));
      flush();
      withdraw_all_routes();
      rib_ = std::make_unique<Rib>(
          RibOptions{config.asn,
                     config.router_id,
                     config.cluster_id == RouterId() ? config.router_id : config.cluster_id,
                     config.max_multipath});
      monitoring_.set_table(*rib_, config.asn, config.router_id);
      networks_.clear();
    }
    const SpeakerConfig before = std::exchange(config_, std::move(config));
    if (config_.asn == Asn()) {
      stop_all(Notification::cease(CeaseError::kPeerDeconfigured));
      transport_.reset();
    } else if (!transport_ || listen_changed) {
      listen();
    }
    monitoring_.configure(config_.bmp, config_.mrt);
    set_networks();
    set_peers();
    set_bfd();
    arm_restart_timer();
    configured_ = true;
    schedule_flush();
  }

  [[nodiscard]] SpeakerStatus status() const {
    SpeakerStatus out;
    out.asn = config_.asn;
    out.router_id = config_.router_id;
    out.configured = configured_;
    out.listen_error = listen_error_;
    for (const auto& [name, peer] : peers_) {
      out.peers.push_back(peer->status());
      out.peers.back().bfd = bfd_text(peer->config());
    }
    out.prefixes = rib_ ? rib_->prefix_count() : 0;
    out.paths = rib_ ? rib_->path_count() : 0;
    out.bmp = monitoring_.bmp_status();
    out.mrt = monitoring_.mrt_status();
    return out;
  }

  [[nodiscard]] RoutesView routes(const std::optional<Prefix>& prefix) const {
    RoutesView view;
    if (!rib_) {
      return view;
    }
    if (!prefix) {
      view.routes = rib_->routes();
    } else if (auto route = rib_->route(*prefix)) {
      view.routes.push_back(std::move(*route));
    }
    for (const auto& [name, peer] : peers_) {
      view.peers.emplace_back(peer->id(), name);
    }
    return view;
  }

  [[nodiscard]] std::optional<NeighborView> neighbor(const std::string& text) const {
    for (const auto& [name, peer] : peers_) {
      if (name == text || peer->config().address.str() == text) {
        return NeighborView{
            peer->status(), rib_->received(peer->id()), rib_->advertised(peer->id())};
      }
    }
    return std::nullopt;
  }

  void dump_table(std::function<void(const Result<TableDump>&)> reply) {
    monitoring_.dump_table(std::move(reply));
  }

 private:
  [[nodiscard]] bool just_started() const {
    return Clock::now() - started_ < config_.graceful_restart;
  }

  void stop_all(const std::optional<Notification>& reason) {
    for (const auto& [name, peer] : peers_) {
      peer->stop(reason);
    }
    peers_.clear();
  }

  // The table is about to be made anew: the kernel must not keep routes of the old one.
  void withdraw_all_routes() {
    std::vector<FibChange> changes;
    for (const Prefix& prefix : std::exchange(installed_, {})) {
      changes.push_back({prefix, {}});
    }
    if (!changes.empty()) {
      callbacks_.on_fib(std::move(changes));
    }
  }

  void listen() {
    if (!transport_) {
      transport_.emplace(io_);
    }
    auto listening = transport_->listen(
        config_.listen_addresses,
        config_.listen_port,
        [this](std::shared_ptr<Connection> connection) { on_accepted(std::move(connection)); });
    listen_error_ = listening ? std::string() : listening.error().text;
    if (listening) {
      return;
    }
    callbacks_.on_event(ListenFailed{listen_error_});
    // An address that is not there yet may come: interfaces appear after us.
    constexpr std::chrono::seconds kListenRetry{1};
    listen_timer_.expires_after(kListenRetry);
    listen_timer_.async_wait([this](const boost::system::error_code& errc) {
      if (!errc && transport_) {
        listen_quietly();
      }
    });
  }
  void listen_quietly() {
    const auto on_event = std::exchange(callbacks_.on_event, [](const SpeakerEvent&) {});
    listen();
    callbacks_.on_event = on_event;
  }

  void on_accepted(std::shared_ptr<Connection> connection) {
    const IpAddr remote = connection->remote_address();
    for (const auto& [name, peer] : peers_) {
      if (peer->config().address == remote) {
        peer->on_incoming(std::move(connection));
        return;
      }
    }
    connection->close();  // nobody we know
  }

  void set_networks() {
    std::map<Prefix, Network> wanted;
    for (const Network& network : config_.networks) {
      wanted.emplace(network.prefix, network);
    }
    for (const auto& [prefix, network] : networks_) {
      if (!wanted.contains(prefix)) {
        rib_->withdraw(prefix);
      }
    }
    for (const auto& [prefix, network] : wanted) {
      const auto known = networks_.find(prefix);
      if (known == networks_.end() || known->second != network) {
        AttributeSet attributes;
        attributes.communities = network.communities;
        attributes.large_communities = network.large_communities;
        rib_->originate(prefix, std::move(attributes));
      }
    }
    networks_ = std::move(wanted);
  }

  static bool same_session(PeerConfig a, const PeerConfig& b) {
    a.filters = b.filters;
    a.bfd = b.bfd;
    a.record = b.record;
    return a == b;
  }

  void set_peers() {
    std::set<std::string> wanted;
    for (const PeerConfig& config : config_.peers) {
      wanted.insert(config.name);
      const auto existing = peers_.find(config.name);
      if (existing != peers_.end() && same_session(existing->second->config(), config)) {
        if (existing->second->config() != config) {
          existing->second->change(config);
        }
        continue;
      }
      if (existing != peers_.end()) {
        existing->second->stop(Notification::cease(CeaseError::kOtherConfigurationChange));
        forget_password(existing->second->config());
        peers_.erase(existing);
      }
      add_peer(config);
    }
    std::erase_if(peers_, [this, &wanted](const auto& entry) {
      if (wanted.contains(entry.first)) {
        return false;
      }
      entry.second->stop(Notification::cease(CeaseError::kPeerDeconfigured));
      forget_password(entry.second->config());
      return true;
    });
  }

  // Else the listener would refuse the peer's connections without one.
  void forget_password(const PeerConfig& config) {
    if (!config.password.empty() && transport_) {
      (void)transport_->set_password(config.address, {});
    }
  }

  void set_bfd() {
    std::vector<bfd::PeerConfig> wanted;
    for (const PeerConfig& peer : config_.peers) {
      if (peer.bfd && peer.held.empty()) {
        wanted.push_back({.remote = peer.address,
                          .local = peer.local_address,
                          .multihop = peer.bfd->multihop,
                          .interval = peer.bfd->interval,
                          .multiplier = peer.bfd->multiplier});
      }
    }
    if (wanted.empty()) {
      bfd_.reset();
      bfd_states_.clear();
      return;
    }
    if (!bfd_) {
      bfd_ = std::make_unique<bfd::Engine>(bfd::Engine::Callbacks{
          [this](const IpAddr& remote, const bfd::Change& change) {
            asio::post(io_, [this, remote, change] { on_bfd(remote, change); });
          },
          [this](const Error& error) {
            asio::post(io_, [this, error] { callbacks_.on_event(ListenFailed{error.text}); });
          }});
    }
    std::erase_if(bfd_states_, [&wanted](const auto& entry) {
      return std::ranges::find(wanted, entry.first, &bfd::PeerConfig::remote) == wanted.end();
    });
    bfd_->configure(std::move(wanted));
  }

  // A session that never came up says nothing of the path, and one that the peer took down on
  // purpose neither.
  void on_bfd(const IpAddr& remote, const bfd::Change& change) {
    const auto before = bfd_states_.find(remote);
    const bool was_up = before != bfd_states_.end() && before->second.state == bfd::State::kUp;
    bfd_states_.insert_or_assign(remote, change);
    if (!was_up || change.state == bfd::State::kUp || change.administrative) {
      return;
    }
    for (const auto& [name, peer] : peers_) {
      if (peer->config().address == remote && peer->config().bfd) {
        peer->on_bfd_down(bfd::to_string(change.diagnostic));
        return;
      }
    }
  }

  [[nodiscard]] std::string bfd_text(const PeerConfig& config) const {
    if (!config.bfd) {
      return {};
    }
    const auto known = bfd_states_.find(config.address);
    if (known == bfd_states_.end()) {
      return std::string(bfd::to_string(bfd::State::kDown));
    }
    const bfd::Change& change = known->second;
    return change.diagnostic == bfd::Diagnostic::kNone
               ? std::string(bfd::to_string(change.state))
               : fmt::format(
                     "{}: {}", bfd::to_string(change.state), bfd::to_string(change.diagnostic));
  }

  void add_peer(const PeerConfig& config) {
    if (!config.password.empty()) {
      if (auto keyed = transport_->set_password(config.address, config.password); !keyed) {
        callbacks_.on_event(ListenFailed{keyed.error().text});
      }
    }
    const SpeakerServices services{
        io_, *transport_, *rib_, monitoring_, [this] { schedule_flush(); }, callbacks_.on_event};
    auto peer = std::make_shared<SpeakerPeer>(
        services, config, free_id(), settings_of(config_, config, just_started()));
    peers_.emplace(config.name, peer);
    peers_by_id_[peer->id()] = peer;
    if (config.held.empty()) {
      peer->start();
    }
  }

  [[nodiscard]] PeerId free_id() const {
    std::set<PeerId> used;
    for (const auto& [name, peer] : peers_) {
      used.insert(peer->id());
    }
    std::uint16_t id = 1;
    while (used.contains(PeerId(id))) {
      ++id;
    }
    return PeerId(id);
  }

  // After the restart time our sessions are ordinary ones again (RFC 4724: R bit).
  void arm_restart_timer() {
    if (!just_started()) {
      return;
    }
    restart_timer_.expires_at(started_ + config_.graceful_restart);
    restart_timer_.async_wait([this](const boost::system::error_code& errc) {
      if (!errc) {
        for (const auto& [name, peer] : peers_) {
          peer->set_restarting(false);
        }
      }
    });
  }

  // NOLINTBEGIN(misc-no-recursion): the loop calls back later, never from within this call
  void schedule_flush() {
    if (std::exchange(flush_scheduled_, true)) {
      return;
    }
    const TimePoint earliest = last_flush_ + kPacing;
    if (Clock::now() >= earliest) {
      post([this] { flush_now(); });
      return;
    }
    flush_timer_.expires_at(earliest);
    flush_timer_.async_wait([this](const boost::system::error_code& errc) {
      if (!errc) {
        flush_now();
      }
    });
  }
  void flush_now() {
    flush_scheduled_ = false;
    last_flush_ = Clock::now();
    flush();
  }
  // NOLINTEND(misc-no-recursion)

  // NOLINTNEXTLINE(misc-no-recursion): as above
  void flush() {
    if (!rib_) {
      return;
    }
    for (const PeerOutput& output : rib_->take_output()) {
      if (const auto peer = peers_by_id_[output.peer].lock()) {
        peer->send(output.bytes);
      }
    }
    std::vector<FibChange> changes = rib_->take_fib_changes();
    for (const FibChange& change : changes) {
      if (change.next_hops.empty()) {
        installed_.erase(change.prefix);
      } else {
        installed_.insert(change.prefix);
      }
    }
    if (!changes.empty()) {
      callbacks_.on_fib(std::move(changes));
    }
    if (rib_->has_output()) {
      schedule_flush();
    }
  }

  Callbacks callbacks_;
  asio::io_context io_{1};
  std::optional<asio::executor_work_guard<asio::io_context::executor_type>> keep_running_{
      asio::make_work_guard(io_)};
  Monitoring monitoring_{io_, [this](const std::string& where, const std::string& what) {
                           callbacks_.on_event(MonitoringChanged{where, what});
                         }};
  asio::steady_timer flush_timer_;
  asio::steady_timer restart_timer_;
  asio::steady_timer listen_timer_;
  const TimePoint started_;
  SpeakerConfig config_;
  bool configured_ = false;
  std::string listen_error_;
  std::unique_ptr<Rib> rib_;
  std::optional<Transport> transport_;
  std::map<std::string, std::shared_ptr<SpeakerPeer>> peers_;
  std::map<PeerId, std::weak_ptr<SpeakerPeer>> peers_by_id_;
  std::map<Prefix, Network> networks_;
  std::map<IpAddr, bfd::Change> bfd_states_;  // the last one of each peer
  std::unique_ptr<bfd::Engine> bfd_;
  std::set<Prefix> installed_;
  bool flush_scheduled_ = false;
  TimePoint last_flush_{};
  std::thread thread_;
};

Speaker::Speaker(Callbacks callbacks) : loop_(std::make_shared<Loop>(std::move(callbacks))) {
  loop_->run();
}

Speaker::~Speaker() {
  loop_->finish();
}

void Speaker::configure(SpeakerConfig config) {
  loop_->post([loop = loop_.get(), config = std::move(config)] { loop->configure(config); });
}

void Speaker::status(std::function<void(SpeakerStatus)> reply) {
  loop_->post([loop = loop_.get(), reply = std::move(reply)] { reply(loop->status()); });
}

void Speaker::routes(std::optional<Prefix> prefix, std::function<void(RoutesView)> reply) {
  loop_->post(
      [loop = loop_.get(), prefix, reply = std::move(reply)] { reply(loop->routes(prefix)); });
}

void Speaker::neighbor(std::string peer, std::function<void(std::optional<NeighborView>)> reply) {
  loop_->post([loop = loop_.get(), peer = std::move(peer), reply = std::move(reply)] {
    reply(loop->neighbor(peer));
  });
}

void Speaker::dump_table(std::function<void(const Result<TableDump>&)> reply) {
  loop_->post([loop = loop_.get(), reply = std::move(reply)] { loop->dump_table(reply); });
}

}  // namespace margay::bgp
