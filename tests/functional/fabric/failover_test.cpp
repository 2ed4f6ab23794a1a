// A switch or a reflector dies under traffic between pods, three ways: its processes are killed,
// its wires go down, and all of it falls silent at once as when the power is gone. What the pods
// lose is counted in packets.

#include "tests/functional/support/cluster.h"
#include "tests/lab/wait.h"

#include <doctest/doctest.h>

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace margay::lab {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr unsigned kRate = 200;  // packets a second and stream
constexpr unsigned kFlows = 4;   // in each direction: some take the one way, some the other
constexpr auto kDuration = "--duration=3s";
constexpr seconds kConverge{40};

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t found = 0;
  for (auto at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) {
    ++found;
  }
  return found;
}

enum class Fault { kKilled, kWires, kSilent };
constexpr const char* to_text(Fault fault) {
  switch (fault) {
    case Fault::kKilled:
      return "its processes are killed";
    case Fault::kWires:
      return "its wires go down";
    case Fault::kSilent:
      return "all of it falls silent";
  }
  return "";
}

class Fabric {
 public:
  Fabric(const std::string& topology, const std::string& near_node, const std::string& far_node) {
    LabOptions options;
    options.name = "ft-fail";
    options.replace = true;
    auto lab = Lab::up(
        fmt::format("{}/containerlab/{}/{}.clab.yml", MARGAY_SOURCE_DIR, topology, topology),
        options);
    REQUIRE_MESSAGE(lab, (lab ? "" : lab.error().text));
    cluster_ = std::make_unique<Cluster>(std::move(*lab));
    for (const auto& [pod, node] : {std::pair(std::string("near"), near_node), {"far", far_node}}) {
      REQUIRE_MESSAGE(cluster_->wait_ready(node), cluster_->lab().node(node).read_log("margayd"));
      REQUIRE(cluster_->add_server(node, {.name = pod}, {{"udp", 80}}) == "");
    }
  }

  Cluster& cluster() { return *cluster_; }
  Node& node(const std::string& name) { return cluster_->lab().node(name); }
  std::string address(const std::string& pod) { return cluster_->lab().pod(pod).address; }
  // How many equal ways the node has to an address.
  std::size_t ways(const std::string& from, const std::string& to) {
    return count(node(from).exec({"ip", "route", "show", "match", to, "table", "main"}).out,
                 "nexthop via");
  }
  // Sessions of the node whose BFD is up.
  std::size_t watched(const std::string& name) {
    return count(cluster_->ctl_on(name, {"bgp", "peers", "-o", "json"}).out, "\"Up\"");
  }
  std::uint64_t forwarded(const std::string& name) {
    const std::string text =
        node(name).shell("sed -n '/^Ip: [0-9]/p' /proc/net/snmp | cut -d' ' -f7").out;
    return text.empty() ? 0 : std::stoull(text);
  }

  void strike(const std::string& victim, Fault fault) {
    switch (fault) {
      case Fault::kKilled:
        REQUIRE(node(victim).kill());
        return;
      case Fault::kWires:
        REQUIRE(node(victim).shell(each_wire("down")).ok());
        return;
      case Fault::kSilent:
        // Not a word of a closing connection gets out.
        REQUIRE(node(victim)
                    .shell("nft 'table inet dead { "
                           "chain in { type filter hook prerouting priority -400; drop; }; "
                           "chain out { type filter hook output priority -400; drop; }; }'")
                    .ok());
        REQUIRE(node(victim).kill());
        return;
    }
  }
  void repair(const std::string& victim, Fault fault) {
    if (fault == Fault::kWires) {
      REQUIRE(node(victim).shell(each_wire("up")).ok());
      return;
    }
    if (fault == Fault::kSilent) {
      REQUIRE(node(victim).exec({"nft", "delete", "table", "inet", "dead"}).ok());
    }
    const auto started = node(victim).start();
    REQUIRE_MESSAGE(started, (started ? "" : started.error().text));
  }

 private:
  static std::string each_wire(const std::string& state) {
    return "for wire in /sys/class/net/eth*; do ip link set ${wire##*/} " + state + "; done";
  }

  std::unique_ptr<Cluster> cluster_;
};

struct Stream {
  std::string from;
  std::string role;
  ProcessId process;
};

std::vector<Stream> start_traffic(Fabric& fabric) {
  std::vector<Stream> streams;
  for (unsigned i = 0; i < kFlows; ++i) {
    for (const auto& [from, to] : {std::pair("near", "far"), {"far", "near"}}) {
      const std::string role = fmt::format("stream{}", i);
      const auto process = fabric.cluster().start_stream(
          from, fabric.address(to) + ":80", role, {fmt::format("--rate={}", kRate), kDuration});
      REQUIRE(process);
      streams.push_back({from, role, *process});
    }
  }
  return streams;
}

