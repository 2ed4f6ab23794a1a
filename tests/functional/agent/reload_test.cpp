// SIGHUP and the control socket: a bad configuration ends no daemon, a small change ends no
// session.

#include "tests/functional/agent/world.h"
#include "tests/lab/wait.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <csignal>
#include <string>

namespace margay::lab {
namespace {

using std::chrono::seconds;

constexpr const char* kFile = "/run/reload.yaml";

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t found = 0;
  for (auto at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) {
    ++found;
  }
  return found;
}

// A daemon of a node that reads kFile.
class Reloaded {
 public:
  Reloaded(Node& node, std::vector<std::string> argv) : node_(node), role_(argv.front()) {
    argv.insert(argv.end(), {"--config", kFile});
    const auto started = node.spawn(role_, argv);
    REQUIRE_MESSAGE(started, (started ? "" : started.error().text));
    process_ = *started;
  }
  [[nodiscard]] std::string log() const { return node_.read_log(role_); }
  [[nodiscard]] bool runs() const { return alive(process_); }
  [[nodiscard]] bool says(const std::string& part, std::size_t times) const {
    return wait_until([&] { return count(log(), part) >= times; }, seconds(20));
  }
  void hang_up() const { send_signal(process_, SIGHUP); }
  // True when the file's new text leads to one more line with these words.
  [[nodiscard]] bool after(const std::string& text, const std::string& words) const {
    const std::size_t before = count(log(), words);
    write(node_, text);
    hang_up();
    return says(words, before + 1);
  }
  // A directory where the file was.
  [[nodiscard]] bool after_directory(const std::string& words) const {
    REQUIRE(node_.shell(std::string("rm ") + kFile + " && mkdir " + kFile).ok());
    const std::size_t before = count(log(), words);
    hang_up();
    const bool said = says(words, before + 1);
    REQUIRE(node_.shell(std::string("rmdir ") + kFile).ok());
    return said;
  }
  static void write(const Node& node, const std::string& text) {
    REQUIRE(node.exec({"tee", kFile}, {.input = text}).ok());
  }

 private:
  Node& node_;
  std::string role_;
  ProcessId process_;
};

}  // namespace

