#include "felix/bgpd.h"

#include "api/proto/control.pb.h"
#include "base/timer_set.h"
#include "felix/bgp_log.h"
#include "felix/bgp_questions.h"
#include "felix/bgp_view.h"
#include "felix/control_server.h"
#include "felix/kernel_thread.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <spdlog/logger.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <utility>

namespace margay::felix {

namespace asio = boost::asio;

namespace {

constexpr std::chrono::seconds kWatchInterval{1};
constexpr std::chrono::seconds kCleanUpLimit{5};

// The routes of the speaker in the kernel. Used by the speaker's thread while that runs, by the
// main thread before and after.
class Fib {
 public:
  static Result<std::unique_ptr<Fib>> open(const bgp::BgpdConfig::Fib& config,
                                           std::shared_ptr<spdlog::logger> log) {
    auto fib = std::unique_ptr<Fib>(new Fib(config, std::move(log)));
    auto thread = KernelThread::start(
        {"fib", {config.protocol}},
        [raw = fib.get()](const KernelReport& report) { raw->on_report(report); });
    if (!thread) {
      return fail(thread.error(), "fib");
    }
    fib->thread_ = std::move(*thread);
    return fib;
  }

  void take(const std::vector<bgp::FibChange>& changes) {
    KernelDelta delta;
    for (const bgp::FibChange& change : changes) {
      const bool v4 = change.prefix.family() == Family::kIpv4;
      if (!(v4 ? config_.ipv4 : config_.ipv6)) {
        continue;
      }
      RouteSpec route = learnt_route(change, config_.table, config_.protocol);
      if (route.next_hops.empty()) {
        keys_.erase(route.key);
        delta.remove_routes.push_back(route.key);
      } else {
        keys_.insert(route.key);
        delta.set_routes.push_back(std::move(route));
      }
    }
    thread_->post(std::move(delta));
  }
  // From now on routes that are not ours any more are removed.
  void set_in_sync() {
    KernelDelta delta;
    delta.in_sync = true;
    thread_->post(std::move(delta));
  }
  // Removes everything and waits for it.
  void clear() {
    constexpr std::uint64_t kLast = 1;
    KernelDelta delta;
    delta.generation = kLast;
    delta.in_sync = true;
    delta.remove_routes.assign(keys_.begin(), keys_.end());
    thread_->post(std::move(delta));
    std::unique_lock lock(mutex_);
    reported_.wait_for(lock, kCleanUpLimit, [this] { return generation_ == kLast; });
  }

 private:
  Fib(const bgp::BgpdConfig::Fib& config, std::shared_ptr<spdlog::logger> log)
      : config_(config), log_(std::move(log)) {}

  void on_report(const KernelReport& report) {
    for (const std::string& failure : report.failures) {
      log_->debug("route not installed, will retry err=\"{}\"", failure);
    }
    const std::lock_guard lock(mutex_);
    generation_ = report.generation;
    reported_.notify_all();
  }

  bgp::BgpdConfig::Fib config_;
  std::shared_ptr<spdlog::logger> log_;
  std::set<RouteKey> keys_;
  std::mutex mutex_;
  std::condition_variable reported_;
  std::uint64_t generation_ = 0;
  std::unique_ptr<KernelThread> thread_;  // last: its thread uses the others
};

}  // namespace

struct BgpDaemon::State {
  State(bgp::BgpdConfig config_in, Log& log_in)
      : config(std::move(config_in)), log(log_in.make("bgpd")), fib_log(log_in.make("fib")) {}

  Result<void> open() {
    if (config.fib.ipv4 || config.fib.ipv6) {
      auto opened = Fib::open(config.fib, fib_log);
      if (!opened) {
        return fail(opened.error());
      }
      fib = std::move(*opened);
    }
    bgp::Speaker::Callbacks callbacks;
    callbacks.on_fib = [this](const std::vector<bgp::FibChange>& changes) {
      if (fib) {
        fib->take(changes);
      }
    };
    callbacks.on_event = [this](const bgp::SpeakerEvent& event) { log_event(*log, event); };
    speaker.emplace(std::move(callbacks));
    if (!config.control.empty()) {
      auto opened = ControlServer::open(config.control, backend());
      if (!opened) {
        return fail(opened.error());
      }
      control = std::move(*opened);
    }
    speaker->configure(config.speaker);
    return {};
  }

