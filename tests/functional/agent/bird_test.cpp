// An agent with an external BIRD in the place of its speaker (`--bgp bird`): what is particular to
// it. What holds whoever speaks BGP is in the other files, run with each.

#include "tests/functional/agent/world.h"
#include "tests/lab/wait.h"

#include <doctest/doctest.h>

#include <sys/stat.h>

#include <array>
#include <csignal>
#include <string>

namespace margay::lab {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

const Environment kWithBird{{"MARGAY_BGP", "bird"}};

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

// The process that the pid file names, 0 when there is none.
pid_t bird_of(const Node& node) {
  const std::string pid = node.shell("cat /run/margay/bird.pid 2>/dev/null").out;
  return pid.empty() ? 0 : static_cast<pid_t>(std::stol(pid));
}
std::string birdc(const Node& node, const std::string& command) {
  return node.shell("birdc -s /run/margay/bird.ctl " + command).out;
}
std::string learnt(const Node& node) {
  return sorted_lines(node.exec({"ip", "route", "show", "proto", "91"}).out);
}
std::string log_of(const Node& node) {
  return node.read_log("margayd");
}

// From now on `bird` in this node is a program that does as the original, but for what is put into
// /run/bird-refuses: then it finds every configuration bad.
void wrap_bird(const Node& node) {
  const ExecResult done = node.shell(
      "cp \"$(command -v bird)\" /var/lib/margay/bird-original && "
      "printf '%s\\n' '#!/bin/sh' 'case \"$*\" in *-p*) if [ -e /run/bird-refuses ]; then "
      "echo \"bird.conf:1:1 refused on purpose\" >&2; exit 1; fi;; esac' "
      "'exec /var/lib/margay/bird-original \"$@\"' > /var/lib/margay/bird-wrapper && "
      "chmod 755 /var/lib/margay/bird-wrapper && "
      "mount --bind /var/lib/margay/bird-wrapper \"$(command -v bird)\"");
  REQUIRE_MESSAGE(done.ok(), done.err);
}

// Another BIRD on the node, with a kernel route of its own.
ProcessId start_foreign(const Node& node, const std::string& socket) {
  const ExecResult made = node.shell(
      "mkdir -p /run/foreign && printf '%s\\n' 'router id 9.9.9.9;' 'protocol device {}' "
      "'protocol kernel { ipv4 { export all; import none; }; }' "
      "'protocol static { ipv4; route 198.51.100.0/24 blackhole; }' > /run/foreign/bird.conf");
  REQUIRE(made.ok());
  const auto started = node.spawn(
      "foreign-bird",
      {"bird", "-f", "-c", "/run/foreign/bird.conf", "-s", socket, "-P", "/run/foreign/bird.pid"});
  REQUIRE(started);
  REQUIRE(wait_until(
      [&] {
        return contains(node.exec({"ip", "route", "show", "proto", "bird"}).out, "198.51.100.0/24");
      },
      seconds(10)));
  return *started;
}

}  // namespace

