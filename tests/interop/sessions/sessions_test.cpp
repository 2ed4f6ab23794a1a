// What a session can do with BIRD 2, FRR 8, GoBGP 3, OpenBGPD 7 and ExaBGP 4, all at once:
// passwords (RFC 2385) with TTL security (RFC 5082), large communities (RFC 8092), route refresh
// (RFC 2918), extended messages (RFC 8654), the words of an administrator (RFC 9003), and restarts
// under traffic (RFC 4724), ours and theirs.

#include "tests/functional/support/cluster.h"
#include "tests/lab/wait.h"

#include <doctest/doctest.h>

#include <chrono>
#include <csignal>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace margay::lab {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr seconds kDeadline{40};

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

struct Other {
  std::string name;
  std::string prefix;
  std::vector<std::string> start;  // empty: the lab starts it
  std::string announce;            // by hand, where its configuration has no routes
  std::string large;               // on its route, as margayctl prints it
  std::string heard;               // prints what it has of ours, as a shell command
  std::string refresh;             // asks for everything again; empty: it cannot
  std::string refreshed;           // a counter of prefixes or messages received, as a shell command
  std::string shut_down;           // with the words kWords
};

// RFC 9003: what the administrator said; empty where the program has no way to say it.
constexpr const char* kWords = "moving to row 7";

std::vector<Other> others() {
  return {
      {"bird",
       "198.51.101.0/24",
       {},
       "",
       "65001:1:2",
       "birdc show route 10.9.0.0/24",
       "birdc reload in speaker",
       "birdc show protocols all speaker | awk '/Import updates/ {print $3}'",
       "birdc disable speaker '\"moving to row 7\"'"},
      {"frr",
       "198.51.102.0/24",
       {},
       "",
       "65002:1:2",
       "vtysh -c 'show ip bgp 10.9.0.0/24'",
       "vtysh -c 'clear bgp 10.2.0.1 in'",
       "vtysh -c 'show bgp neighbors 10.2.0.1' | awk '/Updates:/ {print $3}'",
       "vtysh -c 'conf t' -c 'router bgp 65002' -c "
       "'neighbor 10.2.0.1 shutdown message moving to row 7'"},
      {"gobgp",
       "198.51.103.0/24",
       {"gobgpd", "-f", "/etc/gobgp/gobgp.toml", "--pprof-disable"},
       "gobgp global rib add 198.51.103.0/24 large-community 65003:1:2",
       "65003:1:2",
       "gobgp global rib",
       "",  // softresetin judges anew what it has, without a message
       "",
       "gobgp neighbor 10.3.0.1 disable --reason 'moving to row 7'"},
      {"openbgpd",
       "198.51.104.0/24",
       {"sh", "-c", "mkdir -p /run/openbgpd && exec /usr/sbin/bgpd -d -f /etc/openbgpd.conf"},
       "",
       "65004:1:2",
       "bgpctl -s /run/bgpd.sock show rib",
       "bgpctl -s /run/bgpd.sock neighbor 10.4.0.1 refresh",
       "bgpctl -s /run/bgpd.sock show neighbor 10.4.0.1 | awk '/Updates/ {print $3; exit}'",
       "bgpctl -s /run/bgpd.sock neighbor 10.4.0.1 down 'moving to row 7'"},
      {"exabgp",
       "198.51.105.0/24",
       {"env",
        "exabgp.daemon.user=root",
        "exabgp.daemon.daemonize=false",
        "exabgp.api.cli=false",
        "exabgp.api.ack=false",  // else it argues with what it starts
        "/usr/sbin/exabgp",
        "/etc/exabgp.conf"},
       "",
       "65005:1:2",
       "cat /run/heard.json",
       "",
       "",
       ""},
  };
}

