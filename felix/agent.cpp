#include "felix/agent.h"

#include "api/proto/control.pb.h"
#include "base/timer_set.h"
#include "bgp/bird/driver.h"
#include "bgp/speaker.h"
#include "felix/address_collector.h"
#include "felix/agent_status.h"
#include "felix/auto_host_endpoint.h"
#include "felix/bgp_log.h"
#include "felix/bgp_questions.h"
#include "felix/bgp_view.h"
#include "felix/calc/calc_graph.h"
#include "felix/cleanup.h"
#include "felix/cni/cni_server.h"
#include "felix/cni/endpoint_service.h"
#include "felix/connection_review.h"
#include "felix/control_server.h"
#include "felix/dataplane_view.h"
#include "felix/defaults.h"
#include "felix/departed_addresses.h"
#include "felix/directory_lock.h"
#include "felix/dns/dns_follower.h"
#include "felix/doctor.h"
#include "felix/enforcement.h"
#include "felix/http_server.h"
#include "felix/kernel_thread.h"
#include "felix/metrics.h"
#include "felix/node_claim.h"
#include "felix/notify.h"
#include "felix/render/renderer.h"
#include "felix/revert_timer.h"
#include "felix/revision_publisher.h"
#include "felix/stale_datagrams.h"
#include "felix/store_follower.h"
#include "felix/worker.h"
#include "kernel/nft/nft_kernel.h"
#include "policy/selector.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <spdlog/logger.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <utility>

namespace margay::felix {

namespace asio = boost::asio;
namespace v1 = margay::control::v1;
using std::chrono::milliseconds;
using std::chrono::seconds;
using SystemClock = std::chrono::system_clock;

namespace {

constexpr milliseconds kDefaultsRetry{1000};
constexpr milliseconds kBgpWatchInterval{1000};
constexpr milliseconds kBgpStartInterval{100};  // until the agent is ready
// How long peers have to prefer other ways before a drained node's routes go.
constexpr seconds kDrainNotice{10};
// An agent that was killed holds its files until its last thread is gone, which is a little later
// than a supervisor sees it end.
constexpr milliseconds kPredecessorGone{3000};

Result<void> make_directory(const std::string& path) {
  std::error_code errc;
  std::filesystem::create_directories(path, errc);
  if (errc) {
    return fail_errno(errc.value(), "create {}", path);
  }
  return {};
}

// The store's URL, kept once the agent was in sync with it: from then on a store that is missing is
// away, not new.
std::string marker_path(const AgentConfig& config) {
  return config.state_dir + "/datastore";
}

bool seen_before(const AgentConfig& config) {
  std::ifstream file(marker_path(config));
  std::string url;
  std::getline(file, url);
  return url == config.datastore;
}

}  // namespace

struct Agent::State {
  State(AgentConfig config_in, Log& log_in, DirectoryLock lock_in)
      : config(std::move(config_in)),
        logs(log_in),
        log(log_in.make("felix")),
        bgp_log(log_in.make("bgp")),
        cni_log(log_in.make("cni")),
        lock(std::move(lock_in)),
        calc(config.node),
        renderer(LayoutOptions{}) {
    status.node = config.node;
    status.datastore = config.datastore;
    status.bgp = config.bgp;
    status.started = SystemClock::now();
  }

  ~State() {
    // Sockets first, then what they use; workers before what they hold references to.
    http.reset();
    control.reset();
    cni.reset();
    follower.reset();
    speaker.reset();
    store_worker.stop();
    collector_worker.stop();
    link_worker.stop();
    conntrack_worker.stop();
    dataplane.reset();
    fib.reset();
    endpoints.reset();
  }
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  // ---- start

  Result<void> open() {
    auto opened = datastore::open_store(
        config.datastore,
        seen_before(config) ? datastore::OpenMode::kExisting : datastore::OpenMode::kCreate);
    if (!opened) {
      return fail(opened.error());
    }
    store = std::move(*opened);
    for (auto part : {&State::open_kernel, &State::open_sockets}) {
      if (auto done = (this->*part)(); !done) {
        return done;
      }
    }
    if (auto done = open_speaker(); !done) {
      return done;
    }
    open_store_writers();
    if (auto done = open_collector(); !done) {
      return done;
    }
    open_conntrack();
    open_stale_datagrams();
    open_follower();
    return {};
  }

