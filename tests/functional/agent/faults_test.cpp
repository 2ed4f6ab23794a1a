// Faults of the kernel edge, made on purpose (fault_injection): killed, refused, hung at each call.
// Permitted traffic goes on, forbidden traffic stays out, and the kernel ends as after a start
// without faults.

#include "tests/functional/agent/world.h"
#include "tests/lab/wait.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <csignal>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace margay::lab {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// near may reach far and other may not, while a policy about neither comes and goes.
class FaultLab {
 public:
  explicit FaultLab(const std::string& name) : cluster_(make_cluster("single", name, false)) {
    REQUIRE(node().start());
    REQUIRE_MESSAGE(cluster_->wait_ready("node1"), node().read_log("margayd"));
    for (const std::string pod : {"near", "far", "other"}) {
      REQUIRE(cluster_->add_server("node1",
                                   {.name = pod, .labels = {{"app", pod}}},
                                   {{"tcp", 80}, {"udp", 80}}) == "");
    }
    REQUIRE(cluster_->apply(admit("far-admits-near", "far", "near")) == "");
    target_ = cluster_->lab().pod("far").address + ":80";
    REQUIRE(wait_until([&] { return !reaches("other"); }, seconds(10)));
    REQUIRE(reaches("near"));
    streams_ = {start("near", "udp", {"--rate=1000"}),
                start("near", "new", {"--rate=200", "--new-flows"}),
                start("other", "denied", {"--rate=200", "--new-flows"})};
  }

  Cluster& cluster() { return *cluster_; }
  Node& node() { return cluster_->lab().node("node1"); }
  bool reaches(const std::string& pod) { return cluster_->connects(pod, target_); }

  // The policies that make the difference between two states of the store.
  void change(bool present) {
    const std::string policies =
        admit("other-admits-near", "other", "near") + admit("near-admits-far", "near", "far");
    CHECK((present ? cluster_->apply(policies) : cluster_->remove(policies)) == "");
  }
  // A new agent with these faults; false when it did not live to become ready.
  bool start_with(const std::string& faults) {
    REQUIRE(node().start({{"MARGAY_FAULT_INJECTION", faults}}));
    bool ready = false;
    REQUIRE(wait_until(
        [&] {
          ready = cluster_->ready("node1");
          return ready || !node().running();
        },
        seconds(20)));
    return ready;
  }
  // Without faults, until the kernel holds everything.
  std::string settled_state() {
    if (node().running()) {
      REQUIRE(node().kill());
    }
    REQUIRE_MESSAGE(start_with(""), node().read_log("margayd"));
    std::string state;
    REQUIRE(wait_until(
        [&] {
          const std::string before = state;
          state = cluster_->kernel_state("node1");
          return state == before;
        },
        seconds(20),
        milliseconds(50)));
    return state;
  }
  // Ends the streams: nothing permitted was lost, nothing forbidden came through.
  void check_streams() {
    for (const Stream& stream : streams_) {
      const auto report = cluster_->end_stream(stream.pod, stream.role, stream.process);
      REQUIRE(report);
      CAPTURE(stream.role);
      CHECK(report->sent > 100);
      if (stream.pod == "other") {
        CHECK(report->received == 0);
      } else {
        CHECK(report->lost == 0);
      }
    }
  }

 private:
  struct Stream {
    std::string pod;
    std::string role;
    ProcessId process;
  };
  Stream start(const std::string& pod,
               const std::string& role,
               const std::vector<std::string>& options) {
    const auto process = cluster_->start_stream(pod, target_, role, options);
    REQUIRE(process);
    return {pod, role, *process};
  }

  std::unique_ptr<Cluster> cluster_;
  std::string target_;
  std::vector<Stream> streams_;
};

}  // namespace

