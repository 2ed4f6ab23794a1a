// B1: prefixes through one speaker, from the first byte of the first UPDATE in to the last prefix
// out at an observer. B2: the same with one attribute set per 8 prefixes. B5: peak memory of it.
// B6: the sender dies, last withdrawal at the observer. B9: processor time. B10: one prefix through
// an idle speaker. margay-bgpd and its peers in turn, each started anew for every round, without
// kernel routes.

#include "bench/bgp/comparison.h"
#include "bench/bgp/load_peer.h"
#include "bench/bgp/speaker_process.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <iterator>
#include <memory>
#include <numeric>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <vector>

namespace margay::bench {
namespace {

using LoadClock = LoadPeer::Clock;
using std::chrono::duration;
using std::chrono::seconds;

constexpr seconds kStartLimit{15};
constexpr seconds kLoadLimit{60};
constexpr unsigned kProbes = 100;  // single prefixes per round
constexpr unsigned kFewProbes = 5;
constexpr seconds kProbeLimit{2};
constexpr std::chrono::milliseconds kPause{5};

struct Case {
  std::string id;
  std::string text;
  std::uint32_t prefixes = 0;
  std::uint32_t per_set = 1;
  bool speed_goal = false;  // of the whole way; else for information
  bool other_goals = false;
  bool probes = false;
  Comparison::Effort effort;
  std::vector<std::pair<SpeakerKind, std::string>> left_out;
  bool shuffled = false;  // neighbours do not come together, as they mostly do
};

bgp::AttributeSet attributes(std::uint32_t number) {
  constexpr std::uint32_t kFirstAsn = 100'000;
  bgp::AttributeSet set;
  set.next_hop.address = sender_address();
  set.as_path = bgp::AsPath::sequence(std::array{kSenderAsn, Asn{kFirstAsn + number}, Asn{64999}});
  return set;
}

bgp::CodecContext sender_context() {
  bgp::CodecContext context;
  context.local_asn = kSenderAsn;
  context.peer_asn = kSpeakerAsn;
  return context;
}

std::vector<std::uint8_t> encode_load(const Case& what) {
  std::vector<std::uint32_t> order(what.prefixes);
  std::iota(order.begin(), order.end(), 0U);
  if (what.shuffled) {
    std::ranges::shuffle(order, std::mt19937(1));
  }
  bgp::UpdatePacker packer(sender_context());
  std::vector<bgp::Nlri> prefixes;
  for (std::uint32_t first = 0; first < what.prefixes; first += what.per_set) {
    prefixes.clear();
    for (std::uint32_t n = first; n < std::min(first + what.per_set, what.prefixes); ++n) {
      prefixes.push_back({numbered_prefix(order[n]), 0});
    }
    (void)packer.announce(attributes(first / what.per_set), prefixes);
  }
  return packer.take();
}

// One speaker with its two peers.
struct Setup {
  std::unique_ptr<SpeakerProcess> speaker;
  std::optional<LoadPeer> sender;
  std::optional<LoadPeer> observer;

