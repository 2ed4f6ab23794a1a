// A route reflector with 200 clients of 4 prefixes each. B3: until every client has every route of
// the others, with sessions up and from the daemon's start. B5: memory of 200 idle sessions. B7:
// 200 peers that come at once, all established. B9: processor time of B3. margay-bgpd and its peers
// in turn, each started anew, twice a round.

#include "bench/bgp/comparison.h"
#include "bench/bgp/load_peers.h"
#include "bench/bgp/speaker_process.h"

#include <algorithm>
#include <cstdio>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

namespace margay::bench {
namespace {

using LoadClock = LoadPeers::Clock;
using std::chrono::duration;
using std::chrono::seconds;

constexpr unsigned kClients = 200;
constexpr std::uint32_t kEach = 4;
constexpr std::uint32_t kPrefixes = kClients * kEach;
constexpr seconds kLimit{20};
constexpr seconds kRushLimit{10};

std::vector<LoadPeer::Options> clients() {
  constexpr std::size_t kReadBytes = 16 << 10;
  std::vector<LoadPeer::Options> all;
  for (std::uint32_t i = 0; i < kClients; ++i) {
    LoadPeer::Options options{client_address(i), speaker_address(), kSpeakerAsn, kSpeakerAsn};
    options.prefixes = kPrefixes;
    options.own_begin = i * kEach;
    options.own_end = (i + 1) * kEach;
    options.read_bytes = kReadBytes;
    options.hold_time_s = kLongHoldTime;
    all.push_back(options);
  }
  return all;
}

SpeakerPlan reflector() {
  SpeakerPlan plan;
  plan.reflector = true;
  for (unsigned i = 0; i < kClients; ++i) {
    plan.neighbors.push_back({client_address(i), kSpeakerAsn});
  }
  return plan;
}

// What each client has to say.
std::vector<std::vector<std::uint8_t>> announcements() {
  bgp::CodecContext context;
  context.internal = true;
  context.local_asn = context.peer_asn = kSpeakerAsn;
  std::vector<std::vector<std::uint8_t>> all;
  for (std::uint32_t i = 0; i < kClients; ++i) {
    constexpr std::uint32_t kLocalPref = 100;
    bgp::AttributeSet set;
    set.next_hop.address = client_address(i);
    set.local_pref = kLocalPref;
    std::vector<bgp::Nlri> prefixes;
    for (std::uint32_t n = i * kEach; n < (i + 1) * kEach; ++n) {
      prefixes.push_back({numbered_prefix(n), 0});
    }
    bgp::UpdatePacker packer(context);
    (void)packer.announce(set, prefixes);
    all.push_back(packer.take());
  }
  return all;
}

// A reflector and its clients.
class Fabric {
 public:
  static Result<Fabric> start(SpeakerKind kind,
                              const SpeakerNetwork& network,
                              std::size_t at_once = LoadPeers::kFew) {
    Fabric fabric;
    fabric.begun_ = LoadClock::now();
    auto speaker = SpeakerProcess::start(kind, reflector(), network);
    auto peers = LoadPeers::start(clients(), at_once);
    if (!speaker || !peers) {
      return fail(speaker ? peers.error() : speaker.error());
    }
    fabric.speaker_ = std::move(*speaker);
    fabric.peers_ = std::move(*peers);
    return fabric;
  }

  [[nodiscard]] const SpeakerProcess& speaker() const { return *speaker_; }
  [[nodiscard]] LoadPeers& peers() { return *peers_; }
  [[nodiscard]] LoadClock::time_point begun() const { return begun_; }

  Result<void> until(const std::function<bool()>& condition,
                     const char* what,
                     seconds limit = kLimit) {
    const auto done = peers_->until(condition, LoadClock::now() + limit);
    const auto lost = peers_->take_lost();
    if (!done) {
      return fail(done.error(), "{} in {} s: {}", what, limit.count(), shortfall());
    }
    return lost.empty() ? Result<void>() : fail(Errc::kUnavailable, "{}: {}", what, lost[0].why);
  }
  [[nodiscard]] std::string shortfall() const {
    std::uint32_t least = kPrefixes;
    for (std::size_t i = 0; i < peers_->size(); ++i) {
      least = std::min(least, peers_->held(i));
    }
    return fmt::format("some client has {} of {} routes", least, kPrefixes - kEach);
  }
  [[nodiscard]] bool all_know_all() const {
    for (std::size_t i = 0; i < peers_->size(); ++i) {
      if (peers_->held(i) != kPrefixes - kEach) {
        return false;
      }
    }
    return true;
  }

