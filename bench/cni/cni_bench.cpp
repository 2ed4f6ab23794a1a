// D7, D8: what a runtime waits for: CNI ADD and DEL from process start to exit, of `margay` beside
// Debian's ptp and bridge with host-local, at 0, 100 and 500 pods; with published ports beside
// bridge, host-local and portmap, one after the other. D9: a hundred ADDs at once. The node is a
// network namespace of this program; the agent runs in it with a store on a memory file system. ADD
// of ours answers with policy and route in the kernel; ptp has no policy.

#include "bench/support/agent_process.h"
#include "bench/support/results.h"
#include "kernel/netns.h"
#include "tests/support/cni_driver.h"

#include <fmt/format.h>

#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <iterator>
#include <memory>
#include <sched.h>
#include <string>
#include <thread>
#include <tuple>
#include <unistd.h>
#include <utility>
#include <vector>

namespace margay {
namespace {

using bench::Row;
using test::CniAnswer;
using test::CniCall;
namespace fs = std::filesystem;

constexpr const char* kPeerDirectory = "/usr/lib/cni";
constexpr const char* kPeer = "ptp+host-local";
constexpr std::size_t kBurst = 100;

// One container: a namespace and its id.
struct Container {
  NetNs ns;
  std::string id;
  [[nodiscard]] std::string path() const {
    return "/proc/" + std::to_string(::getpid()) + "/fd/" + std::to_string(ns.fd());
  }
};

Result<std::vector<Container>> make_containers(const std::string& prefix, std::size_t count) {
  std::vector<Container> containers;
  for (std::size_t i = 0; i < count; ++i) {
    auto ns = NetNs::create();
    if (!ns) {
      return fail(ns.error());
    }
    containers.push_back(Container{std::move(*ns), prefix + std::to_string(i)});
  }
  return containers;
}

// A plugin under test, or a chain of them.
struct Subject {
  std::string plugin;
  std::string path;          // CNI_PATH
  std::string config;        // a JSON object
  std::string chained = {};  // the plugin that gets the first one's result and the published ports

  [[nodiscard]] CniAnswer call(const std::string& verb, const Container& container) const {
    return run(plugin, config, verb, container);
  }
  // The port of the container's namespace 80 is published as `port` of the node.
  [[nodiscard]] CniAnswer call_published(const std::string& verb,
                                         const Container& container,
                                         unsigned port) const {
    const std::string mapping = R"("runtimeConfig":{"portMappings":[{"hostPort":)" +
                                std::to_string(port) + R"(,"containerPort":80,"protocol":"tcp"}]})";
    if (chained.empty()) {
      return run(plugin, with(config, mapping), verb, container);
    }
    const std::string behind = R"({"cniVersion":"1.0.0","name":"chain","type":"portmap"})";
    if (verb != "ADD") {
      const CniAnswer undone = run(chained, with(behind, mapping), verb, container);
      CniAnswer removed = run(plugin, config, verb, container);
      removed.took += undone.took;
      return removed;
    }
    const CniAnswer first = run(plugin, config, verb, container);
    if (first.exit_code != 0) {
      return first;
    }
    CniAnswer second =
        run(chained, with(behind, mapping + ",\"prevResult\":" + first.out), verb, container);
    second.took += first.took;
    return second;
  }

