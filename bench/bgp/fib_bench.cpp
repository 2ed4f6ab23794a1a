// B4: routes into the kernel. A node in a mesh of 200 that learns 800 routes, from the last UPDATE
// in to the last route in the kernel's table; 100k prefixes of one peer, from the first UPDATE in,
// beside the peers and beside a bare netlink batch. The kernel itself tells when a route is there.

#include "bench/bgp/comparison.h"
#include "bench/bgp/load_peers.h"
#include "bench/bgp/speaker_process.h"
#include "kernel/monitor.h"
#include "kernel/netlink/request.h"
#include "kernel/netlink/route_codec.h"

#include <net/if.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <list>
#include <memory>
#include <poll.h>
#include <string>
#include <vector>

namespace margay::bench {
namespace {

using LoadClock = LoadPeers::Clock;
using std::chrono::duration;
using std::chrono::seconds;

constexpr int kNetlinkRoute = 0;  // linux/netlink.h NETLINK_ROUTE
constexpr unsigned kNodes = 200;
constexpr std::uint32_t kEach = 4;
constexpr std::uint32_t kBulk = 100'000;
constexpr std::uint32_t kPerSet = 1000;
constexpr seconds kLimit{30};

// The numbered prefixes that the kernel of the speakers has a route for, by its own events.
class RouteWatch {
 public:
  static Result<RouteWatch> open(const SpeakerNetwork& network, std::uint32_t prefixes) {
    RouteWatch watch;
    watch.there_.resize(prefixes);
    const auto done = network.inside([&watch]() -> Result<void> {
      constexpr int kRoom = 512 << 20;
      auto monitor =
          open_kernel_monitor({.links = false, .addresses = false, .receive_buffer = kRoom});
      if (!monitor) {
        return fail(monitor.error());
      }
      watch.monitor_ = std::move(*monitor);
      return {};
    });
    return done ? Result<RouteWatch>(std::move(watch)) : fail(done.error());
  }

  [[nodiscard]] int descriptor() const { return monitor_->descriptor(); }
  [[nodiscard]] std::uint32_t count() const { return count_; }
  Result<void> take() {
    for (const KernelEvent& event : monitor_->take()) {
      if (const auto* changed = std::get_if<RouteChanged>(&event)) {
        mark(changed->route.key.prefix, true);
      } else if (const auto* removed = std::get_if<RouteRemoved>(&event)) {
        mark(removed->route.key.prefix, false);
      } else if (std::holds_alternative<Overrun>(event)) {
        return fail(Errc::kExhausted, "events of the kernel were lost");
      }
    }
    return {};
  }

 private:
  void mark(const Prefix& prefix, bool there) {
    const auto number = number_of(prefix);
    if (number && *number < there_.size() && there_[*number] != there) {
      there_[*number] = there;
      count_ += there ? 1U : static_cast<std::uint32_t>(-1);
    }
  }