class Sessions {
 public:
  Sessions() {
    LabOptions options;
    options.name = "it-sessions";
    options.bin_dir = MARGAY_BINARY_DIR "/bin";
    options.replace = true;
    auto up = Lab::up(MARGAY_SOURCE_DIR "/tests/interop/sessions/sessions.clab.yml", options);
    REQUIRE_MESSAGE(up, (up ? "" : up.error().text));
    cluster_ = std::make_unique<Cluster>(std::move(*up));
    start_speaker();
    for (const Other& other : all) {
      if (!other.start.empty()) {
        const auto started = node(other.name).spawn("main", other.start);
        REQUIRE_MESSAGE(started, (started ? "" : started.error().text));
      }
    }
  }

  Cluster& cluster() { return *cluster_; }
  Node& node(const std::string& name) { return cluster_->lab().node(name); }
  void start_speaker() {
    const auto started =
        node("speaker").spawn("main", {"margay-bgpd", "--config", "/etc/margay/bgpd.yaml"});
    REQUIRE_MESSAGE(started, (started ? "" : started.error().text));
    speaker_ = *started;
  }
  void kill_speaker() {
    send_signal(speaker_, SIGKILL);
    REQUIRE(wait_gone(speaker_, kDeadline));
  }
  std::string neighbor(const Other& other) {
    return cluster_->ctl_on("speaker", {"bgp", "neighbors", other.name, "-o", "json"}).out;
  }
  std::string routes() { return cluster_->ctl_on("speaker", {"bgp", "routes", "-o", "json"}).out; }
  bool has_route(const Other& other) {
    return !node("speaker").exec({"ip", "route", "show", other.prefix, "proto", "91"}).out.empty();
  }
  bool whole(const Other& other) {
    return contains(neighbor(other), "Established") && has_route(other) &&
           contains(node(other.name).shell(other.heard).out, "10.9.0.0/24");
  }
  void wait_whole(const Other& other) {
    CAPTURE(other.name);
    if (!other.announce.empty()) {
      REQUIRE(wait_until([&] { return node(other.name).shell(other.announce).ok(); },
                         kDeadline,
                         milliseconds(100)));
    }
    REQUIRE_MESSAGE(wait_until([&] { return whole(other); }, kDeadline, milliseconds(100)),
                    neighbor(other),
                    node(other.name).shell(other.heard).out,
                    node("speaker").read_log("main"));
  }

  const std::vector<Other> all = others();

 private:
  std::unique_ptr<Cluster> cluster_;
  ProcessId speaker_;
};

// Packets from the host to an address behind the peer while something happens. None may be lost.
class Traffic {
 public:
  Traffic(Sessions& sessions, const std::string& peer, const std::string& address)
      : sessions_(sessions) {
    const auto served = sessions.node(peer).spawn(
        "serve", {"margay-probe", "serve", "--bind", address, "--udp", "80"});
    REQUIRE(served);
    server_ = *served;
    REQUIRE(wait_until([&] { return contains(sessions.node(peer).read_log("serve"), "ready"); },
                       seconds(5)));
    const auto started =
        sessions.cluster().start_stream("host", address + ":80", "stream", {"--rate=500"});
    REQUIRE(started);
    stream_ = *started;
  }
  void ends_without_loss() {
    const auto report = sessions_.cluster().end_stream("host", "stream", stream_);
    send_signal(server_, SIGKILL);
    REQUIRE(report);
    MESSAGE(report->sent, " packets, ", report->lost, " lost");
    CHECK(report->sent > 100);
    CHECK(report->lost == 0);
  }

 private:
  Sessions& sessions_;
  ProcessId server_;
  ProcessId stream_;
};

}  // namespace

