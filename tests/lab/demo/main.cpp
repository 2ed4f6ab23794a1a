// margay-demo: brings up the leaf-spine fabric, makes twelve pods, measures what Margay promises,
// tears it all down.
//
// Everything printed was measured in this run. Any difference from the expected is named and ends
// the demo with exit 1.

#include "tests/lab/demo/report.h"
#include "tests/lab/lab.h"
#include "tests/lab/prober.h"
#include "tests/lab/wait.h"

#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <boost/json/value_to.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>
#include <functional>
#include <future>
#include <map>
#include <string>
#include <thread>
#include <vector>

namespace margay::lab {
namespace {

namespace json = boost::json;
using std::chrono::milliseconds;
using std::chrono::seconds;
using SteadyClock = std::chrono::steady_clock;

const std::vector<std::string> kNodes{"node1", "node2", "node3", "node4"};
const std::vector<std::string> kApps{"web", "api", "db"};
constexpr std::uint16_t kHttpPort = 80;
constexpr std::uint16_t kDatabasePort = 5432;

constexpr const char* kPolicy = R"(apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata:
  name: db-from-api-only
  namespace: default
spec:
  selector: app == 'db'
  types: [Ingress]
  ingress:
    - action: Allow
      protocol: TCP
      source:
        selector: app == 'api'
      destination:
        ports: [5432]
)";

double to_ms(SteadyClock::duration duration) {
  return std::chrono::duration<double, std::milli>(duration).count();
}

double percentile(std::vector<double> values, double p) {
  std::ranges::sort(values);
  const auto index = static_cast<std::size_t>(p * static_cast<double>(values.size() - 1) + 0.5);
  return values.at(index);
}

// The expected verdict of the policy above: everything reaches everything, but the databases only
// take api on 5432.
bool expect_connected(const std::string& source_app,
                      const std::string& target_app,
                      std::uint16_t port,
                      bool policy) {
  return !policy || target_app != "db" || (source_app == "api" && port == kDatabasePort);
}

class Demo {
 public:
  Demo(Lab& lab, Report& report) : lab_(lab), report_(report) {}

  void run() {
    start_fabric();
    show_routes();
    make_pods();
    check_matrix("before the policy", false);
    time_policy();
    check_matrix("after the policy", true);
    explain();
    check_devices();
    show_memory();
  }

 private:
  ExecResult margayctl(const std::string& node,
                       std::vector<std::string> arguments,
                       const std::string& input = {}) {
    arguments.insert(arguments.begin(), "margayctl");
    ExecOptions options;
    options.input = input;
    return lab_.node(node).exec(arguments, options);
  }

  // Peers of one node as the agent reports them, "leaf1 Established".
  std::map<std::string, std::string> peer_states(const std::string& node) {
    std::map<std::string, std::string> states;
    const ExecResult result = margayctl(node, {"bgp", "peers", "-o", "json"});
    boost::system::error_code errc;
    const json::value answer = json::parse(result.out, errc);
    if (!result.ok() || errc || !answer.is_object() || !answer.as_object().contains("peers")) {
      return states;
    }
    for (const json::value& peer : answer.at("peers").as_array()) {
      states[json::value_to<std::string>(peer.at("address"))] =
          json::value_to<std::string>(peer.at("state"));
    }
    return states;
  }

