// D10: what an agent with 100 pods and 1,000 policies takes when nothing happens.
//
// D5: a policy that denies is written to the store, until the last packet that passes. And one set
// element, end to end. A label of an endpoint on another node changes in the store;
// taken is the time from before the write to the kernel's event that the element is in or out of
// the set of a policy of this node: transaction, watch, calculation, rendering, netlink. Beside it
// an `nft` process that adds or deletes one element, and nothing more.

#include "api/resource.h"
#include "bench/agent/deny_probe.h"
#include "bench/agent/nft_events.h"
#include "bench/support/agent_process.h"
#include "bench/support/results.h"
#include "datastore/store.h"
#include "kernel/netns.h"
#include "tests/support/cni_driver.h"

#include <fmt/format.h>

#include <sys/wait.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <fstream>
#include <memory>
#include <optional>
#include <sched.h>
#include <spawn.h>
#include <string>
#include <thread>
#include <unistd.h>
#include <vector>

namespace margay {
namespace {

Result<api::Resource> resource(const std::string& yaml) {
  auto documents = api::decode_documents(yaml);
  return std::move(documents.front().resource);
}

Result<api::Resource> remote_endpoint() {
  return resource(R"({apiVersion: projectcalico.org/v3, kind: WorkloadEndpoint,
    metadata: {name: peer, namespace: default, labels: {app: other}},
    spec: {node: elsewhere, orchestrator: cni, interfaceName: mgypeer, ipNetworks: [10.244.200.9/32],
           profiles: [kns.default]}})");
}

Result<api::Resource> admitting_policy() {
  return resource(R"({apiVersion: projectcalico.org/v3, kind: NetworkPolicy,
    metadata: {name: web, namespace: default},
    spec: {selector: app == 'web', ingress: [{action: Allow, source: {selector: app == 'peer'}}]}})");
}

Result<void> nft(const std::string& command) {
  std::string text = command;
  std::string program = "nft";
  std::array<char*, 3> argv{program.data(), text.data(), nullptr};
  pid_t pid = -1;
  int status = 0;
  if (::posix_spawnp(&pid, "nft", nullptr, nullptr, argv.data(), environ) != 0 ||
      ::waitpid(pid, &status, 0) != pid || status != 0) {
    return fail(Errc::kInternal, "nft {} failed", command);
  }
  return {};
}

class EndToEnd {
 public:
  explicit EndToEnd(datastore::Store& store) : store_(store) {}

  Result<void> prepare() {
    auto endpoint = remote_endpoint();
    auto policy = admitting_policy();
    if (!endpoint || !policy) {
      return fail(endpoint ? policy.error() : endpoint.error());
    }
    if (auto made = store_.create(*policy); !made) {
      return fail(made.error());
    }
    auto made = store_.create(*endpoint);
    if (!made) {
      return fail(made.error());
    }
    endpoint_ = *made->resource;
    return nft("add table inet peer; add set inet peer s { type ipv4_addr; }");
  }

  Result<void> listen() {
    auto opened = bench::NftEvents::open();
    if (!opened) {
      return fail(opened.error());
    }
    events_.emplace(std::move(*opened));
    return {};
  }

  // Microseconds; the set is without the element before and after two calls.
  Result<double> ours() {
    std::string& label = endpoint_.metadata.labels["app"];
    label = label == "peer" ? "other" : "peer";
    Result<void> done;
    const double took = bench::time_us([&] {
      auto stored = store_.update(endpoint_);
      if (!stored) {
        done = fail(stored.error());
        return;
      }
      endpoint_ = *stored->resource;
      done = events_->wait_for_element();
    });
    return done ? Result<double>(took) : fail(done.error());
  }
  Result<double> theirs() {
    inside_ = !inside_;
    Result<void> done;
    const double took = bench::time_us([&] {
      done = nft(std::string(inside_ ? "add" : "delete") + " element inet peer s { 10.244.200.9 }");
    });
    if (done) {
      done = events_->wait_for_element();  // so that ours does not see it
    }
    return done ? Result<double>(took) : fail(done.error());
  }

 private:
  datastore::Store& store_;
  std::optional<bench::NftEvents> events_;
  api::Resource endpoint_;
  bool inside_ = false;
};

