// What a storm of changes does to an agent with 50 BGP sessions, 1,000 endpoints of its own and
// 1,000 policies. First the labels of all endpoints change at once, in one write of the store: the
// time until the kernel holds the result. Then 10,000 changes come over ten seconds: how far the
// kernel is behind when the last one is written, the processor time of the agent meanwhile, and the
// longest silence on a session. The endpoints have no interfaces: what is measured is policy.

#include "api/resource.h"
#include "bench/agent/nft_events.h"
#include "bench/bgp/load_peer.h"
#include "bench/support/agent_process.h"
#include "bench/support/process.h"
#include "bench/support/results.h"
#include "datastore/store.h"

#include <fmt/format.h>

#include <atomic>
#include <cerrno>
#include <memory>
#include <optional>
#include <sched.h>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace margay::bench {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::duration;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr unsigned kEndpoints = 1000;
constexpr unsigned kPolicies = 1000;
constexpr unsigned kSessions = 50;
constexpr unsigned kRoles = 100;
constexpr std::uint16_t kHoldTime = 3;  // the least that RFC 4271 allows
constexpr milliseconds kQuiet{300};
constexpr double kPercent = 100;

Result<api::Resource> resource(const std::string& yaml) {
  return std::move(api::decode_documents(yaml).front().resource);
}

Result<api::Resource> make_endpoint(unsigned number, unsigned role) {
  return resource(fmt::format(
      "{{apiVersion: projectcalico.org/v3, kind: WorkloadEndpoint, metadata: {{name: e{0}, "
      "namespace: default, labels: {{role: r{1}}}}}, spec: {{node: bench, orchestrator: cni, "
      "interfaceName: mgy{0:08x}, ipNetworks: [10.244.{2}.{3}/32], profiles: [kns.default]}}}}",
      number,
      role,
      number / 250,
      number % 250 + 1));
}

Result<api::Resource> make_policy(unsigned number) {
  return resource(fmt::format(
      "{{apiVersion: projectcalico.org/v3, kind: NetworkPolicy, metadata: {{name: p{}, "
      "namespace: default}}, spec: {{selector: role == 'r{}', ingress: [{{action: "
      "Allow, protocol: TCP, source: {{selector: role == 'r{}'}}, destination: {{ports: "
      "[{}]}}}}]}}}}",
      number,
      number % kRoles,
      number / 10 % kRoles,
      1000 + number));
}

std::string peer_address(unsigned number) {
  return fmt::format("10.99.1.{}", number + 1);
}

Result<std::vector<datastore::Change>> cluster() {
  std::vector<Result<api::Resource>> made;
  made.push_back(resource(
      "{apiVersion: projectcalico.org/v3, kind: Node, metadata: {name: bench}, spec: {bgp: "
      "{ipv4Address: 10.99.0.1/16, asNumber: 64512}}}"));
  for (unsigned i = 0; i < kSessions; ++i) {
    made.push_back(resource(fmt::format(
        "{{apiVersion: projectcalico.org/v3, kind: BGPPeer, metadata: {{name: peer{}}}, "
        "spec: {{node: bench, peerIP: {}, asNumber: 64600, keepaliveTime: {}s}}}}",
        i,
        peer_address(i),
        kHoldTime / 3)));
  }
  for (unsigned i = 0; i < kPolicies; ++i) {
    made.push_back(make_policy(i));
  }
  for (unsigned i = 0; i < kEndpoints; ++i) {
    made.push_back(make_endpoint(i, i % kRoles));
  }
  std::vector<datastore::Change> changes;
  for (auto& object : made) {
    if (!object) {
      return fail(object.error());
    }
    changes.emplace_back(datastore::Create{std::move(*object)});
  }
  return changes;
}