  // What writes to the store by itself.
  void open_store_writers() {
    const auto on_worker = [this](std::function<void()> task) {
      store_worker.post(std::move(task));
    };
    const auto on_loop = [this](std::function<void()> task) { asio::post(io, std::move(task)); };
    const auto later = [this](milliseconds delay, std::function<void()> task) {
      after(delay, std::move(task));
    };
    const auto warn = [this](const std::string& line) { log->warn("{}", line); };
    const AgentIdentity identity = identity_of_this_agent();
    publisher.emplace(RevisionPublisher::Environment{
        *store, config.node, identity, on_worker, on_loop, later, [] { return Clock::now(); }});
    claim.emplace(NodeClaim::Environment{*store,
                                         config.node,
                                         identity,
                                         on_worker,
                                         on_loop,
                                         later,
                                         [this] { on_node_held(); },
                                         [this](const std::string& why) { end_with(why); },
                                         warn});
    revert_timer.emplace(RevertTimer::Environment{
        *store,
        on_worker,
        on_loop,
        later,
        [] { return SystemClock::now(); },
        [this](const std::vector<datastore::Object>& objects) { take_over(objects); },
        warn});
    auto_endpoint.emplace(
        AutoHostEndpoint::Environment{*store, config.node, on_worker, on_loop, later, warn});
  }

  AgentIdentity identity_of_this_agent() {
    auto kept = kept_identity(config.state_dir);
    if (!kept) {
      log->warn("no identity kept, this agent is a new one at each start err=\"{}\"",
                kept.error().text);
    }
    return kept ? std::move(*kept) : make_identity();
  }

  // Reads the whole store now and then: on a worker and a connection of its own, so that no
  // container waits for it.
  Result<void> open_collector() {
    auto opened = datastore::open_store(config.datastore, datastore::OpenMode::kExisting);
    if (!opened) {
      return fail(opened.error());
    }
    collector_store = std::move(*opened);
    collector.emplace(AddressCollector::Environment{
        *collector_store,
        config.node,
        [this](std::function<void()> task) { collector_worker.post(std::move(task)); },
        [this](std::function<void()> task) { asio::post(io, std::move(task)); },
        [this](milliseconds delay, std::function<void()> task) { after(delay, std::move(task)); },
        [] { return Clock::now(); },
        [] { return static_cast<std::int64_t>(wall_now().time_since_epoch().count()); },
        [this](const std::string& line) { log->warn("{}", line); }});
    return {};
  }

  // What looks at tracked connections.
  void open_conntrack() {
    review.emplace(ConnectionReview::Environment{
        conntrack_worker,
        [this](std::function<void()> task) { asio::post(io, std::move(task)); },
        [this](milliseconds delay, std::function<void()> task) { after(delay, std::move(task)); },
        [this]() -> const nft::Table& { return renderer.table(); },
        [this](const std::vector<Connection>& refused) { on_refused(refused); },
        [this](const Error& error) {
          log->warn("established connections not reviewed err=\"{}\"", error.text);
        }});
    departed.emplace(DepartedAddresses::Environment{
        conntrack_worker,
        [this](std::function<void()> task) { asio::post(io, std::move(task)); },
        [this](milliseconds delay, std::function<void()> task) { after(delay, std::move(task)); },
        [this](const IpAddr& addr) { enforcement.hold(addr); },
        [this](const std::vector<IpAddr>& addresses, std::size_t connections) {
          metrics.connections_departed(connections);
          enforcement.release(addresses);
        },
        [this](const Error& error) {
          log->warn("connections of departed addresses not removed, will retry err=\"{}\"",
                    error.text);
        }});
  }

  void open_stale_datagrams() {
    stale_datagrams.emplace(StaleDatagrams::Environment{
        conntrack_worker,
        [this](std::function<void()> task) { asio::post(io, std::move(task)); },
        [this](const Error& error) {
          log->warn("flows to published UDP ports not ended err=\"{}\"", error.text);
        }});
  }

  void open_follower() {
    dns.emplace(DnsFollower::Environment{
        io,
        config.state_dir,
        kDnsLogGroup,
        [this](const std::string& name) { return calc.wants_domain(name); },
        [this](const std::string& name, std::set<IpAddr> addresses) {
          calc.on_domain(name, std::move(addresses));
        },
        [this] {
          if (status.in_sync) {
            apply_changes();
          }
        },
        [this](std::function<void()> task) { store_worker.post(std::move(task)); },
        [this](const std::string& line) { log->warn("{}", line); }});
    follower.emplace(
        io,
        store_worker,
        *store,
        StoreFollower::Sink{[this](const datastore::Object& object) { on_object(object); },
                            [this](const api::ResourceKey& key) { on_deleted(key); },
                            [this](datastore::Revision revision) { on_batch(revision); },
                            [this](const std::string& error) { on_store_state(error); }});
  }

