// I1: block operations in memory. I2: assigning on the embedded store, alone and a hundred at once,
// beside one durable transaction of the same store. I4: margayctl over the addresses of 5,000
// nodes.

#include "bench/support/results.h"
#include "cli/ipam.h"
#include "cli/ipam_check.h"
#include "datastore/store.h"
#include "ipam/allocator.h"
#include "ipam/audit.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <unistd.h>
#include <vector>

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

api::Resource named(const std::string& name, api::Spec spec, const std::string& ns = {}) {
  api::Resource resource;
  resource.metadata.name = name;
  resource.metadata.ns = ns;
  resource.spec = std::move(spec);
  return resource;
}

ipam::AssignRequest request_for(const std::string& handle) {
  ipam::AssignRequest request;
  request.holder = {handle, {{"node", "bench"}}};
  request.ipv4 = 1;
  return request;
}

// One store, and an allocator of one node over it.
class OnStore {
 public:
  static Result<std::unique_ptr<OnStore>> make() {
    auto made = std::unique_ptr<OnStore>(new OnStore);
    auto store = datastore::open_store("sqlite://" + (made->scratch_.path / "margay.db").string());
    if (!store) {
      return fail(store.error());
    }
    made->store_ = std::move(*store);
    api::IPPool pool;
    pool.cidr = *Prefix::parse("10.0.0.0/8");
    for (const api::Resource& resource :
         {named("bench", pool),
          named("default", api::IPAMConfiguration{.max_blocks_per_host = 0})}) {
      if (auto created = made->store_->create(resource); !created) {
        return fail(created.error());
      }
    }
    made->allocator_.emplace(*made->store_,
                             ipam::Allocator::Environment{
                                 .node = *NodeName::parse("bench"),
                                 .match = [](std::string_view, const api::Labels&) { return true; },
                                 .unix_now = [] { return std::int64_t{0}; },
                                 .back_off = [](unsigned) {}});
    return made;
  }

  // As an agent does: the next block is claimed before the last one is full.
  Result<double> assign_one() {
    const auto request = next();
    if (auto ahead = allocator_->claim_ahead(request); !ahead) {
      return fail(ahead.error());
    }
    std::optional<Error> failed;
    const double took = bench::time_us([&] {
      const auto assigned = allocator_->assign(request, nullptr);
      failed = assigned ? std::nullopt : std::optional(assigned.error());
    });
    return failed ? Result<double>(fail(*failed)) : took;
  }
  Result<double> assign_burst(unsigned count) {
    std::vector<ipam::Allocator::Wanted> wanted;
    for (unsigned i = 0; i < count; ++i) {
      wanted.push_back({next(), nullptr});
    }
    const double took = bench::time_us([&] { allocator_->assign_all(wanted); });
    for (const auto& one : wanted) {
      if (!*one.outcome) {
        return fail(one.outcome->error());
      }
    }
    return took;
  }
  Result<double> create_one() {
    const auto resource = named("ns" + std::to_string(next_++), api::Namespace{});
    std::optional<Error> failed;
    const double took = bench::time_us([&] {
      const auto created = store_->create(resource);
      failed = created ? std::nullopt : std::optional(created.error());
    });
    return failed ? Result<double>(fail(*failed)) : took;
  }

 private:
  OnStore() = default;
  ipam::AssignRequest next() { return request_for("net.c" + std::to_string(next_++)); }

  Scratch scratch_;
  std::unique_ptr<datastore::Store> store_;
  std::optional<ipam::Allocator> allocator_;
  unsigned next_ = 0;
};

Result<std::vector<Row>> on_store(bool quick) {
  auto made = OnStore::make();
  if (!made) {
    return fail(made.error());
  }
  OnStore& store = **made;
  constexpr unsigned kBurst = 100;
  std::vector<double> one;
  std::vector<double> burst;
  std::vector<double> create;
  std::vector<double> per_second;
  for (unsigned i = 0; i < (quick ? 100U : 500U); ++i) {
    const auto assigned = store.assign_one();
    const auto created = store.create_one();
    if (!assigned || !created) {
      return fail(assigned ? created.error() : assigned.error());
    }
    one.push_back(*assigned);
    create.push_back(*created);
    per_second.push_back(1e6 / *assigned);
  }
  std::vector<double> burst_create;
  for (unsigned i = 0; i < (quick ? 5U : 20U); ++i) {
    const auto assigned = store.assign_burst(kBurst);
    const auto created = store.create_one();
    if (!assigned || !created) {
      return fail(assigned ? created.error() : assigned.error());
    }
    burst.push_back(*assigned);
    burst_create.push_back(*created);
  }
  return std::vector<Row>{Row{.id = "I2",
                              .what = "assign one address, SQLite",
                              .unit = "us",
                              .ours = bench::summarize(one),
                              .peer = "one create",
                              .theirs = bench::summarize(create),
                              .goal = "<= 2",
                              .limit = 2.0},
                          Row{.id = "I2",
                              .what = "assign a burst of 100, claims included, SQLite",
                              .unit = "us",
                              .ours = bench::summarize(burst),
                              .peer = "one create",
                              .theirs = bench::summarize(burst_create),
                              .goal = "<= 5",
                              .limit = 5.0},
                          Row{.id = "I2",
                              .what = "assigns a second, one after the other, SQLite",
                              .unit = "/s",
                              .ours = bench::summarize(per_second)}};
}

