// Faults in the middle of CNI calls: agent or plugin killed at each step that the agent itself
// lists, full disks, calls that cross each other. A call is all or nothing, and nothing is left of
// what it did not finish: no address, endpoint, handle, link, route, set element or file.

#include "kernel/netns.h"
#include "tests/functional/agent/world.h"
#include "tests/lab/daemons.h"
#include "tests/lab/wait.h"
#include "tests/support/cni_driver.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <future>
#include <memory>
#include <optional>
#include <set>
#include <sstream>
#include <string>
#include <thread>
#include <unistd.h>
#include <vector>

namespace margay::lab {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using test::CniAdded;
using test::CniPod;
using test::CniRuntime;

struct FaultPoint {
  std::string name;
  std::string during;
};

struct Box {
  std::optional<NetNs> ns;
  CniPod pod;
  explicit Box(const std::string& id) : ns(*NetNs::create()) {
    pod.container_id = id;
    pod.netns = fmt::format("/proc/{}/fd/{}", ::getpid(), ns->fd());
  }
};

class CallLab {
 public:
  explicit CallLab(const std::string& name) : cluster_(make_cluster("single", name, false)) {
    start();
    // A new block for each call about one.
    REQUIRE(cluster_->apply("apiVersion: projectcalico.org/v3\nkind: IPAMConfiguration\n"
                            "metadata: {name: default}\nspec: {maxBlocksPerHost: 0}\n") == "");
    Box first("first");
    const auto added = runtime().add(first.pod);
    REQUIRE_MESSAGE(added, (added ? "" : added.error().text));
    REQUIRE(runtime().del(first.pod));
    baseline_ = kernel();
    REQUIRE_MESSAGE(nothing_left(), left());
  }

  Cluster& cluster() { return *cluster_; }
  Node& node() { return cluster_->lab().node("node1"); }
  // From one agent to the next, which has these faults.
  void start(const std::string& faults = {}) {
    REQUIRE(node().kill());
    REQUIRE(node().start({{"MARGAY_FAULT_INJECTION", faults}}));
    REQUIRE_MESSAGE(
        wait_until([&] { return cluster_->ready("node1") || !node().running(); }, seconds(20)),
        node().read_log("margayd"));
  }
  bool agent_died() {
    return wait_until([&] { return !node().running(); }, seconds(15));
  }
  CniRuntime runtime() {
    return {.plugin = (node_bin() / "margay").string(),
            .run_dir = (node().dir() / "run/margay").string()};
  }
  // A runtime whose containers need a block that nobody has claimed yet.
  CniRuntime runtime_with_new_pool() {
    const std::string name = fmt::format("apart-{}", ++pools_);
    REQUIRE(cluster_->apply(fmt::format("apiVersion: projectcalico.org/v3\nkind: IPPool\n"
                                        "metadata: {{name: {}}}\nspec: {{cidr: 10.77.{}.0/29, "
                                        "blockSize: 29, assignmentMode: Manual}}\n",
                                        name,
                                        pools_)) == "");
    CniRuntime with_pool = runtime();
    with_pool.ipv4_pools = {name};
    return with_pool;
  }
  void set_store_away(bool away) {
    const char* const kMove =
        away ? "mkdir -p away && mv margay.db* away/" : "mv away/margay.db* . && rmdir away";
    REQUIRE(node().shell(fmt::format("cd /var/lib/margay/store && {}", kMove)).ok());
  }

  // What is there beside a node without containers, in words.
  std::string left() {
    std::string out = node().shell("ip -o link | grep -o 'mgy[0-9a-f]*'").out;
    out += node().shell("cd /var/lib/margay; ls -A calls; cat pending-releases").out;
    for (const char* kind : {"workloadendpoints", "ipamhandles"}) {
      out += cluster_->ctl({"get", kind, "-A", "-o", "name"}).out;
    }
    const ExecResult check = cluster_->ctl({"ipam", "check"});
    if (!check.ok() || check.out.find("in use lately") != std::string::npos) {
      out += check.out + check.err;
    }
    if (cluster_->ctl({"get", "blockaffinities"}).out.find("pending") != std::string::npos) {
      out += "a claim is pending\n";
    }
    return out + (kernel() == baseline_ ? "" : "the kernel differs\n");
  }
  bool nothing_left() {
    return wait_until([&] { return left().empty(); }, seconds(15), milliseconds(50));
  }