  Result<void> open_kernel() {
    const auto to_loop = [this](auto member) {
      return [this, member](KernelReport report) {
        asio::post(io, [this, member, report = std::move(report)] { (this->*member)(report); });
      };
    };
    const auto faults = parse_faults(config.fault_injection);
    if (!faults) {
      return fail(faults.error());
    }
    if (!faults->empty()) {
      log->warn("calls fail on purpose fault_injection={}", config.fault_injection);
    }
    at_step = step_faults(*faults);
    auto opened =
        KernelThread::start({.name = "dataplane",
                             .protocols = {kProtocolLocal, kProtocolBlackhole, kProtocolPeer},
                             .overrules = {kProtocolBgp},
                             .policy = true,
                             .sysctl_record = sysctl_record_path(config.state_dir),
                             .faults = *faults},
                            to_loop(&State::on_dataplane));
    if (!opened) {
      return fail(opened.error(), "dataplane");
    }
    dataplane = std::move(*opened);
    if (config.bgp == BgpMode::kNone) {
      return {};
    }
    opened = KernelThread::start({.name = "fib", .protocols = {kProtocolBgp}, .faults = *faults},
                                 to_loop(&State::on_fib));
    if (!opened) {
      return fail(opened.error(), "fib");
    }
    fib = std::move(*opened);
    return {};
  }

  Result<void> open_sockets() {
    endpoints.emplace(endpoint_environment());
    auto opened_cni = CniServer::open(
        io, config.run_dir + "/cni.sock", [this](CniRequest request, EndpointService::Reply reply) {
          on_cni(std::move(request), std::move(reply));
        });
    if (!opened_cni) {
      return fail(opened_cni.error());
    }
    cni = std::move(*opened_cni);
    auto opened_control = ControlServer::open(config.run_dir + "/margayd.sock", control_backend());
    if (!opened_control) {
      return fail(opened_control.error());
    }
    control = std::move(*opened_control);
    return open_metrics(config.metrics_listen);
  }

  Result<void> open_metrics(const std::string& listen) {
    if (listen.empty()) {
      return {};
    }
    auto opened =
        HttpServer::open(io, listen, [this](std::string_view target) { return on_http(target); });
    if (!opened) {
      return fail(opened.error());
    }
    http = std::move(*opened);
    return {};
  }

  EndpointService::Environment endpoint_environment() {
    return EndpointService::Environment{
        *store,
        config.node,
        config.state_dir,
        policy::selects,
        enforcement,
        [this](std::function<void()> task) { store_worker.post(std::move(task)); },
        [this](std::function<void()> task) { asio::post(io, std::move(task)); },
        [this](milliseconds delay, std::function<void()> task) { after(delay, std::move(task)); },
        [this] { return readiness(status, Clock::now()); },
        [this] { return bgp_inputs.ipv4 ? bgp_inputs.ipv4 : bgp_inputs.ipv6; },
        [this](const std::string& line) { cni_log->warn("{}", line); },
        wiring(),
        [this](std::function<void()> task) { link_worker.post(std::move(task)); },
        at_step};
  }

  Wiring wiring() const {
    Wiring real;
    real.wire = [at_step = at_step](const WiringRequest& request) {
      return wire_container(request, at_step);
    };
    return real;
  }

  Result<void> open_speaker() {
    // One that an agent with another `bgp` left.
    if (config.bgp != BgpMode::kBird) {
      if (auto gone = bgp::bird::remove_bird(config.run_dir, config.bgp == BgpMode::kEmbedded);
          !gone) {
        return fail(gone.error(), "end the BIRD of before");
      }
    }
    if (config.bgp == BgpMode::kNone) {
      return {};
    }
    bgp::Speaker::Callbacks callbacks;
    callbacks.on_fib = [this](const std::vector<bgp::FibChange>& changes) { post_fib(changes); };
    callbacks.on_event = [this](const bgp::SpeakerEvent& event) { log_event(*bgp_log, event); };
    if (config.bgp == BgpMode::kEmbedded) {
      speaker = std::make_unique<bgp::Speaker>(std::move(callbacks));
      return {};
    }
    auto driver = bgp::bird::Driver::create(config.run_dir, std::move(callbacks));
    if (!driver) {
      return fail(driver.error());
    }
    speaker = std::move(*driver);
    return {};
  }

  // ---- reload