// A cluster of so many nodes with 20 blocks each, and a container in each block.
constexpr unsigned kBlocksPerNode = 20;
constexpr std::size_t kChunk = 4000;

Result<void> store_chunk(datastore::Store& store, std::vector<datastore::Change>& changes) {
  const auto done = store.commit(changes);
  changes.clear();
  return done ? Result<void>() : fail(done.error());
}

Result<void> fill(datastore::Store& store, unsigned nodes) {
  api::IPPool pool;
  pool.cidr = *Prefix::parse("10.0.0.0/8");
  std::vector<datastore::Change> changes{datastore::Create{named("pool", pool)}};
  for (unsigned n = 0; n < nodes; ++n) {
    const NodeName node = *NodeName::parse("node" + std::to_string(n));
    changes.push_back(datastore::Create{named(node.str(), api::Node{})});
    for (unsigned b = 0; b < kBlocksPerNode; ++b) {
      const std::uint64_t index = std::uint64_t{n} * kBlocksPerNode + b;
      const Prefix cidr = Prefix::masked(pool.cidr.addr().add(index * 64), 26);
      auto block = ipam::make_block(cidr, ipam::host_affinity(node));
      const std::string pod = "pod-" + std::to_string(index);
      const auto given = ipam::allocate(block,
                                        1,
                                        {"net." + pod,
                                         {{"node", node.str()},
                                          {"namespace", "default"},
                                          {"pod", pod},
                                          {"interface", "eth0"},
                                          {"type", ipam::kWorkload},
                                          {"timestamp", "1"}}},
                                        {});
      api::WorkloadEndpoint endpoint;
      endpoint.node = node;
      endpoint.pod = pod;
      endpoint.interface_name = *IfName::parse("mgy1");
      endpoint.ip_networks = {Prefix::host(given.front())};
      changes.push_back(datastore::Create{named(ipam::block_name(cidr), block)});
      changes.push_back(datastore::Create{
          named(ipam::affinity_name(node, cidr),
                api::BlockAffinity{api::AffinityState::kConfirmed, node, cidr, false})});
      changes.push_back(datastore::Create{
          named("net." + pod, api::IPAMHandle{"net." + pod, {{cidr, 1}}, false})});
      changes.push_back(datastore::Create{named(pod, endpoint, "default")});
    }
    if (changes.size() >= kChunk || n + 1 == nodes) {
      if (auto done = store_chunk(store, changes); !done) {
        return done;
      }
    }
  }
  return {};
}

Result<std::vector<Row>> large(bool quick) {
  const Scratch scratch;
  const std::string url = "sqlite://" + (scratch.path / "margay.db").string();
  const unsigned nodes = quick ? 500 : 5000;
  auto store = datastore::open_store(url);
  if (!store) {
    return fail(store.error());
  }
  if (auto filled = fill(**store, nodes); !filled) {
    return fail(filled.error());
  }
  std::vector<double> show;
  std::vector<double> check;
  std::optional<Error> failed;
  std::size_t problems = 0;
  for (unsigned round = 0; round < (quick ? 2U : 5U); ++round) {
    show.push_back(bench::time_us([&] {
                     const auto text = cli::ipam_show(**store, {.nodes = true});
                     failed = text ? failed : std::optional(text.error());
                   }) /
                   1e6);
    check.push_back(bench::time_us([&] {
                      const auto found = cli::ipam_check(**store, false);
                      failed = found ? failed : std::optional(found.error());
                      problems = found ? found->problems : 1;
                    }) /
                    1e6);
  }
  if (failed || problems > 0) {
    return fail(failed.value_or(Error{Errc::kInternal, "the store is not sound", 0}));
  }
  const std::string of = fmt::format("{} nodes x {} blocks", nodes, kBlocksPerNode);
  const std::string reason = quick ? "a tenth of the nodes" : "";
  return std::vector<Row>{Row{.id = "I4",
                              .what = "ipam show, " + of,
                              .unit = "s",
                              .ours = bench::summarize(show),
                              .goal = "< 1 s",
                              .limit = 1.0,
                              .compare = Row::Compare::kOursP50,
                              .reason = reason},
                          Row{.id = "I4",
                              .what = "ipam check, " + of + ", a container in each",
                              .unit = "s",
                              .ours = bench::summarize(check),
                              .goal = "< 5 s",
                              .limit = 5.0,
                              .compare = Row::Compare::kOursP50,
                              .reason = reason}};
}

Result<void> run_bench(const bench::Options& options) {
  auto rows = on_store(options.quick);
  if (!rows) {
    return fail(rows.error());
  }
  const auto many = large(options.quick);
  if (!many) {
    return fail(many.error());
  }
  rows->insert(rows->end(), many->begin(), many->end());
  const Row memory{.id = "I1",
                   .what = "assigns and releases in a block in memory",
                   .unit = "M/s",
                   .ours = bench::summarize(in_memory(options.quick)),
                   .goal = ">= 2 M/s",
                   .limit = 2.0,
                   .compare = Row::Compare::kOursP50AtLeast};
  rows->insert(rows->begin(), memory);
  return bench::save(options.results, *rows);
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
