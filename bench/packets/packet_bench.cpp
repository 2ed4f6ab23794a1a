// D2: what policy costs each packet, over a plain routed path: packets of an established flow
// beside connection tracking alone, first packets of new flows beside Calico's nftables layout.
// Each layout has a path of its own; all are measured in turn in every round.

#include "bench/packets/layouts.h"
#include "bench/packets/path.h"
#include "bench/support/results.h"

#include <fmt/format.h>

#include <map>
#include <memory>
#include <sched.h>
#include <string>
#include <vector>

namespace margay::bench {
namespace {

constexpr std::array kSizes{Size{10, 10}, Size{1000, 1000}, Size{10000, 10000}};

constexpr const char* kSpoofCheck = "established packet, floor and one lookup of its source";
constexpr const char* kSecondChain = "established packet, floor and a second base chain";

struct Layout {
  std::unique_ptr<Path> path;
  std::vector<double> established;  // ns per packet
  std::vector<double> fresh;
};

class PacketBench {
 public:
  Result<void> prepare(bool quick) {
    const auto nothing = []() -> Result<void> { return {}; };
    if (auto done = add("plain", nothing); !done) {
      return done;
    }
    using Load = Result<void> (*)();
    for (const auto& [what, load] : {std::pair<const char*, Load>{"floor", load_floor},
                                     {kSpoofCheck, load_floor_and_spoof_check},
                                     {kSecondChain, load_floor_and_second_chain}}) {
      if (auto done = add(what, load); !done) {
        return done;
      }
    }
    for (const Size& size : kSizes) {
      if (quick && size.endpoints > 1000) {
        continue;
      }
      if (auto done = add(name("ours", size), [&size] { return load_ours(size); }); !done) {
        return done;
      }
      if (auto done = add(name("calico", size), [&size] { return load_calico(size); }); !done) {
        return done;
      }
    }
    return {};
  }

  Result<void> round(unsigned count, bool counts) {
    for (auto& [what, layout] : layouts_) {
      const auto established = layout.path->established(count);
      const auto fresh = established ? layout.path->new_flows(count) : established;
      if (!established || !fresh) {
        return fail((established ? fresh : established).error(), "{}", what);
      }
      if (counts) {
        layout.established.push_back(*established);
        layout.fresh.push_back(*fresh);
      }
    }
    return {};
  }

  [[nodiscard]] std::vector<Row> rows() const {
    std::vector<Row> out;
    for (const char* part : {kSpoofCheck, kSecondChain}) {
      out.push_back({.id = "D2",
                     .what = part,
                     .unit = "ns over plain",
                     .ours = over_plain(layouts_.at(part).established, &Layout::established),
                     .peer = "conntrack, accept",
                     .theirs = over_plain(layouts_.at("floor").established, &Layout::established),
                     .goal = {}});
    }
    for (const Size& size : kSizes) {
      if (!layouts_.contains(name("ours", size))) {
        continue;
      }
      const Layout& ours = layouts_.at(name("ours", size));
      const Layout& calico = layouts_.at(name("calico", size));
      const std::string at = fmt::format("{} endpoints and policies", size.endpoints);
      out.push_back({.id = "D2",
                     .what = "established packet, " + at,
                     .unit = "ns over plain",
                     .ours = over_plain(ours.established, &Layout::established),
                     .peer = "conntrack, accept",
                     .theirs = over_plain(layouts_.at("floor").established, &Layout::established),
                     .goal = "<= 1.2",
                     .limit = 1.2});
      out.push_back({.id = "D2",
                     .what = "first packet of a flow, " + at,
                     .unit = "ns over plain",
                     .ours = over_plain(ours.fresh, &Layout::fresh),
                     .peer = "Calico's layout",
                     .theirs = over_plain(calico.fresh, &Layout::fresh),
                     .goal = "<= 0.55",
                     .limit = 0.55});
    }
    return out;
  }

 private:
  static std::string name(const char* who, const Size& size) {
    return fmt::format("{} {}", who, size.endpoints);
  }

  template <typename Load>
  Result<void> add(const std::string& what, Load load) {
    auto path = Path::create();
    if (!path) {
      return fail(path.error(), "{}", what);
    }
    if (auto done = (*path)->in_node(load); !done) {
      return fail(done.error(), "{}", what);
    }
    layouts_[what].path = std::move(*path);
    return {};
  }

  // Round by round, so that what slows a whole round does not count.
  [[nodiscard]] std::optional<Stats> over_plain(const std::vector<double>& samples,
                                                std::vector<double> Layout::*kind) const {
    const std::vector<double>& plain = layouts_.at("plain").*kind;
    std::vector<double> out;
    for (std::size_t i = 0; i < samples.size(); ++i) {
      out.push_back(samples[i] - plain[i]);
    }
    return summarize(out);
  }

  std::map<std::string, Layout> layouts_;
};

Result<void> run_bench(const Options& options) {
  // One processor for sender, node and receiver: what is measured is work, not overlap.
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(0, &one);
  ::sched_setaffinity(0, sizeof(one), &one);
  PacketBench bench;
  if (auto done = bench.prepare(options.quick); !done) {
    return done;
  }
  const unsigned count = options.quick ? 5'000 : 20'000;
  const int rounds = options.quick ? 3 : 11;
  for (int round = 0; round <= rounds; ++round) {
    if (auto done = bench.round(count, round > 0); !done) {  // the first one warms up
      return done;
    }
  }
  return save(options.results, bench.rows());
}

}  // namespace
}  // namespace margay::bench

int main(int argc, char** argv) {
  return margay::bench::run_program(argc, argv, margay::bench::run_bench);
}