  // The configuration that needs a new agent, if there is one.
  std::optional<AgentConfig> on_reload(const Reload& reload) {
    auto next = read_again(reload);
    if (!next) {
      log->error("configuration not taken, the old one stays err=\"{}\"", next.error().text);
      return std::nullopt;
    }
    AgentConfig here = *next;  // as far as a running agent can follow
    here.log_level = config.log_level;
    here.log_level_given = config.log_level_given;
    here.log_format = config.log_format;
    here.metrics_listen = config.metrics_listen;
    if (here != config) {
      return std::move(*next);
    }
    take_in_place(*next);
    return std::nullopt;
  }

  static Result<AgentConfig> read_again(const Reload& reload) {
    try {
      return reload();
    } catch (const std::exception& error) {  // whatever it is, a running agent goes on
      return fail(Errc::kInternal, "{}", error.what());
    }
  }

  void take_in_place(const AgentConfig& next) {
    if (next.metrics_listen != config.metrics_listen) {
      http.reset();  // the new address may be the old one's port
      if (auto opened = open_metrics(next.metrics_listen); !opened) {
        log->error("configuration not taken, the old one stays err=\"metrics_listen: {}\"",
                   opened.error().text);
        if (opened = open_metrics(config.metrics_listen); !opened) {
          log->error("no metrics until the next reload err=\"{}\"", opened.error().text);
        }
        return;
      }
    }
    config = next;
    logs.set_format(config.log_format);
    follow_log_level();
    log->info("configuration taken");
  }

  // Flag, environment and file come before the store.
  void follow_log_level() {
    logs.set_level(config.log_level_given || stored_log_level.empty() ? config.log_level
                                                                      : stored_log_level);
  }

  void start() {
    log->info("starting node={} datastore={} run_dir={}",
              config.node.str(),
              config.datastore,
              config.run_dir);
    follower->start();
    endpoints->start();
    make_defaults();
    if (speaker) {
      watch_bgp();
    }
  }

  void after(milliseconds delay, std::function<void()> task) {
    auto timer = std::make_shared<asio::steady_timer>(io, delay);
    timer->async_wait([timer, task = std::move(task)](const boost::system::error_code& errc) {
      if (!errc) {
        task();
      }
    });
  }

  void make_defaults() {
    store_worker.post([this] {
      auto made = ensure_defaults(*store, config.node);
      asio::post(io, [this, made = std::move(made)] {
        if (!made) {
          log->debug("defaults not made yet err=\"{}\"", made.error().text);
          after(kDefaultsRetry, [this] { make_defaults(); });
          return;
        }
        for (const std::string& line : *made) {
          log->info("{}", line);
        }
      });
    });
  }

  // ---- store

  void on_object(const datastore::Object& object) {
    if (!object.resource) {
      const Error error = object.invalid.value_or(Error{Errc::kInvalid, "unknown reason", 0});
      log->error(
          "stored object is invalid, a valid version seen earlier stays in force object=\"{}\" "
          "err=\"{}\"",
          object.key.str(),
          error.text);
      if (object.last_valid && !calc.knows(object.key)) {
        calc.on_object(object.last_valid);  // it was in force before this agent started
      }
      calc.on_invalid(object.key, error);
      return;
    }
    if (const auto* pending = std::get_if<api::PendingChange>(&object.resource->spec)) {
      revert_timer->on_pending(*pending, status.in_sync);
      return;
    }
    if (const auto* node_status = std::get_if<api::NodeStatus>(&object.resource->spec);
        node_status != nullptr && object.key.name == config.node.str()) {
      claim->on_status(*node_status, object.revision);
    }
    calc.on_object(object.resource);
    auto_endpoint->on_object(object.resource);
    collector->on_object(*object.resource);
    const auto* endpoint = std::get_if<api::WorkloadEndpoint>(&object.resource->spec);
    const bool here = endpoint != nullptr && endpoint->node == config.node;
    if (here) {
      arrived.insert_or_assign(object.key, object.revision);
    }
    publisher->on_change(object.key.kind, here, object.revision);
  }

  void on_deleted(const api::ResourceKey& key) {
    if (key.kind == api::Kind::kPendingChange) {
      revert_timer->on_gone();
      return;
    }
    calc.on_deleted(key);
    auto_endpoint->on_deleted(key);
    collector->on_deleted(key);
    arrived.erase(key);
    enforcement.on_removed(key);
  }

