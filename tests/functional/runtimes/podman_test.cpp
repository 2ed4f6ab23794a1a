// podman 4 with its CNI backend on two nodes: containers reach each other and their published
// ports, through stop, start, kill and reload, and leave nothing behind.

#include "tests/functional/support/cluster.h"
#include "tests/lab/wait.h"

#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

namespace margay::lab {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;
using std::chrono::seconds;

void write(const fs::path& path, const std::string& text) {
  fs::create_directories(path.parent_path());
  std::ofstream(path) << text;
}

// A root file system of busybox alone.
void make_rootfs(const fs::path& root) {
  for (const char* folder : {"bin", "etc", "proc", "sys", "dev", "tmp", "root", "run"}) {
    fs::create_directories(root / folder);
  }
  fs::copy_file("/bin/busybox", root / "bin/busybox");
  for (const char* applet : {"sh", "httpd", "nc", "printf", "sleep", "echo", "mkdir"}) {
    fs::create_symlink("busybox", root / "bin" / applet);
  }
  write(root / "etc/passwd", "root:x:0:0:root:/root:/bin/sh\n");
  for (const char* file : {"etc/hosts", "etc/resolv.conf", "etc/hostname"}) {
    write(root / file, "");
  }
}

// podman of one node: storage, state and network configuration of its own.
class Podman {
 public:
  Podman(const Node& node, const fs::path& scratch) : node_(node), home_(scratch / node.name()) {
    make_rootfs(home_ / "rootfs");
    const json::object plugin{
        {"type", "margay"},
        {"run_dir", (node.dir() / "run/margay").string()},
        {"capabilities", {{"portMappings", true}, {"ips", true}, {"mac", true}}},
        {"ipam", {{"type", "margay-ipam"}}}};
    write(home_ / "net.d/10-margay.conflist",
          json::serialize(json::object{
              {"cniVersion", "1.0.0"}, {"name", "margay"}, {"plugins", json::array{plugin}}}));
    write(home_ / "containers.conf",
          "[network]\nnetwork_backend = \"cni\"\ncni_plugin_dirs = [\"" MARGAY_BINARY_DIR
          "/bin\"]\nnetwork_config_dir = \"" +
              (home_ / "net.d").string() +
              "\"\ndefault_network = \"margay\"\n[engine]\ncgroup_manager = \"cgroupfs\"\n"
              "events_logger = \"file\"\nruntime = \"runc\"\n[containers]\n"
              "default_ulimits = [\"nofile=20000:20000\", \"nproc=30000:30000\"]\n");
  }

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
    return run_shell(line);
  }
  // `command` in a new container; more flags before it.
  [[nodiscard]] ExecResult run(const std::string& name,
                               const std::vector<std::string>& flags,
                               const std::string& command) const {
    std::vector<std::string> words{"run", "--name", name, "--network", "margay"};
    words.insert(words.end(), flags.begin(), flags.end());
    words.insert(words.end(), {"--rootfs", (home_ / "rootfs").string(), "sh", "-c", command});
    return (*this)(words);
  }
  [[nodiscard]] std::string address(const std::string& name) const {
    const ExecResult done =
        (*this)({"inspect", "-f", "{{.NetworkSettings.Networks.margay.IPAddress}}", name});
    return done.out.substr(0, done.out.find('\n'));
  }

  static ExecResult run_shell(const std::string& line) {
    Command command;
    command.argv = {"sh", "-c", line};
    command.env = {{"PATH", kSystemPath}, {"HOME", "/root"}};
    command.timeout = seconds(60);
    auto done = lab::run(command);
    return done ? std::move(*done) : ExecResult{kCannotStart, "", done.error().text};
  }

 private:
  const Node& node_;
  fs::path home_;
};