 private:
  static std::filesystem::path node_bin() {
    return std::filesystem::path(MARGAY_BINARY_DIR) / "bin";
  }
  // But for the routes of blocks, which stay with the node.
  std::string kernel() {
    std::istringstream lines(cluster_->kernel_state("node1"));
    std::string out;
    for (std::string line; std::getline(lines, line);) {
      out += line.starts_with("blackhole") ? "" : line + "\n";
    }
    return out;
  }

  std::unique_ptr<Cluster> cluster_;
  std::string baseline_;
  unsigned pools_ = 0;
};

std::vector<FaultPoint> fault_points(CallLab& lab) {
  std::istringstream lines(lab.node().exec({"margayd", "fault-points"}).out);
  std::vector<FaultPoint> points;
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    FaultPoint point;
    words >> point.name >> point.during;
    points.push_back(point);
  }
  return points;
}

// Everything of the container is there, or nothing of any.
void check_all_or_nothing(CallLab& lab, const CniRuntime& runtime, const CniPod& pod, bool all) {
  if (!all) {
    CHECK_MESSAGE(lab.nothing_left(), lab.left() << lab.node().read_log("margayd"));
    return;
  }
  const auto checked = runtime.check(pod);
  CHECK_MESSAGE(checked, (checked ? "" : checked.error().text));
  CHECK(runtime.del(pod));
  CHECK_MESSAGE(lab.nothing_left(), lab.left());
}

// An ADD meets the fault and its runtime waits: the next agent answers it.
void finish_add(CallLab& lab, const std::string& fault) {
  const CniRuntime runtime = lab.runtime_with_new_pool();
  Box box("waiting-" + fault);
  lab.start("step:" + fault + ":kill");
  auto adding = std::async(std::launch::async, [&] { return runtime.add(box.pod); });
  REQUIRE(lab.agent_died());
  lab.start();
  const auto added = adding.get();
  REQUIRE_MESSAGE(added, (added ? "" : added.error().text));
  box.pod.prev_result = added->json;
  check_all_or_nothing(lab, runtime, box.pod, true);
}

// The runtime dies with the agent: the next agent undoes the ADD, though nobody asks for a DEL. But
// one that was about to be answered is whole, as its runtime may have had the answer.
void undo_add(CallLab& lab, const std::string& fault) {
  CniRuntime runtime = lab.runtime_with_new_pool();
  runtime.kill_after = milliseconds(1500);
  const Box box("lost-" + fault);
  lab.start("step:" + fault + ":kill");
  CHECK_FALSE(runtime.add(box.pod));
  REQUIRE(lab.agent_died());
  lab.start();
  if (fault == "add-forgotten") {
    CHECK(lab.cluster().ctl({"ipam", "check"}).ok());
    CHECK(lab.runtime().del(box.pod));
  }
  check_all_or_nothing(lab, runtime, box.pod, false);
}

CniPod added_pod(const CniRuntime& runtime, const Box& box) {
  const auto added = runtime.add(box.pod);
  REQUIRE_MESSAGE(added, (added ? "" : added.error().text));
  CniPod pod = box.pod;
  pod.prev_result = added->json;
  return pod;
}

void finish_del(CallLab& lab, const std::string& fault) {
  const Box box("ending-" + fault);
  const CniPod pod = added_pod(lab.runtime(), box);
  lab.start("step:" + fault + ":kill");
  auto deleting = std::async(std::launch::async, [&] { return lab.runtime().del(pod); });
  REQUIRE(lab.agent_died());
  lab.start();
  const auto deleted = deleting.get();
  CHECK_MESSAGE(deleted, (deleted ? "" : deleted.error().text));
  check_all_or_nothing(lab, lab.runtime(), pod, false);
}

