#include "bench/support/results.h"

#include <boost/json.hpp>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>

namespace margay::bench {
namespace {

namespace json = boost::json;

json::value to_json(const std::optional<Stats>& stats) {
  if (!stats) {
    return nullptr;
  }
  return json::object{{"p50", stats->p50},
                      {"p99", stats->p99},
                      {"min", stats->min},
                      {"max", stats->max},
                      {"n", stats->n}};
}

std::optional<double> ratio_of(const Row& row) {
  if (!row.ours || !row.theirs || row.theirs->p50 == 0) {
    return std::nullopt;
  }
  return row.ours->p50 / row.theirs->p50;
}

std::optional<bool> met(const Row& row) {
  if (!row.limit || !row.ours) {
    return std::nullopt;
  }
  switch (row.compare) {
    case Row::Compare::kRatio: {
      const auto ratio = ratio_of(row);
      return ratio ? std::optional(*ratio <= *row.limit) : std::nullopt;
    }
    case Row::Compare::kOursP50:
      return row.ours->p50 <= *row.limit;
    case Row::Compare::kOursP99:
      return row.ours->p99 <= *row.limit;
    case Row::Compare::kOursP50AtLeast:
      return row.ours->p50 >= *row.limit;
  }
  return std::nullopt;
}

json::object to_json(const Row& row) {
  const auto ratio = ratio_of(row);
  const auto is_met = met(row);
  return {{"id", row.id},
          {"what", row.what},
          {"unit", row.unit},
          {"ours", to_json(row.ours)},
          {"peer", row.peer},
          {"theirs", to_json(row.theirs)},
          {"ratio", ratio ? json::value(*ratio) : json::value(nullptr)},
          {"goal", row.goal},
          {"met", is_met ? json::value(*is_met) : json::value(nullptr)},
          {"reason", row.reason}};
}

bool same_row(const json::value& a, const json::value& b) {
  if (!a.is_object() || !b.is_object()) {
    return false;
  }
  const auto equal = [&](const char* key) {
    const auto* left = a.get_object().if_contains(key);
    const auto* right = b.get_object().if_contains(key);
    return left != nullptr && right != nullptr && *left == *right;
  };
  return equal("id") && equal("what") && equal("peer");
}

json::array read_rows(const std::string& path) {
  std::ifstream file(path);
  const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  boost::system::error_code code;
  json::value value = json::parse(text, code);
  return !code && value.is_array() ? value.get_array() : json::array();
}

}  // namespace

std::optional<Stats> summarize(std::vector<double> samples) {
  if (samples.empty()) {
    return std::nullopt;
  }
  std::ranges::sort(samples);
  const auto at = [&samples](double part) {
    const double rank = std::ceil(part * static_cast<double>(samples.size())) - 1;
    return samples[static_cast<std::size_t>(std::max(rank, 0.0))];
  };
  constexpr double kMedian = 0.5;
  constexpr double kTail = 0.99;
  return Stats{at(kMedian), at(kTail), samples.front(), samples.back(), samples.size()};
}

Result<void> save(const std::string& path, const std::vector<Row>& rows) {
  json::array all = read_rows(path);
  for (const Row& row : rows) {
    json::value made = to_json(row);
    std::printf("%s\n", json::serialize(made).c_str());
    const auto old = std::ranges::find_if(
        all, [&made](const json::value& other) { return same_row(other, made); });
    if (old != all.end()) {
      *old = std::move(made);
    } else {
      all.push_back(std::move(made));
    }
  }
  const std::filesystem::path target(path);
  std::error_code code;
  if (target.has_parent_path()) {
    std::filesystem::create_directories(target.parent_path(), code);
  }
  const std::string temporary = path + ".new";
  std::ofstream file(temporary);
  file << json::serialize(all) << "\n";
  file.close();
  if (!file) {
    return fail(Errc::kInternal, "write {}", temporary);
  }
  std::filesystem::rename(temporary, target, code);
  if (code) {
    return fail(Errc::kInternal, "write {}: {}", path, code.message());
  }
  return {};
}

Result<Options> parse_options(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument == "--quick") {
      options.quick = true;
    } else if (argument == "--results" && i + 1 < argc) {
      options.results = argv[++i];
    } else {
      return fail(Errc::kInvalid, "argument \"{}\": expected --quick or --results FILE", argument);
    }
  }
  return options;
}

int run_program(int argc, char** argv, const std::function<Result<void>(const Options&)>& run) {
  const auto options = parse_options(argc, argv);
  const auto done = options ? run(*options) : fail(options.error());
  if (!done) {
    std::fprintf(stderr, "%s: %s\n", *argv, done.error().text.c_str());
    return 1;
  }
  return 0;
}

double time_us(const std::function<void()>& call) {
  const auto start = std::chrono::steady_clock::now();
  call();
  return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start)
      .count();
}

}  // namespace margay::bench
