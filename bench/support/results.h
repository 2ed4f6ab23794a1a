#pragma once
// Rows of bench/results.json: a figure of ours beside the same figure of a peer, taken in turn in
// one run.

#include "base/result.h"

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace margay::bench {

struct Stats {
  double p50 = 0;
  double p99 = 0;
  double min = 0;
  double max = 0;
  std::size_t n = 0;
};
// Nothing for no samples.
[[nodiscard]] std::optional<Stats> summarize(std::vector<double> samples);

struct Row {
  std::string id;    // of the design pages: "D3"
  std::string what;  // "one set element, changed to acknowledged"
  std::string unit;  // "us"
  std::optional<Stats> ours;
  std::string peer;  // "nft process"; empty: there is none
  std::optional<Stats> theirs;
  // The goal and what is compared with it: p50 of ours over p50 of theirs, or a figure of ours.
  std::string goal;  // "<= 0.025"; empty: none
  std::optional<double> limit;
  enum class Compare { kRatio, kOursP50, kOursP99, kOursP50AtLeast } compare = Compare::kRatio;
  std::string reason;  // why a figure is missing, or short of the goal
};

// Replaces rows of the same id, text and peer in the file, keeps the others, and prints them.
[[nodiscard]] Result<void> save(const std::string& path, const std::vector<Row>& rows);

struct Options {
  std::string results = "build/bench/results.json";
  bool quick = false;
};
// --results FILE, --quick; anything else is an error.
[[nodiscard]] Result<Options> parse_options(int argc, char** argv);

// All that main() of a benchmark does: its exit code, with the reason of a failure on stderr.
[[nodiscard]] int run_program(int argc,
                              char** argv,
                              const std::function<Result<void>(const Options&)>& run);

// Microseconds that the call takes.
[[nodiscard]] double time_us(const std::function<void()>& call);

}  // namespace margay::bench
