#include "tests/functional/agent/world.h"
#include "tests/lab/wait.h"

#include <doctest/doctest.h>

#include <sstream>
#include <thread>

// SIGKILL at any moment, then a new start: the kernel is not touched when nothing has changed, and
// ends as after a fresh start when something has.

namespace margay::lab {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// Kernel events that concern Margay's objects, as the system's own tools print them.
class Monitors {
 public:
  Monitors(Cluster& cluster, const std::string& node) : node_(&cluster.lab().node(node)) {
    routes_ = start("monitor-ip", {"ip", "-ts", "monitor", "route", "address", "link"});
    nft_ = start("monitor-nft", {"nft", "monitor"});
  }

  // What they saw until now. A marker event is made first, so that everything before it has been
  // printed.
  std::string seen() {
    [[maybe_unused]] const auto marked = node_->shell(
        "ip route add 203.0.113.99/32 dev lo proto 200; nft add table ip lab-marker; nft delete "
        "table ip lab-marker");
    const auto marker = [&](const char* role, const char* text) {
      return wait_until([&] { return node_->read_log(role).find(text) != std::string::npos; },
                        seconds(5));
    };
    if (!marker("monitor-ip", "203.0.113.99") ||
        !marker("monitor-nft", "delete table ip lab-marker")) {
      return "the monitors do not see the marker";
    }
    return relevant(node_->read_log("monitor-ip"), {"203.0.113.99", "proto 200"}) +
           relevant(node_->read_log("monitor-nft"), {"lab-marker", "# new generation"});
  }

 private:
  ProcessId start(const std::string& role, const std::vector<std::string>& argv) {
    const auto process = node_->spawn(role, argv);
    REQUIRE(process);
    // Listening once the tool holds its netlink socket: it then sees a marker of ours.
    const bool is_nft = role == "monitor-nft";
    REQUIRE(wait_until(
        [&] {
          [[maybe_unused]] const auto marked = node_->shell(
              is_nft
                  ? "nft add table ip lab-start; nft delete table ip lab-start"
                  : "ip route add 203.0.113.98/32 dev lo proto 200; ip route del 203.0.113.98/32");
          return !node_->read_log(role).empty();
        },
        seconds(5)));
    return *process;
  }

  static std::string relevant(const std::string& log, const std::vector<std::string>& own_marks) {
    std::string out;
    std::istringstream lines(log);
    for (std::string line; std::getline(lines, line);) {
      bool mine = line.empty() || line.find("lab-start") != std::string::npos ||
                  line.find("203.0.113.98") != std::string::npos || line.starts_with("Timestamp:");
      for (const std::string& mark : own_marks) {
        mine = mine || line.find(mark) != std::string::npos;
      }
      out += mine ? "" : line + "\n";
    }
    return out;
  }

  Node* node_;
  ProcessId routes_;
  ProcessId nft_;
};

}  // namespace