  void start_fabric() {
    report_.title("BGP sessions");
    const auto begun = SteadyClock::now();
    const auto established = [this](const std::string& node) {
      const auto states = peer_states(node);
      return !states.empty() && std::ranges::all_of(states, [](const auto& peer) {
        return peer.second == "Established";
      });
    };
    for (const std::string& node : kNodes) {
      const bool up = wait_until([&] { return established(node); }, seconds(30), milliseconds(100));
      report_.check(up,
                    node + ": every session of its agent is Established",
                    margayctl(node, {"node", "status"}).err);
    }
    // Both spines and both nodes of its rack, as the leaf itself counts them.
    const auto leaf_sessions = [this](const char* leaf, const char* count) {
      return wait_until([&] { return lab_.node(leaf).shell(count).out == "4\n"; },
                        seconds(30),
                        milliseconds(100));
    };
    report_.check(leaf_sessions("leaf1", "birdc show protocols | grep -c Established"),
                  "leaf1: BIRD has four sessions Established");
    report_.check(
        leaf_sessions("leaf2",
                      "vtysh -c 'show bgp ipv4 unicast summary json' | grep -c '\"Established\"'"),
        "leaf2: FRR has four sessions Established");
    report_.text(
        fmt::format("  all sessions up after {:.1f} s", to_ms(SteadyClock::now() - begun) / 1000));
    report_.text("\n  node1, as margayctl bgp peers shows it:");
    report_.block(margayctl("node1", {"bgp", "peers"}).out);
    report_.text("  leaf1, as BIRD shows it:");
    report_.block(lab_.node("leaf1").shell("birdc show protocols | grep -E 'BGP|name'").out);
    report_.text("  leaf2, as FRR shows it:");
    report_.block(
        lab_.node("leaf2")
            .shell("vtysh -c 'show bgp ipv4 unicast summary' | awk '$3 ~ /^[0-9]+$/ "
                   "{printf \"%-20s AS %s  up %s  prefixes received %s\\n\", $1, $3, $9, $10}'")
            .out);
  }

  void make_pods() {
    report_.title("Pods: CNI ADD, as a container runtime calls it");
    std::vector<double> add_ms;
    for (const std::string& app : kApps) {
      for (std::size_t i = 0; i < kNodes.size(); ++i) {
        PodSpec spec;
        spec.name = fmt::format("{}-{}", app, i + 1);
        spec.labels = {{"app", app}};
        auto pod = lab_.add_pod(kNodes[i], spec);
        if (!report_.check(pod.has_value(),
                           "ADD " + spec.name + " on " + kNodes[i],
                           pod ? "" : pod.error().text)) {
          throw std::runtime_error("no pods, nothing to measure");
        }
        add_ms.push_back(std::chrono::duration<double, std::milli>(pod->add_time).count());
        apps_[spec.name] = app;
        const auto server = lab_.node(spec.name).spawn(
            "server",
            {"margay-probe", "serve", "--tcp", fmt::format("{},{}", kHttpPort, kDatabasePort)});
        report_.check(server.has_value(),
                      spec.name + " " + pod->address + " serves",
                      server ? "" : server.error().text);
      }
    }
    report_.text(
        fmt::format("  ADD wall time, process start to exit: p50 {:.1f} ms, p99 {:.1f} ms, {} pods",
                    percentile(add_ms, 0.5),
                    percentile(add_ms, 0.99),
                    add_ms.size()));
    const auto arrived = [this] {
      const auto results = connect("web-1", targets(kHttpPort), milliseconds(200));
      return std::ranges::all_of(results, [](bool connected) { return connected; });
    };
    report_.check(wait_until(arrived, seconds(10)),
                  "every pod reaches every pod once the routes have travelled");
    // A block of the other rack has one next hop per spine.
    const auto both_spines = [this] {
      return lab_.node("leaf1")
                 .shell("ip route show | grep -A2 '^10.244' | grep -c 'nexthop via 10.0'")
                 .out == "4\n";
    };
    report_.check(wait_until(both_spines, seconds(10)),
                  "leaf1 reaches both nodes of the other rack over both spines");
    report_.text("\n  routes of node1 (90: its pods, 91: learnt by BGP, 92: its own block):");
    report_.block(lab_.node("node1").shell("ip route show | grep -E 'proto (90|91|92)'").out);
    report_.text("  routes of leaf1 for pods:");
    report_.block(lab_.node("leaf1").shell("ip route show | grep -A2 10.244").out);
  }

  void show_routes() {
    report_.title("Fabric routes of node1, before any pod");
    report_.block(lab_.node("node1").shell("ip route show").out);
  }

  std::vector<Target> targets(std::uint16_t port) const {
    std::vector<Target> out;
    for (const Pod& pod : lab_.pods()) {
      out.push_back({*IpAddr::parse(pod.address), port});
    }
    return out;
  }