  ControlBackend backend() {
    ControlBackend made;
    add_bgp_questions([this] { return speaker ? &*speaker : nullptr; }, made);
    return made;
  }

  // Until every peer has brought its routes, those that an earlier run left stay in the kernel.
  void watch_peers() {
    speaker->status([this](const bgp::SpeakerStatus& status) {
      const bool complete =
          status.configured && std::ranges::all_of(status.peers, [](const bgp::PeerStatus& peer) {
            return peer.state == bgp::PeerState::kEstablished && peer.end_of_rib;
          });
      asio::post(io, [this, complete] { on_watched(complete); });
    });
  }
  void on_watched(bool complete) {
    if (complete || Clock::now() - started > kStaleRouteLimit) {
      fib->set_in_sync();
      return;
    }
    watch_timer.expires_after(kWatchInterval);
    watch_timer.async_wait([this](const boost::system::error_code& errc) {
      if (!errc) {
        watch_peers();
      }
    });
  }

  void wait_for_signal(const Reload& reload) {
    signals.async_wait([this, &reload](const boost::system::error_code& errc, int number) {
      if (errc) {
        return;
      }
      if (number != SIGHUP) {
        io.stop();
        return;
      }
      take(read_again(reload));
      wait_for_signal(reload);
    });
  }
  static Result<bgp::BgpdConfig> read_again(const Reload& reload) {
    try {
      return reload();
    } catch (const std::exception& error) {  // whatever it is, the sessions go on
      return fail(Errc::kInternal, "{}", error.what());
    }
  }
  void take(const Result<bgp::BgpdConfig>& next) {
    if (!next) {
      log->error("configuration not taken, the old one stays err=\"{}\"", next.error().text);
      return;
    }
    if (next->fib != config.fib || next->control != config.control) {
      log->warn("a change of router.fib or control needs a restart; the rest is taken");
    }
    config.speaker = next->speaker;
    speaker->configure(config.speaker);
    log->info("configuration taken peers={}", config.speaker.peers.size());
  }

  void finish() {
    control.reset();
    const bool restarts = config.speaker.graceful_restart.count() > 0;
    speaker.reset();
    if (fib && !restarts) {
      fib->clear();
    }
  }

  bgp::BgpdConfig config;
  std::shared_ptr<spdlog::logger> log;
  std::shared_ptr<spdlog::logger> fib_log;
  asio::io_context io{1};
  asio::signal_set signals{io, SIGTERM, SIGINT, SIGHUP};
  asio::steady_timer watch_timer{io};
  TimePoint started = Clock::now();
  std::unique_ptr<Fib> fib;
  std::optional<bgp::Speaker> speaker;
  std::unique_ptr<ControlServer> control;
};

BgpDaemon::BgpDaemon(std::unique_ptr<State> state) : state_(std::move(state)) {}
BgpDaemon::~BgpDaemon() = default;

Result<std::unique_ptr<BgpDaemon>> BgpDaemon::create(bgp::BgpdConfig config, Log& log) {
  auto state = std::make_unique<State>(std::move(config), log);
  if (auto opened = state->open(); !opened) {
    return fail(opened.error());
  }
  return std::unique_ptr<BgpDaemon>(new BgpDaemon(std::move(state)));
}

void BgpDaemon::run(const Reload& reload) {
  state_->log->info("started asn={} peers={}",
                    state_->config.speaker.asn.value(),
                    state_->config.speaker.peers.size());
  if (state_->fib) {
    state_->watch_peers();
  }
  state_->wait_for_signal(reload);
  state_->io.run();
  state_->finish();
}

}  // namespace margay::felix
