// podman 4 with its CNI backend on two nodes: containers reach each other and their published
// ports, through stop, start, kill and reload, and leave nothing behind.

#include "tests/functional/runtimes/world.h"
#include "tests/lab/wait.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <future>
#include <map>
#include <string>
#include <vector>

namespace margay::lab {
namespace {

namespace fs = std::filesystem;
using std::chrono::seconds;

// podman of one node: storage, state and network configuration of its own.
class Podman {
 public:
  Podman(RuntimeWorld& world, const std::string& node)
      : node_(world.node(node)), home_(world.home(node)), rootfs_(world.rootfs()) {
    write_file(home_ / "net.d/10-margay.conflist", conflist(node_.dir() / "run/margay"));
    write_file(home_ / "containers.conf",
               "[network]\nnetwork_backend = \"cni\"\ncni_plugin_dirs = [\"" MARGAY_BINARY_DIR
               "/bin\"]\nnetwork_config_dir = \"" +
                   (home_ / "net.d").string() +
                   "\"\ndefault_network = \"margay\"\n[engine]\ncgroup_manager = \"cgroupfs\"\n"
                   "events_logger = \"file\"\nruntime = \"runc\"\n[containers]\n"
                   "default_ulimits = [\"nofile=20000:20000\", \"nproc=30000:30000\"]\n");
  }
  ~Podman() { (void)(*this)({"rm", "-f", "-a", "-t", "0"}); }
  Podman(const Podman&) = delete;
  Podman& operator=(const Podman&) = delete;

  // In the node's network, with the machine's files.
  [[nodiscard]] ExecResult operator()(const std::vector<std::string>& words) const {
    std::string line = "nsenter --net=" + node_.netns_path().string() +
                       " env CONTAINERS_CONF=" + (home_ / "containers.conf").string() +
                       " podman --root " + (home_ / "root").string() + " --runroot " +
                       (home_ / "run").string() + " --tmpdir " + (home_ / "tmp").string() +
                       " --storage-driver vfs";
    for (const std::string& word : words) {
      line += " '" + word + "'";
    }
    return run_shell(line, seconds(300));
  }
  // `command` in a new container; more flags before it.
  [[nodiscard]] ExecResult run(const std::string& name,
                               const std::vector<std::string>& flags,
                               const std::string& command) const {
    std::vector<std::string> words{"run", "--name", name, "--network", "margay"};
    words.insert(words.end(), flags.begin(), flags.end());
    words.insert(words.end(), {"--rootfs", rootfs_.string(), "sh", "-c", command});
    return (*this)(words);
  }
  [[nodiscard]] std::string address(const std::string& name) const {
    const ExecResult done =
        (*this)({"inspect", "-f", "{{.NetworkSettings.Networks.margay.IPAddress}}", name});
    return done.out.substr(0, done.out.find('\n'));
  }

  // podman itself works here: a container without any network runs.
  [[nodiscard]] bool works() const {
    const ExecResult done = (*this)(
        {"run", "--rm", "--network", "none", "--rootfs", rootfs_.string(), "echo", "alive"});
    if (done.out.find("alive") != std::string::npos) {
      return true;
    }
    std::printf("skipped: podman: it cannot run a container on this machine: %s\n",
                done.err.substr(0, done.err.find('\n')).c_str());
    return false;
  }

 private:
  const Node& node_;
  fs::path home_;
  fs::path rootfs_;
};

}  // namespace

TEST_SUITE("functional.runtimes") {
  TEST_CASE("containers of podman on two nodes, published ports, stop, start, kill, reload") {
    RuntimeWorld world("ft-podman");
    const Podman one(world, "node1");
    const Podman two(world, "node2");
    if (!one.works()) {
      return;
    }
    REQUIRE(one.run("first", {"--rm"}, "true").ok());
    REQUIRE(two.run("first", {"--rm"}, "true").ok());
    const Traces before = world.traces("node1");
    const Traces before2 = world.traces("node2");
    const ExecResult made =
        one.run("web", {"-d", "-p", "18080:80", "--ip", "10.244.77.7"}, serving("hello"));
    REQUIRE_MESSAGE(made.ok(), made.err);
    CHECK(one.address("web") == "10.244.77.7");
    std::string said;
    const auto asks = [&](const std::string& host, unsigned port) {
      const ExecResult done = two.run("asker", {"--rm"}, asking(host, port));
      said = done.out + done.err;
      return said.find("hello") != std::string::npos;
    };
    const auto answers = [&](const std::string& host, unsigned port = 80) {
      return wait_until([&] { return asks(host, port); }, seconds(20));
    };
    CHECK_MESSAGE(answers("10.244.77.7"), said);
    CHECK_MESSAGE(answers("192.0.2.1", 18080), said);
    CHECK(world.cluster().connects("node1", "127.0.0.1:18080"));
    const ExecResult taken = one.run("thief", {"-d", "-p", "18080:80"}, serving("thief"));
    CHECK_FALSE(taken.ok());
    CHECK_MESSAGE(taken.err.find("host port 18080/TCP belongs to") != std::string::npos, taken.err);
    (void)one({"rm", "-f", "thief"});

    const ExecResult reloaded = one({"network", "reload", "web"});
    REQUIRE_MESSAGE(reloaded.ok(), reloaded.err);
    CHECK_MESSAGE(answers("192.0.2.1", 18080), said);
    REQUIRE(one({"stop", "-t", "0", "web"}).ok());
    CHECK_FALSE(world.cluster().connects("node2", "192.0.2.1:18080"));
    REQUIRE(one({"start", "web"}).ok());
    CHECK_MESSAGE(answers("192.0.2.1", 18080), said);
    REQUIRE(one({"kill", "web"}).ok());
    CHECK(wait_until([&] { return !world.cluster().connects("node2", "192.0.2.1:18080"); },
                     seconds(10)));
    REQUIRE(one({"start", "web"}).ok());
    CHECK(answers(one.address("web")));

    REQUIRE(one({"rm", "-f", "-t", "0", "web"}).ok());
    CHECK(world.left_since("node1", before) == "");
    CHECK(world.left_since("node2", before2) == "");
  }

  TEST_CASE("200 containers of podman, each with a port, on two nodes leave nothing behind") {
    RuntimeWorld world("ft-podman-many");
    const Podman one(world, "node1");
    const Podman two(world, "node2");
    if (!one.works()) {
      return;
    }
    const unsigned count = container_count(200) / 2;
    // Both nodes at the same time, one container after the other on each.
    const auto come_and_go = [count](const Podman& podman) -> std::string {
      for (unsigned i = 0; i < count; ++i) {
        const ExecResult made = podman.run("c" + std::to_string(i),
                                           {"-d", "-p", std::to_string(20000 + i) + ":80"},
                                           "exec sleep 1000");
        if (!made.ok()) {
          return made.err;
        }
      }
      const ExecResult gone = podman({"rm", "-f", "-a", "-t", "0"});
      return gone.ok() ? "" : gone.err;
    };
    std::map<std::string, Traces> before;
    for (const char* node : {"node1", "node2"}) {
      REQUIRE((node == std::string("node1") ? one : two).run("first", {"--rm"}, "true").ok());
      before[node] = world.traces(node);
    }
    auto second = std::async(std::launch::async, [&] { return come_and_go(two); });
    CHECK(come_and_go(one) == "");
    CHECK(second.get() == "");
    for (const auto& each : before) {
      CHECK(world.left_since(each.first, each.second) == "");
    }
    const ExecResult used = world.cluster().ctl({"ipam", "check"});
    CHECK_MESSAGE(used.ok(), used.out, used.err);
  }
}

}  // namespace margay::lab
