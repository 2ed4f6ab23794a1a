#pragma once
// Comparison: the same work by each speaker in turn, round after round, and the rows that come of
// it: ours beside each peer, the goal at the best of them.
//
// A speaker whose first round is a quick one gets it as a warm-up; a slow one takes part in as many
// rounds as its time allows, one at least. A peer that fails is left out from then on, and says so.

#include "bench/bgp/speaker_config.h"
#include "bench/support/results.h"

#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace margay::bench {

using Samples = std::map<std::string, std::vector<double>>;  // by figure

struct Figure {
  std::string key;  // in the samples
  std::string id;
  std::string what;
  std::string unit;
  std::optional<double> limit;  // of ours over theirs
  enum class Against { kBest, kBird } against = Against::kBest;
};

class Comparison {
 public:
  struct Effort {
    unsigned rounds = 5;
    std::chrono::seconds patience{20};  // with one speaker
  };
  using Run = std::function<Result<void>(SpeakerKind kind, Samples& samples)>;

  Comparison(std::vector<SpeakerKind> peers, Effort effort);
  void leave_out(SpeakerKind kind, std::string reason);
  // Fails when ours does.
  Result<void> run(const Run& once);

  [[nodiscard]] std::vector<Row> rows(const Figure& figure) const;
  // A figure of ours alone, without a goal yet.
  [[nodiscard]] Row own_row(const Figure& figure) const;

 private:
  struct Entrant {
    SpeakerKind kind{};
    Samples samples;
    unsigned rounds = 0;  // that counted
    std::chrono::duration<double> used{};
    std::string reason;  // it takes no part any more
  };

  void take_turn(Entrant& entrant, const Run& once) const;
  [[nodiscard]] static std::optional<Stats> stats_of(const Entrant& entrant,
                                                     const std::string& key);
  [[nodiscard]] const Entrant* measure_of(const Figure& figure) const;

  Effort effort_;
  std::vector<Entrant> entrants_;  // ours first
};

// All that a program of ours has: options common to all benches, and this one's own.
struct BgpOptions {
  Options common;
  unsigned rounds = 0;                        // 0: as many as usual
  std::optional<std::chrono::seconds> watch;  // B8
};
// --rounds N and --watch SECONDS beside the common ones.
[[nodiscard]] Result<BgpOptions> parse_bgp_options(int argc, char** argv);

}  // namespace margay::bench
