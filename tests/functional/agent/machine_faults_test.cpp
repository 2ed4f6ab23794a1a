// What the machine does to an agent: its clock is set, its disk is full or read-only, an interface
// comes again under its name, and somebody gives two machines one node name. Permitted traffic goes
// on, forbidden traffic stays out, and nothing is left behind when it is over.

#include "tests/functional/agent/world.h"
#include "tests/lab/daemons.h"
#include "tests/lab/wait.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace margay::lab {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// The agent of the node as the lab starts it, with other values for some flags.
std::optional<ProcessId> start_agent(const Node& node,
                                     const std::map<std::string, std::string>& flags,
                                     const Environment& env = {}) {
  std::vector<std::string> argv = daemons_of(node.spec()).daemons.front().argv;
  for (const auto& [flag, value] : flags) {
    const auto at = std::ranges::find(argv, flag);
    REQUIRE(at != argv.end());
    *std::next(at) = value;
  }
  auto started = node.spawn("margayd", argv, env);
  REQUIRE_MESSAGE(started, (started ? "" : started.error().text));
  return *started;
}

// near may reach far and other may not: a permitted and a forbidden stream.
class Watched {
 public:
  explicit Watched(Cluster& cluster) : cluster_(cluster) {
    for (const std::string pod : {"near", "far", "other"}) {
      REQUIRE(cluster_.add_server("node1",
                                  {.name = pod, .labels = {{"app", pod}}},
                                  {{"tcp", 80}, {"udp", 80}}) == "");
    }
    REQUIRE(cluster_.apply(admit("far-admits-near", "far", "near")) == "");
    target_ = cluster_.lab().pod("far").address + ":80";
    REQUIRE(wait_until([&] { return !reaches("other"); }, seconds(10)));
    permitted_ = cluster_.start_stream("near", target_, "permitted", {"--rate=1000"});
    fresh_ = cluster_.start_stream("near", target_, "fresh", {"--rate=200", "--new-flows"});
    denied_ = cluster_.start_stream("other", target_, "denied", {"--rate=200", "--new-flows"});
    REQUIRE((permitted_ && fresh_ && denied_));
  }
  bool reaches(const std::string& pod) { return cluster_.connects(pod, target_); }
  void check_reach() {
    CHECK(reaches("near"));
    CHECK_FALSE(reaches("other"));
  }
  void check_permitted() {
    for (const auto& [role, process] : {std::pair{"permitted", *permitted_}, {"fresh", *fresh_}}) {
      const auto report = cluster_.end_stream("near", role, process);
      REQUIRE(report);
      CAPTURE(std::string(role));
      CHECK(report->sent > 30);
      CHECK(report->lost == 0);
    }
  }
  void check_streams() {
    check_permitted();
    const auto denied = cluster_.end_stream("other", "denied", *denied_);
    REQUIRE(denied);
    CHECK(denied->sent > 30);
    CHECK(denied->received == 0);
  }

 private:
  Cluster& cluster_;
  std::string target_;
  std::optional<ProcessId> permitted_;
  std::optional<ProcessId> fresh_;
  std::optional<ProcessId> denied_;
};

// A node whose store and state directory are small disks of their own.
class SmallDisks {
 public:
  static constexpr const char* kStore = "/var/lib/margay/store";
  static constexpr const char* kState = "/run/state";

  explicit SmallDisks(const std::string& name) : cluster_(make_cluster("single", name, false)) {
    REQUIRE(node()
                .shell(fmt::format("mkdir {1} && mount -t tmpfs -o size=4m tmpfs {0} && "
                                   "mount -t tmpfs -o size=64k tmpfs {1}",
                                   kStore,
                                   kState))
                .ok());
    REQUIRE(cluster_->ctl({"apply", "-f", "/etc/margay/resources.yaml"}).ok());
    start();
    watched_.emplace(*cluster_);
  }
  Cluster& cluster() { return *cluster_; }
  Node& node() { return cluster_->lab().node("node1"); }
  Watched& watched() { return *watched_; }
  void start() {
    start_agent(node(), {{"--state-dir", kState}});
    REQUIRE_MESSAGE(cluster_->wait_ready("node1"), node().read_log("margayd"));
  }
  void fill(const char* disk) {
    CHECK_FALSE(node().shell(fmt::format("cat /dev/zero > {}/fill", disk)).ok());
  }
  void free(const char* disk) { REQUIRE(node().shell(fmt::format("rm {}/fill", disk)).ok()); }
  void remount(const char* disk, const char* how) {
    // A program that has just ended may hold its files a little longer.
    REQUIRE(wait_until(
        [&] { return node().shell(fmt::format("mount -o remount,{} {}", how, disk)).ok(); },
        seconds(5)));
  }
  // Nobody holds an address that is not in use.
  void check_no_leak() {
    const ExecResult check = cluster_->ctl({"ipam", "check"});
    CHECK_MESSAGE(check.ok(), check.out << check.err);
  }