TEST_SUITE("interop.sessions") {
  TEST_CASE(
      "every implementation: passwords, TTL security, large communities, refresh, last words") {
    Sessions sessions;
    for (const Other& other : sessions.all) {
      sessions.wait_whole(other);
    }
    const std::string routes = sessions.routes();
    for (const Other& other : sessions.all) {
      CAPTURE(other.name);
      CHECK(contains(routes, other.large));
      if (other.refresh.empty()) {
        continue;
      }
      const auto counted = [&] { return sessions.node(other.name).shell(other.refreshed).out; };
      const std::string before = counted();
      const ExecResult asked = sessions.node(other.name).shell(other.refresh);
      CHECK_MESSAGE(asked.ok(), asked.out, asked.err);
      CHECK_MESSAGE(wait_until([&] { return counted() != before; }, seconds(10)), before);
      CHECK(sessions.whole(other));
    }
    // Not from further away than a hop: the wire's other end says so from now on.
    REQUIRE(sessions.node("bird")
                .shell("nft 'table inet far { chain out { type filter hook output priority 0; "
                       "tcp dport 179 ip ttl set 254; tcp sport 179 ip ttl set 254; }; }'")
                .ok());
    CHECK(wait_until([&] { return !contains(sessions.neighbor(sessions.all[0]), "Established"); },
                     seconds(20)));
    REQUIRE(sessions.node("bird").exec({"nft", "delete", "table", "inet", "far"}).ok());
    sessions.wait_whole(sessions.all[0]);

    for (const Other& other : sessions.all) {
      CAPTURE(other.name);
      if (other.shut_down.empty()) {
        continue;
      }
      const ExecResult done = sessions.node(other.name).shell(other.shut_down);
      CHECK_MESSAGE(done.ok(), done.out, done.err);
      // GoBGP 3.10 leaves them out.
      const std::string words = other.name == "gobgp" ? "administrative shutdown" : kWords;
      CHECK_MESSAGE(
          wait_until([&] { return contains(sessions.neighbor(other), words); }, seconds(10)),
          sessions.neighbor(other));
      CHECK(wait_until([&] { return !sessions.has_route(other); }, seconds(10)));
    }
  }

  TEST_CASE("BIRD and FRR: no packet is lost when we are killed, nor when they are") {
    Sessions sessions;
    for (const Other& other : sessions.all) {
      sessions.wait_whole(other);
    }
    CHECK(contains(sessions.neighbor(sessions.all[0]), "extended-message"));
    struct Target {
      const Other& other;
      std::string address;
      std::string process;
    };
    const Target targets[] = {{sessions.all[0], "198.51.101.1", "bird"},
                              {sessions.all[1], "198.51.102.1", "bgpd"}};
    for (const Target& target : targets) {
      CAPTURE(target.other.name);
      Node& peer = sessions.node(target.other.name);
      {
        MESSAGE(target.other.name, ": margay-bgpd is killed and started");
        Traffic traffic(sessions, target.other.name, target.address);
        sessions.kill_speaker();
        CHECK(sessions.has_route(target.other));
        sessions.start_speaker();
        for (const Other& other : sessions.all) {
          if (other.name == "bird" || other.name == "frr" || other.name == "gobgp") {
            sessions.wait_whole(other);
          }
        }
        traffic.ends_without_loss();
      }
      {
        MESSAGE(target.other.name, " is killed and started");
        Traffic traffic(sessions, target.other.name, target.address);
        for (const ProcessRecord& process : peer.main_processes()) {
          if (process.role == target.process) {
            send_signal(process.id, SIGKILL);
            REQUIRE(wait_gone(process.id, seconds(5)));
          }
        }
        CHECK(wait_until([&] { return !contains(sessions.neighbor(target.other), "Established"); },
                         seconds(10)));
        CHECK(sessions.has_route(target.other));
        const std::vector<std::string> bird{"bird", "-R", "-f", "-c", "/etc/bird/bird.conf"};
        const std::vector<std::string> frr{"/usr/lib/frr/bgpd", "-f", "/etc/frr/frr.conf"};
        REQUIRE(peer.spawn("again", target.other.name == "bird" ? bird : frr));
        sessions.wait_whole(target.other);
        traffic.ends_without_loss();
      }
    }
  }
}

}  // namespace margay::lab
