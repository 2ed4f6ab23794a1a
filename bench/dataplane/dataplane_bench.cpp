// D3: one element of a set, from the changed wish to the kernel's acknowledgement, beside the nft
// process. D4: one endpoint more with a known stack of policies. D6: a full start beside the replay
// of its recorded batch. Routes: a bulk through the reconciler beside `ip -batch`. All in a network
// namespace of their own.

#include "bench/support/process.h"
#include "bench/support/results.h"
#include "felix/dataplane/nft_reconciler.h"
#include "felix/dataplane/route_reconciler.h"
#include "felix/render/renderer.h"
#include "kernel/link_kernel.h"
#include "kernel/netlink/socket.h"
#include "kernel/nft/encode.h"
#include "kernel/nft/nft_kernel.h"
#include "kernel/route_kernel.h"

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <memory>
#include <sched.h>
#include <string>
#include <unistd.h>
#include <vector>

namespace margay {
namespace {

using bench::Row;
using bench::run;
using nft::key;

constexpr int kNetlinkNetfilter = 12;  // linux/netlink.h NETLINK_NETFILTER
constexpr unsigned kSets = 2000;
constexpr unsigned kEndpoints = 1000;
constexpr unsigned kPolicies = 1000;

// What a bench needs: the kernel of this namespace and a reconciler over an own table.
struct Bench {
  std::unique_ptr<nft::NftKernel> kernel;
  std::unique_ptr<felix::NftReconciler> reconciler;

