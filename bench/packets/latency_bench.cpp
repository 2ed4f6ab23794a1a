// D1: what a pod waits for a pod of another node: one byte there and one back over TCP, over an
// open connection and over a new one each. Ours with 1,000 policies beside the same path with
// connection tracking alone, beside pods on a bridge (host-gw) and beside a VXLAN overlay, neither
// of which filters anything. All are measured in turn in every round.

#include "bench/packets/fabric.h"
#include "bench/packets/layouts.h"
#include "bench/support/results.h"

#include <array>
#include <memory>
#include <optional>
#include <sched.h>
#include <string>
#include <vector>

namespace margay::bench {
namespace {

constexpr Size kSize{1000, 1000};

struct Variant {
  const char* name;
  Fabric::Kind kind;
  Result<void> (*load)();
  double limit;  // ours over this one; 0: ours itself
  std::unique_ptr<Fabric> fabric;
  std::vector<double> open_us;
  std::vector<double> fresh_us;
};

std::array<Variant, 4> variants() {
  return {{{"ours",
            Fabric::Kind::kRouted,
            [] { return load_ours(kSize, api::kTcp); },
            0,
            nullptr,
            {},
            {}},
           {"conntrack, accept", Fabric::Kind::kRouted, load_floor, 1.05, nullptr, {}, {}},
           {"bridge, host-gw", Fabric::Kind::kBridge, load_masquerade, 0.88, nullptr, {}, {}},
           {"bridge, VXLAN", Fabric::Kind::kVxlan, load_masquerade, 0.70, nullptr, {}, {}}}};
}

// What a variant takes is remembered when the round counts.
Result<void> measure(Variant& variant, unsigned count, bool counts) {
  auto open = variant.fabric->request_response(count);
  auto fresh = open ? variant.fabric->connect_request_response(count / 4) : open;
  if (!open || !fresh) {
    return fail((open ? fresh : open).error(), "{}", variant.name);
  }
  if (counts) {
    variant.open_us.insert(variant.open_us.end(), open->begin(), open->end());
    variant.fresh_us.insert(variant.fresh_us.end(), fresh->begin(), fresh->end());
  }
  return {};
}

Row row(const char* what,
        const Variant& ours,
        const Variant& peer,
        std::vector<double> Variant::*samples) {
  return {.id = "D1",
          .what = what,
          .unit = "us",
          .ours = summarize(ours.*samples),
          .peer = peer.name,
          .theirs = summarize(peer.*samples),
          .goal = "<= " + std::to_string(peer.limit).substr(0, 4),
          .limit = peer.limit};
}

Result<void> run_bench(const Options& options) {
  // One processor for both pods and what lies between: what is measured is work, not waking up.
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(0, &one);
  ::sched_setaffinity(0, sizeof(one), &one);
  auto all = variants();
  for (Variant& variant : all) {
    auto fabric = Fabric::create(variant.kind);
    auto loaded = fabric ? (*fabric)->in_nodes(variant.load) : fail(fabric.error());
    if (!loaded) {
      return fail(loaded.error(), "{}", variant.name);
    }
    variant.fabric = std::move(*fabric);
  }
  const unsigned count = options.quick ? 400 : 2000;
  const int rounds = options.quick ? 3 : 11;
  for (int round = 0; round <= rounds; ++round) {
    for (Variant& variant : all) {
      if (auto done = measure(variant, count, round > 0); !done) {  // the first one warms up
        return done;
      }
    }
  }
  std::vector<Row> rows;
  for (std::size_t i = 1; i < all.size(); ++i) {
    rows.push_back(row("request and response between nodes", all[0], all[i], &Variant::open_us));
    rows.push_back(
        row("connect, request and response between nodes", all[0], all[i], &Variant::fresh_us));
  }
  return save(options.results, rows);
}

}  // namespace
}  // namespace margay::bench

int main(int argc, char** argv) {
  return margay::bench::run_program(argc, argv, margay::bench::run_bench);
}