  // Objects as they are to be taken, whatever the watch said of them.
  void take_over(const std::vector<datastore::Object>& objects) {
    for (const datastore::Object& object : objects) {
      if (object.resource) {
        calc.on_object(object.resource);
      } else if (!object.invalid) {
        calc.on_deleted(object.key);
      }
    }
    if (status.in_sync) {
      apply_changes();
    }
  }

  void on_batch(datastore::Revision revision) {
    if (!std::exchange(status.in_sync, true)) {
      log->info("in sync with the datastore revision={}", revision.value());
      std::ofstream(marker_path(config)) << config.datastore << '\n';
    }
    status.seen_revision = revision;
    calc.on_in_sync();
    claim->on_in_sync();
    apply_changes();
    auto_endpoint->reconcile();
  }

  void on_store_state(const std::string& error) {
    if (error == status.store_error) {
      return;
    }
    if (error.empty()) {
      log->info("the datastore answers again");
      endpoints->on_store_available();
    } else if (status.store_error.empty()) {
      log->warn("the datastore is away, the last known state stays in force err=\"{}\"", error);
    }
    status.store_error = error;
  }

  // ---- calculation to kernel and speaker

  void apply_changes() {
    CalcChanges changes = calc.take_changes();
    KernelDelta delta = kernel_delta(changes, renderer);
    delta.generation = ++generation;
    delta.in_sync = true;
    generations.emplace(generation, Generation{status.seen_revision, Clock::now()});
    delta.report_interfaces = calc.needs_interfaces();
    if (changes.settings) {
      stored_log_level = log_level_of(changes.settings->log_severity);
      follow_log_level();
      dns->update(calc.wants_domains(), seconds(changes.settings->dns_extra_ttl_s));
    }
    departed->on_changes(changes, generation);
    stale_datagrams->on_changes(changes, generation);
    review->on_changes(changes, calc.local_endpoints(), !delta.nft.empty(), generation);
    for (const auto& [key, revision] : std::exchange(arrived, {})) {
      const auto endpoint = calc.local_endpoints().find(key);
      if (endpoint != calc.local_endpoints().end()) {
        enforcement.on_endpoint(key, revision, generation, endpoint->second.addresses);
      }
    }
    if (changes.bgp) {
      set_peer_routes(*changes.bgp, delta);
    }
    dataplane->post(std::move(delta));
    if (!status.dataplane_waits_since) {
      status.dataplane_waits_since = Clock::now();
    }
    if (changes.bgp) {
      bgp_inputs = *changes.bgp;
      bgp_inputs_known = true;
      configure_speaker();
    }
  }

  // What the speaker needs to reach its peers, and to be reached.
  void set_peer_routes(const BgpInputs& inputs, KernelDelta& delta) {
    std::map<RouteKey, RouteSpec> wanted;
    for (RouteSpec& route : peer_routes(inputs)) {
      wanted.emplace(route.key, std::move(route));
    }
    for (const auto& [key, route] : routes_to_peers) {
      if (!wanted.contains(key)) {
        delta.remove_routes.push_back(key);
      }
    }
    for (const auto& [key, route] : wanted) {
      const auto known = routes_to_peers.find(key);
      if (known == routes_to_peers.end() || known->second != route) {
        delta.set_routes.push_back(route);
      }
    }
    routes_to_peers = std::move(wanted);
  }

  void on_dataplane(const KernelReport& report) {
    const bool clean = report.failures.empty();
    metrics.applied(report.duration, clean);
    ++status.applies;
    status.apply_failures += clean ? 0 : 1;
    status.last_apply = SystemClock::now();
    for (const std::string& failure : report.failures) {
      if (std::ranges::find(status.dataplane_report.failures, failure) ==
          status.dataplane_report.failures.end()) {
        log->warn("kernel change failed, will retry err=\"{}\"", failure);
      }
    }
    status.dataplane_report = report;
    status.dataplane_waits_since =
        report.generation < generation ? std::optional(Clock::now()) : std::nullopt;
    if (report.policy_applied) {
      while (!generations.empty() && generations.begin()->first <= report.generation) {
        status.enforced_revision = generations.begin()->second.revision;
        metrics.enforced(Clock::now() - generations.begin()->second.arrived);
        generations.erase(generations.begin());
      }
      publisher->on_enforced(status.enforced_revision);
      review->on_enforced(report.generation);
      departed->on_enforced(report.generation);
      stale_datagrams->on_enforced(report.generation);
    }
    enforcement.on_report(report);
    if (report.interfaces) {
      calc.on_interfaces(*report.interfaces);
      if (status.in_sync) {
        apply_changes();
      }
    }
    check_ready();
  }