  static Result<Bench> open() {
    auto kernel = nft::open_nft_kernel("margay");
    if (!kernel) {
      return fail(kernel.error());
    }
    Bench bench{std::move(*kernel), nullptr};
    bench.reconciler = std::make_unique<felix::NftReconciler>(*bench.kernel);
    bench.reconciler->set_in_sync(true);
    return bench;
  }
  Result<void> apply() const {
    const auto report = reconciler->apply();
    return report.failures.empty() ? Result<void>() : fail(report.failures.front().error);
  }
};

nft::Table many_sets() {
  nft::Table table;
  for (unsigned i = 0; i < kSets; ++i) {
    nft::Set& set = table.sets[fmt::format("s{}", i)];
    set.spec.key = {nft::DataType::kIpv4Addr};
    for (std::uint32_t element = 0; element < 10; ++element) {
      set.elements[nft::single(key(IpAddr::v4(0x0a000000U + element)))] = {};
    }
    table.chains[fmt::format("c{}", i)].rules = {
        {{nft::Lookup{{nft::Field::kIpSaddr}, fmt::format("s{}", i)}, nft::Verdict::accept()}, ""}};
  }
  return table;
}

nft::Delta one_element(unsigned number, bool add) {
  nft::Delta delta;
  nft::ElementDelta& elements = delta.elements[fmt::format("s{}", number % kSets)];
  const nft::ElementKey element = nft::single(key(IpAddr::v4(0x0b000000U + number)));
  if (add) {
    elements.add[element] = {};
  } else {
    elements.remove.insert(element);
  }
  return delta;
}

// Times of one round, appended when the round counts.
Result<void> add_elements(Bench& bench,
                          unsigned count,
                          unsigned& number,
                          std::vector<double>& times) {
  for (unsigned i = 0; i < count; ++i, ++number) {
    const nft::Delta delta = one_element(number, true);
    Result<void> done;
    times.push_back(bench::time_us([&] {
      bench.reconciler->set_desired(delta);
      done = bench.apply();
    }));
    if (!done) {
      return done;
    }
  }
  return {};
}

Result<void> add_elements_by_nft(unsigned count, unsigned& number, std::vector<double>& times) {
  for (unsigned i = 0; i < count; ++i, ++number) {
    const std::string set = fmt::format("s{}", number % kSets);
    const std::string element = "{ " + IpAddr::v4(0x0c000000U + number).str() + " }";
    int status = 0;
    times.push_back(bench::time_us([&] {
      status = run({"nft", "add", "element", "inet", "margay", set, element});
    }));
    if (status != 0) {
      return fail(Errc::kInternal, "nft ended with {}", status);
    }
  }
  return {};
}

Result<std::vector<Row>> bench_element(bool quick) {
  auto bench = Bench::open();
  if (!bench) {
    return fail(bench.error());
  }
  bench->reconciler->set_desired(many_sets());
  if (const auto done = bench->apply(); !done) {
    return fail(done.error());
  }
  std::vector<double> ours;
  std::vector<double> theirs;
  const int rounds = quick ? 2 : 6;  // the first one warms up
  unsigned number = 0;
  for (int round = 0; round < rounds; ++round) {
    if (round == 1) {
      ours.clear();
      theirs.clear();
    }
    if (const auto done = add_elements(*bench, quick ? 200 : 1000, number, ours); !done) {
      return fail(done.error());
    }
    if (const auto done = add_elements_by_nft(quick ? 3 : 20, number, theirs); !done) {
      return fail(done.error());
    }
  }
  const auto own = bench::summarize(ours);
  const auto other = bench::summarize(theirs);
  const std::string what = "one set element at 2000 sets and chains";
  return std::vector<Row>{
      {"D3",
       what,
       "us",
       own,
       "nft process",
       other,
       "ratio <= 0.025",
       0.025,
       Row::Compare::kRatio,
       ""},
      {"D3", what + ", p50", "us", own, "", {}, "p50 < 100 us", 100, Row::Compare::kOursP50, ""},
      {"D3", what + ", p99", "us", own, "", {}, "p99 < 1000 us", 1000, Row::Compare::kOursP99, ""},
  };
}

api::ResourceKey policy_key(unsigned number) {
  return {api::Kind::kGlobalNetworkPolicy, "", fmt::format("policy-{}", number)};
}

policy::Policy make_policy(unsigned number) {
  policy::Policy made;
  made.key = policy_key(number);
  made.order = number;
  made.ingress_applies = true;
  policy::Rule rule;
  rule.action = api::Action::kAllow;
  rule.protocol = api::kTcp;
  rule.source.selector = policy::Selector::equals("role", fmt::format("r{}", number % 100));
  rule.destination.ports = {api::PortRange{static_cast<std::uint16_t>(1000 + number),
                                           static_cast<std::uint16_t>(1000 + number)}};
  made.ingress.push_back(rule);
  return made;
}

// Each endpoint has one of a thousand stacks of three policies.
felix::RenderEndpoint make_endpoint(unsigned number) {
  felix::RenderEndpoint endpoint;
  endpoint.interface = *IfName::parse(fmt::format("mgy{:011x}", number));
  endpoint.sources = {IpAddr::v4(0x0a400000U + number)};
  felix::TierStack tier{"default", api::Action::kDeny, {}};
  for (unsigned i = 0; i < 3; ++i) {
    tier.policies.push_back(policy_key((number + i) % kPolicies));
  }
  endpoint.ingress.tiers = {tier};
  endpoint.egress.profile_allows = true;
  return endpoint;
}
api::ResourceKey endpoint_key(unsigned number) {
  return {api::Kind::kWorkloadEndpoint, "ns", fmt::format("endpoint-{}", number)};
}

void fill(felix::Renderer& renderer) {
  for (unsigned i = 0; i < kPolicies; ++i) {
    renderer.set_policy(std::make_shared<const policy::Policy>(make_policy(i)));
  }
  for (unsigned role = 0; role < 100; ++role) {
    std::vector<policy::Member> members;
    for (unsigned i = role; i < kEndpoints; i += 100) {
      members.push_back({Prefix::host(IpAddr::v4(0x0a400000U + i))});
    }
    renderer.add_members(
        policy::selector_set(policy::Selector::equals("role", fmt::format("r{}", role))), members);
  }
  for (unsigned i = 0; i < kEndpoints; ++i) {
    renderer.set_endpoint(endpoint_key(i), make_endpoint(i));
  }
}

Result<Row> bench_endpoint(bool quick) {
  auto bench = Bench::open();
  if (!bench) {
    return fail(bench.error());
  }
  felix::Renderer renderer({});
  fill(renderer);
  bench->reconciler->set_desired(renderer.take_delta());
  if (const auto done = bench->apply(); !done) {
    return fail(done.error());
  }
  std::vector<double> ours;
  const unsigned times = quick ? 100 : 1000;
  for (unsigned i = 0; i < times; ++i) {
    felix::RenderEndpoint endpoint = make_endpoint(i % kEndpoints);
    endpoint.interface = *IfName::parse(fmt::format("mgyn{:010x}", i));
    endpoint.sources = {IpAddr::v4(0x0a500000U + i)};
    Result<void> done;
    ours.push_back(bench::time_us([&] {
      renderer.set_endpoint(endpoint_key(kEndpoints + i), std::move(endpoint));
      bench->reconciler->set_desired(renderer.take_delta());
      done = bench->apply();
    }));
    if (!done) {
      return fail(done.error());
    }
    renderer.remove_endpoint(endpoint_key(kEndpoints + i));
    bench->reconciler->set_desired(renderer.take_delta());
    if (const auto removed = bench->apply(); !removed) {
      return fail(removed.error());
    }
  }
  return Row{"D4",
             "one endpoint at 1000 endpoints x 1000 policies",
             "us",
             bench::summarize(ours),
             "",
             {},
             "p99 < 1000 us",
             1000,
             Row::Compare::kOursP99,
             ""};
}

// From the resources in memory to the acknowledged table, as a start of the agent does it.
Result<void> start_once(Bench& bench, double& took) {
  Result<void> done;
  bench.reconciler.reset();
  felix::Renderer renderer({});
  took = bench::time_us([&] {
    fill(renderer);
    bench.reconciler = std::make_unique<felix::NftReconciler>(*bench.kernel);
    bench.reconciler->set_in_sync(true);
    bench.reconciler->set_desired(renderer.take_delta());
    done = bench.apply();
  });
  return done;
}

Result<void> replay_once(NetlinkSocket& socket, const nft::Batch& batch, double& took) {
  Result<void> done;
  int refused = 0;
  took = bench::time_us([&] {
    done = socket.send(batch.bytes);
    if (!done) {
      return;
    }
    const auto answer = socket.receive(true);
    if (!answer || !answer->has_value()) {
      done = fail(Errc::kTimeout, "no answer to the recorded batch");
      return;
    }
    for_each_message(**answer, [&refused](const nlmsghdr* message) {
      refused = std::max(refused, error_of(message).value_or(0));
      return true;
    });
  });
  return refused != 0 ? fail_errno(refused, "the recorded batch") : done;
}

Result<Row> bench_start(bool quick) {
  auto bench = Bench::open();
  auto raw = NetlinkSocket::open(kNetlinkNetfilter, 4 << 20);
  if (!bench || !raw) {
    return fail(bench ? raw.error() : bench.error());
  }
  felix::Renderer recorder({});
  fill(recorder);
  const nft::Table table = nft::canonical(recorder.table());
  const auto batch = nft::encode(felix::plan_rebuild(table, false), "margay", 1);
  if (!batch) {
    return fail(batch.error());
  }
  std::vector<double> ours;
  std::vector<double> theirs;
  const int rounds = quick ? 4 : 21;
  for (int round = 0; round < rounds; ++round) {
    double own = 0;
    double other = 0;
    run({"nft", "flush", "ruleset"});
    if (const auto done = start_once(*bench, own); !done) {
      return fail(done.error());
    }
    run({"nft", "flush", "ruleset"});
    if (const auto done = replay_once(*raw, *batch, other); !done) {
      return fail(done.error());
    }
    if (round > 0) {
      ours.push_back(own / 1000);
      theirs.push_back(other / 1000);
    }
  }
  return Row{"D6",
             "full start, 1000 endpoints x 1000 policies",
             "ms",
             bench::summarize(ours),
             "replay of the batch",
             bench::summarize(theirs),
             "ratio <= 1.3",
             1.3,
             Row::Compare::kRatio,
             ""};
}

Result<Row> bench_routes(bool quick) {
  if (run({"ip", "link", "set", "lo", "up"}) != 0 ||
      run({"ip", "link", "add", "fabric", "type", "veth", "peer", "name", "wire"}) != 0 ||
      run({"ip", "link", "set", "wire", "up"}) != 0 ||
      run({"ip", "link", "set", "fabric", "up"}) != 0 ||
      run({"ip", "addr", "add", "192.0.2.1/24", "dev", "fabric"}) != 0) {
    return fail(Errc::kInternal, "set up a link");
  }
  auto routes = open_route_kernel();
  auto links = open_link_kernel();
  if (!routes || !links) {
    return fail(routes ? links.error() : routes.error());
  }
  const unsigned count = quick ? 10'000 : 100'000;
  std::string file = fmt::format("/tmp/margay-bench-routes-{}", ::getpid());
  {
    std::ofstream out(file);
    for (std::uint32_t i = 0; i < count; ++i) {
      out << fmt::format("route add {}/32 via 192.0.2.7 proto 91\n",
                         IpAddr::v4(0x0a000000U + i).str());
    }
  }
  std::vector<double> ours;
  std::vector<double> theirs;
  const int rounds = quick ? 2 : 6;
  bool failed = false;
  for (int round = 0; round < rounds; ++round) {
    felix::RouteReconciler reconciler(**routes, **links, {{kProtocolBgp}});
    reconciler.set_in_sync(true);
    const double own = bench::time_us([&] {
      for (std::uint32_t i = 0; i < count; ++i) {
        reconciler.set_desired(route_via(
            Prefix::host(IpAddr::v4(0x0a000000U + i)), {IpAddr::v4(0xc0000207U)}, kProtocolBgp));
      }
      failed = failed || !reconciler.apply(Clock::now()).clean();
    });
    failed = failed || run({"ip", "route", "flush", "proto", "91"}) != 0;
    const double other = bench::time_us([&] {
      failed = failed || run({"ip", "-batch", file}) != 0;
    });
    failed = failed || run({"ip", "route", "flush", "proto", "91"}) != 0;
    if (round > 0) {
      ours.push_back(own / 1000);
      theirs.push_back(other / 1000);
    }
  }
  std::remove(file.c_str());
  if (failed) {
    return fail(Errc::kInternal, "a batch of routes was refused");
  }
  return Row{"D",
             fmt::format("{} routes into the kernel", count),
             "ms",
             bench::summarize(ours),
             "ip -batch",
             bench::summarize(theirs),
             "",
             {},
             Row::Compare::kRatio,
             ""};
}

template <typename F>
void take(std::vector<Row>& rows, const char* id, const char* what, const F& measure) {
  auto row = measure();
  if (row) {
    rows.push_back(std::move(*row));
    return;
  }
  Row missing;
  missing.id = id;
  missing.what = what;
  missing.unit = "us";
  missing.reason = row.error().text;
  rows.push_back(std::move(missing));
}

int bench_all(const bench::Options& options) {
  std::vector<Row> rows;
  if (auto elements = bench_element(options.quick); elements) {
    rows = std::move(*elements);
  } else {
    take(rows, "D3", "one set element", [&] { return Result<Row>(fail(elements.error())); });
  }
  run({"nft", "flush", "ruleset"});
  take(rows, "D4", "one endpoint", [&] { return bench_endpoint(options.quick); });
  run({"nft", "flush", "ruleset"});
  take(rows, "D6", "full start", [&] { return bench_start(options.quick); });
  take(rows, "D", "routes into the kernel", [&] { return bench_routes(options.quick); });
  if (const auto saved = bench::save(options.results, rows); !saved) {
    std::fprintf(stderr, "%s\n", saved.error().text.c_str());
    return 1;
  }
  return 0;
}

}  // namespace
}  // namespace margay

int main(int argc, char** argv) {
  const auto options = margay::bench::parse_options(argc, argv);
  if (!options) {
    std::fprintf(stderr, "%s\n", options.error().text.c_str());
    return 2;
  }
  if (::unshare(CLONE_NEWNET) != 0) {
    std::fprintf(stderr, "a network namespace of its own: needs root\n");
    return 1;
  }
  return margay::bench_all(*options);
}