 private:
  static std::string with(const std::string& object, const std::string& members) {
    return object.substr(0, object.rfind('}')) + "," + members + "}";
  }
  [[nodiscard]] CniAnswer run(const std::string& program,
                              const std::string& input,
                              const std::string& verb,
                              const Container& container) const {
    return test::run_cni(CniCall{.plugin = program,
                                 .environment = {{"CNI_COMMAND", verb},
                                                 {"CNI_CONTAINERID", container.id},
                                                 {"CNI_NETNS", container.path()},
                                                 {"CNI_IFNAME", "eth0"},
                                                 {"CNI_PATH", path},
                                                 {"PATH", "/usr/sbin:/usr/bin:/sbin:/bin"}},
                                 .config = input});
  }
};

struct Samples {
  std::vector<double> add_ms;
  std::vector<double> del_ms;
};

double to_ms(std::chrono::microseconds took) {
  return static_cast<double>(took.count()) / 1000.0;
}

Result<double> timed(const Subject& subject, const char* verb, const Container& container) {
  const CniAnswer answer = subject.call(verb, container);
  if (answer.exit_code != 0) {
    return fail(Errc::kInternal, "{} {}: {}{}", subject.plugin, verb, answer.out, answer.err);
  }
  return to_ms(answer.took);
}

// Namespaces that were measured stay until the end: the kernel takes each apart for some 20 ms
// under its lock of all links, which the next ones would wait for.
using Spent = std::vector<Container>;

void keep(std::vector<Container> containers, Spent& spent) {
  std::ranges::move(containers, std::back_inserter(spent));
}

Result<void> one_round(
    const Subject& subject, std::size_t count, unsigned round, Samples& out, Spent& spent) {
  auto containers = make_containers("r" + std::to_string(round) + "-", count);
  if (!containers) {
    return fail(containers.error());
  }
  for (const char* verb : {"ADD", "DEL"}) {
    for (const Container& container : *containers) {
      const auto took = timed(subject, verb, container);
      if (!took) {
        return fail(took.error());
      }
      (verb[0] == 'A' ? out.add_ms : out.del_ms).push_back(*took);
    }
  }
  keep(std::move(*containers), spent);
  return {};
}

// So many containers with a port each, from `port` on; the time of each ADD.
Result<std::vector<double>> publish(const Subject& subject,
                                    const std::vector<Container>& containers,
                                    unsigned port) {
  std::vector<double> took_ms;
  took_ms.reserve(containers.size());
  for (const Container& container : containers) {
    const CniAnswer answer = subject.call_published("ADD", container, port++);
    if (answer.exit_code != 0) {
      return fail(
          Errc::kInternal, "{} ADD with a port: {}{}", subject.plugin, answer.out, answer.err);
    }
    took_ms.push_back(to_ms(answer.took));
  }
  return took_ms;
}

// Milliseconds until the last of many ADDs, all started at once, has answered.
Result<double> burst(const Subject& subject, unsigned round, Spent& spent) {
  auto containers = make_containers("b" + std::to_string(round) + "-", kBurst);
  if (!containers) {
    return fail(containers.error());
  }
  std::atomic<unsigned> failures{0};
  const auto all = [&](const char* verb) {
    std::vector<std::thread> threads;
    for (const Container& container : *containers) {
      threads.emplace_back([&subject, &failures, &container, verb] {
        failures += subject.call(verb, container).exit_code == 0 ? 0U : 1U;
      });
    }
    for (std::thread& thread : threads) {
      thread.join();
    }
  };
  const double took_us = bench::time_us([&all] { all("ADD"); });
  const unsigned failed = failures;
  all("DEL");
  keep(std::move(*containers), spent);
  if (failed > 0) {
    return fail(Errc::kInternal, "{} of {} ADDs at once failed", failed, kBurst);
  }
  return took_us / 1000.0;
}

class CniBench {
 public:
  CniBench(Subject ours, Subject theirs, Subject portmap, bool quick)
      : ours_(std::move(ours)),
        theirs_(std::move(theirs)),
        portmap_(std::move(portmap)),
        bridge_(portmap_),
        quick_(quick) {
    bridge_.chained.clear();
  }

  Result<std::vector<Row>> run() {
    if (auto done = at_pods(0, 0.35); !done) {
      return fail(done.error());
    }
    if (auto done = at_once(); !done) {
      return fail(done.error());
    }
    if (!quick_) {
      if (auto done = with_pods(); !done) {
        return fail(done.error());
      }
    }
    return rows_;
  }

 private:
  Result<void> at_pods(std::size_t pods, double goal) {
    const unsigned rounds = quick_ ? 2 : 5;
    const std::size_t per_round = 20;
    Samples ours;
    Samples theirs;
    Samples bridge;
    for (unsigned round = 0; round < rounds; ++round) {
      for (const auto& [subject, samples] :
           {std::pair(&ours_, &ours), std::pair(&theirs_, &theirs), std::pair(&bridge_, &bridge)}) {
        if (auto done = one_round(*subject, per_round, round, *samples, spent_); !done) {
          return done;
        }
      }
    }
    const std::string at = ", " + std::to_string(pods) + " pods";
    add_rows("D7", "CNI ADD" + at, ours.add_ms, theirs.add_ms, bridge.add_ms, goal);
    add_rows("D8", "CNI DEL" + at, ours.del_ms, theirs.del_ms, bridge.del_ms, 0.15);
    return {};
  }

