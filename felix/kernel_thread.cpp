#include "felix/kernel_thread.h"

#include "felix/dataplane/link_reconciler.h"
#include "felix/dataplane/nft_reconciler.h"
#include "felix/dataplane/route_reconciler.h"
#include "felix/dataplane/sysctl_reconciler.h"
#include "kernel/monitor.h"
#include "kernel/sysctl.h"

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

#include <algorithm>
#include <map>
#include <optional>
#include <pthread.h>
#include <thread>
#include <unistd.h>
#include <utility>

namespace margay::felix {

namespace asio = boost::asio;
using asio::posix::stream_descriptor;

namespace {

// Links and sysctls are looked at this often, not with every change.
constexpr std::chrono::seconds kHousekeeping{30};
constexpr std::chrono::milliseconds kInterfacesRetry{1000};

}  // namespace

struct KernelThread::State {
  explicit State(Options options_in, OnReport on_report_in)
      : options(std::move(options_in)), on_report(std::move(on_report_in)) {}

  Result<void> open() {
    auto opened_routes = open_route_kernel();
    // Our own routes are no news; the monitor is open before the first table is read.
    auto opened_monitor =
        open_kernel_monitor({.ignore_port = opened_routes ? (*opened_routes)->port() : 0});
    auto opened_links = open_link_kernel();
    for (const Error* error : {opened_monitor ? nullptr : &opened_monitor.error(),
                               opened_routes ? nullptr : &opened_routes.error(),
                               opened_links ? nullptr : &opened_links.error()}) {
      if (error != nullptr) {
        return fail(*error, "open netlink socket");
      }
    }
    monitor = std::move(*opened_monitor);
    route_kernel =
        with_faults(std::move(*opened_routes), options.faults, options.policy ? "routes" : "fib");
    link_kernel =
        with_faults(std::move(*opened_links), options.faults, options.policy ? "links" : "");
    routes.emplace(*route_kernel,
                   *link_kernel,
                   RouteReconciler::Options{.protocols = options.protocols,
                                            .endpoint_prefix = options.interface_prefix,
                                            .overrules = options.overrules});
    if (options.policy) {
      auto opened_nft = nft::open_nft_kernel(kTableName);
      if (!opened_nft) {
        return fail(opened_nft.error(), "open nfnetlink socket");
      }
      nft_kernel = with_faults(std::move(*opened_nft), options.faults, "nft");
      policy.emplace(*nft_kernel);
      links.emplace(*link_kernel, options.interface_prefix);
      sysctls.emplace(options.sysctl_record);
      sysctls->set_desired(forwarding_sysctls(has_ipv6()));
    }
    return {};
  }

  void listen() {
    kernel_events.assign(::dup(monitor->descriptor()));
    wait_for_kernel_events();
    if (nft_kernel && nft_kernel->event_descriptor() >= 0) {
      nft_events.assign(::dup(nft_kernel->event_descriptor()));
      wait_for_nft_events();
    }
  }

  void wait_for_kernel_events() {
    kernel_events.async_wait(stream_descriptor::wait_read,
                             [this](const boost::system::error_code& errc) {
                               if (!errc) {
                                 on_kernel_events();
                               }
                             });
  }
  void on_kernel_events() {
    bool work = false;
    while (true) {
      const std::vector<KernelEvent> events = monitor->take();
      if (events.empty()) {
        break;
      }
      for (const KernelEvent& event : events) {
        work = routes->on_event(event) || work;
        if (about_interfaces(event)) {
          interfaces_stale = true;
          work = work || report_interfaces;
        }
      }
    }
    if (work) {
      apply_soon();
    }
    wait_for_kernel_events();
  }
  [[nodiscard]] bool about_interfaces(const KernelEvent& event) const {
    if (const auto* link = std::get_if<LinkChanged>(&event)) {
      return !link->link.name.starts_with(options.interface_prefix);
    }
    return std::holds_alternative<AddressChanged>(event) || std::holds_alternative<Overrun>(event);
  }
  void wait_for_nft_events() {
    nft_events.async_wait(stream_descriptor::wait_read,
                          [this](const boost::system::error_code& errc) {
                            if (!errc) {
                              if (policy->on_event()) {
                                apply_soon();
                              }
                              wait_for_nft_events();
                            }
                          });
  }

  void take(KernelDelta delta) {
    generation = std::max(generation, delta.generation);
    if (delta.in_sync) {
      routes->set_in_sync(true);
    }
    for (const RouteKey& key : delta.remove_routes) {
      routes->remove_desired(key);
    }
    for (const RouteSpec& route : delta.set_routes) {
      routes->set_desired(route);
    }
    if (policy) {
      report_interfaces = delta.report_interfaces;
      policy->set_desired(std::move(delta.nft));
      for (const std::string& link : delta.remove_links) {
        links->remove_desired(link);
      }
      for (const std::string& link : delta.add_links) {
        links->add_desired(link);
      }
      if (delta.in_sync && !std::exchange(in_sync, true)) {
        policy->set_in_sync(true);
        links->set_in_sync(true);
        next_housekeeping = {};
      }
    }
    apply_soon();
  }

  // Everything that arrives in one turn of the loop is applied together.
  void apply_soon() {
    if (!std::exchange(apply_posted, true)) {
      asio::post(io, [this] { apply(); });
    }
  }