// A pod labelled app=`app`, made as a runtime would.
Result<void> add_pod(const bench::Scratch& scratch, const NetNs& pod, const std::string& app) {
  const auto answer = test::run_cni(test::CniCall{
      .plugin = bench::program_folder() / "margay",
      .environment = {{"CNI_COMMAND", "ADD"},
                      {"CNI_CONTAINERID", app},
                      {"CNI_NETNS",
                       "/proc/" + std::to_string(::getpid()) + "/fd/" + std::to_string(pod.fd())},
                      {"CNI_IFNAME", "eth0"},
                      {"CNI_PATH", bench::program_folder()}},
      .config = R"({"cniVersion":"1.0.0","name":"margay","type":"margay","run_dir":")" +
                scratch.path.string() + R"(","labels":{"app":")" + app +
                R"("},"ipam":{"type":"margay-ipam"}})"});
  return answer.exit_code == 0 ? Result<void>()
                               : fail(Errc::kInternal, "ADD: {}{}", answer.out, answer.err);
}

// A figure of /proc/PID/status, in KiB.
double status_kib(pid_t pid, const std::string& name) {
  std::ifstream file(fmt::format("/proc/{}/status", pid));
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with(name + ":")) {
      return std::stod(line.substr(name.size() + 1));
    }
  }
  return 0;
}

Result<std::vector<bench::Row>> bench_idle(const bench::Options& options) {
  constexpr unsigned kPods = 100;
  constexpr unsigned kPolicies = 1000;
  const bench::Scratch scratch;
  const auto agent = bench::AgentProcess::start(bench::program_folder(), scratch.path);
  auto store = datastore::open_store(bench::AgentProcess::datastore(scratch.path));
  if (!agent || !store) {
    return fail(agent ? store.error() : agent.error());
  }
  for (unsigned i = 0; i < kPolicies; ++i) {
    auto policy = resource(fmt::format(
        "{{apiVersion: projectcalico.org/v3, kind: NetworkPolicy, metadata: {{name: p{}, "
        "namespace: default}}, spec: {{selector: app == 'a{}', ingress: [{{action: Allow, "
        "protocol: "
        "TCP, source: {{selector: app == 'a{}'}}, destination: {{ports: [{}]}}}}]}}}}",
        i,
        i % kPods,
        (i / 10) % kPods,
        1000 + i));
    if (!policy) {
      return fail(policy.error());
    }
    if (auto made = (*store)->create(*policy); !made) {
      return fail(made.error());
    }
  }
  std::vector<NetNs> pods;
  for (unsigned i = 0; i < kPods; ++i) {
    auto pod = NetNs::create();
    if (!pod) {
      return fail(pod.error());
    }
    if (auto done = add_pod(scratch, *pod, fmt::format("a{}", i)); !done) {
      return fail(done.error());
    }
    pods.push_back(std::move(*pod));
  }
  std::vector<double> resident;
  std::vector<double> cpu;
  const int rounds = options.quick ? 2 : 5;
  const std::chrono::seconds span(options.quick ? 2 : 10);
  constexpr double kKibPerMib = 1024;
  constexpr double kPercent = 100;
  std::this_thread::sleep_for(span);  // what the last ADD left behind
  for (int round = 0; round < rounds; ++round) {
    const double before = (*agent)->cpu_seconds();
    std::this_thread::sleep_for(span);
    const double used = (*agent)->cpu_seconds() - before;
    cpu.push_back(used / static_cast<double>(span.count()) * kPercent);
    resident.push_back(status_kib((*agent)->pid(), "VmRSS") / kKibPerMib);
  }
  return std::vector<bench::Row>{{.id = "D10",
                                  .what = "agent, 100 pods, 1000 policies: resident",
                                  .unit = "MiB",
                                  .ours = bench::summarize(resident),
                                  .goal = "< 28.6 MiB (30 MB)",
                                  .limit = 28.6,
                                  .compare = bench::Row::Compare::kOursP50},
                                 {.id = "D10",
                                  .what = "agent, 100 pods, 1000 policies: idle",
                                  .unit = "% of a core",
                                  .ours = bench::summarize(cpu),
                                  .goal = "< 0.2 %",
                                  .limit = 0.2,
                                  .compare = bench::Row::Compare::kOursP50}};
}

// Address of the pod that add_pod() made.
Result<IpAddr> address_of(datastore::Store& store, const std::string& app) {
  const auto all = store.list({.kind = api::Kind::kWorkloadEndpoint, .ns = {}});
  if (!all) {
    return fail(all.error());
  }
  for (const datastore::Object& object : all->objects) {
    const auto label = object.resource->metadata.labels.find("app");
    if (label != object.resource->metadata.labels.end() && label->second == app) {
      return std::get<api::WorkloadEndpoint>(object.resource->spec).ip_networks.front().addr();
    }
  }
  return fail(Errc::kNotFound, "no endpoint of {}", app);
}

