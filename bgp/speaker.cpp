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
  settings.session.open_time = config.open_time;
  settings.session.extended_next_hop = config.extended_next_hop;
  settings.session.role = config.role;
  settings.session.strict_role = config.strict_role;
  settings.session.enforce_first_as = config.enforce_first_as;
  const auto restart_time = config.graceful_restart.value_or(speaker.graceful_restart);
  settings.session.graceful_restart_s = static_cast<std::uint16_t>(restart_time.count());
  settings.session.restarting = restarting && restart_time.count() > 0;
  settings.session.long_lived_s = static_cast<std::uint32_t>(config.long_lived.count());
  settings.session.add_path_receive =
      config.add_path == AddPath::kReceive || config.add_path == AddPath::kBoth;
  settings.session.add_path_send =
      config.add_path == AddPath::kSend || config.add_path == AddPath::kBoth;
  settings.passive = config.passive;
  settings.connect_retry = config.connect_retry;
  settings.seed = random();
  constexpr unsigned kLeastPercent = 75;  // RFC 4271 section 10: jitter
  constexpr unsigned kSpread = 26;
  settings.session.keepalive_percent =
      static_cast<std::uint8_t>(kLeastPercent + random() % kSpread);
  return settings;
}

RibOptions rib_options(const SpeakerConfig& config) {
  std::random_device random;
  constexpr unsigned kHalf = 32;
  return {.asn = config.asn,
          .router_id = config.router_id,
          .cluster_id = config.cluster_id == RouterId() ? config.router_id : config.cluster_id,
          .max_multipath = config.max_multipath,
          .fib_ipv4 = config.fib_ipv4,
          .fib_ipv6 = config.fib_ipv6,
          .hash_seed = std::uint64_t{random()} << kHalf | random()};
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
  if (const auto* many = std::get_if<TooManyPrefixes>(&event)) {
    return fmt::format("too many prefixes peer={} most={}", many->peer, many->most);
  }
  if (const auto* full = std::get_if<DynamicPeersFull>(&event)) {
    return fmt::format(
        "connection refused, the limit of dynamic peers is reached peer={} address={}",
        full->name,
        full->address);
  }
  if (const auto* failed = std::get_if<DriverFailed>(&event)) {
    return fmt::format("not as configured err=\"{}\"", failed->reason);
  }
  if (const auto* monitoring = std::get_if<MonitoringChanged>(&event)) {
    return fmt::format("{}: {}", monitoring->where, monitoring->what);
  }
  return fmt::format("cannot listen err=\"{}\"", std::get<ListenFailed>(event).reason);
}

void use_gateways(const std::vector<PeerConfig>& peers, std::vector<FibChange>& changes) {
  std::map<IpAddr, IpAddr> gateways;
  for (const PeerConfig& peer : peers) {
    if (peer.gateway) {
      gateways.emplace(peer.address, *peer.gateway);
    }
  }
  if (gateways.empty()) {
    return;
  }
  for (FibChange& change : changes) {
    for (NextHop& hop : change.next_hops) {
      if (const auto gateway = gateways.find(hop.address); gateway != gateways.end()) {
        hop.address = gateway->second;
      }
    }
    std::ranges::sort(change.next_hops);
    change.next_hops.erase(std::unique(change.next_hops.begin(), change.next_hops.end()),
                           change.next_hops.end());
  }
}