// The victim is struck while packets flow; if `carries`, some of them through it. No stream may
// lose as much as a second.
void dies(Fabric& fabric, const std::string& victim, Fault fault, bool carries) {
  CAPTURE(victim);
  CAPTURE(std::string(to_text(fault)));
  const std::uint64_t before = carries ? fabric.forwarded(victim) : 0;
  const std::vector<Stream> streams = start_traffic(fabric);
  if (carries) {
    constexpr std::uint64_t kSome = 40;
    REQUIRE(wait_until([&] { return fabric.forwarded(victim) > before + kSome; }, seconds(2)));
  }
  fabric.strike(victim, fault);
  std::uint64_t worst = 0;
  for (const Stream& stream : streams) {
    REQUIRE(wait_gone(stream.process, seconds(15)));
    const auto report = fabric.cluster().end_stream(stream.from, stream.role, stream.process);
    REQUIRE(report);
    CHECK(report->lost < kRate);
    CHECK(report->longest_gap_ms < 1000);
    CHECK(report->received > kRate);
    worst = std::max(worst, report->lost);
  }
  MESSAGE(victim,
          ", ",
          std::string(to_text(fault)),
          ": at most ",
          worst * 1000 / kRate,
          " ms of a stream lost");
  fabric.repair(victim, fault);
}

// Wires last: when one is back, FRR 8 does not put a second next hop into its kernel again.
constexpr Fault kFaults[] = {Fault::kKilled, Fault::kSilent, Fault::kWires};

}  // namespace

TEST_SUITE("functional.fabric.failover") {
  TEST_CASE("leaf-spine, with and without addresses: a spine that dies costs less than a second") {
    // On the leaves; without addresses the nodes are watched, too.
    for (const auto& [topology, watched] :
         {std::pair("leaf-spine", 2U), {"leaf-spine-unnumbered", 4U}}) {
      CAPTURE(std::string(topology));
      Fabric fabric(topology, "node1", "node3");
      const auto whole = [&, watched = watched] {
        return fabric.ways("leaf1", fabric.address("far")) == 2 &&
               fabric.ways("leaf2", fabric.address("near")) == 2 &&
               count(fabric.node("leaf1").exec({"birdc", "show", "bfd", "sessions"}).out, " Up ") ==
                   watched &&
               count(fabric.node("leaf2").exec({"vtysh", "-c", "show bfd peers"}).out,
                     "Status: up") == watched;
      };
      for (const Fault fault : kFaults) {
        REQUIRE(wait_until(whole, kConverge, milliseconds(200)));
        dies(fabric, "spine1", fault, true);
      }
    }
  }

  TEST_CASE("multi-rack-ebgp: a spine or a leaf that dies costs less than a second") {
    Fabric fabric("multi-rack-ebgp", "node1", "node4");
    const auto whole = [&] {
      return fabric.ways("node1", fabric.address("far")) == 2 &&
             fabric.ways("node4", fabric.address("near")) == 2 &&
             fabric.ways("tor1a", fabric.address("far")) == 2 &&
             fabric.ways("spine1", fabric.address("far")) == 2 &&
             fabric.ways("spine1", fabric.address("near")) == 2 && fabric.watched("node1") == 2 &&
             fabric.watched("node4") == 2 && fabric.watched("spine1") == 6;
    };
    for (const char* victim : {"spine1", "tor1a", "tor3b"}) {
      for (const Fault fault : kFaults) {
        REQUIRE(wait_until(whole, kConverge, milliseconds(200)));
        dies(fabric, victim, fault, true);
      }
    }
  }

  TEST_CASE("route-reflector: a reflector that dies costs less than a second") {
    Fabric fabric("route-reflector", "node1", "node6");
    const auto whole = [&] {
      const std::string routes = fabric.cluster().ctl({"bgp", "routes", "-o", "json"}).out;
      return fabric.watched("node1") == 2 && fabric.watched("node6") == 2 &&
             count(routes, "244.0.0.1") >= 2 &&
             fabric.cluster().connects("near", fabric.address("far") + ":80", "udp");
    };
    for (const Fault fault : kFaults) {
      REQUIRE(wait_until(whole, kConverge, milliseconds(200)));
      dies(fabric, "rr1", fault, false);
    }
  }
}

}  // namespace margay::lab