  void on_refused(const std::vector<Connection>& refused) {
    constexpr std::size_t kLogged = 20;
    for (std::size_t i = 0; i < std::min(refused.size(), kLogged); ++i) {
      const ConnectionTuple& flow = refused[i].original;
      log->info(
          "established connection refused, policy no longer allows it src={} dst={} proto={} "
          "port={}",
          flow.source.str(),
          flow.destination.str(),
          flow.protocol,
          flow.destination_port);
    }
    if (refused.size() > kLogged) {
      log->info("... and {} more", refused.size() - kLogged);
    }
    metrics.connections_refused(refused.size());
  }

  void on_fib(const KernelReport& report) {
    for (const std::string& failure : report.failures) {
      if (std::ranges::find(status.fib_report.failures, failure) ==
          status.fib_report.failures.end()) {
        log->warn("learnt route not installed, will retry err=\"{}\"", failure);
      }
    }
    status.fib_report = report;
  }

  // On the speaker's thread.
  void post_fib(const std::vector<bgp::FibChange>& changes) const {
    KernelDelta delta;
    for (const bgp::FibChange& change : changes) {
      RouteSpec route = learnt_route(change, kTableMain, kProtocolBgp);
      if (route.next_hops.empty()) {
        delta.remove_routes.push_back(route.key);
      } else {
        delta.set_routes.push_back(std::move(route));
      }
    }
    fib->post(std::move(delta));
  }

  // The name of the node is this agent's: from now on it speaks for it.
  void on_node_held() {
    publisher->allow();
    collector->start();
    status.node_held = true;
    configure_speaker();
  }

  void end_with(const std::string& why) {
    log->error("ending: {}", why);
    end_reason = why;
    io.stop();
  }

  void configure_speaker() {
    if (speaker && status.node_held && bgp_inputs_known) {
      warn_of_missing_filters();
      warn_of_missing_passwords();
      follow_drain();
      status.drain = drain;
      speaker->configure(speaker_config(bgp_inputs, drain));
      status.bgp_configured = true;
    }
    check_ready();
  }

  // One that was asked for before this agent started was announced by the one before.
  void follow_drain() {
    const bool begins = bgp_inputs.drained && drain == Drain::kNone;
    if (!bgp_inputs.drained) {
      drain = Drain::kNone;
      ++drain_epoch;
    } else if (begins && !status.bgp_configured) {
      drain = Drain::kWithdrawn;
    } else if (begins) {
      drain = Drain::kAnnounced;
      log->info("BGP drain: routes carry GRACEFUL_SHUTDOWN, withdrawn in {} s",
                kDrainNotice.count());
      after(kDrainNotice, [this, epoch = drain_epoch] {
        if (epoch == drain_epoch && drain == Drain::kAnnounced) {
          drain = Drain::kWithdrawn;
          log->info("BGP drain: routes withdrawn");
          configure_speaker();
        }
      });
    }
  }

  void warn_of_missing_passwords() {
    for (const BgpPeerInput& peer : bgp_inputs.peers) {
      if (!peer.missing_password.empty()) {
        log->warn("BGP password missing, the session stays down peer={} secret=\"{}\"",
                  peer.name,
                  peer.missing_password);
      }
    }
  }

  void warn_of_missing_filters() {
    std::set<std::string> missing;
    for (const BgpPeerInput& peer : bgp_inputs.peers) {
      for (const BgpFilterInput& filter : peer.filters) {
        if (!filter.filter && missing.insert(filter.name).second) {
          log->warn("BGP filter missing, nothing passes it either way filter={} peer={}",
                    filter.name,
                    peer.name);
        }
      }
    }
  }

  // Every second: the sessions' state for metrics; and once, when all have brought their routes,
  // the end of the routes that an earlier run left.
  void watch_bgp() {
    speaker->status([this](bgp::SpeakerStatus sessions) {
      asio::post(io, [this, sessions = std::move(sessions)] { on_bgp_status(sessions); });
    });
    after(status.ready_after ? kBgpWatchInterval : kBgpStartInterval, [this] { watch_bgp(); });
  }

  void on_bgp_status(const bgp::SpeakerStatus& sessions) {
    status.bgp_status = sessions;
    check_ready();
    if (fib_in_sync || !status.bgp_configured || !sessions.configured) {
      return;
    }
    const bool complete = std::ranges::all_of(sessions.peers, [](const bgp::PeerStatus& peer) {
      return peer.state == bgp::PeerState::kEstablished && peer.end_of_rib;
    });
    if (complete || Clock::now() - started > kStaleRouteLimit) {
      fib_in_sync = true;
      KernelDelta delta;
      delta.in_sync = true;
      fib->post(std::move(delta));
    }
  }