TEST_SUITE("functional.agent.restart") {
  TEST_CASE(
      "an agent killed and started again loses no packet of 1,000 a second and changes nothing in "
      "the kernel") {
    const auto cluster = make_cluster("single", "ft-restart", false);
    Node& node = cluster->lab().node("node1");
    REQUIRE(node.start());
    REQUIRE_MESSAGE(cluster->wait_ready("node1"), node.read_log("margayd"));
    for (const std::string pod : {"near", "far", "other"}) {
      REQUIRE(cluster->add_server("node1",
                                  {.name = pod, .labels = {{"app", pod}}},
                                  {{"tcp", 80}, {"udp", 80}}) == "");
    }
    REQUIRE(cluster->apply(admit("far-admits-near", "far", "near")) == "");
    const std::string target = cluster->lab().pod("far").address + ":80";
    REQUIRE(wait_until([&] { return !cluster->connects("other", target); },
                       seconds(10)));  // the policy is in force
    REQUIRE(cluster->connects("near", target));

    const auto udp = cluster->start_stream("near", target, "stream-udp", {"--rate=1000"});
    const auto tcp =
        cluster->start_stream("near", target, "stream-tcp", {"--rate=1000", "--protocol=tcp"});
    const auto fresh =
        cluster->start_stream("near", target, "stream-new", {"--rate=200", "--new-flows"});
    const auto denied =
        cluster->start_stream("other", target, "stream-denied", {"--rate=200", "--new-flows"});
    REQUIRE((udp && tcp && fresh && denied));
    // The kernel's own duplicate address detection on the new links is over.
    REQUIRE(wait_until(
        [&] {
          return node.exec({"ip", "-6", "addr", "show", "tentative"}).out.empty();
        },
        seconds(10)));
    Monitors monitors(*cluster, "node1");
    for (int i = 0; i < 3; ++i) {
      REQUIRE(node.kill());
      CHECK(cluster->connects("near", target));  // without an agent, too
      CHECK(!cluster->connects("other", target));
      const auto started = node.start();
      REQUIRE_MESSAGE(started, (started ? "" : started.error().text));
      REQUIRE(cluster->wait_ready("node1"));
      CHECK(!cluster->connects("other", target));
    }
    CHECK(monitors.seen() == "");
    for (const auto& stream :
         {std::pair{"stream-udp", *udp}, {"stream-tcp", *tcp}, {"stream-new", *fresh}}) {
      const auto report = cluster->end_stream("near", stream.first, stream.second);
      REQUIRE(report);
      CAPTURE(std::string(stream.first));
      CAPTURE(report->sent);
      CHECK(report->sent > 100);
      CHECK(report->lost == 0);
      CHECK(report->duplicates == 0);
    }
    const auto leaked = cluster->end_stream("other", "stream-denied", *denied);
    REQUIRE(leaked);
    CHECK(leaked->sent > 100);
    CHECK(leaked->received == 0);
  }

  // Its peers keep its routes (RFC 4724), and it keeps theirs until they have sent them again.
  TEST_CASE("an agent killed and started again loses no packet between nodes, and no route moves") {
    const auto cluster = make_pair("ft-learnt");
    Node& node = cluster->lab().node("node1");
    const std::string target = cluster->lab().pod("far").address + ":80";
    REQUIRE(wait_until([&] { return cluster->all_sessions_up("node1"); }, seconds(60)));
    REQUIRE(wait_until([&] { return cluster->connects("near", target); }, seconds(20)));
    for (const char* name : {"node1", "node2"}) {
      REQUIRE(wait_until(
          [&] {
            return cluster->lab()
                .node(name)
                .exec({"ip", "-6", "addr", "show", "tentative"})
                .out.empty();
          },
          seconds(10)));
    }
    const auto learnt = [&](const char* at) {
      return sorted_lines(cluster->lab().node(at).exec({"ip", "route", "show", "proto", "91"}).out);
    };
    const std::string before = learnt("node1");
    const std::string before_at_peer = learnt("node2");
    REQUIRE(before.find("10.244.") != std::string::npos);
    REQUIRE(before_at_peer.find("10.244.") != std::string::npos);
    const auto udp = cluster->start_stream("near", target, "stream-udp", {"--rate=1000"});
    const auto tcp =
        cluster->start_stream("near", target, "stream-tcp", {"--rate=1000", "--protocol=tcp"});
    const auto fresh =
        cluster->start_stream("near", target, "stream-new", {"--rate=200", "--new-flows"});
    REQUIRE((udp && tcp && fresh));
    Monitors monitors(*cluster, "node1");
    Monitors peer_monitors(*cluster, "node2");
    for (int i = 0; i < 15; ++i) {
      REQUIRE(node.kill());
      CHECK(learnt("node1") == before);
      CHECK(learnt("node2") == before_at_peer);
      const auto started = node.start();
      REQUIRE_MESSAGE(started, (started ? "" : started.error().text));
      REQUIRE(cluster->wait_ready("node1"));
      REQUIRE(wait_until([&] { return cluster->all_sessions_up("node1"); }, seconds(60)));
    }
    CHECK(learnt("node1") == before);
    CHECK(learnt("node2") == before_at_peer);
    CHECK(monitors.seen() == "");
    CHECK(peer_monitors.seen() == "");
    for (const auto& stream :
         {std::pair{"stream-udp", *udp}, {"stream-tcp", *tcp}, {"stream-new", *fresh}}) {
      const auto report = cluster->end_stream("near", stream.first, stream.second);
      REQUIRE(report);
      CAPTURE(std::string(stream.first));
      CAPTURE(report->sent);
      CHECK(report->sent > 100);
      CHECK(report->lost == 0);
    }
  }

  TEST_CASE(
      "an agent killed in the middle of 1,000 policies ends with the same kernel as a fresh "
      "start") {
    const auto cluster = make_pair("ft-midapply");
    Node& node = cluster->lab().node("node2");
    const std::string target = cluster->lab().pod("far").address + ":80";
    const std::string policies = many_policies(1000);
    // Kill at several moments of the work, each time a little later.
    std::thread applier([&] { CHECK(cluster->apply(policies) == ""); });
    for (int i = 0; i < 5; ++i) {
      std::this_thread::sleep_for(
          milliseconds(40 + 60 * i));  // the moments of the fault, not a wait for a result
      REQUIRE(node.kill());
      const auto started = node.start();
      REQUIRE_MESSAGE(started, (started ? "" : started.error().text));
    }
    applier.join();
    REQUIRE(cluster->wait_ready("node2", seconds(60)));
    REQUIRE(wait_until(
        [&] { return cluster->connects("near", target) && !cluster->connects("node1", target); },
        seconds(30)));
    std::string survivor;
    REQUIRE(wait_until(
        [&] {
          const std::string before = survivor;
          survivor = cluster->kernel_state("node2");
          return survivor == before;
        },
        seconds(20),
        milliseconds(300)));

    // The same store and no memory of earlier: everything of ours is taken out of the kernel first.
    REQUIRE(node.kill());
    REQUIRE(node.shell("nft delete table inet margay; for p in 90 91 92; do ip route flush proto "
                       "$p; ip -6 route flush proto $p; done")
                .ok());
    const auto started = node.start();
    REQUIRE_MESSAGE(started, (started ? "" : started.error().text));
    REQUIRE(cluster->wait_ready("node2", seconds(60)));
    REQUIRE(wait_until([&] { return cluster->all_sessions_up("node2"); }, seconds(60)));
    std::string fresh;
    const bool equal =
        wait_until([&] { return (fresh = cluster->kernel_state("node2")) == survivor; },
                   seconds(20),
                   milliseconds(300));
    CHECK_MESSAGE(equal, "fresh start:\n" << fresh << "\nafter the kills:\n" << survivor);
    CHECK(cluster->connects("near", target));
  }
}

}  // namespace margay::lab
