#include "bgp/bird/driver.h"

#include "bgp/bird/daemon.h"
#include "bgp/bird/networks.h"
#include "bgp/bird/peer_book.h"
#include "bgp/bird/routes.h"
#include "bgp/bird/sessions.h"
#include "bgp/bird/table.h"

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

#include <algorithm>
#include <filesystem>
#include <map>
#include <optional>
#include <pthread.h>
#include <set>
#include <thread>
#include <utility>

namespace margay::bgp::bird {

namespace asio = boost::asio;
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

constexpr milliseconds kStartPoll{20};
// A listing of all routes costs, so it is asked for when something moved, and takes at most a part
// of the time.
constexpr unsigned kListingShare = 4;
constexpr seconds kListingAtLeast{30};
// Peers without graceful restart say their routes a moment after they are back.
constexpr seconds kAfterRecovery{2};
constexpr seconds kListenRetry{2};
constexpr seconds kNetworksAge{2};
constexpr seconds kStaleLimit{120};  // for a BIRD that was started to say that it recovered

std::string channel_of(std::string_view protocol, Family family) {
  return fmt::format("'{}'.{}", protocol, family_name(family));
}

}  // namespace

class Driver::Loop {
 public:
  Loop(const std::string& run_dir, Speaker::Callbacks callbacks)
      : callbacks_(std::move(callbacks)), daemon_(Files::in(run_dir)), timer_(io_) {}

  void run() {
    thread_ = std::thread([this] { io_.run(); });
    pthread_setname_np(thread_.native_handle(), "bird");
  }
  void finish() {
    io_.stop();
    thread_.join();
  }
  template <typename F>
  void post(F function) {
    asio::post(io_, std::move(function));
  }

  void configure(SpeakerConfig config) {
    config_ = std::move(config);
    rendered_at_.reset();
    wanted_ = true;
    tick();
  }

  [[nodiscard]] SpeakerStatus status() const {
    SpeakerStatus out;
    out.asn = config_.asn;
    out.router_id = config_.router_id;
    out.configured = configured_;
    out.listen_error = problem_;
    out.peers = book_.statuses();
    out.prefixes = prefixes_;
    out.paths = paths_;
    return out;
  }

  [[nodiscard]] RoutesView routes(const RouteQuery& query) {
    std::string what;
    if (const auto* prefix = std::get_if<Prefix>(&query)) {
      what = " " + prefix->str();
    } else if (const auto* addr = std::get_if<IpAddr>(&query)) {
      what = fmt::format(" where {} ~ net", addr->str());  // `for` passes over what is filtered
    }
    RoutesView view{route_views(listed("show route all" + what),
                                listed("show route filtered all" + what),
                                book_.sources()),
                    book_.names()};
    // All that hold the address, by prefix: the last one is the longest.
    if (std::holds_alternative<IpAddr>(query) && view.routes.size() > 1) {
      view.routes.erase(view.routes.begin(), view.routes.end() - 1);
    }
    return view;
  }

  // What the peer was told, and of the best routes those that it was not.
  [[nodiscard]] std::optional<ExportsView> exports(const std::string& text,
                                                   const std::optional<Prefix>& prefix) {
    const auto neighbor_view = neighbor(text);
    if (!neighbor_view) {
      return std::nullopt;
    }
    ExportsView view{neighbor_view->peer, {}, book_.names()};
    if (view.peer.state != PeerState::kEstablished) {
      return view;
    }
    std::map<Prefix, PathView> told;
    for (const RouteView& route : neighbor_view->advertised) {
      told.emplace(route.prefix, route.paths.front());
    }
    const RouteQuery query = prefix ? RouteQuery(*prefix) : RouteQuery();
    for (const RouteView& route : routes(query).routes) {
      if (const auto sent = told.find(route.prefix); sent != told.end()) {
        view.exports.push_back({route.prefix, sent->second, true, {}, {}});
      } else if (!route.paths.empty() && route.paths.front().best) {
        view.exports.push_back(
            {route.prefix, route.paths.front(), false, "BIRD does not tell it", {}});
      }
    }
    return view;
  }

  [[nodiscard]] std::optional<NeighborView> neighbor(const std::string& text) {
    const PeerConfig* peer = book_.find(text);
    if (peer == nullptr) {
      return std::nullopt;
    }
    NeighborView view{book_.status(*peer), {}, {}, book_.names()};
    if (view.peer.state == PeerState::kEstablished) {
      const std::string name = protocol_name(peer->name);
      view.received = neighbor_routes(name, "import");
      view.advertised = neighbor_routes(name, "export");
      mark_filtered(name, view.received);
    }
    return view;
  }

