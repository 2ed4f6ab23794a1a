#include "bench/bgp/comparison.h"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <string_view>
#include <utility>

namespace margay::bench {

namespace {

using Steady = std::chrono::steady_clock;

constexpr std::chrono::seconds kSlow{3};  // a first round of more is no warm-up

Result<unsigned> number_of(std::string_view name, std::string_view text) {
  unsigned number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || number == 0) {
    return fail(Errc::kInvalid, "{}: \"{}\" is not a number above 0", name, text);
  }
  return number;
}

}  // namespace

Comparison::Comparison(std::vector<SpeakerKind> peers, Effort effort) : effort_(effort) {
  entrants_.push_back({SpeakerKind::kMargay, {}, 0, {}, ""});
  for (const SpeakerKind kind : peers) {
    entrants_.push_back({kind, {}, 0, {}, ""});
  }
}

void Comparison::leave_out(SpeakerKind kind, std::string reason) {
  const auto entrant = std::ranges::find(entrants_, kind, &Entrant::kind);
  if (entrant != entrants_.end()) {
    entrant->reason = std::move(reason);
  }
}

void Comparison::take_turn(Entrant& entrant, const Run& once) const {
  const bool first = entrant.used.count() == 0;
  const auto start = Steady::now();
  Samples samples;
  const auto done = once(entrant.kind, samples);
  const auto took = Steady::now() - start;
  entrant.used += took;
  if (!done) {
    entrant.reason = done.error().text;
    std::fprintf(
        stderr, "%s: %s\n", std::string(name_of(entrant.kind)).c_str(), entrant.reason.c_str());
    return;
  }
  if (first && took < kSlow) {
    return;
  }
  ++entrant.rounds;
  for (auto& [key, values] : samples) {
    auto& all = entrant.samples[key];
    all.insert(all.end(), values.begin(), values.end());
  }
}

Result<void> Comparison::run(const Run& once) {
  const auto wants_more = [this](const Entrant& entrant) {
    return entrant.reason.empty() && entrant.rounds < effort_.rounds &&
           (entrant.rounds == 0 || entrant.used < effort_.patience);
  };
  while (std::ranges::any_of(entrants_, wants_more)) {
    for (Entrant& entrant : entrants_) {
      if (wants_more(entrant)) {
        take_turn(entrant, once);
      }
    }
    if (!entrants_.front().reason.empty()) {
      return fail(Errc::kInternal, "margay-bgpd: {}", entrants_.front().reason);
    }
  }
  return {};
}

std::optional<Stats> Comparison::stats_of(const Entrant& entrant, const std::string& key) {
  const auto found = entrant.samples.find(key);
  return found != entrant.samples.end() ? summarize(found->second) : std::nullopt;
}

// The peer that the goal is about.
const Comparison::Entrant* Comparison::measure_of(const Figure& figure) const {
  const Entrant* best = nullptr;
  for (const Entrant& entrant : entrants_) {
    const auto stats = stats_of(entrant, figure.key);
    const bool counts = figure.against == Figure::Against::kBest
                            ? entrant.kind != SpeakerKind::kMargay
                            : entrant.kind == SpeakerKind::kBird;
    if (counts && stats && (best == nullptr || stats->p50 < stats_of(*best, figure.key)->p50)) {
      best = &entrant;
    }
  }
  return best;
}

Row Comparison::own_row(const Figure& figure) const {
  Row row;
  row.id = figure.id;
  row.what = figure.what;
  row.unit = figure.unit;
  row.ours = stats_of(entrants_.front(), figure.key);
  row.reason = entrants_.front().reason;
#ifndef NDEBUG
  row.reason = "built without optimisation";
#endif
  return row;
}

std::vector<Row> Comparison::rows(const Figure& figure) const {
  std::vector<Row> out;
  const Entrant* measure = measure_of(figure);
  for (const Entrant& entrant : entrants_) {
    if (entrant.kind == SpeakerKind::kMargay) {
      continue;
    }
    Row row = own_row(figure);
    row.peer = name_of(entrant.kind);
    row.theirs = stats_of(entrant, figure.key);
    if (!entrant.reason.empty()) {
      row.reason = entrant.reason;
    }
    if (figure.limit && &entrant == measure) {
      row.limit = figure.limit;
      row.goal = fmt::format("ratio <= {}", *figure.limit);
    }
    out.push_back(std::move(row));
  }
  return out;
}

Result<BgpOptions> parse_bgp_options(int argc, char** argv) {
  BgpOptions options;
  std::vector<char*> others;
  for (int i = 0; i < argc; ++i) {
    const std::string_view name = argv[i];
    if ((name != "--rounds" && name != "--watch") || i + 1 == argc) {
      others.push_back(argv[i]);
      continue;
    }
    const auto number = number_of(name, argv[++i]);
    if (!number) {
      return fail(number.error());
    }
    if (name == "--rounds") {
      options.rounds = *number;
    } else {
      options.watch = std::chrono::seconds(*number);
    }
  }
  const auto common = parse_options(static_cast<int>(others.size()), others.data());
  if (!common) {
    return fail(common.error());
  }
  options.common = *common;
  return options;
}

}  // namespace margay::bench