  std::vector<bool> connect(const std::string& pod,
                            const std::vector<Target>& to,
                            milliseconds timeout) {
    auto results = connect_all(lab_.node(pod).netns_path().string(), to, timeout);
    return results ? *results : std::vector<bool>(to.size(), false);
  }

  void check_matrix(const std::string& when, bool policy) {
    for (const std::uint16_t port : {kHttpPort, kDatabasePort}) {
      report_.title(fmt::format("Who reaches whom {}, TCP {} (+ connected, . denied)", when, port));
      const std::vector<Target> to = targets(port);
      std::vector<std::future<std::vector<bool>>> rows;
      for (const Pod& pod : lab_.pods()) {
        rows.push_back(std::async(std::launch::async, [this, &to, name = pod.name] {
          return connect(name, to, milliseconds(700));
        }));
      }
      std::string header = "from \\ to ";
      for (const Pod& pod : lab_.pods()) {
        header += fmt::format("{:>7}", pod.name);
      }
      report_.block(header);
      unsigned wrong = 0;
      for (std::size_t i = 0; i < rows.size(); ++i) {
        const std::vector<bool> row = rows[i].get();
        std::string line = fmt::format("{:<10}", lab_.pods()[i].name);
        for (std::size_t j = 0; j < row.size(); ++j) {
          const bool self = i == j;
          const bool expected =
              self || expect_connected(
                          apps_[lab_.pods()[i].name], apps_[lab_.pods()[j].name], port, policy);
          wrong += row[j] == expected ? 0U : 1U;
          line += fmt::format("{:>7}",
                              std::string(row[j] ? "+" : ".") + (row[j] == expected ? "" : "!"));
        }
        report_.block(line);
      }
      report_.check(wrong == 0,
                    fmt::format("all {} pairs as expected", rows.size() * rows.size()),
                    fmt::format("{} differ", wrong));
    }
  }

  // A pod that connects twice a millisecond while the policy that forbids it is applied on another
  // node.
  void time_policy() {
    report_.title("From margayctl apply to the first denied packet");
    std::atomic<bool> stop = false;
    const Target target{*IpAddr::parse(lab_.pod("db-4").address), kDatabasePort};
    auto stream = std::async(std::launch::async, [this, &stop, &target] {
      return connect_repeatedly(lab_.node("web-1").netns_path().string(), target, {}, stop);
    });
    std::this_thread::sleep_for(
        milliseconds(200));  // a stretch of permitted connections to compare with
    const auto begun = SteadyClock::now();
    const ExecResult applied = margayctl("node1", {"apply", "-f", "-"}, kPolicy);
    const auto returned = SteadyClock::now();
    report_.check(applied.ok(), "margayctl apply", applied.err);
    std::this_thread::sleep_for(milliseconds(300));  // a stretch of denied ones
    stop = true;
    const auto attempts = stream.get();
    if (!report_.check(attempts.has_value(), "probing", attempts ? "" : attempts.error().text)) {
      return;
    }
    const auto early = std::ranges::count_if(
        *attempts, [&](const Attempt& a) { return a.started < begun && !a.connected; });
    report_.check(early == 0,
                  "every connection before the policy was permitted",
                  fmt::format("{} failed", early));
    const auto first_denied = std::ranges::find_if(
        *attempts, [&](const Attempt& a) { return a.started >= begun && !a.connected; });
    if (!report_.check(first_denied != attempts->end(),
                       "connections are denied after the policy")) {
      return;
    }
    const auto late =
        std::count_if(first_denied, attempts->end(), [](const Attempt& a) { return a.connected; });
    report_.check(late == 0,
                  "no connection passed after the first denied one",
                  fmt::format("{} passed", late));
    report_.text(
        fmt::format("  {:.1f} ms from the start of margayctl apply ({:.1f} ms until it returned), "
                    "in the other rack",
                    to_ms(first_denied->started - begun),
                    to_ms(returned - begun)));
  }