 private:
  // Looks whether everything is as it should be, and comes back.
  void tick() {
    if (wanted_) {
      const TimePoint now = Clock::now();
      render_anew(now);
      if (is_needed()) {
        keep_running(now);
      } else {
        configured_ = true;
      }
    }
    timer_.expires_after(daemon_.starting() && !daemon_.running() ? kStartPoll : kPoll);
    timer_.async_wait([this](const boost::system::error_code& errc) {
      if (!errc) {
        tick();
      }
    });
  }

  // A node without BGP needs no BIRD, but one that runs must hear that it is over.
  [[nodiscard]] bool is_needed() const {
    return config_.asn != Asn() || daemon_.running() ||
           std::filesystem::exists(daemon_.files().config);
  }

  void keep_running(TimePoint now) {
    note_problem(daemon_.ensure(rendered_, now));
    if (daemon_.starts() != starts_) {
      starts_ = daemon_.starts();
      keep_until_ = now + kStaleLimit;  // until it says that it recovered
      fingerprint_.clear();
    }
    if (daemon_.running()) {
      look(now);
    }
    if (!daemon_.running()) {
      report(book_.on_end(std::chrono::system_clock::now()));
    }
  }

  void render_anew(TimePoint now) {
    const bool by_networks = book_.bfd_by_networks();
    if (rendered_at_ && (!by_networks || now - *rendered_at_ < kNetworksAge)) {
      return;
    }
    rendered_ =
        render(config_, {.log_file = daemon_.files().log, .connected = connected_networks()});
    rendered_at_ = now;
    book_.configure(config_, rendered_);
  }

  void note_problem(const Result<void>& done) {
    std::string now = done ? std::string() : done.error().text;
    if (!now.empty() && now != problem_) {
      callbacks_.on_event(DriverFailed{now});
    }
    problem_ = std::move(now);
  }

  void report(const std::vector<SpeakerEvent>& events) const {
    for (const SpeakerEvent& event : events) {
      callbacks_.on_event(event);
    }
  }

  void look(TimePoint now) {
    const auto status = daemon_.ask("show status");
    const auto protocols = status ? daemon_.ask("show protocols all") : status;
    if (!protocols) {
      return;
    }
    const bool recovering = read_status(*status).recovering;
    keep_until_ = recovering ? now + kAfterRecovery : std::min(keep_until_, now + kAfterRecovery);
    const Protocols found = read_protocols(*protocols);
    report(book_.on_sessions(found.sessions, now < keep_until_));
    retry_listening(found, now);
    if (book_.any_bfd()) {
      if (const auto bfd = daemon_.ask("show bfd sessions")) {
        book_.on_bfd(read_bfd(*bfd));
      }
    }
    look_at_routes(found.fingerprint, now);
    configured_ = true;
  }

  void look_at_routes(const std::string& fingerprint, TimePoint now) {
    const bool moved = fingerprint != fingerprint_ || (kept_ && now >= keep_until_);
    if ((!moved && now < listed_at_ + kListingAtLeast) || now < next_listing_) {
      return;
    }
    const auto answer = daemon_.ask("show route all");
    if (!answer || answer->failed()) {
      return;
    }
    fingerprint_ = fingerprint;
    listed_at_ = now;
    const std::vector<ListedRoute> table = read_routes(*answer);
    prefixes_ = table.size();
    paths_ = 0;
    for (const ListedRoute& route : table) {
      paths_ += route.paths.size();
    }
    install(next_hops(route_views(table, {}, book_.sources()), config_.max_multipath), now);
    next_listing_ = now + kListingShare * (Clock::now() - now);
  }

  void install(NextHops wanted, TimePoint now) {
    kept_ = now < keep_until_;
    if (kept_) {
      wanted = held(installed_, std::move(wanted));
    }
    std::vector<FibChange> changed = changes(installed_, wanted);
    installed_ = std::move(wanted);
    if (!changed.empty()) {
      use_gateways(config_.peers, changed);
      callbacks_.on_fib(std::move(changed));
    }
  }

  // BIRD gives up an address that it cannot listen on: perhaps it can now.
  void retry_listening(const Protocols& found, TimePoint now) {
    const bool deaf = std::ranges::any_of(found.sessions, &Session::no_listener);
    if (deaf && now >= next_listen_) {
      next_listen_ = now + kListenRetry;
      if (const auto done = daemon_.reload(); !done) {
        note_problem(done);
      }
    }
  }

  [[nodiscard]] std::vector<ListedRoute> listed(const std::string& command) {
    const auto answer = daemon_.ask(command);
    return answer ? read_routes(*answer) : std::vector<ListedRoute>();
  }