TEST_SUITE("functional.agent.bird") {
  TEST_CASE("three nodes with BIRD reach each other's pods, and BGP is shown as always") {
    const auto cluster = make_cluster("mesh", "ft-bird", true, kWithBird);
    const std::array<std::string, 3> nodes{"node1", "node2", "node3"};
    for (const std::string& node : nodes) {
      REQUIRE_MESSAGE(cluster->wait_ready(node), log_of(cluster->lab().node(node)));
      REQUIRE(cluster->add_server(node, {.name = "on-" + node}, {{"tcp", 80}}) == "");
    }
    for (const std::string& node : nodes) {
      CHECK(wait_until([&] { return cluster->all_sessions_up(node); }, seconds(30)));
      for (const std::string& other : nodes) {
        const std::string target = cluster->lab().pod("on-" + other).address + ":80";
        CHECK_MESSAGE(
            wait_until([&] { return cluster->connects("on-" + node, target); }, seconds(20)),
            node << " to " << other << "\n"
                 << birdc(cluster->lab().node(node), "show route all"));
      }
    }
    const Node& node1 = cluster->lab().node("node1");
    struct stat mode {};
    REQUIRE(::stat((node1.dir() / "run/margay/bird.conf").c_str(), &mode) == 0);
    CHECK((mode.st_mode & 0777U) == 0600U);
    // BIRD itself writes nothing into the kernel.
    CHECK(node1.exec({"ip", "route", "show", "table", "all", "proto", "bird"}).out.empty());

    const std::string neighbor = cluster->ctl({"bgp", "neighbors", "mesh-node2-v4"}).out;
    CHECK_MESSAGE(contains(neighbor, "172.18.0.12"), neighbor);
    CHECK_MESSAGE(contains(neighbor, "graceful-restart 120 s"), neighbor);
    const std::string routes = cluster->ctl({"bgp", "routes"}).out;
    CHECK_MESSAGE(contains(routes, "mesh-node2-v4"), routes);
    CHECK_MESSAGE(contains(routes, "mesh-node3-v4"), routes);
    // An address is carried by the block that holds it.
    const std::string pod = cluster->lab().pod("on-node2").address;
    const std::string carrier = cluster->ctl({"bgp", "routes", pod}).out;
    CHECK_MESSAGE(contains(carrier, "/26"), carrier);
    CHECK_MESSAGE(contains(carrier, "mesh-node2-v4"), carrier);
    CHECK_MESSAGE(!contains(carrier, "mesh-node3-v4"), carrier);
    const std::string metrics = node1.exec({"curl", "-s", "http://127.0.0.1:9091/metrics"}).out;
    CHECK_MESSAGE(contains(metrics, "margay_bgp_peer_up"), metrics);

    // A pod that goes and a node that goes take their routes along.
    REQUIRE(cluster->lab().node("node3").stop());
    const pid_t left = bird_of(cluster->lab().node("node3"));
    CHECK(left != 0);  // BIRD goes on without the agent
    CHECK(cluster->connects("on-node1", cluster->lab().pod("on-node3").address + ":80"));
    const ExecResult cleaned = cluster->lab().node("node3").exec(
        {"margayd", "cleanup", "--run-dir", "/run/margay", "--state-dir", "/var/lib/margay"});
    CHECK_MESSAGE(cleaned.ok(), cleaned.err);
    CHECK_FALSE(process_start_time(left));
    CHECK(cluster->lab().node("node3").shell("ls /run/margay | grep bird").out == "");
    CHECK(learnt(cluster->lab().node("node3")) == "");
    CHECK(wait_until([&] { return !contains(learnt(node1), "172.18.0.13"); }, seconds(10)));
  }

  TEST_CASE("a BIRD that is killed is started again, and no packet is lost") {
    const auto cluster = lab::make_pair("ft-bird", kWithBird);
    const Node& node = cluster->lab().node("node1");
    const std::string target = cluster->lab().pod("far").address + ":80";
    REQUIRE(wait_until([&] { return cluster->all_sessions_up("node1"); }, seconds(60)));
    REQUIRE(wait_until([&] { return cluster->connects("near", target); }, seconds(20)));
    REQUIRE(wait_until([&] { return contains(learnt(node), "10.244."); }, seconds(20)));
    REQUIRE(wait_until([&] { return contains(learnt(cluster->lab().node("node2")), "10.244."); },
                       seconds(20)));
    const std::string before = learnt(node);
    const std::string before_at_peer = learnt(cluster->lab().node("node2"));
    const auto udp = cluster->start_stream("near", target, "stream-udp", {"--rate=1000"});
    REQUIRE(udp);
    for (int round = 0; round < 3; ++round) {
      const pid_t old = bird_of(node);
      REQUIRE(old != 0);
      REQUIRE(::kill(old, SIGKILL) == 0);
      REQUIRE(wait_until([&] { return bird_of(node) != 0 && bird_of(node) != old; }, seconds(20)));
      CHECK(learnt(node) == before);
      CHECK(wait_until([&] { return contains(birdc(node, "show protocols"), "Established"); },
                       seconds(30)));
      CHECK(wait_until([&] { return cluster->all_sessions_up("node1"); }, seconds(30)));
      // The restart is over: one more during it costs the routes (RFC 4724 section 4.2).
      CHECK(wait_until(
          [&] {
            return !contains(birdc(node, "show status"), "recovery") &&
                   contains(birdc(node, "show protocols all"), " 1 exported");
          },
          seconds(30)));
      CHECK(learnt(node) == before);
      CHECK(learnt(cluster->lab().node("node2")) == before_at_peer);
    }
    CHECK(contains(log_of(node), "BIRD ended"));
    const auto report = cluster->end_stream("near", "stream-udp", *udp);
    REQUIRE(report);
    CHECK(report->sent > 100);
    CHECK(report->lost == 0);

    // An agent that starts finds the BIRD of the one before, and changes nothing.
    const pid_t running = bird_of(node);
    REQUIRE(cluster->lab().node("node1").kill());
    REQUIRE(cluster->lab().node("node1").start());
    REQUIRE(cluster->wait_ready("node1"));
    CHECK(bird_of(node) == running);
    CHECK(learnt(node) == before);
  }

  TEST_CASE("a BIRD that does not answer is ended and started again") {
    const auto cluster = lab::make_pair("ft-bird", kWithBird);
    const Node& node = cluster->lab().node("node1");
    REQUIRE(wait_until([&] { return cluster->all_sessions_up("node1"); }, seconds(60)));
    const pid_t hung = bird_of(node);
    REQUIRE(hung != 0);
    REQUIRE(::kill(hung, SIGSTOP) == 0);
    CHECK(wait_until([&] { return bird_of(node) != 0 && bird_of(node) != hung; }, seconds(60)));
    CHECK_FALSE(process_start_time(hung));
    CHECK(contains(log_of(node), "BIRD does not answer"));
    CHECK(wait_until([&] { return cluster->all_sessions_up("node1"); }, seconds(30)));
    CHECK(cluster->connects("near", cluster->lab().pod("far").address + ":80"));
  }

  TEST_CASE("a configuration that BIRD refuses is kept out, said, and taken once BIRD would") {
    const auto cluster = make_cluster("pair", "ft-bird", false, kWithBird);
    for (const char* name : {"node1", "node2"}) {
      wrap_bird(cluster->lab().node(name));
    }
    REQUIRE(cluster->lab().start());
    Node& node = cluster->lab().node("node1");
    REQUIRE_MESSAGE(cluster->wait_ready("node1"), log_of(node));
    REQUIRE(wait_until([&] { return cluster->all_sessions_up("node1"); }, seconds(60)));
    const std::string in_force = birdc(node, "eval margay_config");

    REQUIRE(node.shell("touch /run/bird-refuses").ok());
    const auto advertise = [&](const std::string& ranges) {
      return cluster->apply(
          "apiVersion: projectcalico.org/v3\nkind: BGPConfiguration\nmetadata: {name: default}\n"
          "spec: {serviceClusterIPs: [" +
          ranges + "]}\n");
    };
    REQUIRE(advertise("{cidr: 10.96.0.0/16}") == "");
    CHECK(wait_until([&] { return contains(log_of(node), "refused on purpose"); }, seconds(10)));
    CHECK(contains(cluster->ctl({"doctor"}).out, "refused on purpose"));
    CHECK(birdc(node, "eval margay_config") == in_force);
    CHECK(cluster->all_sessions_up("node1"));
    CHECK_FALSE(contains(birdc(node, "show route where source = RTS_STATIC"), "10.96.0.0/16"));

    REQUIRE(node.shell("rm /run/bird-refuses").ok());
    CHECK(wait_until(
        [&] {
          return contains(birdc(node, "show route where source = RTS_STATIC"), "10.96.0.0/16");
        },
        seconds(20)));
    CHECK(wait_until([&] { return !contains(cluster->ctl({"doctor"}).out, "refused"); },
                     seconds(10)));
  }

  TEST_CASE("a BIRD that margayd did not start is never touched, wherever it listens") {
    const auto cluster = make_cluster("pair", "ft-bird", false, kWithBird);
    Node& node = cluster->lab().node("node1");
    const ProcessId beside = start_foreign(node, "/run/foreign/bird.ctl");
    REQUIRE(cluster->lab().start());
    REQUIRE_MESSAGE(cluster->wait_ready("node1"), log_of(node));
    REQUIRE(wait_until([&] { return cluster->all_sessions_up("node1"); }, seconds(60)));
    REQUIRE(node.kill());
    REQUIRE(::kill(bird_of(node), SIGKILL) == 0);
    const auto cleanup = [&] {
      return node.exec(
          {"margayd", "cleanup", "--run-dir", "/run/margay", "--state-dir", "/var/lib/margay"});
    };
    CHECK(wait_until([&] { return cleanup().ok(); }, seconds(5)));
    CHECK(alive(beside));
    CHECK(contains(node.exec({"ip", "route", "show", "proto", "bird"}).out, "198.51.100.0/24"));
    REQUIRE(send_signal(beside, SIGKILL));
    REQUIRE(wait_gone(beside, seconds(5)));

    // In the place of ours.
    const ProcessId instead = start_foreign(node, "/run/margay/bird.ctl");
    REQUIRE(node.start());
    CHECK(wait_until([&] { return contains(log_of(node), "which margayd did not start"); },
                     seconds(20)));
    CHECK_FALSE(cluster->ready("node1"));
    CHECK(alive(instead));
    CHECK(contains(node.shell("birdc -s /run/margay/bird.ctl show status").out, "9.9.9.9"));
    CHECK(bird_of(node) == 0);
    REQUIRE(send_signal(instead, SIGKILL));
    CHECK(cluster->wait_ready("node1"));
    CHECK(wait_until([&] { return cluster->all_sessions_up("node1"); }, seconds(60)));
  }

  TEST_CASE("routes of both families pass a reflector, whoever speaks BGP") {
    const auto cluster = make_cluster("mesh", "ft-bird", true, with_each_speaker());
    Lab& lab = cluster->lab();
    std::string resources =
        "apiVersion: projectcalico.org/v3\nkind: BGPConfiguration\nmetadata: {name: default}\n"
        "spec: {nodeToNodeMeshEnabled: false}\n---\n"
        "apiVersion: projectcalico.org/v3\nkind: IPPool\nmetadata: {name: pods6}\n"
        "spec: {cidr: 'fd00:10:244::/64', blockSize: 122}\n---\n"
        "apiVersion: projectcalico.org/v3\nkind: BGPPeer\nmetadata: {name: clients}\n"
        "spec: {nodeSelector: '!has(reflector)', peerSelector: has(reflector)}\n";
    for (const int number : {1, 2, 3}) {
      REQUIRE(lab.node(fmt::format("node{}", number))
                  .shell(fmt::format("ip addr add fd00:18::{}/64 dev eth1 nodad", number))
                  .ok());
      resources += fmt::format(
          "---\napiVersion: projectcalico.org/v3\nkind: Node\nmetadata: {{name: node{0}{1}}}\n"
          "spec: {{bgp: {{ipv4Address: 172.18.0.1{0}/24, ipv6Address: 'fd00:18::{0}/64'{2}}}}}\n",
          number,
          number == 1 ? ", labels: {reflector: 'yes'}" : "",
          number == 1 ? ", routeReflectorClusterID: 172.18.0.11" : "");
    }
    const std::string applied = cluster->apply(resources);
    REQUIRE_MESSAGE(applied == "", applied);
    for (const std::string node : {"node2", "node3"}) {
      REQUIRE_MESSAGE(cluster->wait_ready(node), log_of(lab.node(node)));
      REQUIRE(cluster->add_server(node, {.name = "on-" + node, .ipv6 = true}, {{"tcp", 80}}) == "");
    }
    for (const std::string& target :
         {lab.pod("on-node3").address + ":80", "[" + lab.pod("on-node3").address6 + "]:80"}) {
      CHECK_MESSAGE(wait_until([&] { return cluster->connects("on-node2", target); }, seconds(30)),
                    target,
                    cluster->ctl_on("node2", {"bgp", "peers"}).out,
                    cluster->ctl_on("node2", {"bgp", "routes"}).out);
    }
    // It came by the reflector, and leads to the node itself.
    const std::string routes = cluster->ctl_on("node2", {"bgp", "routes"}).out;
    CHECK_MESSAGE(contains(routes, "172.18.0.13"), routes);
    CHECK_MESSAGE(contains(routes, "clients-node1-v4"), routes);
    CHECK_MESSAGE(contains(routes, "clients-node1-v6"), routes);
    CHECK(contains(lab.node("node2").exec({"ip", "-6", "route", "show", "proto", "91"}).out,
                   "via fd00:18::3"));
  }

  TEST_CASE(
      "beside a node with the embedded speaker: BFD finds it, and BIRD rides out the agent's end") {
    const auto cluster = make_cluster("pair", "ft-bird", false);
    Lab& lab = cluster->lab();
    REQUIRE(lab.node("node1").start(kWithBird));
    REQUIRE(lab.node("node2").start({{"MARGAY_BGP", "embedded"}}));
    for (const std::string node : {"node1", "node2"}) {
      REQUIRE_MESSAGE(cluster->wait_ready(node), log_of(lab.node(node)));
      REQUIRE(cluster->add_server(node, {.name = "on-" + node}, {{"tcp", 80}, {"udp", 80}}) == "");
    }
    REQUIRE(cluster->apply(
                "apiVersion: projectcalico.org/v3\nkind: BGPConfiguration\nmetadata: {name: "
                "default}\nspec: {margay: {bfd: {intervalMs: 500, multiplier: 5}}}\n") == "");
    const auto bfd_is_up = [&](const char* node, const char* peer) {
      return wait_until(
          [&] {
            return contains(cluster->ctl_on(node, {"bgp", "neighbors", peer}).out, "bfd Up");
          },
          seconds(30));
    };
    CHECK_MESSAGE(bfd_is_up("node1", "mesh-node2-v4"),
                  cluster->ctl({"bgp", "neighbors", "mesh-node2-v4"}).out,
                  birdc(lab.node("node1"), "show bfd sessions"));
    CHECK(bfd_is_up("node2", "mesh-node1-v4"));
    const std::string target = lab.pod("on-node2").address + ":80";
    REQUIRE(wait_until([&] { return cluster->connects("on-node1", target); }, seconds(20)));

    // BIRD's BFD is not the agent's.
    const auto flaps = [&] {
      const std::string peers = cluster->ctl_on("node2", {"bgp", "peers", "-o", "json"}).out;
      const auto at = peers.find("\"flaps\"");
      return peers.substr(at, peers.find(',', at) - at);
    };
    const std::string before = flaps();
    const auto udp = cluster->start_stream("on-node1", target, "stream-udp", {"--rate=1000"});
    REQUIRE(udp);
    for (int round = 0; round < 3; ++round) {
      REQUIRE(lab.node("node1").kill());
      REQUIRE(lab.node("node1").start(kWithBird));
      REQUIRE(cluster->wait_ready("node1"));
    }
    CHECK(flaps() == before);
    const auto report = cluster->end_stream("on-node1", "stream-udp", *udp);
    REQUIRE(report);
    CHECK(report->sent > 100);
    CHECK(report->lost == 0);
  }

  TEST_CASE(
      "without BIRD the agent says what is missing; the embedded speaker ends one left behind") {
    const auto cluster = make_cluster("pair", "ft-bird", true, kWithBird);
    Node& node = cluster->lab().node("node1");
    REQUIRE_MESSAGE(cluster->wait_ready("node1"), log_of(node));
    REQUIRE(wait_until([&] { return cluster->all_sessions_up("node1"); }, seconds(60)));
    REQUIRE(wait_until([&] { return contains(learnt(node), "10.244."); }, seconds(20)));
    REQUIRE(node.kill());
    const ExecResult missing = node.shell(
        "mount --bind /dev/null \"$(command -v bird)\" && margayd --bgp bird --node node1 "
        "--datastore sqlite:///var/lib/margay/store/db/margay.db --run-dir /run/margay "
        "--state-dir /var/lib/margay --metrics-listen ''");
    CHECK(missing.rc == 1);
    CHECK_MESSAGE(contains(missing.err, "there is no program bird: install BIRD 2"), missing.err);

    const pid_t left = bird_of(node);
    REQUIRE(left != 0);
    const std::string before = learnt(node);
    const auto started = node.spawn("embedded",
                                    {"margayd",
                                     "--bgp",
                                     "embedded",
                                     "--node",
                                     "node1",
                                     "--datastore",
                                     "sqlite:///var/lib/margay/store/db/margay.db",
                                     "--run-dir",
                                     "/run/margay",
                                     "--state-dir",
                                     "/var/lib/margay",
                                     "--metrics-listen",
                                     ""});
    REQUIRE(started);
    REQUIRE_MESSAGE(cluster->wait_ready("node1"), node.read_log("embedded"));
    CHECK_FALSE(process_start_time(left));
    CHECK(learnt(node) == before);
    CHECK(wait_until([&] { return cluster->all_sessions_up("node1"); }, seconds(60)));
    CHECK(learnt(node) == before);
  }
}

}  // namespace margay::lab