  // ---- status

  void check_ready() {
    if (status.ready_after || !not_ready_reason(status).empty()) {
      return;
    }
    status.ready_after = std::chrono::duration_cast<milliseconds>(Clock::now() - started);
    log->info("ready after_ms={} revision={}",
              status.ready_after->count(),
              status.enforced_revision.value());
    notify_systemd("READY=1");
  }

  HttpReply on_http(std::string_view target) {
    if (target == "/metrics") {
      return {200,
              "text/plain; version=0.0.4; charset=utf-8",
              metrics.text(metrics_snapshot(current_status(), calc.invalid_objects().size()))};
    }
    if (target == "/liveness") {
      return health("alive", hung_reason(status, Clock::now()));
    }
    if (target == "/readiness") {
      return health("ready", not_ready_reason(status));
    }
    return {404, "text/plain; charset=utf-8", "/metrics, /liveness and /readiness are here\n"};
  }

  static HttpReply health(const std::string& word, const std::string& reason) {
    return reason.empty()
               ? HttpReply{200, "text/plain; charset=utf-8", word + "\n"}
               : HttpReply{503, "text/plain; charset=utf-8", "not " + word + ": " + reason + "\n"};
  }

  // The counters of other parts, taken over before the status is read.
  const AgentStatus& current_status() {
    status.local_endpoints = calc.local_endpoints().size();
    status.active_policies = calc.active_policies();
    status.store_queue = store_worker.depth();
    status.node_conflict = claim->conflict();
    return status;
  }

  // All questions go through the felix thread, so that nobody sees half a change.
  ControlBackend control_backend() {
    ControlBackend backend;
    backend.status = [this](const ControlBackend::Reply<v1::NodeStatus>& reply) {
      with_bgp_status([this, reply](const bgp::SpeakerStatus& sessions) {
        v1::NodeStatus answer;
        fill(current_status(), calc.invalid_objects(), answer);
        for (const bgp::PeerStatus& peer : sessions.peers) {
          fill(peer, *answer.add_bgp_peers());
        }
        reply(std::move(answer));
      });
    };
    add_bgp_questions([this] { return speaker.get(); }, backend);
    add_kernel_questions(backend);
    return backend;
  }

  // Their answers need the kernel, which is read beside the loops.
  void add_kernel_questions(ControlBackend& backend) {
    backend.dataplane = [this](const std::string& endpoint,
                               const ControlBackend::Reply<v1::Dataplane>& reply) {
      asio::post(io, [this, endpoint, reply] { show_dataplane(endpoint, reply); });
    };
    backend.diagnose = [this](const ControlBackend::Reply<v1::Diagnosis>& reply) {
      with_bgp_status([this, reply](const bgp::SpeakerStatus& sessions) {
        auto found = diagnose({current_status(),
                               sessions,
                               bgp_inputs,
                               calc.invalid_objects(),
                               calc.unresolved_hosts()});
        conntrack_worker.post([found = std::move(found), reply]() mutable {
          if (const auto filters = nft::foreign_filters(kTableName)) {
            add(*filters, found);
          }
          reply(std::move(found));
        });
      });
    };
  }

  // The kernel's table is read beside the loops, for the counters of one endpoint.
  void show_dataplane(const std::string& asked, const ControlBackend::Reply<v1::Dataplane>& reply) {
    v1::Dataplane view;
    fill(calc, asked, view);
    if (asked.empty() || view.endpoints_size() == 0) {
      reply(asked.empty() ? std::optional(std::move(view)) : std::nullopt);
      return;
    }
    conntrack_worker.post([view = std::move(view), wanted = renderer.table(), reply]() mutable {
      const auto kernel = nft::open_nft_kernel(kTableName);
      const auto table = kernel ? (*kernel)->dump()
                                : Result<std::optional<nft::Table>>(std::optional<nft::Table>());
      add_chains(wanted, table && *table ? **table : nft::Table(), view);
      reply(std::move(view));
    });
  }

  void with_bgp_status(std::function<void(const bgp::SpeakerStatus&)> use) {
    if (!speaker) {
      asio::post(io, [use = std::move(use)] { use({}); });
      return;
    }
    speaker->status([this, use = std::move(use)](bgp::SpeakerStatus sessions) {
      asio::post(io, [use, sessions = std::move(sessions)] { use(sessions); });
    });
  }