TEST_SUITE("functional.agent.reload") {
  TEST_CASE("a configuration that an agent cannot use is not taken, and the old one stays") {
    const auto cluster = make_cluster("single", "ft-reload", false);
    Node& node = cluster->lab().node("node1");
    Reloaded::write(node, "metrics_listen: 127.0.0.1:9091\n");
    const Reloaded agent(node, {"margayd", "--node", "node1"});
    REQUIRE_MESSAGE(cluster->wait_ready("node1"), agent.log());
    const auto still_well = [&] {
      return agent.runs() && cluster->wait_ready("node1") &&
             node.shell("busybox wget -qO- http://127.0.0.1:9091/liveness").ok();
    };

    CHECK(
        agent.after_directory("not taken, the old one stays err=\"/run/reload.yaml: cannot be "
                              "read: Is a directory"));
    CHECK_MESSAGE(still_well(), agent.log());
    CHECK(agent.after("metrics_listen: foo:bar\n",
                      "not taken, the old one stays err=\"/run/reload.yaml: line 1: "
                      "metrics_listen: \"foo:bar\""));
    CHECK_MESSAGE(still_well(), agent.log());
    CHECK(agent.after("metrics_listen: 203.0.113.99:9091\n",
                      "not taken, the old one stays err=\"metrics_listen: listen on "
                      "203.0.113.99:9091: Cannot assign requested address"));
    CHECK_MESSAGE(still_well(), agent.log());
    CHECK(count(agent.log(), "starting node=node1") == 1);
    // Known only when a new agent starts with it.
    CHECK(agent.after("metrics_listen: 127.0.0.1:9091\nrun_dir: /proc/foo\n",
                      "not taken, the old one stays err=\"create /proc/foo"));
    CHECK_MESSAGE(still_well(), agent.log());
    CHECK(count(agent.log(), "starting node=node1") == 2);
  }

  TEST_CASE("metrics and log follow a new configuration in the running agent") {
    const auto cluster = make_cluster("single", "ft-reload", false);
    Node& node = cluster->lab().node("node1");
    Reloaded::write(node, "metrics_listen: 127.0.0.1:9091\n");
    const Reloaded agent(node, {"margayd", "--node", "node1"});
    REQUIRE_MESSAGE(cluster->wait_ready("node1"), agent.log());

    CHECK(agent.after("metrics_listen: 127.0.0.1:9092\nlog_format: json\n",
                      "\"message\":\"configuration taken\"}"));
    CHECK(node.shell("busybox wget -qO- http://127.0.0.1:9092/liveness").ok());
    CHECK_FALSE(node.shell("busybox wget -qO- http://127.0.0.1:9091/liveness").ok());
    CHECK(agent.after("metrics_listen: 0.0.0.0:9092\n", "info felix: configuration taken"));
    CHECK(node.shell("busybox wget -qO- http://127.0.0.1:9092/liveness").ok());
    CHECK(count(agent.log(), "starting node=node1") == 1);

    // The store's level, unless the file says one.
    REQUIRE(cluster->apply("apiVersion: projectcalico.org/v3\nkind: FelixConfiguration\n"
                           "metadata: {name: default}\nspec: {logSeverityScreen: Error}\n") == "");
    unsigned port = 9093;
    const auto silent = [&] {
      const std::size_t said = count(agent.log(), "configuration taken");
      Reloaded::write(node, fmt::format("metrics_listen: 127.0.0.1:{}\n", ++port));
      agent.hang_up();
      const bool answers = wait_until(
          [&] {
            return node.shell(fmt::format("busybox wget -qO- http://127.0.0.1:{}/liveness", port))
                .ok();
          },
          seconds(5));
      return answers && count(agent.log(), "configuration taken") == said;
    };
    CHECK(wait_until(silent, seconds(20)));
    CHECK(agent.after("metrics_listen: ''\nlog_level: info\n", "info felix: configuration taken"));
  }

  TEST_CASE("wrong flags end with 2, and who only reads makes no datastore") {
    const auto cluster = make_cluster("single", "ft-reload", false);
    const Node& node = cluster->lab().node("node1");
    const ExecResult mode = node.exec({"margayd", "--bgp", "foo"});
    CHECK(mode.rc == 2);
    CHECK(mode.err == "margayd: bgp: \"foo\": expected embedded, bird or none\n");
    CHECK(node.exec({"margayd", "--log-level", "loud"}).rc == 2);
    CHECK(node.exec({"margayd", "--config", "/run"}).err ==
          "margayd: /run: cannot be read: Is a directory\n");

    const std::string none = "sqlite:///run/none/margay.db";
    const ExecResult read = node.exec({"margayctl", "--datastore", none, "get", "nodes"});
    CHECK(read.rc == 1);
    CHECK(read.err == "margayctl: datastore /run/none/margay.db: the file is not there\n");
    CHECK(node.exec({"margayctl", "--datastore", none, "delete", "node", "n1"}).rc == 1);
    CHECK_FALSE(node.shell("test -e /run/none").ok());
  }

  TEST_CASE("margay-bgpd makes the way to its socket, says what it is, and outlives a bad file") {
    const auto cluster = make_cluster("single", "ft-reload", false);
    Node& node = cluster->lab().node("node1");
    const std::string router =
        "router: {asn: 65001, id: 192.0.2.1, listen: [\"127.0.0.1:179\"]}\n"
        "control: /run/new/place/bgpd.sock\nnetworks: [198.51.100.0/24, 198.51.0.0/16]\n";
    Reloaded::write(node, router);
    const Reloaded daemon(node, {"margay-bgpd"});
    const auto ctl = [&](std::vector<std::string> arguments) {
      arguments.insert(arguments.begin(), {"margayctl", "--run-dir", "/run/new/place"});
      return node.exec(arguments);
    };
    REQUIRE_MESSAGE(wait_until(
                        [&] {
                          return ctl({"bgp", "peers"}).ok();
                        },
                        seconds(20)),
                    daemon.log(),
                    ctl({"bgp", "peers"}).err);

    const std::string no_agent = "this is margay-bgpd: it has no agent; see margayctl bgp peers\n";
    CHECK(ctl({"node", "status"}).err == "margayctl: " + no_agent);
    CHECK(ctl({"doctor"}).err.find(no_agent) != std::string::npos);
    CHECK(ctl({"dataplane", "show"}).err == "margayctl: " + no_agent);
    CHECK(ctl({"bgp", "routes", "here"}).err.find("expected an address or ADDRESS/LENGTH") !=
          std::string::npos);
    CHECK(ctl({"bgp", "routes", "198.51.100.7"}).out.find("198.51.100.0/24") != std::string::npos);
    CHECK(ctl({"bgp", "routes", "198.51.7.7"}).out.find("198.51.0.0/16") != std::string::npos);
    CHECK(ctl({"bgp", "routes", "198.51.100.7/32"}).err ==
          "margayctl: no route to 198.51.100.7/32\n");
    CHECK(ctl({"bgp", "routes", "203.0.113.7"}).err == "margayctl: no route to 203.0.113.7\n");

    CHECK(
        daemon.after_directory("error bgpd: configuration not taken, the old one stays "
                               "err=\"/run/reload.yaml: cannot be read: Is a directory\""));
    REQUIRE_MESSAGE(daemon.runs(), daemon.log());
    CHECK(daemon.after(router + "peers: [{address: 127.0.0.2, asn: 65001, passive: true}]\n",
                       "info bgpd: configuration taken peers=1"));
    CHECK(ctl({"bgp", "peers"}).out.find("127.0.0.2") != std::string::npos);
    CHECK(
        daemon.after("router: {asn: 65001, id: 192.0.2.1, listen: [\"203.0.113.99:179\"]}\n"
                     "control: /run/new/place/bgpd.sock\n",
                     "error bgpd: cannot listen err="));
    CHECK(daemon.runs());

    Reloaded::write(node,
                    "router: {asn: 65001, id: 192.0.2.1, listen: [\"127.0.0.1:1790\"]}\n"
                    "control: /dev/null/bgpd.sock\n");
    const ExecResult nowhere = node.exec({"margay-bgpd", "--config", kFile});
    CHECK(nowhere.rc == 1);
    CHECK(nowhere.err ==
          "margay-bgpd: control socket /dev/null/bgpd.sock: create /dev/null: Not a directory\n");
    REQUIRE(node.shell("mkdir -p /run/taken/bgpd.sock").ok());
    Reloaded::write(node,
                    "router: {asn: 65001, id: 192.0.2.1, listen: [\"127.0.0.1:1790\"]}\n"
                    "control: /run/taken/bgpd.sock\n");
    const ExecResult taken = node.exec({"margay-bgpd", "--config", kFile});
    CHECK(taken.err ==
          "margay-bgpd: control socket /run/taken/bgpd.sock: cannot listen: Address already in "
          "use\n");
  }
}

}  // namespace margay::lab