// Two nodes with an agent and a podman each.
class World {
 public:
  World() {
    std::string pattern = fs::temp_directory_path() / "margay-podman-XXXXXX";
    scratch_ = ::mkdtemp(pattern.data());
    LabOptions options;
    options.name = "ft-podman";
    options.replace = true;
    auto lab = Lab::up(fs::path(MARGAY_SOURCE_DIR) / "containerlab/pair/pair.clab.yml", options);
    REQUIRE_MESSAGE(lab, (lab ? "" : lab.error().text));
    cluster_ = std::make_unique<Cluster>(std::move(*lab));
    for (const char* node : {"node1", "node2"}) {
      REQUIRE_MESSAGE(cluster_->wait_ready(node), cluster_->lab().node(node).read_log("margayd"));
      podmen_.push_back(std::make_unique<Podman>(cluster_->lab().node(node), scratch_));
    }
  }
  ~World() {
    for (const auto& podman : podmen_) {
      (void)(*podman)({"rm", "-f", "-a", "-t", "0"});
    }
    std::error_code ignored;
    fs::remove_all(scratch_, ignored);
  }
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  Cluster& cluster() { return *cluster_; }
  const Podman& one() { return *podmen_[0]; }
  const Podman& two() { return *podmen_[1]; }

  // podman itself works here: a container without any network runs.
  bool works() {
    const ExecResult done = one()({"run",
                                   "--rm",
                                   "--network",
                                   "none",
                                   "--rootfs",
                                   (scratch_ / "node1/rootfs").string(),
                                   "echo",
                                   "alive"});
    if (done.out.find("alive") != std::string::npos) {
      return true;
    }
    std::printf("skipped: podman: it cannot run a container on this machine: %s\n",
                done.err.substr(0, done.err.find('\n')).c_str());
    return false;
  }

 private:
  fs::path scratch_;
  std::unique_ptr<Cluster> cluster_;
  std::vector<std::unique_ptr<Podman>> podmen_;
};

std::string serving(const std::string& text) {
  return "mkdir -p /tmp/" + text + "; echo " + text + " > /tmp/" + text +
         "/index.html; exec httpd -f -p 80 -h /tmp/" + text;
}

}  // namespace

TEST_SUITE("functional.runtimes") {
  TEST_CASE("containers of podman on two nodes, published ports, stop, start, kill, reload") {
    World world;
    if (!world.works()) {
      return;
    }
    const Podman& one = world.one();
    const Podman& two = world.two();
    const ExecResult made =
        one.run("web", {"-d", "-p", "18080:80", "--ip", "10.244.77.7"}, serving("hello"));
    REQUIRE_MESSAGE(made.ok(), made.err);
    CHECK(one.address("web") == "10.244.77.7");
    std::string said;
    const auto asks = [&](const std::string& host, unsigned port) {
      const ExecResult done = two.run(
          "asker",
          {"--rm"},
          fmt::format("printf \"GET / HTTP/1.0\\r\\n\\r\\n\" | nc -w 2 {} {} 2>&1", host, port));
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
    const Node& node = world.cluster().lab().node("node1");
    CHECK(wait_until([&] { return node.shell("! ip link | grep mgy").ok(); }, seconds(20)));
    CHECK(node.shell("! nft list ruleset | grep 18080").ok());
  }

  TEST_CASE("containers that come and go leave no address, link, route, chain, element or file") {
    World world;
    if (!world.works()) {
      return;
    }
    // 20, or as many as a soak asks for.
    const char* wanted = std::getenv("MARGAY_CONTAINERS");
    const unsigned count = wanted == nullptr ? 20 : static_cast<unsigned>(std::stoul(wanted));
    const Podman& podman = world.one();
    const std::string before = world.cluster().kernel_state("node1");
    for (unsigned i = 0; i < count; ++i) {
      const std::string name = "c" + std::to_string(i);
      const ExecResult made =
          podman.run(name, {"-d", "-p", std::to_string(20000 + i) + ":80"}, "exec sleep 1000");
      REQUIRE_MESSAGE(made.ok(), made.err);
    }
    CHECK(podman({"rm", "-f", "-a", "-t", "0"}).ok());
    CHECK(wait_until([&] { return world.cluster().kernel_state("node1") == before; }, seconds(30)));
    const ExecResult left = world.cluster().ctl({"get", "wep", "-A", "-o", "json"});
    CHECK_MESSAGE(left.out.find("\"pod\"") == std::string::npos, left.out);
    CHECK(left.out.find("containerID") == std::string::npos);
    const ExecResult used = world.cluster().ctl({"ipam", "check"});
    CHECK_MESSAGE(used.ok(), used.out, used.err);
  }
}

}  // namespace margay::lab