  // The goal is over ptp, p50 and p99; the bridge stands beside it.
  void add_rows(const std::string& id,
                const std::string& what,
                const std::vector<double>& ours,
                const std::vector<double>& theirs,
                const std::vector<double>& bridge,
                double goal) {
    const auto mine = bench::summarize(ours);
    const auto ptp = bench::summarize(theirs);
    rows_.push_back(Row{.id = id,
                        .what = what,
                        .unit = "ms",
                        .ours = mine,
                        .peer = kPeer,
                        .theirs = ptp,
                        .goal = fmt::format("<= {}", goal),
                        .limit = goal});
    if (id == "D7" && mine && ptp) {
      constexpr double kTail = 0.35;
      rows_.push_back(Row{.id = id,
                          .what = what + ", p99",
                          .unit = "ms",
                          .ours = tail(*mine),
                          .peer = kPeer,
                          .theirs = tail(*ptp),
                          .goal = fmt::format("<= {}", std::max(goal, kTail)),
                          .limit = std::max(goal, kTail)});
    }
    rows_.push_back(Row{.id = id,
                        .what = what,
                        .unit = "ms",
                        .ours = mine,
                        .peer = "bridge+host-local",
                        .theirs = bench::summarize(bridge)});
  }
  // The p99 as the figure that is compared.
  static bench::Stats tail(bench::Stats stats) {
    stats.p50 = stats.p99;
    return stats;
  }

  // A hundred pods of each, measured; then five hundred.
  Result<void> with_pods() {
    constexpr std::size_t kSome = 100;
    constexpr std::size_t kMany = 500;
    std::vector<Container> ours;
    std::vector<Container> theirs;
    std::vector<Container> bridge;
    for (const std::size_t pods : {kSome, kMany}) {
      for (const auto& [subject, containers, prefix] : {std::tuple(&ours_, &ours, "p"),
                                                        std::tuple(&theirs_, &theirs, "q"),
                                                        std::tuple(&bridge_, &bridge, "s")}) {
        if (auto done = populate(*subject, prefix, pods, *containers); !done) {
          return done;
        }
      }
      if (auto done = at_pods(pods, pods == kMany ? 0.25 : 0.35); !done) {
        return done;
      }
    }
    for (std::size_t i = 0; i < kMany; ++i) {
      (void)ours_.call("DEL", ours[i]);
      (void)theirs_.call("DEL", theirs[i]);
      (void)bridge_.call("DEL", bridge[i]);
    }
    return published(ours, theirs);
  }

  // Adds containers until there are so many.
  static Result<void> populate(const Subject& subject,
                               const std::string& prefix,
                               std::size_t count,
                               std::vector<Container>& containers) {
    auto more = make_containers(prefix + std::to_string(count) + "-", count - containers.size());
    if (!more) {
      return fail(more.error());
    }
    for (Container& container : *more) {
      if (const auto added = timed(subject, "ADD", container); !added) {
        return fail(added.error());
      }
      containers.push_back(std::move(container));
    }
    return {};
  }
  // As many pods as there are namespaces, all with a port; measured are twenty more.
  Result<void> published(const std::vector<Container>& ours, const std::vector<Container>& theirs) {
    constexpr unsigned kFirst = 20000;
    constexpr unsigned kMeasured = 40000;
    constexpr std::size_t kCount = 20;
    const auto more_ours = make_containers("po", kCount);
    const auto more_theirs = make_containers("pt", kCount);
    if (!more_ours || !more_theirs) {
      return fail(more_ours ? more_theirs.error() : more_ours.error());
    }
    const auto load_ours = publish(ours_, ours, kFirst);
    const auto mine = load_ours ? publish(ours_, *more_ours, kMeasured) : load_ours;
    const auto load_theirs = publish(portmap_, theirs, kFirst);
    const auto other = load_theirs ? publish(portmap_, *more_theirs, kMeasured) : load_theirs;
    if (!mine || !other) {
      return fail(mine ? other.error() : mine.error());
    }
    rows_.push_back(
        Row{.id = "D7",
            .what = "CNI ADD with a published port, " + std::to_string(ours.size()) + " pods",
            .unit = "ms",
            .ours = bench::summarize(*mine),
            .peer = "bridge+host-local+portmap",
            .theirs = bench::summarize(*other),
            .goal = "<= 0.05",
            .limit = 0.05});
    return {};
  }