TEST_SUITE("functional.agent.faults") {
  TEST_CASE("killed or refused at each call into the kernel, an agent ends where others do") {
    FaultLab lab("ft-faults");
    lab.change(true);
    const std::string with = lab.settled_state();
    lab.change(false);
    const std::string without = lab.settled_state();
    REQUIRE(with != without);

    bool present = false;
    unsigned killed = 0;
    for (const std::string area : {"nft", "routes", "links"}) {
      for (unsigned call = 1; call <= 5; ++call) {
        for (const char* action : {"kill", "fail"}) {
          const std::string faults = fmt::format("{}:{}:{}", area, call, action);
          CAPTURE(faults);
          REQUIRE(lab.node().kill());
          present = !present;
          lab.change(present);  // the next start has something to do
          if (lab.start_with(faults)) {
            lab.change(!present);  // and then something more
            lab.change(present);
          }
          killed += lab.node().running() ? 0U : 1U;
          CHECK(lab.reaches("near"));
          CHECK_FALSE(lab.reaches("other"));
          CHECK(lab.settled_state() == (present ? with : without));
        }
      }
    }
    CHECK(killed >= 6);  // or the faults missed
    lab.check_streams();
  }

  TEST_CASE("a table that cannot be written is reported, holds nothing else back, and comes") {
    FaultLab lab("ft-refused");
    REQUIRE(lab.node().kill());
    lab.change(true);
    REQUIRE(lab.node().start({{"MARGAY_FAULT_INJECTION", "nft:2+:fail"}}));
    CHECK(wait_until(
        [&] {
          return lab.cluster().ctl({"node", "status"}).out.find("nft: fault at call") !=
                 std::string::npos;
        },
        seconds(10)));
    CHECK_FALSE(lab.cluster().ready("node1"));
    // No container without its policy, and the routes of the others stand.
    const auto added = lab.cluster().lab().add_pod("node1", {.name = "late"});
    CHECK_FALSE(added);
    CHECK(lab.reaches("near"));
    CHECK_FALSE(lab.reaches("other"));
    lab.settled_state();
    REQUIRE(lab.cluster().lab().add_pod("node1", {.name = "late"}));
    lab.check_streams();
  }

  TEST_CASE("events that the kernel could not deliver are made up for by reading again") {
    FaultLab lab("ft-overrun");
    const std::string before = lab.cluster().kernel_state("node1");
    const pid_t agent = lab.node().main_processes().front().id.pid;
    REQUIRE(::kill(agent, SIGSTOP) == 0);
    // More news than its sockets hold, and among what is lost, changes of what is ours.
    const std::string flood =
        "nft add table ip flood; nft add set ip flood s '{ type ipv4_addr; }'\n"
        "for i in $(seq 0 59); do for j in $(seq 0 250); do echo add element ip flood s { "
        "10.99.$i.$j }; done; done > flood.nft; nft -f flood.nft\n"
        "for i in $(seq 0 59); do for j in $(seq 0 250); do echo route add 10.98.$i.$j dev lo; "
        "done; done > flood.ip; ip -batch flood.ip\n";
    REQUIRE(lab.node().shell("cd $(mktemp -d) && " + flood).ok());
    REQUIRE(lab.node().shell("nft add chain inet margay stranger; ip route flush proto 92").ok());
    REQUIRE(lab.node().shell("nft delete table ip flood; ip route flush dev lo proto boot").ok());
    CHECK(lab.cluster().kernel_state("node1") != before);
    const std::string dropped =
        lab.node().shell("awk 'NR > 1 { sum += $9 } END { print sum }' /proc/net/netlink").out;
    CHECK(dropped != "0\n");  // or the flood was none
    REQUIRE(::kill(agent, SIGCONT) == 0);
    CHECK(wait_until([&] { return lab.cluster().kernel_state("node1") == before; }, seconds(10)));
    lab.check_streams();
  }

  TEST_CASE("a workload's interface that is renamed is without a way, until it has its name back") {
    FaultLab lab("ft-renamed");
    const std::string before = lab.cluster().kernel_state("node1");
    const std::string target = lab.cluster().lab().pod("far").address;
    const std::string route = lab.node().exec({"ip", "-o", "route", "get", target}).out;
    const std::size_t at = route.find("dev ") + 4;
    const std::string name = route.substr(at, route.find(' ', at) - at);
    REQUIRE(name.starts_with("mgy"));

    REQUIRE(lab.node().shell("ip link set " + name + " name stolen0").ok());
    CHECK(wait_until(
        [&] {
          return lab.node().exec({"ip", "route", "show", "dev", "stolen0"}).out.empty();
        },
        seconds(2)));
    CHECK_FALSE(lab.reaches("other"));
    CHECK_FALSE(lab.reaches("near"));
    const std::string status = lab.cluster().ctl({"node", "status"}).out;
    CHECK_MESSAGE(status.find(target) != std::string::npos, status);

    REQUIRE(lab.node().shell("ip link set stolen0 name " + name).ok());
    CHECK(wait_until([&] { return lab.cluster().kernel_state("node1") == before; }, seconds(2)));
    CHECK(wait_until([&] { return lab.reaches("near"); }, seconds(5)));
    CHECK_FALSE(lab.reaches("other"));

    // The kernel takes the route along with a link that goes down.
    REQUIRE(lab.node().shell("ip link set " + name + " down; ip link set " + name + " up").ok());
    CHECK(wait_until([&] { return lab.cluster().kernel_state("node1") == before; }, seconds(2)));
    CHECK(wait_until([&] { return lab.reaches("near"); }, seconds(5)));
  }

  TEST_CASE("a call that never returns makes the agent not alive, and traffic does not care") {
    FaultLab lab("ft-hung");
    REQUIRE(lab.node().kill());
    lab.change(true);
    REQUIRE(lab.node().start({{"MARGAY_FAULT_INJECTION", "nft:2:hang"}}));
    const auto liveness_says = [&lab](const std::string& text) {
      constexpr const char* kAsk =
          "exec 3<>/dev/tcp/127.0.0.1/9091 && "
          "printf 'GET /liveness HTTP/1.0\\r\\n\\r\\n' >&3 && cat <&3";
      return lab.node().exec({"bash", "-c", kAsk}).out.find(text) != std::string::npos;
    };
    CHECK(wait_until([&] { return liveness_says("\nalive\n"); }, seconds(5)));
    CHECK(wait_until([&] { return liveness_says("not alive: the kernel has not answered for "); },
                     seconds(20)));
    CHECK(lab.reaches("near"));
    CHECK_FALSE(lab.reaches("other"));
    lab.settled_state();
    CHECK(liveness_says("\nalive\n"));
    lab.check_streams();
  }
}

}  // namespace margay::lab