  void apply() {
    apply_posted = false;
    const TimePoint started = Clock::now();
    KernelReport report;
    report.generation = generation;
    std::optional<std::chrono::milliseconds> retry;
    const auto add = [&report, &retry](const ApplyReport& part) {
      report.changes += part.changes;
      for (const ApplyFailure& failure : part.failures) {
        report.failures.push_back(failure.what + ": " + failure.error.text);
      }
      if (part.retry_after) {
        retry = std::min(retry.value_or(*part.retry_after), *part.retry_after);
      }
    };
    report.policy_applied = true;
    const bool housekeeping = started >= next_housekeeping;
    if (policy) {
      // One that cannot be set stays reported, and is tried again with whatever else is applied.
      if (housekeeping || !last_sysctls.failures.empty()) {
        last_sysctls = sysctls->apply();
      }
      add(last_sysctls);
      last_sysctls.changes = 0;
      const ApplyReport policy_report = policy->apply();
      report.policy_applied = policy_report.clean();
      add(policy_report);
      report.sets = policy->desired().sets.size();
      report.chains = policy->desired().chains.size();
    }
    add(routes->apply(started));
    if (links && housekeeping) {
      add(links->apply(started));
    }
    if (housekeeping) {
      next_housekeeping = started + kHousekeeping;
    }
    if (report_interfaces && interfaces_stale) {
      add(read_interfaces(report));
    }
    report_missing(report);
    report.routes = routes->desired_count() - report.missing_routes->size();
    report.duration = Clock::now() - started;
    if (policy) {
      const std::chrono::milliseconds housekeeping_due = kHousekeeping;
      retry = std::min(retry.value_or(housekeeping_due), housekeeping_due);
    }
    if (retry) {
      retry_timer.expires_after(*retry);
      retry_timer.async_wait([this](const boost::system::error_code& errc) {
        if (!errc) {
          apply_soon();
        }
      });
    } else {
      retry_timer.cancel();
    }
    on_report(std::move(report));
  }

  void report_missing(KernelReport& report) {
    if (!last_waiting || last_waiting_version != routes->waiting_version()) {
      const std::vector<RouteSpec> waiting = routes->waiting();
      std::vector<std::string> lines;
      lines.reserve(waiting.size());
      for (const RouteSpec& route : waiting) {
        lines.push_back(route.str() + ": waits for its interface to be there and up");
      }
      last_waiting_version = routes->waiting_version();
      last_waiting = std::make_shared<const std::vector<std::string>>(std::move(lines));
      last_missing.reset();
    }
    if (!last_missing || !routes->settled() || !was_settled) {
      last_missing = std::make_shared<const std::vector<RouteKey>>(routes->missing());
    }
    was_settled = routes->settled();
    report.waiting = last_waiting;
    report.missing_routes = last_missing;
  }

  ApplyReport read_interfaces(KernelReport& report) {
    ApplyReport out;
    const auto all = link_kernel->links();
    const auto addresses = link_kernel->addresses();
    if (!all || !addresses) {
      out.failures.push_back({"read the host's interfaces", all ? addresses.error() : all.error()});
      out.retry_after = kInterfacesRetry;
      return out;
    }
    auto& interfaces = report.interfaces.emplace();
    std::map<IfIndex, IfName> names;
    for (const LinkState& link : *all) {
      const auto name = IfName::parse(link.name);
      if (name && link.name != "lo" && !link.name.starts_with(options.interface_prefix)) {
        names.emplace(link.index, *name);
        interfaces[*name];
      }
    }
    for (const AddressSpec& address : *addresses) {
      if (const auto name = names.find(address.link); name != names.end()) {
        interfaces[name->second].push_back(address.address.addr);
      }
    }
    interfaces_stale = false;
    return out;
  }

  std::shared_ptr<const std::vector<RouteKey>> last_missing;  // as of the last report
  std::shared_ptr<const std::vector<std::string>> last_waiting;
  std::uint64_t last_waiting_version = 0;
  bool was_settled = false;
  Options options;
  OnReport on_report;
  asio::io_context io{1};
  asio::executor_work_guard<asio::io_context::executor_type> keep_running =
      asio::make_work_guard(io);
  asio::steady_timer retry_timer{io};
  stream_descriptor kernel_events{io};
  stream_descriptor nft_events{io};

  std::unique_ptr<KernelMonitor> monitor;
  std::unique_ptr<RouteKernel> route_kernel;
  std::unique_ptr<LinkKernel> link_kernel;
  std::unique_ptr<nft::NftKernel> nft_kernel;
  std::optional<RouteReconciler> routes;
  std::optional<NftReconciler> policy;
  std::optional<LinkReconciler> links;
  std::optional<SysctlReconciler> sysctls;
  ApplyReport last_sysctls;
  std::uint64_t generation = 0;
  TimePoint next_housekeeping{};
  bool in_sync = false;
  bool apply_posted = false;
  bool report_interfaces = false;
  bool interfaces_stale = true;
  std::thread thread;
};

KernelThread::KernelThread(std::shared_ptr<State> state) : state_(std::move(state)) {}

Result<std::unique_ptr<KernelThread>> KernelThread::start(Options options, OnReport on_report) {
  auto state = std::make_shared<State>(std::move(options), std::move(on_report));
  if (auto opened = state->open(); !opened) {
    return fail(opened.error());
  }
  state->listen();
  state->thread = std::thread([raw = state.get()] { raw->io.run(); });
  std::string name = state->options.name;
  constexpr std::size_t kMaxThreadName = 15;  // TASK_COMM_LEN - 1
  name.resize(std::min(name.size(), kMaxThreadName));
  pthread_setname_np(state->thread.native_handle(), name.c_str());
  return std::unique_ptr<KernelThread>(new KernelThread(std::move(state)));
}

KernelThread::~KernelThread() {
  state_->io.stop();
  state_->thread.join();
}

void KernelThread::post(KernelDelta delta) {
  asio::post(state_->io, [state = state_.get(), delta = std::move(delta)]() mutable {
    state->take(std::move(delta));
  });
}

}  // namespace margay::felix
