// B8: 200 BFD sessions of 3 x 50 ms with margay-bgpd, while one peer loads it with a table again
// and again and another one is told all of it (B1). How long a silent peer goes undetected, counted
// from its last packet: until BFD says so, and until its BGP session is closed. Then false alarms,
// for ten minutes or as long as --watch says.

#include "bench/bgp/bfd_peers.h"
#include "bench/bgp/comparison.h"
#include "bench/bgp/load_peers.h"
#include "bench/bgp/speaker_process.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace margay::bench {
namespace {

using LoadClock = LoadPeers::Clock;
using std::chrono::duration;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr unsigned kSessions = 200;
constexpr std::size_t kObserver = kSessions;  // places among the peers
constexpr std::size_t kSender = kSessions + 1;
constexpr milliseconds kInterval{50};
constexpr seconds kLimit{60};
constexpr seconds kWholeWatch{600};
constexpr double kDetectionMs = 175;

struct Effort {
  unsigned rounds = 5;
  std::uint32_t prefixes = 1'000'000;
  seconds watch = kWholeWatch;
};

std::vector<LoadPeer::Options> all_peers(std::uint32_t prefixes) {
  constexpr std::size_t kReadBytes = 16 << 10;
  std::vector<LoadPeer::Options> all;
  for (unsigned i = 0; i < kSessions; ++i) {
    LoadPeer::Options options{client_address(i), speaker_address(), kSpeakerAsn, kSpeakerAsn};
    options.read_bytes = kReadBytes;
    all.push_back(options);
  }
  all.push_back({observer_address(), speaker_address(), kObserverAsn, kSpeakerAsn, prefixes});
  all.push_back({sender_address(), speaker_address(), kSenderAsn, kSpeakerAsn});
  return all;
}

std::vector<std::uint8_t> encode_load(std::uint32_t prefixes) {
  constexpr std::uint32_t kPerSet = 1000;
  bgp::CodecContext context;
  context.local_asn = kSenderAsn;
  context.peer_asn = kSpeakerAsn;
  bgp::UpdatePacker packer(context);
  for (std::uint32_t first = 0; first < prefixes; first += kPerSet) {
    bgp::AttributeSet set;
    set.next_hop.address = sender_address();
    set.as_path = bgp::AsPath::sequence(std::array{kSenderAsn, Asn{100'000 + first / kPerSet}});
    std::vector<bgp::Nlri> numbered;
    for (std::uint32_t n = first; n < std::min(first + kPerSet, prefixes); ++n) {
      numbered.push_back({numbered_prefix(n), 0});
    }
    (void)packer.announce(set, numbered);
  }
  return packer.take();
}

class Scenario {
 public:
  static Result<std::unique_ptr<Scenario>> start(const SpeakerNetwork& network,
                                                 std::uint32_t prefixes) {
    auto scenario = std::unique_ptr<Scenario>(new Scenario);
    scenario->prefixes_ = prefixes;
    scenario->load_ = encode_load(prefixes);
    SpeakerPlan plan;
    plan.bfd = kInterval;
    BfdPeers::Settings settings;
    settings.speaker = speaker_address();
    settings.interval = kInterval;
    const auto all = all_peers(prefixes);
    for (const LoadPeer::Options& peer : all) {
      plan.neighbors.push_back({peer.local, peer.asn});
      if (peer.asn == kSpeakerAsn) {
        settings.addresses.push_back(peer.local);
      }
    }
    auto speaker = SpeakerProcess::start(SpeakerKind::kMargay, plan, network);
    auto peers = LoadPeers::start(all);
    auto bfd = BfdPeers::start(settings);
    if (!speaker || !peers || !bfd) {
      return fail(!speaker ? speaker.error() : !peers ? peers.error() : bfd.error());
    }
    scenario->speaker_ = std::move(*speaker);
    scenario->peers_ = std::move(*peers);
    scenario->bfd_ = std::move(*bfd);
    return scenario;
  }

  // All sessions of both kinds; those of BFD change their pace a moment after.
  Result<void> bring_up() {
    auto up = until([this] { return peers_->established() >= kSessions && bfd_->all_up(); });
    if (!up) {
      return fail(up.error(), "{}", bfd_->all_up() ? "BFD is up" : "BFD is not up");
    }
    constexpr seconds kPace{2};
    lost_.clear();
    return run_for(kPace);
  }
  // Goes on with the load.
  Result<void> run_for(milliseconds time) {
    const auto end = LoadClock::now() + time;
    return until([end] { return LoadClock::now() >= end; }, end + kLimit);
  }
  Result<void> silence_all(Samples& samples);
  [[nodiscard]] unsigned false_alarms() const { return bfd_->false_alarms(); }
  // Times that the whole table went through.
  [[nodiscard]] unsigned loads() const { return loads_; }

 private:
  Scenario() = default;

  Result<void> until(const std::function<bool()>& condition) {
    return until(condition, LoadClock::now() + kLimit);
  }
  Result<void> until(const std::function<bool()>& condition, LoadClock::time_point deadline) {
    constexpr milliseconds kStep{10};
    while (!condition()) {
      if (LoadClock::now() >= deadline) {
        return fail(Errc::kTimeout, "{} of {} peers are up", peers_->established(), peers_->size());
      }
      if (auto done = peers_->step(LoadClock::now() + kStep); !done) {
        return done;
      }
      drive_load();
      for (const LoadPeers::Lost& lost : peers_->take_lost()) {
        lost_.try_emplace(lost.peer, lost.at);
      }
      if (lost_.contains(kObserver) || lost_.contains(kSender)) {
        return fail(Errc::kUnavailable, "a session without BFD ended: {}", speaker_->last_words());
      }
    }
    return {};
  }
  // The sender tells all, dies when all has come out, and comes again when all is gone.
  void drive_load() {
    for (const std::size_t peer : peers_->take_established()) {
      sender_up_ = sender_up_ || peer == kSender;
    }
    const std::uint32_t held = peers_->held(kObserver);
    if (sender_up_ && !told_ && held == 0) {
      told_ = true;
      peers_->send(kSender, load_);
    } else if (told_ && held == prefixes_) {
      told_ = sender_up_ = false;
      ++loads_;
      peers_->drop(kSender);
    }
  }

  std::uint32_t prefixes_ = 0;
  std::vector<std::uint8_t> load_;
  std::unique_ptr<SpeakerProcess> speaker_;
  std::unique_ptr<LoadPeers> peers_;
  std::unique_ptr<BfdPeers> bfd_;
  std::map<std::size_t, LoadClock::time_point> lost_;  // when each session ended first
  bool sender_up_ = false;
  bool told_ = false;
  unsigned loads_ = 0;
};

// One after the other, so that each is found out by itself; then all speak again.
Result<void> Scenario::silence_all(Samples& samples) {
  constexpr milliseconds kApart{7};
  lost_.clear();
  for (std::size_t i = 0; i < kSessions; ++i) {
    bfd_->silence(i);
    if (auto done = run_for(kApart); !done) {
      return done;
    }
  }
  const auto found = until([this] {
    for (std::size_t i = 0; i < kSessions; ++i) {
      if (!bfd_->silence_of(i).detected || !lost_.contains(i)) {
        return false;
      }
    }
    return true;
  });
  if (!found) {
    return fail(found.error(), "{} of {} silent peers were found out", lost_.size(), kSessions);
  }
  for (std::size_t i = 0; i < kSessions; ++i) {
    const auto silence = bfd_->silence_of(i);
    const auto since = [&silence](LoadClock::time_point at) {
      return duration<double, std::milli>(at - *silence.last_packet).count();
    };
    samples["detected"].push_back(since(*silence.detected));
    samples["closed"].push_back(since(lost_.at(i)));
    bfd_->resume(i);
  }
  return bring_up();
}

Row row_of(const char* what, const char* unit, const std::vector<double>& samples) {
  Row row;
  row.id = "B8";
  row.what = what;
  row.unit = unit;
  row.ours = summarize(samples);
#ifndef NDEBUG
  row.reason = "built without optimisation";
#endif
  return row;
}

std::vector<Row> detection_rows(Samples& samples) {
  Row detected = row_of(
      "200 BFD sessions of 3 x 50 ms under load, silence to Down", "ms", samples["detected"]);
  detected.compare = Row::Compare::kOursP99;
  detected.limit = kDetectionMs;
  detected.goal = fmt::format("p99 <= {} ms", kDetectionMs);
  return {detected, row_of("the same, silence to the end of the session", "ms", samples["closed"])};
}

Row alarm_row(unsigned alarms, unsigned loads, seconds watched) {
  Row row = row_of("false alarms of these sessions under load", "alarms", {double(alarms)});
  row.goal = fmt::format("none in {} s", kWholeWatch.count());
  row.compare = Row::Compare::kOursP50;
  if (alarms > 0 || watched >= kWholeWatch) {
    row.limit = 0;
  }
  row.reason += fmt::format(
      "{}watched for {} s, {} loads", row.reason.empty() ? "" : "; ", watched.count(), loads);
  return row;
}

Result<void> measure(const SpeakerNetwork& network, const Effort& effort, std::vector<Row>& rows) {
  auto scenario = Scenario::start(network, effort.prefixes);
  if (!scenario) {
    return fail(scenario.error());
  }
  if (auto up = (*scenario)->bring_up(); !up) {
    return up;
  }
  Samples samples;
  for (unsigned round = 0; round < effort.rounds; ++round) {
    if (auto done = (*scenario)->silence_all(samples); !done) {
      return done;
    }
  }
  rows = detection_rows(samples);
  const unsigned alarms = (*scenario)->false_alarms();
  const unsigned loads = (*scenario)->loads();
  if (auto done = (*scenario)->run_for(effort.watch); !done) {
    return done;
  }
  rows.push_back(
      alarm_row((*scenario)->false_alarms() - alarms, (*scenario)->loads() - loads, effort.watch));
  return {};
}

Result<void> run_all(int argc, char** argv) {
  const auto options = parse_bgp_options(argc, argv);
  if (!options) {
    return fail(options.error());
  }
  const auto network = SpeakerNetwork::open(kSessions);
  if (!network) {
    return fail(network.error());
  }
  Effort effort;
  if (options->common.quick) {
    effort = {1, 100'000, seconds(5)};
  }
  effort.rounds = options->rounds != 0 ? options->rounds : effort.rounds;
  effort.watch = options->watch.value_or(effort.watch);
  std::vector<Row> rows;
  const auto done = measure(*network, effort, rows);
  if (!done && rows.empty()) {
    rows.push_back(row_of("200 BFD sessions of 3 x 50 ms under load", "ms", {}));
    rows.back().reason = done.error().text;
  }
  const auto saved = save(options->common.results, rows);
  return saved ? done : saved;
}

}  // namespace
}  // namespace margay::bench

int main(int argc, char** argv) {
  const auto done = margay::bench::run_all(argc, argv);
  if (!done) {
    std::fprintf(stderr, "bench_bgp_bfd: %s\n", done.error().text.c_str());
    return 1;
  }
  return 0;
}