class Speaker::Loop : public std::enable_shared_from_this<Speaker::Loop> {
 public:
  explicit Loop(Callbacks callbacks)
      : callbacks_(std::move(callbacks)),
        flush_timer_(io_),
        restart_timer_(io_),
        end_timer_(io_),
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
      links_.reset();
      transport_.reset();
      listen_timer_.cancel();
      restart_timer_.cancel();
      end_timer_.cancel();
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
        config.fib_ipv4 != config_.fib_ipv4 || config.fib_ipv6 != config_.fib_ipv6 ||
        config.graceful_restart != config_.graceful_restart;
    const bool listen_changed = config.listen_port != config_.listen_port ||
                                config.listen_addresses != config_.listen_addresses ||
                                config.also_listen != config_.also_listen;
    if (!rib_ || identity_changed) {
      // Without BGP nothing comes back: peers shall not wait for it (RFC 8538 section 4).
      stop_all(Notification::cease(config.asn == Asn() ? CeaseError::kPeerDeconfigured
                                                       : CeaseError::kOtherConfigurationChange));
      flush();
      withdraw_all_routes();
      rib_ = std::make_unique<Rib>(rib_options(config));
      rib_->hold_end_of_rib(end_of_rib_held_);
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
    set_links();
    set_bfd();
    arm_restart_timer();
    if (end_of_rib_held_) {
      hold_end_of_rib();
    }
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
      out.peers.back().bfd = bfd_text(*peer);
    }
    out.prefixes = rib_ ? rib_->prefix_count() : 0;
    out.paths = rib_ ? rib_->path_count() : 0;
    out.bmp = monitoring_.bmp_status();
    out.mrt = monitoring_.mrt_status();
    return out;
  }

  [[nodiscard]] RoutesView routes(const RouteQuery& query) const {
    RoutesView view;
    if (!rib_) {
      return view;
    }
    std::optional<RouteView> route;
    if (const auto* prefix = std::get_if<Prefix>(&query)) {
      route = rib_->route(*prefix);
    } else if (const auto* addr = std::get_if<IpAddr>(&query)) {
      route = rib_->longest_match(*addr);
    } else {
      view.routes = rib_->routes();
    }
    if (route) {
      view.routes.push_back(std::move(*route));
    }
    view.peers = peer_names();
    return view;
  }

  [[nodiscard]] std::optional<NeighborView> neighbor(const std::string& text) const {
    const SpeakerPeer* peer = find_peer(text);
    if (peer == nullptr) {
      return std::nullopt;
    }
    NeighborView view{peer->status(), rib_->received(peer->id()), rib_->advertised(peer->id())};
    view.peer.bfd = bfd_text(*peer);
    view.peers = peer_names();
    return view;
  }

  [[nodiscard]] std::optional<ExportsView> exports(const std::string& text,
                                                   const std::optional<Prefix>& prefix) const {
    const SpeakerPeer* peer = find_peer(text);
    if (peer == nullptr) {
      return std::nullopt;
    }
    return ExportsView{peer->status(), rib_->explain_export(peer->id(), prefix), peer_names()};
  }

  void dump_table(std::function<void(const Result<TableDump>&)> reply) {
    monitoring_.dump_table(std::move(reply));
  }

 private:
  [[nodiscard]] bool just_started() const {
    return Clock::now() - started_ < config_.graceful_restart;
  }

  // By name or address.
  [[nodiscard]] const SpeakerPeer* find_peer(const std::string& text) const {
    for (const auto& [name, peer] : peers_) {
      if (name == text || peer->address().str() == text) {
        return peer.get();
      }
    }
    return nullptr;
  }

  [[nodiscard]] std::vector<std::pair<PeerId, std::string>> peer_names() const {
    std::vector<std::pair<PeerId, std::string>> names;
    for (const auto& [name, peer] : peers_) {
      names.emplace_back(peer->id(), name);
    }
    return names;
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
    if (rib_) {
      for (const Prefix& prefix : rib_->in_fib()) {
        changes.push_back({prefix, {}});
      }
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
      for (const IpAddr& address : config_.also_listen) {
        listen_also(address);
      }
      for (const std::string& interface : watched_) {
        listen_on(links_->link(interface));
      }
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

  // Unnumbered peers connect to our address on their link, whatever else is listened on.
  void listen_on(const LinkNeighbor& link) {
    if (!transport_ || !link.own || !listen_error_.empty()) {
      return;
    }
    listen_also(*link.own, link.index);
  }
  void listen_also(const IpAddr& address, IfIndex link = {}) {
    if (auto listening = transport_->listen_also(address, link); !listening) {
      callbacks_.on_event(ListenFailed{listening.error().text});
    }
  }

  void set_links() {
    watched_.clear();
    for (const PeerConfig& peer : config_.peers) {
      if (!peer.interface.empty()) {
        watched_.insert(peer.interface);
      }
    }
    if (watched_.empty()) {
      links_.reset();
      return;
    }
    if (!links_) {
      links_ = std::make_unique<LinkNeighbors>(
          io_,
          LinkNeighbors::Callbacks{
              [this](const std::string& interface, const LinkNeighbor& link) {
                on_link(interface, link);
              },
              [this](const Error& error) { callbacks_.on_event(ListenFailed{error.text}); }});
    }
    links_->watch(watched_);
    for (const auto& [name, peer] : peers_) {  // new ones on links that are known
      if (!peer->config().interface.empty() && peer->config().held.empty()) {
        peer->on_link(links_->link(peer->config().interface));
      }
    }
  }

  void on_link(const std::string& interface, const LinkNeighbor& link) {
    listen_on(link);
    for (const auto& [name, peer] : peers_) {
      if (peer->config().interface == interface && peer->config().held.empty()) {
        peer->on_link(link);
      }
    }
  }

  void on_accepted(std::shared_ptr<Connection> connection) {
    for (const auto& [name, peer] : peers_) {
      if (peer->is_from(*connection)) {
        peer->on_incoming(std::move(connection));
        return;
      }
    }
    if (const DynamicPeers* range = range_of(connection->remote_address())) {
      accept_dynamic(*range, connection);
      return;
    }
    connection->close();  // nobody we know
  }

  // The longest one.
  [[nodiscard]] const DynamicPeers* range_of(const IpAddr& address) const {
    const DynamicPeers* found = nullptr;
    for (const DynamicPeers& range : config_.dynamic) {
      if (range.prefix.contains(address) &&
          (found == nullptr || range.prefix.length() > found->prefix.length())) {
        found = &range;
      }
    }
    return found;
  }
  static PeerConfig dynamic_config(const DynamicPeers& range, const IpAddr& address) {
    PeerConfig config = range.peers;
    config.name = fmt::format("{}-{}", range.name, address.str());
    config.origin = "dynamic " + range.name;
    config.address = address;
    config.passive = true;
    constexpr std::chrono::seconds kOpenTime{20};  // who says nothing takes nobody's place
    config.open_time = kOpenTime;
    return config;
  }
  void accept_dynamic(const DynamicPeers& range, const std::shared_ptr<Connection>& connection) {
    const IpAddr address = connection->remote_address();
    const PeerConfig config = dynamic_config(range, address);
    const auto used = std::ranges::count(
        dynamic_, range.name, [](const auto& entry) { return entry.second.range; });
    if (static_cast<std::uint32_t>(used) >= range.limit || peers_.contains(config.name)) {
      connection->send(
          std::make_shared<const std::vector<std::uint8_t>>(Peer::connection_rejected()));
      connection->close();
      if (full_.insert(range.name).second) {
        callbacks_.on_event(DynamicPeersFull{range.name, address.str()});
      }
      return;
    }
    dynamic_[config.name] = {range.name, address};
    add_peer(config);
    peers_.at(config.name)->on_incoming(connection);
    set_bfd();
  }
  // A peer without a session whose routes are gone. A dynamic one is forgotten, later: it is in the
  // middle of something.
  void on_rest(const std::string& name) {
    if (dynamic_.contains(name)) {
      post([this, name] { forget_dynamic(name); });
    }
  }
  void forget_dynamic(const std::string& name) {
    const auto peer = peers_.find(name);
    const auto known = dynamic_.find(name);
    if (peer == peers_.end() || known == dynamic_.end() || !peer->second->at_rest()) {
      return;
    }
    peer->second->stop(std::nullopt);
    full_.erase(known->second.range);
    dynamic_.erase(known);
    peers_.erase(peer);
    set_bfd();
  }
  // Passwords of ranges, and what their peers are to be by the present configuration.
  [[nodiscard]] std::vector<PeerConfig> dynamic_peers() {
    for (const DynamicPeers& before : std::exchange(ranges_, config_.dynamic)) {
      if (!before.peers.password.empty() && transport_) {
        (void)transport_->set_password(before.prefix, {});
      }
    }
    for (const DynamicPeers& range : ranges_) {
      if (!range.peers.password.empty() && transport_) {
        if (auto set = transport_->set_password(range.prefix, range.peers.password); !set) {
          callbacks_.on_event(ListenFailed{set.error().text});
        }
      }
    }
    std::vector<PeerConfig> configs;
    std::erase_if(dynamic_, [&](const auto& entry) {
      const DynamicPeers* range = range_of(entry.second.address);
      const bool named = std::ranges::any_of(config_.peers, [&entry](const PeerConfig& peer) {
        return peer.interface.empty() && peer.address == entry.second.address;
      });
      if (named || range == nullptr || range->name != entry.second.range ||
          !peers_.contains(entry.first)) {
        return true;
      }
      configs.push_back(dynamic_config(*range, entry.second.address));
      return false;
    });
    full_.clear();
    return configs;
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
    a.description = b.description;
    a.record = b.record;
    return a == b;
  }

  void set_peers() {
    std::vector<PeerConfig> configs = dynamic_peers();
    configs.insert(configs.end(), config_.peers.begin(), config_.peers.end());
    std::set<std::string> wanted;
    for (const PeerConfig& config : configs) {
      wanted.insert(config.name);
    }
    // Those first that go: another one may take their address.
    std::erase_if(peers_, [&wanted](const auto& entry) {
      if (wanted.contains(entry.first)) {
        return false;
      }
      entry.second->stop(Notification::cease(CeaseError::kPeerDeconfigured));
      return true;
    });
    for (const PeerConfig& config : configs) {
      const auto existing = peers_.find(config.name);
      if (existing != peers_.end() && same_session(existing->second->config(), config)) {
        if (existing->second->config() != config) {
          existing->second->change(config);
        }
        continue;
      }
      if (existing != peers_.end()) {
        existing->second->stop(Notification::cease(CeaseError::kOtherConfigurationChange));
        peers_.erase(existing);
      }
      add_peer(config);
    }
  }

  void set_bfd() {
    std::vector<bfd::PeerConfig> wanted;
    for (const auto& [name, peer] : peers_) {
      const PeerConfig& config = peer->config();
      if (config.bfd && config.held.empty() && !peer->address().is_unspecified()) {
        wanted.push_back({.remote = {peer->address(), peer->link()},
                          .local = config.local_address,
                          .multihop = config.bfd->multihop,
                          .interval = config.bfd->interval,
                          .multiplier = config.bfd->multiplier});
      }
    }
    if (wanted.empty()) {
      bfd_.reset();
      bfd_states_.clear();
      return;
    }
    if (!bfd_) {
      bfd_ = std::make_unique<bfd::Engine>(bfd::Engine::Callbacks{
          [this](const bfd::Remote& remote, const bfd::Change& change) {
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
  void on_bfd(const bfd::Remote& remote, const bfd::Change& change) {
    const auto before = bfd_states_.find(remote);
    const bool was_up = before != bfd_states_.end() && before->second.state == bfd::State::kUp;
    bfd_states_.insert_or_assign(remote, change);
    if (!was_up || change.state == bfd::State::kUp || change.administrative) {
      return;
    }
    for (const auto& [name, peer] : peers_) {
      if (peer->config().bfd && bfd::Remote{peer->address(), peer->link()} == remote) {
        peer->on_bfd_down(bfd::to_string(change.diagnostic));
        return;
      }
    }
  }

  [[nodiscard]] std::string bfd_text(const SpeakerPeer& peer) const {
    if (!peer.config().bfd) {
      return {};
    }
    const auto known = bfd_states_.find({peer.address(), peer.link()});
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
    const SpeakerServices services{io_,
                                   *transport_,
                                   *rib_,
                                   monitoring_,
                                   [this] { schedule_flush(); },
                                   callbacks_.on_event,
                                   [this] { set_bfd(); },
                                   [this](const std::string& name) { on_rest(name); }};
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

  // RFC 4724 section 4.1: who restarts says the end of its table when the others have said theirs,
  // or when they had time to. What was learnt is told meanwhile.
  void hold_end_of_rib() {
    constexpr std::chrono::seconds kLongest{30};
    end_timer_.expires_at(started_ + std::min<Duration>(kLongest, config_.graceful_restart / 2));
    end_timer_.async_wait([this](const boost::system::error_code& errc) {
      if (!errc) {
        release_end_of_rib();
        schedule_flush();
      }
    });
  }
  void release_end_of_rib() {
    end_of_rib_held_ = false;
    end_timer_.cancel();
    if (rib_) {
      rib_->hold_end_of_rib(false);
    }
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
    if (end_of_rib_held_ && !peers_.empty() &&
        std::ranges::all_of(peers_, [](const auto& entry) { return entry.second->said_all(); })) {
      release_end_of_rib();
    }
    std::map<PeerId, std::shared_ptr<SpeakerPeer>> written;
    for (const PeerOutput& output : rib_->take_output()) {
      auto& peer = written[output.peer];
      if (!peer) {
        peer = peers_by_id_[output.peer].lock();
      }
      if (peer) {
        peer->queue(output.bytes);
      }
    }
    for (const auto& [id, peer] : written) {
      if (peer) {
        peer->flush();
      }
    }
    std::vector<FibChange> changes = rib_->take_fib_changes();
    if (!changes.empty()) {
      use_gateways(config_.peers, changes);
      callbacks_.on_fib(std::move(changes));
    }
    if (rib_->has_output() && !std::exchange(flush_scheduled_, true)) {
      // The next slice; others get their turn before.
      post([this] { flush_now(); });  // NOLINT(misc-no-recursion): as above
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
  asio::steady_timer end_timer_;
  bool end_of_rib_held_ = true;
  asio::steady_timer listen_timer_;
  const TimePoint started_;
  SpeakerConfig config_;
  bool configured_ = false;
  std::string listen_error_;
  std::unique_ptr<Rib> rib_;
  std::optional<Transport> transport_;
  struct Dynamic {
    std::string range;
    IpAddr address;
  };
  std::map<std::string, Dynamic> dynamic_;  // of the peers
  std::vector<DynamicPeers> ranges_;        // whose passwords are set
  std::set<std::string> full_;              // ranges
  std::set<std::string> watched_;           // interfaces of unnumbered peers
  std::unique_ptr<LinkNeighbors> links_;
  std::map<std::string, std::shared_ptr<SpeakerPeer>> peers_;
  std::map<PeerId, std::weak_ptr<SpeakerPeer>> peers_by_id_;
  std::map<Prefix, Network> networks_;
  std::map<bfd::Remote, bfd::Change> bfd_states_;  // the last one of each peer
  std::unique_ptr<bfd::Engine> bfd_;
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

void Speaker::routes(RouteQuery query, std::function<void(RoutesView)> reply) {
  loop_->post(
      [loop = loop_.get(), query, reply = std::move(reply)] { reply(loop->routes(query)); });
}

void Speaker::exports(std::string peer,
                      std::optional<Prefix> prefix,
                      std::function<void(std::optional<ExportsView>)> reply) {
  loop_->post([loop = loop_.get(), peer = std::move(peer), prefix, reply = std::move(reply)] {
    reply(loop->exports(peer, prefix));
  });
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
