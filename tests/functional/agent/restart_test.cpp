#include "tests/functional/agent/world.h"
#include "tests/lab/daemons.h"
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

// near may reach far, and far near; other may not reach far: streams of each while things happen.
class RestartLab {
 public:
  explicit RestartLab(const std::string& name) : cluster_(make_cluster("single", name, false)) {
    start("margayd");
    for (const std::string pod : {"near", "far", "other"}) {
      REQUIRE(cluster_->add_server("node1",
                                   {.name = pod, .labels = {{"app", pod}}},
                                   {{"tcp", 80}, {"udp", 80}}) == "");
    }
    REQUIRE(cluster_->apply(admit("far-admits-near", "far", "near") +
                            admit("near-admits-far", "near", "far")) == "");
    REQUIRE(wait_until([&] { return !reaches("other"); }, seconds(10)));
    REQUIRE(reaches("near"));
    // The kernel's own duplicate address detection on the new links is over.
    REQUIRE(wait_until(
        [&] {
          return node().exec({"ip", "-6", "addr", "show", "tentative"}).out.empty();
        },
        seconds(10)));
    start_streams();
  }

  Cluster& cluster() { return *cluster_; }
  Node& node() { return cluster_->lab().node("node1"); }
  bool reaches(const std::string& pod) { return cluster_->connects(pod, address("far")); }
  void check_reach() {
    CHECK(reaches("near"));
    CHECK_FALSE(reaches("other"));
  }
  // The agent or another build of it, as the lab starts agents.
  void start(const std::string& program) {
    std::vector<std::string> argv = daemons_of(node().spec()).daemons.front().argv;
    argv.front() = program;
    REQUIRE(node().spawn("margayd", argv));
    REQUIRE_MESSAGE(cluster_->wait_ready("node1"), node().read_log("margayd"));
  }
  void start_streams() {
    for (Stream& stream : streams_) {
      stream.process =
          cluster_->start_stream(stream.from, address(stream.to), stream.role, stream.options);
      REQUIRE(stream.process);
    }
  }
  // Ends the streams: nothing permitted was lost. How much of what is forbidden came through: none
  // unless somebody else deleted the table `deletions` times. Then the kernel, too, may take a
  // moment of new connections each time: the old base chains stay hooked for some 100 us and their
  // maps are empty already (docs/dataplane.md). A moment here is a millisecond, two packets of one
  // stream; what is established never stops.
  std::uint64_t check_streams(unsigned deletions = 0) {
    std::uint64_t leaked = 0;
    // Where packets may have gone, for whoever reads a failure.
    const std::string drops =
        node()
            .shell(
                "nft list table inet margay | grep -E 'packets [1-9].* drop'; cat "
                "/proc/net/softnet_stat; ip -s -o link; cat /proc/net/snmp | grep -E '^(Udp|Ip):'; "
                "cat /proc/net/stat/nf_conntrack")
            .out;
    CAPTURE(drops);
    for (const Stream& stream : streams_) {
      const auto report = cluster_->end_stream(stream.from, stream.role, *stream.process);
      REQUIRE(report);
      CAPTURE(stream.role);
      CAPTURE(report->sent);
      CHECK(report->sent > 20);
      if (stream.from == "other") {
        leaked = report->received;
      } else {
        const bool opens_connections = stream.role.starts_with("stream-new");
        CHECK(report->lost <= (opens_connections ? 2 * deletions : 0));
        CHECK(report->duplicates == 0);
      }
    }
    CHECK((deletions > 0 || leaked == 0));
    return leaked;
  }

 private:
  struct Stream {
    std::string from;
    std::string to;
    std::string role;
    std::vector<std::string> options;
    std::optional<ProcessId> process;
  };
  std::string address(const std::string& pod) { return cluster_->lab().pod(pod).address + ":80"; }

  std::unique_ptr<Cluster> cluster_;
  // Each packet is echoed: as many go the other way.
  std::vector<Stream> streams_{
      {"near", "far", "stream-udp", {"--rate=10000"}, {}},
      {"near", "far", "stream-tcp", {"--rate=1000", "--protocol=tcp"}, {}},
      {"near", "far", "stream-new", {"--rate=2000", "--new-flows"}, {}},
      {"far", "near", "stream-new-back", {"--rate=2000", "--new-flows"}, {}},
      {"other", "far", "stream-denied", {"--rate=200", "--new-flows"}, {}}};
};

}  // namespace

TEST_SUITE("functional.agent.restart") {
  TEST_CASE(
      "fifty times killed and started, an agent loses no packet of 10,000 a second each way and "
      "changes nothing in the kernel") {
    RestartLab lab("ft-restart");
    Monitors monitors(lab.cluster(), "node1");
    for (int i = 0; i < 50; ++i) {
      REQUIRE(lab.node().kill());
      lab.check_reach();  // without an agent, too
      lab.start("margayd");
      CHECK_FALSE(lab.reaches("other"));
    }
    CHECK(monitors.seen() == "");
    lab.check_streams();
  }

  TEST_CASE("an agent with another layout of its table takes over and hands back, under traffic") {
    RestartLab lab("ft-upgrade");
    const std::string before = lab.cluster().kernel_state("node1");
    for (int i = 0; i < 5; ++i) {
      REQUIRE(lab.node().kill());
      lab.start("margayd-next");
      lab.check_reach();
      const std::string next = lab.cluster().kernel_state("node1");
      CHECK(next.find("\"next-forward-ingress\"") != std::string::npos);
      CHECK(next.find("\"forward-ingress\"") == std::string::npos);
      REQUIRE(lab.node().kill());
      lab.start("margayd");
      lab.check_reach();
      CHECK(lab.cluster().kernel_state("node1") == before);
    }
    lab.check_streams();
  }

  TEST_CASE("what others do to the table is undone in a second, the whole ruleset flushed, too") {
    RestartLab lab("ft-flush");
    const std::string before = lab.cluster().kernel_state("node1");
    const auto is_back = [&] {
      return wait_until([&] { return lab.cluster().kernel_state("node1") == before; }, seconds(1));
    };
    // Anything new in the table makes the agent read it whole.
    for (int i = 0; i < 10; ++i) {
      REQUIRE(lab.node().shell("nft add chain inet margay stranger").ok());
      CHECK(is_back());
    }
    lab.check_streams();

    // A moment without any table cannot be helped: what is denied may get through it, what is
    // established does not stop. It ends in one transaction.
    lab.start_streams();
    for (const char* blow : {"nft flush ruleset", "nft delete table inet margay"}) {
      REQUIRE(lab.node().shell(blow).ok());
      CHECK(is_back());
      CHECK_FALSE(lab.reaches("other"));
    }
    const auto leaked = lab.check_streams(2);
    CHECK(leaked <= 200);  // of 200 a second: less than a second of both together
    REQUIRE(lab.node().shell("ip route flush proto 90").ok());
    CHECK(is_back());
    CHECK(lab.reaches("near"));
  }

  // Its peers keep its routes (RFC 4724), and it keeps theirs until they have sent them again.
  TEST_CASE("an agent killed and started again loses no packet between nodes, and no route moves") {
    const auto cluster = lab::make_pair("ft-learnt", with_each_speaker());
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