  [[nodiscard]] std::vector<RouteView> neighbor_routes(const std::string& protocol,
                                                       const char* table) {
    std::vector<ListedRoute> all;
    for (const Family family : {Family::kIpv4, Family::kIpv6}) {
      for (ListedRoute& route :
           listed(fmt::format("show route all {} table {}", table, channel_of(protocol, family)))) {
        all.push_back(std::move(route));
      }
    }
    return plain_views(all, book_.sources());
  }

  void mark_filtered(const std::string& protocol, std::vector<RouteView>& routes) {
    std::set<Prefix> rejected;
    for (const ListedRoute& route :
         listed(fmt::format("show route filtered protocol '{}'", protocol))) {
      rejected.insert(route.prefix);
    }
    for (RouteView& route : routes) {
      if (rejected.contains(route.prefix)) {
        route.paths.front().rejected = kFiltered;
      }
    }
  }

  Speaker::Callbacks callbacks_;
  Daemon daemon_;
  asio::io_context io_{1};
  asio::executor_work_guard<asio::io_context::executor_type> keep_io_ = asio::make_work_guard(io_);
  asio::steady_timer timer_;
  SpeakerConfig config_;
  bool wanted_ = false;  // configure() was called
  Rendered rendered_;
  std::optional<TimePoint> rendered_at_;
  bool configured_ = false;  // BIRD runs, on this or an earlier configuration
  std::string problem_;      // why BIRD does not do as configured
  PeerBook book_;
  unsigned starts_ = 0;
  std::string fingerprint_;  // when routes were listed
  TimePoint listed_at_{};
  TimePoint next_listing_{};
  TimePoint next_listen_{};
  TimePoint keep_until_{};  // until then no route is taken away
  bool kept_ = false;       // some that may have to go may still be there
  NextHops installed_;
  std::size_t prefixes_ = 0;
  std::size_t paths_ = 0;
  std::thread thread_;
};

Driver::Driver(std::unique_ptr<Loop> loop) : loop_(std::move(loop)) {}

Driver::~Driver() {
  loop_->finish();
}

Result<std::unique_ptr<Driver>> Driver::create(const std::string& run_dir,
                                               Speaker::Callbacks callbacks) {
  if (run_dir.find('"') != std::string::npos) {
    return fail(Errc::kInvalid, "run_dir: \"{}\": BIRD takes no path with a quote", run_dir);
  }
  if (const auto version = find_bird(); !version) {
    return fail(version.error(), "bgp: \"bird\"");
  }
  auto loop = std::make_unique<Loop>(run_dir, std::move(callbacks));
  loop->run();
  return std::unique_ptr<Driver>(new Driver(std::move(loop)));
}

void Driver::configure(SpeakerConfig config) {
  loop_->post([loop = loop_.get(), config = std::move(config)] { loop->configure(config); });
}

void Driver::status(std::function<void(SpeakerStatus)> reply) {
  loop_->post([loop = loop_.get(), reply = std::move(reply)] { reply(loop->status()); });
}

void Driver::routes(RouteQuery query, std::function<void(RoutesView)> reply) {
  loop_->post(
      [loop = loop_.get(), query, reply = std::move(reply)] { reply(loop->routes(query)); });
}

void Driver::neighbor(std::string peer, std::function<void(std::optional<NeighborView>)> reply) {
  loop_->post([loop = loop_.get(), peer = std::move(peer), reply = std::move(reply)] {
    reply(loop->neighbor(peer));
  });
}

void Driver::exports(std::string peer,
                     std::optional<Prefix> prefix,
                     std::function<void(std::optional<ExportsView>)> reply) {
  loop_->post([loop = loop_.get(), peer = std::move(peer), prefix, reply = std::move(reply)] {
    reply(loop->exports(peer, prefix));
  });
}

void Driver::dump_table(std::function<void(const Result<TableDump>&)> reply) {
  reply(fail(Errc::kInvalid, "BIRD writes no MRT files for the agent: use its own `protocol mrt`"));
}

Result<void> remove_bird(const std::string& run_dir, bool leave_routes) {
  const Files files = Files::in(run_dir);
  if (auto ended = end_bird(files, leave_routes); !ended) {
    return ended;
  }
  // Whoever answers there now is another.
  const bool socket_is_free = !Control::open(files.socket);
  for (const std::string& file : {files.config,
                                  files.wanted,
                                  files.pid,
                                  files.log,
                                  files.log + ".1",
                                  files.output,
                                  socket_is_free ? files.socket : files.wanted}) {
    std::error_code errc;
    std::filesystem::remove(file, errc);
    if (errc) {
      return fail_errno(errc.value(), "remove {}", file);
    }
  }
  return {};
}

}  // namespace margay::bgp::bird