// Milliseconds from before the write to the last packet, each time that it is denied anew.
Result<std::vector<double>> deny_times(const bench::DenyProbe& probe,
                                       datastore::Store& store,
                                       unsigned rounds) {
  const auto deny = resource(R"({apiVersion: projectcalico.org/v3, kind: GlobalNetworkPolicy,
    metadata: {name: deny}, spec: {selector: app == 'deny-to', types: [Ingress],
    ingress: [{action: Deny}]}})");
  if (!deny) {
    return fail(deny.error());
  }
  std::vector<double> out;
  for (unsigned round = 0; round < rounds; ++round) {
    if (auto done = probe.wait_for_packets(); !done) {
      return fail(done.error());
    }
    const auto started = bench::DenyProbe::Clock::now();
    if (auto made = store.create(*deny); !made) {
      return fail(made.error());
    }
    if (auto done = probe.wait_for_silence(); !done) {
      return fail(done.error());
    }
    out.push_back(
        std::chrono::duration<double, std::milli>(probe.last_arrival() - started).count());
    if (auto removed = store.remove(deny->key(), {}); !removed) {
      return fail(removed.error());
    }
  }
  return out;
}

Result<void> bench_deny(const bench::Options& options) {
  const bench::Scratch scratch;
  const auto agent = bench::AgentProcess::start(bench::program_folder(), scratch.path);
  auto store = datastore::open_store(bench::AgentProcess::datastore(scratch.path));
  if (!agent || !store) {
    return fail(agent ? store.error() : agent.error());
  }
  const auto from = NetNs::create();
  const auto to = NetNs::create();
  if (!from || !to) {
    return fail(from ? to.error() : from.error());
  }
  for (const auto& [ns, app] : {std::pair{&*from, "deny-from"}, {&*to, "deny-to"}}) {
    if (auto done = add_pod(scratch, *ns, app); !done) {
      return done;
    }
  }
  const auto target = address_of(**store, "deny-to");
  if (!target) {
    return fail(target.error());
  }
  const auto probe = bench::DenyProbe::start(*from, *to, *target);
  if (!probe) {
    return fail(probe.error());
  }
  const auto took = deny_times(**probe, **store, options.quick ? 10 : 100);
  if (!took) {
    return fail(took.error());
  }
  return bench::save(options.results,
                     {bench::Row{.id = "D5",
                                 .what = "a deny in the store to the last packet that passes",
                                 .unit = "ms",
                                 .ours = bench::summarize(*took),
                                 .goal = "p99 < 10 ms",
                                 .limit = 10,
                                 .compare = bench::Row::Compare::kOursP99}});
}

Result<void> run_bench(const bench::Options& options) {
  if (::unshare(CLONE_NEWNET) != 0) {
    return fail_errno(errno, "a network namespace for the node");
  }
  if (auto done = bench_deny(options); !done) {
    return done;
  }
  {
    const auto rows = bench_idle(options);
    if (!rows) {
      return fail(rows.error());
    }
    if (auto saved = bench::save(options.results, *rows); !saved) {
      return saved;
    }
  }
  const bench::Scratch scratch;
  const auto agent = bench::AgentProcess::start(bench::program_folder(), scratch.path);
  if (!agent) {
    return fail(agent.error());
  }
  const auto pod = NetNs::create();
  auto store = datastore::open_store(bench::AgentProcess::datastore(scratch.path));
  if (!pod || !store) {
    return fail(pod ? store.error() : pod.error());
  }
  EndToEnd both(**store);
  if (auto done = both.prepare(); !done) {
    return done;
  }
  if (auto done = add_pod(scratch, *pod, "web"); !done) {
    return done;
  }
  // ADD has answered, so the kernel holds the policy: what comes now are the changes below.
  if (auto done = both.listen(); !done) {
    return done;
  }
  std::vector<double> ours;
  std::vector<double> theirs;
  const unsigned rounds = options.quick ? 20 : 200;
  constexpr unsigned kWarmUp = 4;
  for (unsigned round = 0; round < rounds + kWarmUp; ++round) {
    const auto mine = both.ours();
    const auto other = both.theirs();
    if (!mine || !other) {
      return fail(mine ? other.error() : mine.error());
    }
    if (round >= kWarmUp) {
      ours.push_back(*mine);
      theirs.push_back(*other);
    }
  }
  return bench::save(options.results,
                     {bench::Row{.id = "D5",
                                 .what = "a label in the store to its set element",
                                 .unit = "us",
                                 .ours = bench::summarize(ours),
                                 .peer = "nft process",
                                 .theirs = bench::summarize(theirs),
                                 .goal = "p99 < 10 ms",
                                 .limit = 10000.0,
                                 .compare = bench::Row::Compare::kOursP99}});
}

}  // namespace
}  // namespace margay

int main(int argc, char** argv) {
  return margay::bench::run_program(argc, argv, margay::run_bench);
}