  void explain() {
    report_.title("Why");
    const ExecResult allowed = margayctl("node1",
                                         {"policy",
                                          "explain",
                                          "default/api-1",
                                          "default/db-1",
                                          "--protocol",
                                          "TCP",
                                          "--port",
                                          "5432"});
    report_.block(allowed.out);
    report_.check(allowed.ok() && allowed.out.find("allow") != std::string::npos,
                  "api-1 to db-1:5432 is explained as allowed",
                  allowed.err);
    const ExecResult denied = margayctl("node1",
                                        {"policy",
                                         "explain",
                                         "default/web-1",
                                         "default/db-1",
                                         "--protocol",
                                         "TCP",
                                         "--port",
                                         "5432"});
    report_.block(denied.out);
    report_.check(denied.ok() && denied.out.find("deny") != std::string::npos,
                  "web-1 to db-1:5432 is explained as denied",
                  denied.err);
  }

  void check_devices() {
    report_.title("No tunnel, no bridge, no NAT");
    for (const std::string& node : kNodes) {
      const ExecResult links = lab_.node(node).exec({"ip", "-d", "-j", "link", "show"});
      boost::system::error_code errc;
      const json::value parsed = json::parse(links.out, errc);
      std::string others;
      for (const json::value& link : errc ? json::array() : parsed.as_array()) {
        const json::object& object = link.as_object();
        const std::string name = json::value_to<std::string>(object.at("ifname"));
        const json::value* info = object.if_contains("linkinfo");
        const json::value* kind =
            info != nullptr ? info->as_object().if_contains("info_kind") : nullptr;
        if (name != "lo" && (kind == nullptr || kind->as_string() != "veth")) {
          others += " " + name;
        }
      }
      const ExecResult nat =
          lab_.node(node).shell("nft list ruleset | grep -cE 'type nat|masquerade|snat|dnat'");
      report_.check(!errc && others.empty(), node + ": veth and loopback devices only", others);
      report_.check(nat.out == "0\n", node + ": no NAT chain or rule", nat.out);
    }
  }

  void show_memory() {
    report_.title("Memory of the agents");
    for (const std::string& node : kNodes) {
      for (const ProcessRecord& process : lab_.node(node).main_processes()) {
        std::ifstream status("/proc/" + std::to_string(process.id.pid) + "/status");
        for (std::string line; std::getline(status, line);) {
          if (line.starts_with("VmRSS:")) {
            report_.text("  " + node + " " + process.role + " " + line);
          }
        }
      }
    }
  }

  Lab& lab_;
  Report& report_;
  std::map<std::string, std::string> apps_;  // pod -> app
};

int demo() {
  const auto begun = SteadyClock::now();
  Report report;
  report.title("Margay: leaf-spine, 2 spines, leaf1 BIRD, leaf2 FRR, 4 nodes on one SQLite file");
  LabOptions options;
  options.replace = true;
  auto lab = Lab::up(
      std::filesystem::path(MARGAY_SOURCE_DIR) / "containerlab/leaf-spine/leaf-spine.clab.yml",
      options);
  if (!lab) {
    std::fprintf(stderr, "margay-demo: %s\n", lab.error().text.c_str());
    return 1;
  }
  report.text(fmt::format("  up after {:.1f} s", to_ms(SteadyClock::now() - begun) / 1000));
  try {
    Demo(*lab, report).run();
  } catch (const std::exception& error) {
    report.check(false, "the demo runs to its end", error.what());
  }
  report.title("Teardown");
  const auto down = lab->down();
  report.check(down.has_value(), "everything is taken down", down ? "" : down.error().text);
  report.text(fmt::format("\n{} in {:.1f} s",
                          report.failures().empty() ? "everything as expected" : "NOT as expected",
                          to_ms(SteadyClock::now() - begun) / 1000));
  for (const std::string& failure : report.failures()) {
    std::fprintf(stderr, "margay-demo: %s\n", failure.c_str());
  }
  return report.failures().empty() ? 0 : 1;
}

}  // namespace
}  // namespace margay::lab

int main() {
  try {
    return margay::lab::demo();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "margay-demo: %s\n", error.what());
    return 1;
  }
}
