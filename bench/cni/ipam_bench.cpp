// I1: block operations in memory. I2: assigning on the embedded store, beside one durable
// transaction of the same store.

#include "bench/support/results.h"
#include "datastore/store.h"
#include "ipam/allocator.h"

#include <cstdio>
#include <filesystem>
#include <string>
#include <unistd.h>

namespace margay {
namespace {

using bench::Row;
namespace fs = std::filesystem;

struct Scratch {
  fs::path path;
  Scratch() {
    std::string pattern = fs::temp_directory_path() / "margay-bench-XXXXXX";
    path = ::mkdtemp(pattern.data());
  }
  ~Scratch() {
    std::error_code ignored;
    fs::remove_all(path, ignored);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
};

// Millions of assigns and releases a second, one sample per round.
std::vector<double> in_memory(bool quick) {
  constexpr unsigned kOperations = 200'000;
  std::vector<double> samples;
  for (unsigned round = 0; round < (quick ? 3U : 10U); ++round) {
    auto block = ipam::make_block(*Prefix::parse("10.0.0.0/26"), "host:bench");
    const api::AllocationAttribute holder{"net.container", {{"node", "bench"}}};
    const ipam::Moment now{.unix_s = 0, .cooldown_s = 0};
    const double took_us = bench::time_us([&] {
      for (unsigned i = 0; i < kOperations; ++i) {
        const auto given = ipam::allocate(block, 1, holder, now);
        ipam::release_address(block, given.front(), now);
      }
    });
    samples.push_back(2.0 * kOperations / took_us);
  }
  return samples;
}

api::Resource a_namespace(const std::string& name) {
  api::Resource resource;
  resource.metadata.name = name;
  resource.spec = api::Namespace{};
  return resource;
}

Result<Row> on_store(bool quick) {
  const Scratch scratch;
  auto store = datastore::open_store("sqlite://" + (scratch.path / "margay.db").string());
  if (!store) {
    return fail(store.error());
  }
  api::Resource pool;
  pool.metadata.name = "bench";
  api::IPPool spec;
  spec.cidr = *Prefix::parse("10.0.0.0/16");
  pool.spec = spec;
  if (auto created = (*store)->create(pool); !created) {
    return fail(created.error());
  }
  ipam::Allocator allocator(**store,
                            {.node = *NodeName::parse("bench"),
                             .match = [](std::string_view, const api::Labels&) { return true; },
                             .unix_now = [] { return std::int64_t{0}; },
                             .back_off = [](unsigned) {}});
  std::vector<double> ours;
  std::vector<double> theirs;
  std::optional<Error> failed;
  for (unsigned i = 0; i < (quick ? 100U : 500U); ++i) {
    ipam::AssignRequest request;
    request.holder = {"net.c" + std::to_string(i), {{"node", "bench"}}};
    request.ipv4 = 1;
    ours.push_back(bench::time_us([&] {
      const auto assigned = allocator.assign(request, nullptr);
      if (!assigned) {
        failed = assigned.error();
      }
    }));
    theirs.push_back(bench::time_us([&] {
      const auto created = (*store)->create(a_namespace("ns" + std::to_string(i)));
      if (!created) {
        failed = created.error();
      }
    }));
  }
  if (failed) {
    return fail(*failed);
  }
  return Row{.id = "I2",
             .what = "assign one address, SQLite",
             .unit = "us",
             .ours = bench::summarize(ours),
             .peer = "one create",
             .theirs = bench::summarize(theirs),
             .goal = "<= 2",
             .limit = 2.0};
}

Result<void> run_bench(const bench::Options& options) {
  auto stored = on_store(options.quick);
  if (!stored) {
    return fail(stored.error());
  }
  const Row memory{.id = "I1",
                   .what = "assigns and releases in a block in memory",
                   .unit = "M/s",
                   .ours = bench::summarize(in_memory(options.quick)),
                   .goal = ">= 2 M/s",
                   .limit = 2.0,
                   .compare = Row::Compare::kOursP50AtLeast};
  return bench::save(options.results, {memory, *stored});
}

}  // namespace
}  // namespace margay

int main(int argc, char** argv) {
  const auto options = margay::bench::parse_options(argc, argv);
  const auto done = options ? margay::run_bench(*options) : margay::fail(options.error());
  if (!done) {
    std::fprintf(stderr, "bench_cni_ipam: %s\n", done.error().text.c_str());
    return 1;
  }
  return 0;
}