  void on_cni(CniRequest request, EndpointService::Reply reply) {
    const TimePoint begun = Clock::now();
    const std::string verb = request.verb;
    endpoints->handle(std::move(request),
                      [this, verb, begun, reply = std::move(reply)](CniResponse response) {
                        metrics.cni_request(verb, response.exit_code == 0, Clock::now() - begun);
                        if (response.exit_code != 0) {
                          cni_log->warn("{} failed answer={}", verb, response.output);
                        }
                        reply(std::move(response));
                      });
  }

  // ---- data

  struct Generation {
    datastore::Revision revision;
    TimePoint arrived;
  };

  AgentConfig config;
  Log& logs;
  std::string stored_log_level;  // of FelixConfiguration; empty: it says none
  std::shared_ptr<spdlog::logger> log;
  std::shared_ptr<spdlog::logger> bgp_log;
  std::shared_ptr<spdlog::logger> cni_log;
  DirectoryLock lock;
  asio::io_context io{1};
  const TimePoint started = Clock::now();

  CalcGraph calc;
  Renderer renderer;
  EnforcementTracker enforcement;
  Metrics metrics;
  std::map<api::ResourceKey, datastore::Revision> arrived;  // local endpoints since the last batch
  std::map<std::uint64_t, Generation> generations;          // not yet in the kernel
  std::uint64_t generation = 0;
  AgentStatus status;
  BgpInputs bgp_inputs;
  std::map<RouteKey, RouteSpec> routes_to_peers;
  Drain drain = Drain::kNone;
  unsigned drain_epoch = 0;  // counts the ends of drains
  bool bgp_inputs_known = false;
  std::string end_reason;  // why it ended by itself
  bool fib_in_sync = false;

  std::unique_ptr<datastore::Store> store;
  Worker link_worker{"links"};  // deletes links of removed containers
  Worker store_worker{"store"};
  std::unique_ptr<datastore::Store> collector_store;
  Worker collector_worker{"ipam"};
  Worker conntrack_worker{"conntrack"};
  AtStep at_step;  // faults on purpose
  std::unique_ptr<KernelThread> dataplane;
  std::unique_ptr<KernelThread> fib;
  std::unique_ptr<bgp::SpeakerControl> speaker;
  std::optional<StoreFollower> follower;
  std::optional<RevisionPublisher> publisher;
  std::optional<NodeClaim> claim;
  std::optional<RevertTimer> revert_timer;
  std::optional<AutoHostEndpoint> auto_endpoint;
  std::optional<AddressCollector> collector;
  std::optional<ConnectionReview> review;
  std::optional<DepartedAddresses> departed;
  std::optional<StaleDatagrams> stale_datagrams;
  std::optional<DnsFollower> dns;
  std::optional<EndpointService> endpoints;
  std::unique_ptr<CniServer> cni;
  std::unique_ptr<ControlServer> control;
  std::unique_ptr<HttpServer> http;
};

Agent::Agent(std::unique_ptr<State> state) : state_(std::move(state)) {}
Agent::~Agent() = default;

Result<std::unique_ptr<Agent>> Agent::create(const AgentConfig& config, Log& log) {
  for (const std::string& directory : {config.run_dir, config.state_dir}) {
    if (auto made = make_directory(directory); !made) {
      return fail(made.error());
    }
  }
  auto lock = DirectoryLock::take(config.run_dir, kPredecessorGone);
  if (!lock) {
    return fail(lock.error());
  }
  auto state = std::make_unique<State>(config, log, std::move(*lock));
  if (auto opened = state->open(); !opened) {
    return fail(opened.error());
  }
  return std::unique_ptr<Agent>(new Agent(std::move(state)));
}

const AgentConfig& Agent::config() const {
  return state_->config;
}

Result<std::optional<AgentConfig>> Agent::run(const Reload& reload) {
  std::optional<AgentConfig> next;
  asio::signal_set signals(state_->io, SIGTERM, SIGINT, SIGHUP);
  std::function<void()> wait = [&] {
    signals.async_wait([&](const boost::system::error_code& errc, int number) {
      if (errc) {
        return;
      }
      if (number == SIGHUP) {
        next = state_->on_reload(reload);
        if (!next) {
          wait();
          return;
        }
        state_->log->info("configuration changed, going on with the new one");
      }
      state_->io.stop();
    });
  };
  wait();
  state_->start();
  state_->io.run();
  if (!state_->end_reason.empty()) {
    return fail(Errc::kConflict, "{}", state_->end_reason);
  }
  return next;
}

}  // namespace margay::felix