  std::unique_ptr<KernelMonitor> monitor_;
  std::vector<bool> there_;
  std::uint32_t count_ = 0;
};

// Waits until all routes are in the kernel, with the peers served meanwhile.
Result<void> until_installed(RouteWatch& watch, LoadPeers& peers, std::uint32_t wanted) {
  const auto deadline = LoadClock::now() + kLimit;
  while (watch.count() != wanted) {
    if (LoadClock::now() >= deadline) {
      return fail(Errc::kTimeout, "{} of {} routes in {} s", watch.count(), wanted, kLimit.count());
    }
    std::array<pollfd, 2> ready{{{watch.descriptor(), POLLIN, 0}, {peers.descriptor(), POLLIN, 0}}};
    constexpr int kPatienceMs = 100;
    ::poll(ready.data(), ready.size(), kPatienceMs);
    if (auto done = watch.take(); !done) {
      return done;
    }
    if (auto done = peers.step(LoadClock::now()); !done) {
      return done;
    }
    if (const auto lost = peers.take_lost(); !lost.empty()) {
      return fail(Errc::kUnavailable, "{}", lost.front().why);
    }
  }
  return {};
}

// Nothing that a speaker left, for the next one.
Result<void> flush(const SpeakerNetwork& network) {
  return network.inside([]() -> Result<void> {
    for (const char* what : {"nexthop", "route"}) {
      lab::Command command;
      command.argv = {"ip", what, "flush"};
      if (std::string_view(what) == "route") {
        command.argv.insert(command.argv.end(), {"table", "main", "scope", "global"});
      }
      command.env = {{"PATH", lab::kSystemPath}};
      const auto result = lab::run(command);
      if (!result) {
        return fail(result.error());
      }
    }
    return {};
  });
}

double milliseconds_since(LoadClock::time_point start) {
  return duration<double, std::milli>(LoadClock::now() - start).count();
}

std::vector<std::uint8_t> announce(const LoadPeer::Options& peer,
                                   std::uint32_t first,
                                   std::uint32_t end) {
  constexpr std::uint32_t kLocalPref = 100;
  bgp::CodecContext context;
  context.internal = peer.asn == peer.remote_asn;
  context.local_asn = peer.asn;
  context.peer_asn = peer.remote_asn;
  bgp::UpdatePacker packer(context);
  for (; first < end; first += kPerSet) {
    bgp::AttributeSet set;
    set.next_hop.address = peer.local;
    if (context.internal) {
      set.local_pref = kLocalPref;
    } else {
      set.as_path = bgp::AsPath::sequence(std::array{peer.asn, Asn{100'000 + first}});
    }
    std::vector<bgp::Nlri> prefixes;
    for (std::uint32_t n = first; n < std::min(first + kPerSet, end); ++n) {
      prefixes.push_back({numbered_prefix(n), 0});
    }
    (void)packer.announce(set, prefixes);
  }
  return packer.take();
}

// A speaker with sessions to all of these, each of which has so many prefixes to tell.
struct Work {
  std::vector<LoadPeer::Options> peers;
  std::uint32_t each = 0;
  bool from_last = false;  // the time counts from the last UPDATE in; else from the first
};

Work mesh() {
  constexpr std::size_t kReadBytes = 16 << 10;
  Work work;
  for (unsigned i = 0; i < kNodes; ++i) {
    LoadPeer::Options options{client_address(i), speaker_address(), kSpeakerAsn, kSpeakerAsn};
    options.read_bytes = kReadBytes;
    work.peers.push_back(options);
  }
  work.each = kEach;
  work.from_last = true;
  return work;
}

Work bulk() {
  return {{{sender_address(), speaker_address(), kSenderAsn, kSpeakerAsn}}, kBulk, false};
}

Result<void> run_once(SpeakerKind kind,
                      const SpeakerNetwork& network,
                      const Work& work,
                      Samples& samples) {
  SpeakerPlan plan;
  plan.kernel_routes = true;
  std::vector<std::vector<std::uint8_t>> messages;
  for (const LoadPeer::Options& peer : work.peers) {
    plan.neighbors.push_back({peer.local, peer.asn});
    const auto first = static_cast<std::uint32_t>(messages.size()) * work.each;
    messages.push_back(announce(peer, first, first + work.each));
  }
  if (auto flushed = flush(network); !flushed) {
    return flushed;
  }
  const auto wanted = static_cast<std::uint32_t>(work.peers.size()) * work.each;
  auto watch = RouteWatch::open(network, wanted);
  auto speaker = SpeakerProcess::start(kind, plan, network);
  auto peers = LoadPeers::start(work.peers);
  if (!watch || !speaker || !peers) {
    return fail(!watch ? watch.error() : !speaker ? speaker.error() : peers.error());
  }
  if (auto up = (*peers)->until([&] { return (*peers)->established() == work.peers.size(); },
                                LoadClock::now() + kLimit);
      !up) {
    return fail(up.error(), "sessions");
  }
  (*speaker)->settle();
  auto start = LoadClock::now();
  for (std::size_t i = 0; i < messages.size(); ++i) {
    (*peers)->send(i, messages[i]);
  }
  start = work.from_last ? LoadClock::now() : start;
  if (auto all = until_installed(*watch, **peers, wanted); !all) {
    return all;
  }
  samples["installed"].push_back(milliseconds_since(start));
  return {};
}

// The same routes, encoded before, in batches of 512 without an answer to each.
Result<double> bare_batch(const SpeakerNetwork& network) {
  constexpr std::uint32_t kPerBatch = 512;
  if (auto flushed = flush(network); !flushed) {
    return fail(flushed.error());
  }
  const auto watch = RouteWatch::open(network, kBulk);  // listens as beside a speaker
  if (!watch) {
    return fail(watch.error());
  }
  double took = 0;
  const auto done = network.inside([&took]() -> Result<void> {
    auto socket = NetlinkSocket::open(kNetlinkRoute);
    if (!socket) {
      return fail(socket.error());
    }
    std::list<RequestBatch> batches;
    for (std::uint32_t i = 0; i < kBulk; ++i) {
      if (i % kPerBatch == 0) {
        batches.emplace_back(*socket);
      }
      RouteSpec route = route_via(numbered_prefix(i), {sender_address()}, kProtocolBgp);
      route.next_hops.front().ifindex = IfIndex(::if_nametoindex("speaker"));
      encode_route_change({RouteAction::kCreate, route}, batches.back());
    }
    const auto start = LoadClock::now();
    for (RequestBatch& batch : batches) {
      const auto codes = batch.run();
      if (!codes) {
        return fail(codes.error());
      }
      if (std::ranges::any_of(*codes, [](int code) { return code != 0; })) {
        return fail(Errc::kInternal, "the kernel refused a route");
      }
    }
    took = milliseconds_since(start);
    return {};
  });
  return done ? Result<double>(took) : fail(done.error());
}

Comparison compare(const Comparison::Effort& effort) {
  using enum SpeakerKind;
  Comparison comparison({kBird, kFrr, kGobgp, kOpenbgpd}, effort);
  for (const SpeakerKind kind : {kGobgp, kOpenbgpd}) {
    comparison.leave_out(kind, "writes no kernel routes here");
  }
  return comparison;
}

Result<void> measure_mesh(const SpeakerNetwork& network,
                          const Comparison::Effort& effort,
                          const std::string& results) {
  Comparison comparison = compare(effort);
  const Work work = mesh();
  const auto done = comparison.run(
      [&](SpeakerKind kind, Samples& samples) { return run_once(kind, network, work, samples); });
  const Figure figure{"installed", "B4", "a mesh of 200, 800 routes into the kernel", "ms", 1};
  const auto saved = save(results, comparison.rows(figure));
  return saved ? done : saved;
}

Result<void> measure_bulk(const SpeakerNetwork& network,
                          const Comparison::Effort& effort,
                          const std::string& results) {
  constexpr double kBest = 0.8;
  constexpr double kOfBare = 1 / 0.6;  // of its time: 60 % of its rate
  Comparison comparison = compare(effort);
  const Work work = bulk();
  std::vector<double> bare;
  const auto done = comparison.run([&](SpeakerKind kind, Samples& samples) -> Result<void> {
    if (kind == SpeakerKind::kMargay) {
      const auto took = bare_batch(network);
      if (!took) {
        return fail(took.error(), "bare batch");
      }
      bare.push_back(*took);
    }
    return run_once(kind, network, work, samples);
  });
  const Figure figure{"installed", "B4", "100k prefixes into the kernel", "ms", kBest};
  auto rows = comparison.rows(figure);
  Row row = comparison.own_row(figure);
  row.peer = "bare netlink batch";
  row.theirs = summarize(bare);
  row.limit = kOfBare;
  row.goal = "ratio <= 1.67 (60 % of the rate)";
  rows.push_back(std::move(row));
  const auto saved = save(results, rows);
  return saved ? done : saved;
}

Result<void> run_all(int argc, char** argv) {
  const auto options = parse_bgp_options(argc, argv);
  if (!options) {
    return fail(options.error());
  }
  const auto network = SpeakerNetwork::open(kNodes);
  if (!network) {
    return fail(network.error());
  }
  const bool quick = options->common.quick;
  Comparison::Effort effort{quick ? 2U : 5U, seconds(quick ? 2 : 15)};
  effort.rounds = options->rounds != 0 ? options->rounds : effort.rounds;
  const std::string& results = options->common.results;
  const auto first = measure_mesh(*network, effort, results);
  const auto second = quick ? Result<void>() : measure_bulk(*network, effort, results);
  return first ? second : first;
}

}  // namespace
}  // namespace margay::bench

int main(int argc, char** argv) {
  const auto done = margay::bench::run_all(argc, argv);
  if (!done) {
    std::fprintf(stderr, "bench_bgp_fib: %s\n", done.error().text.c_str());
    return 1;
  }
  return 0;
}
