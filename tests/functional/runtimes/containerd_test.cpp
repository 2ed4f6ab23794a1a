// containerd with `ctr run --cni` and runc on two nodes. ctr is the one that calls CNI: ADD when
// the container starts, DEL without a namespace when it has ended, as long as ctr itself lives.

#include "tests/functional/runtimes/world.h"
#include "tests/lab/wait.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

namespace margay::lab {
namespace {

namespace fs = std::filesystem;
using std::chrono::seconds;

// containerd of one node: root, state and socket of its own.
class Containerd {
 public:
  Containerd(RuntimeWorld& world, const std::string& node)
      : node_(world.node(node)), home_(world.home(node)), rootfs_(world.rootfs()) {
    write_file(home_ / "net.d/10-margay.conflist", conflist(node_.dir() / "run/margay"));
    fs::create_directories(home_ / "cni-cache");
    const std::string at = home_.string();
    write_file(home_ / "config.toml",
               "version = 2\nroot = \"" + at + "/root\"\nstate = \"" + at +
                   "/state\"\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n"
                   "[grpc]\n  address = \"" +
                   at + "/c.sock\"\n[ttrpc]\n  address = \"" + at + "/c.sock.ttrpc\"\n");
    daemon_ = start("containerd -c " + at + "/config.toml", "containerd");
  }
  ~Containerd() {
    for (const std::string& id : listed("task ls -q")) {
      (void)ctr("task kill -s SIGKILL " + id);
    }
    for (auto& client : clients_) {
      if (!wait_gone(client.second, seconds(10))) {
        send_signal(client.second, SIGKILL);
      }
    }
    for (const std::string& id : listed("container ls -q")) {
      (void)ctr("task rm -f " + id);
      (void)ctr("container rm " + id);
    }
    if (daemon_) {
      send_signal(*daemon_, SIGTERM);
      (void)wait_gone(*daemon_, seconds(10));
    }
  }
  Containerd(const Containerd&) = delete;
  Containerd& operator=(const Containerd&) = delete;

  // Answers, and runs a container that has no network.
  bool works() {
    const bool up = wait_until([&] { return ctr("version").ok(); }, seconds(20));
    const ExecResult done = up ? shell("ctr -a " + socket() + " run --rm --rootfs " +
                                       rootfs_.string() + " alive /bin/sh -c 'echo alive'")
                               : ExecResult{kCannotStart, "", read(home_ / "containerd.log")};
    if (done.out.find("alive") != std::string::npos) {
      return true;
    }
    std::printf("skipped: containerd: it cannot run a container on this machine: %s\n",
                done.err.substr(0, done.err.find('\n')).c_str());
    return false;
  }

  [[nodiscard]] ExecResult ctr(const std::string& words) const {
    return shell("ctr -a " + socket() + " " + words);
  }
  // To the end of `command`, which runs in a container of its own.
  [[nodiscard]] ExecResult run(const std::string& id, const std::string& command) const {
    return shell(with_cni(id, command));
  }
  // A container that goes on, and its client; the name of its log is the id.
  bool start_container(const std::string& id, const std::string& command) {
    const auto client = start(with_cni(id, command), id);
    if (client) {
      clients_.insert_or_assign(id, *client);
    }
    return client.has_value();
  }
  [[nodiscard]] std::string log(const std::string& id) const { return read(home_ / (id + ".log")); }
  // What `ip` says in the container of its address.
  [[nodiscard]] std::string address(const std::string& id) const {
    const ExecResult done =
        ctr("task exec --exec-id ip" + id + " " + id + " /bin/ip -o -4 addr show eth0");
    const auto begin = done.out.find("inet ");
    const auto end = done.out.find('/', begin);
    return begin == std::string::npos || end == std::string::npos
               ? std::string()
               : done.out.substr(begin + 5, end - begin - 5);
  }
  // Ends the container; its client then asks for the DEL and ends too.
  bool end(const std::string& id, const std::string& signal = "SIGTERM") {
    (void)ctr("task kill -s " + signal + " " + id);
    const auto client = clients_.find(id);
    const bool gone = client == clients_.end() || wait_gone(client->second, seconds(20));
    clients_.erase(id);
    return gone;
  }
  // As the kernel does when memory is short: nobody asks for a DEL then.
  bool kill_client(const std::string& id) {
    const ProcessId client = clients_.at(id);
    clients_.erase(id);
    send_signal(client, SIGKILL);
    return wait_gone(client, seconds(10));
  }
  [[nodiscard]] std::vector<std::string> listed(const std::string& words) const {
    std::istringstream lines(ctr(words).out);
    std::vector<std::string> ids;
    for (std::string id; lines >> id;) {
      ids.push_back(id);
    }
    return ids;
  }
  // Files that libcni keeps for attachments.
  [[nodiscard]] std::string cached() const {
    return run_shell("find " + (home_ / "cni-cache").string() + " -type f").out;
  }

