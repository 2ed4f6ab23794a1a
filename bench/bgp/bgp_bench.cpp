// B1: prefixes through one speaker, from the first byte of the first UPDATE in to the last prefix
// out at an observer. B2: the same with one attribute set per 8 prefixes. B5: peak memory of it.
// B6: the sender dies, last withdrawal at the observer. B10: one prefix through an idle speaker.
// margay-bgpd and BIRD 2 in turn, each started anew for every round, without kernel routes.

#include "bench/bgp/load_peer.h"
#include "bench/bgp/speaker_process.h"
#include "bench/support/results.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
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
constexpr std::chrono::milliseconds kPause{5};

struct Case {
  std::string id;
  std::string text;
  std::uint32_t prefixes = 0;
  std::uint32_t per_set = 1;
  bool with_goals = true;  // small ones are for information
};

struct Samples {
  std::vector<double> through_ms;
  std::vector<double> withdraw_ms;
  std::vector<double> memory_mib;
  std::vector<double> one_us;
};

bgp::AttributeSet attributes(std::uint32_t number) {
  constexpr std::uint32_t kFirstAsn = 100'000;
  bgp::AttributeSet set;
  set.next_hop.address = sender_address();
  set.as_path = bgp::AsPath::sequence(std::array{kSenderAsn, Asn{kFirstAsn + number}, Asn{64999}});
  return set;
}