// The runtime dies, too: a DEL that the state directory knows of is finished, else all is there.
void cut_off_del(CallLab& lab, const std::string& fault) {
  const Box box("cut-" + fault);
  const CniPod pod = added_pod(lab.runtime(), box);
  lab.start("step:" + fault + ":kill");
  CniRuntime dying = lab.runtime();
  dying.kill_after = milliseconds(1500);
  (void)dying.del(pod);  // answered before its link is gone, or cut off
  REQUIRE(lab.agent_died());
  lab.start();
  check_all_or_nothing(lab, lab.runtime(), pod, fault == "del-begun");
}

void owe_release(CallLab& lab, const std::string& fault) {
  const Box box("owed-" + fault);
  const CniPod pod = added_pod(lab.runtime(), box);
  lab.start("step:" + fault + ":kill");
  lab.set_store_away(true);
  CniRuntime dying = lab.runtime();
  dying.kill_after = milliseconds(8000);
  const bool answered = bool(dying.del(pod));
  CHECK((answered || !lab.node().running()));
  lab.set_store_away(false);
  REQUIRE(lab.agent_died());
  lab.start();
  check_all_or_nothing(lab, lab.runtime(), pod, false);
}

}  // namespace

TEST_SUITE("functional.agent.calls") {
  TEST_CASE("an agent killed at each step of a call: the next one finishes or undoes it") {
    CallLab lab("ft-steps");
    const auto points = fault_points(lab);
    REQUIRE(points.size() > 10);
    for (const FaultPoint& point : points) {
      CAPTURE(point.name);
      if (point.during == "ADD") {
        finish_add(lab, point.name);
        undo_add(lab, point.name);
      } else if (point.during == "DEL") {
        finish_del(lab, point.name);
        cut_off_del(lab, point.name);
      } else {
        REQUIRE(point.during == "OWED");
        owe_release(lab, point.name);
      }
    }
  }

  TEST_CASE("a plugin killed at each step of an ADD: nothing is left, though no DEL comes") {
    CallLab lab("ft-plugin");
    for (const FaultPoint& point : fault_points(lab)) {
      if (point.during != "ADD") {
        continue;
      }
      CAPTURE(point.name);
      CniRuntime runtime = lab.runtime_with_new_pool();
      runtime.kill_after = milliseconds(400);
      lab.start("step:" + point.name + ":delay=900");
      const Box box("orphan-" + point.name);
      CHECK_FALSE(runtime.add(box.pod));
      CHECK_MESSAGE(lab.nothing_left(), lab.left() << lab.node().read_log("margayd"));
      CHECK(lab.node().running());
    }
    // And one that lived: its agent took no harm.
    lab.start();
    const Box box("after");
    const CniPod pod = added_pod(lab.runtime(), box);
    check_all_or_nothing(lab, lab.runtime(), pod, true);
  }

  TEST_CASE("a namespace that goes in the middle of an ADD leaves nothing") {
    CallLab lab("ft-netns");
    unsigned refused = 0;
    for (const FaultPoint& point : fault_points(lab)) {
      if (point.during != "ADD" || point.name.starts_with("add-enforced") ||
          point.name.starts_with("add-forgotten")) {
        continue;
      }
      CAPTURE(point.name);
      CniRuntime runtime = lab.runtime_with_new_pool();
      runtime.timeout_s = 3;
      lab.start("step:" + point.name + ":delay=500");
      Box box("gone-" + point.name);
      auto adding = std::async(std::launch::async, [&] { return runtime.add(box.pod); });
      std::this_thread::sleep_for(milliseconds(200));  // somewhere in the delay, or before
      box.ns.reset();
      const auto added = adding.get();
      // While the agent wires, it holds the namespace itself: then that goes with the answer.
      const std::string text = added ? "" : added.error().text;
      CHECK_MESSAGE((added || text.find("code 4") != std::string::npos ||
                     text.find("code 11") != std::string::npos),
                    text);
      refused += added ? 0U : 1U;
      CHECK((!added || lab.runtime().del(box.pod)));
      CHECK_MESSAGE(lab.nothing_left(), lab.left());
    }
    CHECK(refused >= 4);  // those that came before the namespace was opened
  }

  TEST_CASE(
      "ADD and DEL of one container at once: both answer soon, and a last DEL leaves nothing") {
    CallLab lab("ft-cross");
    const Box box("crossed");
    for (unsigned round = 0; round < 20; ++round) {
      CAPTURE(round);
      const auto begun = std::chrono::steady_clock::now();
      auto adding = std::async(std::launch::async, [&] { return lab.runtime().add(box.pod); });
      auto deleting = std::async(std::launch::async, [&] { return lab.runtime().del(box.pod); });
      const auto added = adding.get();
      const auto deleted = deleting.get();
      CHECK_MESSAGE(deleted, (deleted ? "" : deleted.error().text));
      CHECK_MESSAGE((added || added.error().text.find("code 11") != std::string::npos),
                    (added ? "" : added.error().text));
      CHECK(std::chrono::steady_clock::now() - begun < seconds(5));
    }
    CHECK(lab.runtime().del(box.pod));
    CHECK_MESSAGE(lab.nothing_left(), lab.left());
  }

  TEST_CASE("a thousand ADDs at once: a thousand addresses, and nothing after as many DELs") {
    CallLab lab("ft-thousand");
    constexpr std::size_t kCount = 1000;
    CniRuntime runtime = lab.runtime();
    runtime.timeout_s = 300;
    std::vector<std::unique_ptr<Box>> boxes;
    for (std::size_t i = 0; i < kCount; ++i) {
      boxes.push_back(std::make_unique<Box>(fmt::format("many-{}", i)));
    }
    std::vector<std::optional<Result<CniAdded>>> added(kCount);
    const auto at_once = [&](auto call) {
      std::vector<std::thread> threads;
      for (std::size_t i = 0; i < kCount; ++i) {
        threads.emplace_back([&call, i] { call(i); });
      }
      for (std::thread& thread : threads) {
        thread.join();
      }
    };
    at_once([&](std::size_t i) { added[i] = runtime.add(boxes[i]->pod); });
    std::set<IpAddr> addresses;
    std::set<std::string> errors;
    for (const auto& answer : added) {
      if (*answer) {
        addresses.insert((*answer)->addresses.begin(), (*answer)->addresses.end());
      } else {
        errors.insert(answer->error().text);
      }
    }
    CHECK_MESSAGE(errors.empty(), (errors.empty() ? "" : *errors.begin()));
    CHECK(addresses.size() == kCount);
    CHECK(lab.cluster().ctl({"ipam", "check"}).ok());
    std::atomic<unsigned> failed{0};
    at_once([&](std::size_t i) { failed += runtime.del(boxes[i]->pod) ? 0U : 1U; });
    CHECK(failed == 0);
    CHECK_MESSAGE(wait_until([&] { return lab.left().empty(); }, seconds(90), milliseconds(500)),
                  lab.left());
  }

  TEST_CASE("store and state on one disk that is full: ADD says so, DEL goes on, nothing is lost") {
    CallLab lab("ft-one-disk");
    REQUIRE(lab.node().kill());
    REQUIRE(lab.node()
                .shell("mkdir /run/disk && mount -t tmpfs -o size=6m tmpfs /run/disk && "
                       "cp /var/lib/margay/store/margay.db* /run/disk/ && "
                       "mount --bind /run/disk /var/lib/margay/store && mkdir /run/disk/state")
                .ok());
    std::vector<std::string> argv = daemons_of(lab.node().spec()).daemons.front().argv;
    *std::next(std::ranges::find(argv, "--state-dir")) = "/run/disk/state";
    REQUIRE(lab.node().spawn("margayd", argv));
    REQUIRE(lab.cluster().wait_ready("node1"));
    std::vector<std::unique_ptr<Box>> boxes;
    for (unsigned i = 0; i < 12; ++i) {
      boxes.push_back(std::make_unique<Box>(fmt::format("box-{}", i)));
      boxes.back()->pod = added_pod(lab.runtime(), *boxes.back());
    }
    CHECK_FALSE(lab.node().shell("cat /dev/zero > /run/disk/fill").ok());
    const Box late("late");
    const auto refused = lab.runtime().add(late.pod);
    REQUIRE_FALSE(refused);
    CHECK_MESSAGE(refused.error().text.find("make room for the datastore") != std::string::npos,
                  refused.error().text);
    for (const auto& box : boxes) {
      const auto deleted = lab.runtime().del(box->pod);
      CHECK_MESSAGE(deleted, (deleted ? "" : deleted.error().text));
    }
    CHECK(lab.node().shell("ip -o link | grep -o 'mgy[0-9a-f]*'").out.empty());
    REQUIRE(lab.node().kill());  // what is owed outlives the agent
    REQUIRE(lab.node().shell("rm /run/disk/fill").ok());
    REQUIRE(lab.node().spawn("margayd", argv));
    REQUIRE(lab.cluster().wait_ready("node1"));
    CHECK_MESSAGE(lab.nothing_left(), lab.left());
    CHECK(lab.node()
              .shell("ls -A /run/disk/state/calls; cat /run/disk/state/pending-releases")
              .out.empty());
  }

  TEST_CASE("sysctls that cannot be written: what is set already will do, what is not is named") {
    CallLab lab("ft-sysctl");
    const auto lock = [&lab](const char* forwarding) {
      REQUIRE(lab.node().kill());
      REQUIRE(lab.node()
                  .shell(fmt::format("mount -o remount,rw,bind /proc/sys 2>/dev/null; "
                                     "sysctl -qw net.ipv4.ip_forward={0} && "
                                     "{{ mountpoint -q /proc/sys || mount --bind /proc/sys "
                                     "/proc/sys; }} && mount -o remount,ro,bind /proc/sys",
                                     forwarding))
                  .ok());
      REQUIRE(lab.node().start());
    };
    lock("1");
    REQUIRE_MESSAGE(lab.cluster().wait_ready("node1"), lab.node().read_log("margayd"));
    const Box box("locked");
    const CniPod pod = added_pod(lab.runtime(), box);
    check_all_or_nothing(lab, lab.runtime(), pod, true);
    lock("0");
    CHECK_MESSAGE(wait_until(
                      [&] {
                        return lab.cluster().ctl({"node", "status"}).out.find("ip_forward") !=
                               std::string::npos;
                      },
                      seconds(10)),
                  lab.cluster().ctl({"node", "status"}).out);
  }

  TEST_CASE("a foreign device under the name of a host end: ADD names it and leaves it alone") {
    CallLab lab("ft-taken");
    Box box("taken");
    const auto added = lab.runtime().add(box.pod);
    REQUIRE(added);
    REQUIRE(lab.runtime().del(box.pod));
    REQUIRE_MESSAGE(lab.nothing_left(), lab.left());
    const std::string& name = added->host_interface;
    REQUIRE(lab.node().exec({"ip", "link", "add", name, "type", "bridge"}).ok());
    const auto refused = lab.runtime().add(box.pod);
    REQUIRE_FALSE(refused);
    CHECK_MESSAGE(refused.error().text.find(name) != std::string::npos, refused.error().text);
    CHECK(lab.runtime().del(box.pod));
    CHECK(lab.node().exec({"ip", "link", "del", name}).ok());  // nobody took it away
    CHECK_MESSAGE(lab.nothing_left(), lab.left());
    REQUIRE(lab.runtime().add(box.pod));
    REQUIRE(lab.runtime().del(box.pod));
  }
}

}  // namespace margay::lab