 private:
  [[nodiscard]] std::string socket() const { return (home_ / "c.sock").string(); }
  [[nodiscard]] std::string in_node() const {
    return "exec nsenter --net=" + node_.netns_path().string() + " ";
  }
  [[nodiscard]] ExecResult shell(const std::string& line) const {
    return run_shell(in_node() + line);
  }
  static std::string read(const fs::path& path) {
    std::ifstream stream(path);
    std::ostringstream text;
    text << stream.rdbuf();
    return text.str();
  }
  // ctr's folders of configurations, plugins and results are fixed: it sees ours in their places.
  [[nodiscard]] std::string with_cni(const std::string& id, const std::string& command) const {
    const std::string at = home_.string();
    write_file(home_ / (id + ".sh"),
               "set -e\nmkdir -p /etc/cni /var/lib/cni\nmount -t tmpfs none /opt\n"
               "mkdir -p /opt/cni/bin\nmount --bind " MARGAY_BINARY_DIR
               "/bin /opt/cni/bin\n"
               "mount -t tmpfs none /etc/cni\nmkdir /etc/cni/net.d\nmount --bind " +
                   at + "/net.d /etc/cni/net.d\nmount --bind " + at +
                   "/cni-cache /var/lib/cni\nexec ctr -a " + socket() +
                   " run --rm --cni --rootfs " + rootfs_.string() + " " + id + " /bin/sh -c '" +
                   command + "'\n");
    return "unshare -m sh " + (home_ / (id + ".sh")).string();
  }
  std::optional<ProcessId> start(const std::string& line, const std::string& role) const {
    Command command;
    command.argv = {"sh", "-c", in_node() + line};
    command.env = {{"PATH", kSystemPath}, {"HOME", "/root"}};
    command.log = home_ / (role + ".log");
    const auto process = launch(command);
    return process ? std::optional(*process) : std::nullopt;
  }