 private:
  LoadClock::time_point begun_;
  std::unique_ptr<SpeakerProcess> speaker_;
  std::unique_ptr<LoadPeers> peers_;
};

double milliseconds_since(LoadClock::time_point start) {
  return duration<double, std::milli>(LoadClock::now() - start).count();
}

// Sessions first, routes when all is quiet.
Result<void> run_quiet(SpeakerKind kind, const SpeakerNetwork& network, Samples& samples) {
  static const auto all_messages = announcements();
  auto fabric = Fabric::start(kind, network);
  if (!fabric) {
    return fail(fabric.error());
  }
  LoadPeers& peers = fabric->peers();
  if (auto up = fabric->until([&] { return peers.established() == kClients; }, "all established");
      !up) {
    return up;
  }
  fabric->speaker().settle();
  samples["idle_memory"].push_back(fabric->speaker().resident_memory_mib());
  const double used = fabric->speaker().cpu_seconds();
  const auto start = LoadClock::now();
  for (std::size_t i = 0; i < kClients; ++i) {
    peers.send(i, all_messages[i]);
  }
  if (auto all = fabric->until([&] { return fabric->all_know_all(); }, "all routes everywhere");
      !all) {
    return all;
  }
  samples["through"].push_back(milliseconds_since(start));
  fabric->speaker().settle();
  samples["cpu"].push_back(fabric->speaker().cpu_seconds() - used);
  return {};
}

// Each client speaks as soon as its session is up.
Result<void> run_start(SpeakerKind kind, const SpeakerNetwork& network, Samples& samples) {
  static const auto all_messages = announcements();
  auto fabric = Fabric::start(kind, network);
  if (!fabric) {
    return fail(fabric.error());
  }
  LoadPeers& peers = fabric->peers();
  const auto complete = [&] {
    for (const std::size_t peer : peers.take_established()) {
      peers.send(peer, all_messages[peer]);
    }
    return fabric->all_know_all();
  };
  if (auto all = fabric->until(complete, "all routes everywhere, from the start"); !all) {
    return all;
  }
  samples["start"].push_back(milliseconds_since(fabric->begun()));
  return {};
}

// All of them at the same moment, as after a loss of power.
Result<void> run_rush(SpeakerKind kind, const SpeakerNetwork& network, Samples& samples) {
  auto fabric = Fabric::start(kind, network, kClients);
  if (!fabric) {
    return fail(fabric.error());
  }
  LoadPeers& peers = fabric->peers();
  if (auto up = fabric->until(
          [&] { return peers.established() == kClients; }, "all established", kRushLimit);
      !up) {
    return up;
  }
  samples["sessions"].push_back(milliseconds_since(peers.opened_at()));
  return {};
}

std::vector<Row> rows_of(const Comparison& comparison) {
  constexpr double kThrough = 0.6;
  constexpr double kCpu = 0.5;
  constexpr double kIdleMib = 10;
  const std::string what = "200 clients x 4 prefixes";
  const Figure idle{"idle_memory", "B5", "200 idle sessions, resident", "MiB", {}};
  std::vector<Row> rows;
  for (const Figure& figure : std::vector<Figure>{
           {"through", "B3", what + ", sessions up", "ms", kThrough},
           {"start", "B3", what + ", from the start", "ms", kThrough},
           {"cpu", "B9", what + ", processor time", "s", kCpu},
           idle,
       }) {
    std::ranges::move(comparison.rows(figure), std::back_inserter(rows));
  }
  Row own = comparison.own_row(idle);
  own.compare = Row::Compare::kOursP50;
  own.limit = kIdleMib;
  own.goal = fmt::format("< {} MiB", kIdleMib);
  rows.push_back(std::move(own));
  return rows;
}

Result<void> run_all(int argc, char** argv) {
  using enum SpeakerKind;
  const auto options = parse_bgp_options(argc, argv);
  if (!options) {
    return fail(options.error());
  }
  const auto network = SpeakerNetwork::open(kClients);
  if (!network) {
    return fail(network.error());
  }
  const bool quick = options->common.quick;
  Comparison::Effort effort{quick ? 2U : 5U, seconds(quick ? 1 : 15)};
  effort.rounds = options->rounds != 0 ? options->rounds : effort.rounds;
  const std::vector<SpeakerKind> peers{kBird, kFrr, kFrrEager, kGobgp, kOpenbgpd};
  const auto compare =
      [&](const Comparison::Run& once, const std::vector<SpeakerKind>& slow, const auto& rows) {
        Comparison comparison(peers, effort);
        for (const SpeakerKind kind : quick ? slow : std::vector<SpeakerKind>()) {
          comparison.leave_out(kind, "left out of a quick run");
        }
        const auto done = comparison.run(once);
        const auto saved = save(options->common.results, rows(comparison));
        return saved ? done : saved;
      };
  const auto routes = compare(
      [&](SpeakerKind kind, Samples& samples) {
        auto quiet = run_quiet(kind, *network, samples);
        return quiet ? run_start(kind, *network, samples) : quiet;
      },
      {kFrr, kGobgp},
      rows_of);
  const auto rush = compare(
      [&](SpeakerKind kind, Samples& samples) { return run_rush(kind, *network, samples); },
      {kBird, kFrr, kGobgp, kOpenbgpd},
      [](const Comparison& comparison) {
        return comparison.rows({"sessions", "B7", "200 peers at once, all established", "ms", 1});
      });
  return routes ? rush : routes;
}

}  // namespace
}  // namespace margay::bench

int main(int argc, char** argv) {
  const auto done = margay::bench::run_all(argc, argv);
  if (!done) {
    std::fprintf(stderr, "bench_bgp_reflector: %s\n", done.error().text.c_str());
    return 1;
  }
  return 0;
}