 private:
  std::unique_ptr<Cluster> cluster_;
  std::optional<Watched> watched_;
};

}  // namespace

TEST_SUITE("functional.agent.machine") {
  TEST_CASE("a full disk refuses what is new, and takes nothing away") {
    SmallDisks lab("ft-full");
    const std::string before = lab.cluster().kernel_state("node1");
    lab.fill(SmallDisks::kStore);
    const std::string refused = lab.cluster().apply(admit("near-admits-far", "near", "far"));
    CHECK_MESSAGE(refused.find("full") != std::string::npos, refused);
    const auto pod = lab.cluster().lab().add_pod("node1", {.name = "late"});
    REQUIRE_FALSE(pod);
    CHECK_MESSAGE(pod.error().text.find("full") != std::string::npos, pod.error().text);
    CHECK(lab.cluster().ready("node1"));
    lab.watched().check_reach();
    CHECK(lab.cluster().kernel_state("node1") == before);

    // A new agent finds what is in the store and needs no room for it.
    lab.fill(SmallDisks::kState);
    REQUIRE(lab.node().kill());
    lab.start();
    lab.watched().check_reach();
    CHECK(lab.cluster().kernel_state("node1") == before);

    lab.free(SmallDisks::kState);
    lab.free(SmallDisks::kStore);
    CHECK(lab.cluster().apply(admit("near-admits-far", "near", "far")) == "");
    CHECK(wait_until([&] { return lab.cluster().kernel_state("node1") != before; }, seconds(5)));
    REQUIRE(lab.cluster().lab().add_pod("node1", {.name = "late"}));
    lab.check_no_leak();
    lab.watched().check_streams();
  }

  TEST_CASE("a container that ends while the disk is full is gone, its address is free later") {
    SmallDisks lab("ft-full-del");
    const auto added = lab.cluster().lab().add_pod("node1", {.name = "brief"});
    REQUIRE(added);
    lab.fill(SmallDisks::kStore);
    REQUIRE(lab.cluster().lab().remove_pod("brief"));
    CHECK(lab.node().exec({"ip", "-o", "link"}).out.find("brief") == std::string::npos);
    CHECK(wait_until(
        [&] {
          return lab.node().exec({"ip", "route", "show", added->address}).out.empty();
        },
        seconds(5)));
    // What is owed to the store outlives the agent.
    REQUIRE(lab.node().kill());
    lab.free(SmallDisks::kStore);
    lab.start();
    CHECK(wait_until(
        [&] {
          return lab.cluster().ctl({"get", "workloadendpoints", "-A"}).out.find("brief") ==
                 std::string::npos;
        },
        seconds(10)));
    lab.check_no_leak();
    lab.watched().check_streams();
  }

  TEST_CASE("read-only disks: what is in force stays so, and the agent goes on by itself after") {
    SmallDisks lab("ft-readonly");
    lab.remount(SmallDisks::kState, "ro");
    REQUIRE(lab.node().kill());
    lab.start();  // it has to do without
    lab.watched().check_reach();
    // What it could not undo after a kill, it does not begin.
    const auto unnoted = lab.cluster().lab().add_pod("node1", {.name = "late"});
    REQUIRE_FALSE(unnoted);
    CHECK_MESSAGE(unnoted.error().text.find("state directory") != std::string::npos,
                  unnoted.error().text);

    REQUIRE(lab.node().kill());  // the kernel does not take a disk away that is written to
    lab.remount(SmallDisks::kStore, "ro");
    start_agent(lab.node(), {{"--state-dir", SmallDisks::kState}});
    const std::string refused = lab.cluster().apply(admit("near-admits-far", "near", "far"));
    CHECK_MESSAGE(refused.find("read") != std::string::npos, refused);
    REQUIRE_FALSE(lab.cluster().lab().add_pod("node1", {.name = "late"}));
    lab.watched().check_reach();

    lab.remount(SmallDisks::kStore, "rw");
    CHECK_MESSAGE(lab.cluster().wait_ready("node1"), lab.node().read_log("margayd"));
    CHECK(lab.cluster().apply(admit("near-admits-far", "near", "far")) == "");
    lab.watched().check_reach();
    lab.check_no_leak();
    lab.watched().check_streams();
  }

  TEST_CASE("a clock that is set back and forth ends no session, no trial early or late") {
    const auto cluster = make_cluster("pair", "ft-clock", false);
    Node& node = cluster->lab().node("node1");
    const auto set_clock = [&node](const std::string& offset) {
      REQUIRE(node.shell("echo '" + offset + "' > /run/clock").ok());
    };
    set_clock("+0");
    // The library keeps files there, which an agent that is killed would leave behind.
    REQUIRE(node.shell("mount -t tmpfs tmpfs /dev/shm").ok());
    start_agent(node,
                {},
                {{"LD_PRELOAD", MARGAY_LIBFAKETIME},
                 {"FAKETIME_TIMESTAMP_FILE", "/run/clock"},
                 {"FAKETIME_CACHE_DURATION", "1"},
                 {"FAKETIME_DONT_FAKE_MONOTONIC", "1"}});
    REQUIRE(cluster->lab().node("node2").start());
    REQUIRE_MESSAGE(cluster->wait_ready("node1"), node.read_log("margayd"));
    REQUIRE(cluster->wait_ready("node2"));
    REQUIRE(wait_until([&] { return cluster->all_sessions_up("node1"); }, seconds(60)));
    Watched watched(*cluster);
    const auto flaps = [&] { return cluster->ctl({"bgp", "peers", "-o", "json"}).out; };

    const std::string admits_other = admit("far-admits-other", "far", "other");
    for (const char* offset : {"+3600", "-86400", "+10y", "+0"}) {
      CAPTURE(std::string(offset));
      // Half of a trial is over when the clock is set.
      const auto begun = std::chrono::steady_clock::now();
      REQUIRE(cluster->ctl({"apply", "--confirm", "4s", "-f", "-"}, admits_other).ok());
      REQUIRE(wait_until([&] { return watched.reaches("other"); }, seconds(3)));
      set_clock(offset);
      REQUIRE(wait_until([&] { return !watched.reaches("other"); }, seconds(20)));
      const auto lasted = std::chrono::steady_clock::now() - begun;
      CHECK(lasted > milliseconds(3500));
      CHECK(lasted < milliseconds(7000));
      CHECK(watched.reaches("near"));
      CHECK(cluster->all_sessions_up("node1"));
    }
    CHECK_MESSAGE(flaps().find("\"flaps\": 0") != std::string::npos, flaps());
    watched.check_permitted();
  }

  TEST_CASE("an interface that comes again under its name has its route and its policy") {
    const auto cluster = make_cluster("single", "ft-again");
    REQUIRE(cluster->wait_ready("node1"));
    Watched watched(*cluster);
    Node& node = cluster->lab().node("node1");
    Node& far = cluster->lab().node("far");
    const std::string address = cluster->lab().pod("far").address;
    const auto rules = [&node] {
      return node.exec({"nft", "-s", "list", "table", "inet", "margay"});
    };
    const std::string before = rules().out;
    const std::string route = node.exec({"ip", "-o", "route", "show", address}).out;
    const std::size_t at = route.find("dev ") + 4;
    const std::string name = route.substr(at, route.find(' ', at) - at);
    REQUIRE(name.starts_with("mgy"));

    REQUIRE(node.shell("ip link del " + name).ok());
    CHECK(wait_until(
        [&] {
          return node.exec({"ip", "route", "show", address}).out.empty();
        },
        seconds(2)));
    REQUIRE(node.shell(fmt::format("ip link add {} address ee:ee:ee:ee:ee:ee type veth peer name "
                                   "eth0 netns {} && ip link set {} up",
                                   name,
                                   far.netns(),
                                   name))
                .ok());
    REQUIRE(far.shell(fmt::format("ip addr add {}/32 dev eth0 && ip link set eth0 up && "
                                  "ip route add 169.254.1.1 dev eth0 scope link && "
                                  "ip route add default via 169.254.1.1 && "
                                  "ip neigh add 169.254.1.1 lladdr ee:ee:ee:ee:ee:ee dev eth0",
                                  address))
                .ok());
    CHECK(wait_until(
        [&] {
          return node.exec({"ip", "-o", "route", "show", address}).out == route;
        },
        seconds(2)));
    CHECK(wait_until([&] { return watched.reaches("near"); }, seconds(5)));
    CHECK_FALSE(watched.reaches("other"));
    CHECK(rules().out == before);
  }

  TEST_CASE("a second agent of one node name ends and says why, unless the first is gone") {
    const auto cluster = make_cluster("pair", "ft-twice", false);
    Node& node1 = cluster->lab().node("node1");
    Node& node2 = cluster->lab().node("node2");
    REQUIRE(node1.start());
    REQUIRE_MESSAGE(cluster->wait_ready("node1"), node1.read_log("margayd"));
    Watched watched(*cluster);

    const auto second = start_agent(node2, {{"--node", "node1"}});
    CHECK(wait_gone(*second, seconds(20)));
    CHECK_MESSAGE(
        node2.read_log("margayd").find("uses the node name node1, too") != std::string::npos,
        node2.read_log("margayd"));
    CHECK(node2.exec({"ip", "route", "show", "proto", "91"}).out.empty());
    CHECK(cluster->ready("node1"));
    const std::string doctor = cluster->ctl({"doctor"}).out;
    CHECK_MESSAGE(doctor.find("uses the node name node1, too") != std::string::npos, doctor);
    watched.check_reach();
    watched.check_streams();

    REQUIRE(node1.kill());
    start_agent(node2, {{"--node", "node1"}});
    CHECK_MESSAGE(cluster->wait_ready("node2"), node2.read_log("margayd"));
  }
}

}  // namespace margay::lab