// The sessions, served by a thread of their own.
class Sessions {
 public:
  ~Sessions() {
    stop_ = true;
    if (thread_.joinable()) {
      thread_.join();
    }
  }
  Result<void> establish() {
    for (unsigned i = 0; i < kSessions; ++i) {
      auto peer = LoadPeer::establish({.local = *IpAddr::parse(peer_address(i)),
                                       .remote = *IpAddr::parse("10.99.0.1"),
                                       .asn = Asn(64600),
                                       .remote_asn = Asn(64512),
                                       .hold_time_s = kHoldTime},
                                      Clock::now() + seconds(30));
      if (!peer) {
        return fail(peer.error(), "session {}", i);
      }
      peers_.push_back(std::move(*peer));
      // The first ones must not starve while the others come up.
      for (LoadPeer& earlier : peers_) {
        if (auto done = earlier.pump(); !done) {
          return done;
        }
      }
    }
    thread_ = std::thread([this] { serve(); });
    return {};
  }
  // Sessions that ended.
  [[nodiscard]] unsigned lost() const { return lost_; }
  [[nodiscard]] double longest_silence_s() const { return longest_silence_s_; }

 private:
  void serve() {
    while (!stop_) {
      std::vector<const LoadPeer*> all;
      for (const LoadPeer& peer : peers_) {
        all.push_back(&peer);
      }
      wait_for(all, Clock::now() + milliseconds(50));
      for (auto peer = peers_.begin(); peer != peers_.end();) {
        const bool alive = peer->pump().has_value();
        longest_silence_s_ =
            std::max(longest_silence_s_.load(), duration<double>(peer->longest_silence()).count());
        lost_ += alive ? 0 : 1;
        peer = alive ? std::next(peer) : peers_.erase(peer);
      }
    }
  }

  std::vector<LoadPeer> peers_;
  std::thread thread_;
  std::atomic<bool> stop_ = false;
  std::atomic<unsigned> lost_ = 0;
  std::atomic<double> longest_silence_s_ = 0;
};

class Storm {
 public:
  explicit Storm(datastore::Store& store) : store_(store) {}

  Result<void> listen() {
    auto opened = NftEvents::open();
    if (!opened) {
      return fail(opened.error());
    }
    events_.emplace(std::move(*opened));
    return {};
  }

  Result<void> prepare() {
    auto changes = cluster();
    if (!changes) {
      return fail(changes.error());
    }
    auto stored = store_.commit(*changes);
    if (!stored) {
      return fail(stored.error());
    }
    for (const datastore::Object& object : *stored) {
      if (object.key.kind == api::Kind::kWorkloadEndpoint) {
        endpoints_.push_back(*object.resource);
      }
    }
    return {};
  }

  // Milliseconds until all endpoints have other labels in the kernel; and of that, after the write.
  Result<std::pair<double, double>> all_at_once() {
    ++turn_;
    std::vector<datastore::Change> changes;
    for (unsigned i = 0; i < kEndpoints; ++i) {
      endpoints_[i].metadata.labels["role"] = fmt::format("r{}", (i + turn_) % kRoles);
      changes.emplace_back(datastore::Update{endpoints_[i]});
    }
    const auto started = Clock::now();
    auto stored = store_.commit(changes);
    if (!stored) {
      return fail(stored.error());
    }
    const auto written = Clock::now();
    for (unsigned i = 0; i < kEndpoints; ++i) {
      endpoints_[i] = *(*stored)[i].resource;
    }
    const auto now = events_->last_transaction(kQuiet);
    if (!now) {
      return fail(now.error());
    }
    using Ms = duration<double, std::milli>;
    return std::pair(Ms(*now - started).count(), Ms(*now - written).count());
  }

  // `count` changes, one each millisecond; milliseconds from the last write to the last
  // transaction.
  Result<double> stream(unsigned count) {
    const auto started = Clock::now();
    for (unsigned i = 0; i < count; ++i) {
      std::this_thread::sleep_until(started + milliseconds(i));
      api::Resource& endpoint = endpoints_[i * 7 % kEndpoints];
      endpoint.metadata.labels["role"] = fmt::format("r{}", (i * 13 + turn_) % kRoles);
      auto stored = store_.update(endpoint);
      if (!stored) {
        return fail(stored.error());
      }
      endpoint = *stored->resource;
    }
    const auto written = Clock::now();
    while (true) {
      const auto last = events_->last_transaction(kQuiet);
      if (!last || *last > written) {
        return last ? Result<double>(duration<double, std::milli>(*last - written).count())
                    : fail(last.error());
      }
    }
  }