  Result<void> at_once() {
    std::vector<double> ours;
    std::vector<double> theirs;
    std::vector<double> bridge;
    const unsigned rounds = quick_ ? 1 : 3;
    for (unsigned round = 0; round < rounds; ++round) {
      const auto mine = burst(ours_, round, spent_);
      if (!mine) {
        return fail(mine.error());
      }
      ours.push_back(*mine);
      const auto other = burst(theirs_, round, spent_);
      if (other) {
        theirs.push_back(*other);
      }
      if (const auto third = burst(bridge_, round, spent_)) {
        bridge.push_back(*third);
      }
    }
    rows_.push_back(Row{.id = "D9",
                        .what = "100 CNI ADDs at once",
                        .unit = "ms",
                        .ours = bench::summarize(ours),
                        .peer = kPeer,
                        .theirs = bench::summarize(theirs),
                        .goal = "<= 500 ms",
                        .limit = 500.0,
                        .compare = Row::Compare::kOursP50,
                        .reason = theirs.empty() ? "the peer fails under this burst" : ""});
    rows_.push_back(Row{.id = "D9",
                        .what = "100 CNI ADDs at once",
                        .unit = "ms",
                        .ours = bench::summarize(ours),
                        .peer = "bridge+host-local",
                        .theirs = bench::summarize(bridge),
                        .reason = bridge.empty() ? "the peer fails under this burst" : ""});
    return {};
  }

  Subject ours_;
  Subject theirs_;
  Subject portmap_;
  Subject bridge_;  // the same without ports
  bool quick_;
  Spent spent_;
  std::vector<Row> rows_;
};

Result<void> run_bench(const bench::Options& options) {
  if (::unshare(CLONE_NEWNET) != 0) {
    return fail_errno(errno, "a network namespace for the node");
  }
  rlimit open_files{};  // a descriptor for each namespace
  ::getrlimit(RLIMIT_NOFILE, &open_files);
  open_files.rlim_cur = open_files.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &open_files);
  const bench::Scratch scratch;
  const fs::path programs = fs::read_symlink("/proc/self/exe").parent_path();
  const Subject ours{programs / "margay",
                     programs,
                     R"({"cniVersion":"1.0.0","name":"margay","type":"margay","run_dir":")" +
                         scratch.path.string() + R"(","ipam":{"type":"margay-ipam"}})"};
  const Subject theirs{std::string(kPeerDirectory) + "/ptp",
                       kPeerDirectory,
                       R"({"cniVersion":"1.0.0","name":"ptp","type":"ptp","ipam":{"type":
                       "host-local","subnet":"10.22.0.0/16","dataDir":")" +
                           (scratch.path / "host-local").string() + R"("}})"};
  const Subject portmap{std::string(kPeerDirectory) + "/bridge",
                        kPeerDirectory,
                        R"({"cniVersion":"1.0.0","name":"chain","type":"bridge","bridge":"br0",
                        "isGateway":true,"ipMasq":false,"ipam":{"type":"host-local",
                        "subnet":"10.23.0.0/16","dataDir":")" +
                            (scratch.path / "host-local").string() + R"("}})",
                        std::string(kPeerDirectory) + "/portmap"};
  if (!fs::exists(theirs.plugin)) {
    return fail(
        Errc::kNotFound, "{} is missing: install containernetworking-plugins", theirs.plugin);
  }
  auto agent = bench::AgentProcess::start(programs, scratch.path);
  if (!agent) {
    return fail(agent.error());
  }
  auto rows = CniBench(ours, theirs, portmap, options.quick).run();
  if (!rows) {
    return fail(rows.error());
  }
  return bench::save(options.results, *rows);
}

}  // namespace
}  // namespace margay

int main(int argc, char** argv) {
  const auto options = margay::bench::parse_options(argc, argv);
  const auto done = options ? margay::run_bench(*options) : margay::fail(options.error());
  if (!done) {
    std::fprintf(stderr, "bench_cni: %s\n", done.error().text.c_str());
    return 1;
  }
  return 0;
}