std::vector<std::uint8_t> encode_load(const Case& what, const bgp::CodecContext& context) {
  bgp::UpdatePacker packer(context);
  std::vector<bgp::Nlri> prefixes;
  for (std::uint32_t first = 0; first < what.prefixes; first += what.per_set) {
    prefixes.clear();
    for (std::uint32_t n = first; n < std::min(first + what.per_set, what.prefixes); ++n) {
      prefixes.push_back({numbered_prefix(n), 0});
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
        return fail(Errc::kTimeout, "the observer holds {} of {}", observer->held(), held);
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
  Setup setup;
  auto speaker = SpeakerProcess::start(kind, network);
  if (!speaker) {
    return fail(speaker.error());
  }
  setup.speaker = std::move(*speaker);
  const auto deadline = LoadClock::now() + kStartLimit;
  auto observer = LoadPeer::establish(
      {observer_address(), speaker_address(), kObserverAsn, kSpeakerAsn, prefixes}, deadline);
  if (!observer) {
    return fail(observer.error(), "{}", setup.speaker->log());
  }
  auto sender = LoadPeer::establish(
      {sender_address(), speaker_address(), kSenderAsn, kSpeakerAsn, prefixes}, deadline);
  if (!sender) {
    return fail(sender.error(), "{}", setup.speaker->log());
  }
  setup.observer = std::move(*observer);
  setup.sender = std::move(*sender);
  return setup;
}

// The last prefix alone, said and taken back, many times, before the load. The pause makes the
// speaker an idle one: ours paces what it writes in quick succession.
Result<void> probe(Setup& setup, std::uint32_t number, std::vector<double>& one_us) {
  constexpr double kMicroseconds = 1000;
  const std::vector<bgp::Nlri> prefix{{numbered_prefix(number), 0}};
  bgp::UpdatePacker packer(setup.sender->context());
  (void)packer.announce(attributes(0), prefix);
  const auto announce = packer.take();
  packer.withdraw(prefix);
  const auto withdraw = packer.take();
  for (unsigned i = 0; i < kProbes; ++i) {
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
                      Samples& samples) {
  auto setup = set_up(kind, network, what.prefixes);
  if (!setup) {
    return fail(setup.error());
  }
  if (const auto probed = probe(*setup, what.prefixes - 1, samples.one_us); !probed) {
    return fail(probed.error());
  }
  const auto load = encode_load(what, setup->sender->context());
  const auto start = LoadClock::now();
  setup->sender->queue(load);
  const auto through = setup->until(what.prefixes, start);
  if (!through) {
    return fail(through.error(), "load");
  }
  samples.through_ms.push_back(*through);
  samples.memory_mib.push_back(setup->speaker->peak_memory_mib());
  const auto death = LoadClock::now();
  setup->sender.reset();
  const auto withdrawn = setup->until(0, death);
  if (!withdrawn) {
    return fail(withdrawn.error(), "withdrawal");
  }
  samples.withdraw_ms.push_back(*withdrawn);
  return {};
}

Row row(std::string id,
        std::string what,
        std::string unit,
        const std::vector<double>& ours,
        const std::vector<double>& theirs) {
  Row out;
  out.id = std::move(id);
  out.what = std::move(what);
  out.unit = std::move(unit);
  out.ours = summarize(ours);
  out.peer = "BIRD 2";
  out.theirs = summarize(theirs);
#ifndef NDEBUG
  out.reason = "built without optimisation";
#endif
  return out;
}

void set_goal(Row& row, bool with_goals, double limit) {
  if (with_goals) {
    row.limit = limit;
    row.goal = fmt::format("ratio <= {}", limit);
  }
}

Result<std::vector<Row>> measure(const SpeakerNetwork& network, const Case& what, unsigned rounds) {
  constexpr double kThrough = 0.5;  // the goals of the design, for 1 M prefixes
  constexpr double kWithdraw = 0.4;
  constexpr double kOne = 1.1;
  Samples ours;
  Samples theirs;
  for (unsigned round = 0; round <= rounds; ++round) {  // the first one warms up
    Samples warm_up;
    const bool counts = round > 0;
    auto done = run_once(SpeakerKind::kMargay, network, what, counts ? ours : warm_up);
    if (!done) {
      return fail(done.error(), "margay-bgpd");
    }
    done = run_once(SpeakerKind::kBird, network, what, counts ? theirs : warm_up);
    if (!done) {
      return fail(done.error(), "bird");
    }
  }
  std::vector<Row> rows;
  rows.push_back(row(what.id, what.text + ", in to out", "ms", ours.through_ms, theirs.through_ms));
  set_goal(rows.back(), what.with_goals, kThrough);
  rows.push_back(
      row("B6", what.text + ", sender dies", "ms", ours.withdraw_ms, theirs.withdraw_ms));
  set_goal(rows.back(), what.with_goals, kWithdraw);
  rows.push_back(row("B5", what.text + ", peak memory", "MiB", ours.memory_mib, theirs.memory_mib));
  set_goal(rows.back(), what.with_goals, 1);
  if (what.id == "B1" && what.with_goals) {
    rows.push_back(
        row("B10", "one prefix through an idle speaker", "us", ours.one_us, theirs.one_us));
    set_goal(rows.back(), true, kOne);
  }
  return rows;
}

// --rounds N, taken out of the arguments; the others are common to all benches.
Result<unsigned> take_rounds(std::vector<char*>& arguments, unsigned otherwise) {
  for (std::size_t i = 1; i + 1 < arguments.size(); ++i) {
    if (std::string_view(arguments[i]) == "--rounds") {
      const std::string_view text = arguments[i + 1];
      unsigned rounds = 0;
      const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), rounds);
      if (error != std::errc() || end != text.data() + text.size() || rounds == 0) {
        return fail(Errc::kInvalid, "--rounds: \"{}\" is not a number above 0", text);
      }
      const auto at = arguments.begin() + static_cast<std::ptrdiff_t>(i);
      arguments.erase(at, at + 2);
      return rounds;
    }
  }
  return otherwise;
}

Result<void> run_all(std::vector<char*> arguments) {
  constexpr unsigned kRounds = 5;
  constexpr unsigned kQuickRounds = 2;
  const auto given = take_rounds(arguments, 0);
  if (!given) {
    return fail(given.error());
  }
  const auto options = parse_options(static_cast<int>(arguments.size()), arguments.data());
  if (!options) {
    return fail(options.error());
  }
  const unsigned otherwise = options->quick ? kQuickRounds : kRounds;
  const unsigned rounds = *given != 0 ? *given : otherwise;
  const auto network = SpeakerNetwork::open();
  if (!network) {
    return fail(network.error());
  }
  std::vector<Case> cases{{"B1", "100k prefixes, packed", 100'000, 1000}};
  if (!options->quick) {
    cases.push_back({"B2", "100k prefixes, 8 per set", 100'000, 8});
    cases.push_back({"B1", "10k prefixes, packed", 10'000, 1000, false});
  }
  for (const Case& what : cases) {
    const auto rows = measure(*network, what, rounds);
    if (!rows) {
      return fail(rows.error(), "{}", what.text);
    }
    if (auto saved = save(options->results, *rows); !saved) {
      return saved;
    }
  }
  return {};
}

}  // namespace
}  // namespace margay::bench

int main(int argc, char** argv) {
  const auto done = margay::bench::run_all(std::vector<char*>(argv, argv + argc));
  if (!done) {
    std::fprintf(stderr, "bench_bgp: %s\n", done.error().text.c_str());
    return 1;
  }
  return 0;
}