  const Node& node_;
  fs::path home_;
  fs::path rootfs_;
  std::optional<ProcessId> daemon_;
  std::map<std::string, ProcessId> clients_;
};

}  // namespace

TEST_SUITE("functional.runtimes") {
  TEST_CASE(
      "containers of containerd on two nodes reach each other, end, are killed, start again") {
    RuntimeWorld world("ft-containerd");
    Containerd one(world, "node1");
    Containerd two(world, "node2");
    if (!one.works() || !two.works()) {
      return;
    }
    const ExecResult first = two.run("first", "true");
    REQUIRE_MESSAGE(first.ok(), first.err);
    const Traces before = world.traces("node1");
    const Traces before2 = world.traces("node2");
    REQUIRE(one.start_container("web", serving("hello")));
    REQUIRE_MESSAGE(wait_until([&] { return !one.address("web").empty(); }, seconds(20)),
                    one.log("web"));
    std::string address = one.address("web");
    CHECK(address.starts_with("10.244."));
    std::string said;
    const auto answers = [&] {
      return wait_until(
          [&] {
            const ExecResult done = two.run("asker", asking(address));
            said = done.out + done.err;
            return said.find("hello") != std::string::npos;
          },
          seconds(20));
    };
    CHECK_MESSAGE(answers(), said);

    for (const char* signal : {"SIGTERM", "SIGKILL"}) {
      CAPTURE(signal);
      REQUIRE_MESSAGE(one.end("web", signal), one.log("web"));
      CHECK_FALSE(world.cluster().connects("node2", address + ":80"));
      REQUIRE(one.start_container("web", serving("hello")));
      REQUIRE_MESSAGE(wait_until([&] { return !one.address("web").empty(); }, seconds(20)),
                      one.log("web"));
      address = one.address("web");
      CHECK_MESSAGE(answers(), said);
    }
    REQUIRE(one.end("web"));
    CHECK(world.left_since("node1", before) == "");
    CHECK(world.left_since("node2", before2) == "");
    CHECK(one.cached() == "");
  }

  TEST_CASE("what a killed client of containerd leaves is freed by GC, and nothing else") {
    RuntimeWorld world("ft-containerd-gc");
    Containerd one(world, "node1");
    if (!one.works()) {
      return;
    }
    const ExecResult first = one.run("first", "true");
    REQUIRE_MESSAGE(first.ok(), first.err);
    const Traces before = world.traces("node1");
    for (const char* id : {"kept", "lost"}) {
      REQUIRE(one.start_container(id, "exec sleep 1000"));
      REQUIRE_MESSAGE(wait_until([&] { return !one.address(id).empty(); }, seconds(20)),
                      one.log(id));
    }
    const std::string kept = one.address("kept");
    REQUIRE(one.kill_client("lost"));
    REQUIRE(one.end("lost", "SIGKILL"));
    CHECK_FALSE(difference(before, world.traces("node1")).find("addresses") == std::string::npos);
    // What a newer runtime does with its own list; containerd 1.6 has no GC.
    const std::string config = fmt::format(
        R"({{"cniVersion":"1.1.0","name":"margay","type":"margay","run_dir":"{}",)"
        R"("cni.dev/valid-attachments":[{{"containerID":"default-kept","ifname":"eth0"}}]}})",
        "/run/margay");
    ExecOptions options;
    options.input = config;
    const ExecResult collected = world.node("node1").exec(
        {"env", "CNI_COMMAND=GC", "CNI_PATH=" MARGAY_BINARY_DIR "/bin", "margay"}, options);
    CHECK_MESSAGE(collected.ok(), collected.out, collected.err);
    CHECK(one.address("kept") == kept);
    CHECK(world.node("node1").shell("ping -c 1 -W 1 " + kept).ok());
    REQUIRE(one.end("kept", "SIGKILL"));
    CHECK(world.left_since("node1", before) == "");
  }

  TEST_CASE("200 containers of containerd that come and go leave nothing behind") {
    RuntimeWorld world("ft-containerd-many");
    Containerd one(world, "node1");
    if (!one.works()) {
      return;
    }
    const ExecResult first = one.run("first", "true");
    REQUIRE_MESSAGE(first.ok(), first.err);
    const Traces before = world.traces("node1");
    constexpr unsigned kAtOnce = 20;
    const unsigned count = container_count(200);
    unsigned ended = 0;
    for (unsigned begin = 0; begin < count; begin += kAtOnce) {
      std::vector<std::string> ids;
      for (unsigned i = begin; i < std::min(begin + kAtOnce, count); ++i) {
        ids.push_back("c" + std::to_string(i));
        REQUIRE(one.start_container(ids.back(), "exec sleep 1000"));
      }
      REQUIRE(wait_until(
          [&] {
            const ExecResult tasks = one.ctr("task ls");
            std::size_t running = 0;
            for (std::size_t at = tasks.out.find("RUNNING"); at != std::string::npos;
                 at = tasks.out.find("RUNNING", at + 1)) {
              ++running;
            }
            return running == ids.size();
          },
          seconds(60),
          std::chrono::milliseconds(100)));
      for (const std::string& id : ids) {
        ended += one.end(id, "SIGKILL") ? 1U : 0U;
      }
    }
    CHECK(ended == count);
    CHECK(world.left_since("node1", before) == "");
    CHECK(one.cached() == "");
    const ExecResult used = world.cluster().ctl({"ipam", "check"});
    CHECK_MESSAGE(used.ok(), used.out, used.err);
  }
}

}  // namespace margay::lab