  // Pumps until the observer holds that many prefixes; milliseconds from `start`.
  Result<double> until(std::uint32_t held, LoadClock::time_point start) {
    const auto deadline = start + kLoadLimit;
    while (observer->held() != held || (sender && sender->sending())) {
      if (LoadClock::now() >= deadline) {
        return fail(Errc::kTimeout,
                    "after {} s the observer holds {} of {}",
                    kLoadLimit.count(),
                    observer->held(),
                    held);
      }
      std::vector<const LoadPeer*> waiting{&*observer};
      if (sender) {
        waiting.push_back(&*sender);
      }
      wait_for(waiting, deadline);
      if (sender) {
        if (const auto done = sender->pump(); !done) {
          return fail(done.error(), "sender");
        }
      }
      if (const auto done = observer->pump(); !done) {
        return fail(done.error(), "observer");
      }
    }
    return duration<double, std::milli>(LoadClock::now() - start).count();
  }
};

Result<Setup> set_up(SpeakerKind kind, const SpeakerNetwork& network, std::uint32_t prefixes) {
  SpeakerPlan plan;
  plan.neighbors = {{sender_address(), kSenderAsn}, {observer_address(), kObserverAsn}};
  Setup setup;
  auto speaker = SpeakerProcess::start(kind, plan, network);
  if (!speaker) {
    return fail(speaker.error());
  }
  setup.speaker = std::move(*speaker);
  const auto deadline = LoadClock::now() + kStartLimit;
  LoadPeer::Options options{observer_address(), speaker_address(), kObserverAsn, kSpeakerAsn};
  options.prefixes = prefixes;
  options.hold_time_s = kLongHoldTime;
  auto observer = LoadPeer::establish(options, deadline);
  if (!observer) {
    return fail(observer.error(), "{}", setup.speaker->last_words());
  }
  options.local = sender_address();
  options.asn = kSenderAsn;
  auto sender = LoadPeer::establish(options, deadline);
  if (!sender) {
    return fail(sender.error(), "{}", setup.speaker->last_words());
  }
  setup.observer = std::move(*observer);
  setup.sender = std::move(*sender);
  setup.speaker->settle();
  return setup;
}

// The last prefix alone, said and taken back, many times, before the load. The pause makes the
// speaker an idle one: ours paces what it writes in quick succession.
Result<void> probe(Setup& setup, std::uint32_t number, std::vector<double>& one_us) {
  constexpr double kMicroseconds = 1000;
  const std::vector<bgp::Nlri> prefix{{numbered_prefix(number), 0}};
  bgp::UpdatePacker packer(sender_context());
  (void)packer.announce(attributes(0), prefix);
  const auto announce = packer.take();
  packer.withdraw(prefix);
  const auto withdraw = packer.take();
  const auto end = LoadClock::now() + kProbeLimit;
  for (unsigned i = 0; i < kProbes && (i < kFewProbes || LoadClock::now() < end); ++i) {
    std::this_thread::sleep_for(kPause);
    setup.sender->queue(announce);
    const auto there = setup.until(1, LoadClock::now());
    setup.sender->queue(withdraw);
    const auto gone = setup.until(0, LoadClock::now());
    if (!there || !gone) {
      return fail(there ? gone.error() : there.error(), "one prefix");
    }
    one_us.push_back(*there * kMicroseconds);
  }
  return {};
}

Result<void> run_once(SpeakerKind kind,
                      const SpeakerNetwork& network,
                      const Case& what,
                      bgp::Bytes load,
                      Samples& samples) {
  auto setup = set_up(kind, network, what.prefixes);
  if (!setup) {
    return fail(setup.error());
  }
  if (what.probes) {
    if (const auto done = probe(*setup, what.prefixes - 1, samples["one"]); !done) {
      return done;
    }
  }
  const double used = setup->speaker->cpu_seconds();
  const auto start = LoadClock::now();
  setup->sender->queue(load);
  const auto through = setup->until(what.prefixes, start);
  if (!through) {
    return fail(through.error(), "load");
  }
  samples["through"].push_back(*through);
  setup->speaker->settle();
  samples["cpu"].push_back(setup->speaker->cpu_seconds() - used);
  samples["memory"].push_back(setup->speaker->peak_memory_mib());
  const auto death = LoadClock::now();
  setup->sender.reset();
  const auto withdrawn = setup->until(0, death);
  if (!withdrawn) {
    return fail(withdrawn.error(), "withdrawal");
  }
  samples["withdraw"].push_back(*withdrawn);
  return {};
}

// p99 is held against the median of the same figure.
Row own_tail(const Comparison& comparison, const Figure& figure) {
  constexpr double kTail = 3;
  Row row = comparison.own_row(figure);
  row.what += ", p99";
  row.compare = Row::Compare::kOursP99;
  row.goal = fmt::format("p99 < {} x p50", kTail);
  if (row.ours) {
    row.limit = kTail * row.ours->p50;
  }
  return row;
}

std::vector<Row> rows_of(const Case& what, const Comparison& comparison) {
  const auto goal = [](bool wanted, double limit) {
    return wanted ? std::optional(limit) : std::nullopt;
  };
  using enum Figure::Against;
  std::vector<Figure> figures{
      {"through", what.id, what.text + ", in to out", "ms", goal(what.speed_goal, 0.5), kBest},
      {"withdraw", "B6", what.text + ", sender dies", "ms", goal(what.other_goals, 0.4), kBest},
      {"memory", "B5", what.text + ", peak memory", "MiB", goal(what.other_goals, 1), kBird},
      {"cpu", "B9", what.text + ", processor time", "s", goal(what.speed_goal, 0.5), kBest},
  };
  if (what.probes) {
    figures.push_back({"one", "B10", "one prefix through an idle speaker", "us", 1.1, kBird});
  }
  std::vector<Row> rows;
  for (const Figure& figure : figures) {
    std::ranges::move(comparison.rows(figure), std::back_inserter(rows));
  }
  if (what.probes) {
    rows.push_back(own_tail(comparison, figures.back()));
  }
  return rows;
}

std::vector<Case> cases_of(const BgpOptions& options) {
  using enum SpeakerKind;
  constexpr const char* kSlower = "left out: slower by an order of magnitude";
  const std::pair<SpeakerKind, std::string> no_gobgp{kGobgp, "left out: takes minutes"};
  const auto effort = [&options](unsigned rounds, seconds patience) {
    return Comparison::Effort{options.rounds != 0 ? options.rounds : rounds, patience};
  };
  if (options.common.quick) {
    return {{"B1",
             "100k prefixes, packed",
             100'000,
             1000,
             true,
             false,
             true,
             effort(2, seconds(3)),
             {{kGobgp, "left out of a quick run"}}}};
  }
  return {
      {"B1",
       "1M prefixes, packed",
       1'000'000,
       1000,
       true,
       true,
       false,
       effort(5, seconds(20)),
       {no_gobgp}},
      {"B1",
       "1M prefixes, packed, in no order",
       1'000'000,
       1000,
       false,
       false,
       false,
       effort(5, seconds(20)),
       {{kFrr, kSlower}, {kFrrEager, kSlower}, {kGobgp, kSlower}, {kOpenbgpd, kSlower}},
       true},
      {"B2",
       "1M prefixes, 8 per set",
       1'000'000,
       8,
       true,
       true,
       false,
       effort(5, seconds(20)),
       {no_gobgp}},
      {"B1", "100k prefixes, packed", 100'000, 1000, true, false, true, effort(5, seconds(10)), {}},
      {"B2",
       "100k prefixes, 8 per set",
       100'000,
       8,
       false,
       false,
       false,
       effort(5, seconds(10)),
       {}},
      {"B1", "10k prefixes, packed", 10'000, 1000, false, false, false, effort(5, seconds(6)), {}},
  };
}

Result<void> measure(const SpeakerNetwork& network, const Case& what, const std::string& results) {
  using enum SpeakerKind;
  Comparison comparison({kBird, kFrr, kFrrEager, kGobgp, kOpenbgpd}, what.effort);
  for (const auto& [kind, reason] : what.left_out) {
    comparison.leave_out(kind, reason);
  }
  const auto load = encode_load(what);
  const auto done = comparison.run([&](SpeakerKind kind, Samples& samples) {
    return run_once(kind, network, what, load, samples);
  });
  if (auto saved = save(results, rows_of(what, comparison)); !saved) {
    return saved;
  }
  return done;
}

Result<void> run_all(int argc, char** argv) {
  const auto options = parse_bgp_options(argc, argv);
  if (!options) {
    return fail(options.error());
  }
  const auto network = SpeakerNetwork::open();
  if (!network) {
    return fail(network.error());
  }
  Result<void> all;
  for (const Case& what : cases_of(*options)) {
    if (auto done = measure(*network, what, options->common.results); !done) {
      all = fail(done.error(), "{}", what.text);
    }
  }
  return all;
}

}  // namespace
}  // namespace margay::bench

int main(int argc, char** argv) {
  const auto done = margay::bench::run_all(argc, argv);
  if (!done) {
    std::fprintf(stderr, "bench_bgp: %s\n", done.error().text.c_str());
    return 1;
  }
  return 0;
}