 private:
  datastore::Store& store_;
  std::optional<NftEvents> events_;
  std::vector<api::Resource> endpoints_;
  unsigned turn_ = 0;
};

struct Figures {
  std::vector<double> at_once_ms;
  std::vector<double> after_write_ms;
  std::vector<double> behind_ms;
  std::vector<double> cpu_percent;
  std::vector<double> silence_s;
};

Result<void> measure(const Options& options,
                     Storm& storm,
                     const AgentProcess& agent,
                     Figures& out) {
  Sessions sessions;
  if (auto done = sessions.establish(); !done) {
    return done;
  }
  const int rounds = options.quick ? 2 : 7;
  for (int round = 0; round <= rounds; ++round) {
    const auto took = storm.all_at_once();
    if (!took) {
      return fail(took.error());
    }
    if (round > 0) {  // the first one warms up
      out.at_once_ms.push_back(took->first);
      out.after_write_ms.push_back(took->second);
    }
  }
  const unsigned count = options.quick ? 2000 : 10'000;
  const double cpu_before = agent.cpu_seconds();
  const auto started = Clock::now();
  const auto behind = storm.stream(count);
  if (!behind) {
    return fail(behind.error());
  }
  out.behind_ms.push_back(*behind);
  out.cpu_percent.push_back((agent.cpu_seconds() - cpu_before) /
                            duration<double>(Clock::now() - started).count() * kPercent);
  out.silence_s.push_back(sessions.longest_silence_s());
  return sessions.lost() == 0
             ? Result<void>()
             : fail(Errc::kInternal, "{} of {} sessions ended", sessions.lost(), kSessions);
}

Result<void> run_bench(const Options& options) {
  if (::unshare(CLONE_NEWNET) != 0) {
    return fail_errno(errno, "a network namespace for the node");
  }
  if (auto done = run_all({{"ip", "link", "set", "lo", "up"},
                           {"ip", "addr", "add", "10.99.0.1/32", "dev", "lo"},
                           {"ip", "route", "add", "local", "10.99.1.0/24", "dev", "lo"}});
      !done) {
    return done;
  }
  const Scratch scratch;
  auto store = datastore::open_store(AgentProcess::datastore(scratch.path));
  if (!store) {
    return fail(store.error());
  }
  Storm storm(**store);
  if (auto done = storm.prepare(); !done) {
    return done;
  }
  const auto agent = AgentProcess::start(program_folder(), scratch.path, "embedded");
  if (!agent) {
    return fail(agent.error());
  }
  if (auto done = storm.listen(); !done) {
    return done;
  }
  Figures figures;
  if (auto done = measure(options, storm, **agent, figures); !done) {
    return done;
  }
  const auto row = [](const char* what,
                      const char* unit,
                      const std::vector<double>& samples,
                      const char* goal,
                      double limit) {
    return Row{.id = "storm",
               .what = what,
               .unit = unit,
               .ours = summarize(samples),
               .goal = goal,
               .limit = limit,
               .compare = Row::Compare::kOursP99};
  };
  return save(options.results,
              {row("1,000 labels at once, 1,000 policies: written and enforced",
                   "ms",
                   figures.at_once_ms,
                   "< 1000 ms",
                   1000),
               row("of that, from written to enforced", "ms", figures.after_write_ms, "", 1000),
               row("10,000 changes in 10 s: the last one enforced after",
                   "ms",
                   figures.behind_ms,
                   "< 100 ms: no queue",
                   100),
               row("the agent meanwhile", "% of a core", figures.cpu_percent, "< 100 %", 100),
               row("longest silence of 50 BGP sessions, hold time 3 s",
                   "s",
                   figures.silence_s,
                   "< 1.5 s: no keepalive missed",
                   1.5)});
}

}  // namespace
}  // namespace margay::bench

int main(int argc, char** argv) {
  return margay::bench::run_program(argc, argv, margay::bench::run_bench);
}
