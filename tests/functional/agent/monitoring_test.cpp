// What the store says of who sees the sessions: a collector, MRT files, records.

#include "tests/functional/agent/world.h"
#include "tests/lab/wait.h"

#include <doctest/doctest.h>

#include <string>

namespace margay::lab {
namespace {

using std::chrono::seconds;

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_SUITE("functional.agent.monitoring") {
  TEST_CASE("a BGPConfiguration gives an agent a collector and MRT files, and closes no session") {
    const auto cluster = make_cluster("leaf-spine", "ft-monitoring");
    REQUIRE_MESSAGE(cluster->wait_ready("node1"), cluster->lab().node("node1").read_log("margayd"));
    const Node& node = cluster->lab().node("node1");
    const auto peers = [&] { return cluster->ctl({"bgp", "peers", "-o", "json"}).out; };
    const auto becomes = [&](const std::string& part) {
      return wait_until([&] { return contains(peers(), part); }, seconds(30));
    };
    REQUIRE(wait_until([&] { return cluster->all_sessions_up("node1"); }, seconds(30)));
    const std::string spec =
        R"({"spec": {"margay": {"bmp": [{"address": "127.0.0.1"}], "mrt": {"directory": "/run/mrt"}}}})";
    REQUIRE(cluster->ctl({"patch", "bgpconfiguration", "default", "-p", spec}).ok());
    CHECK(becomes("\"state\": \"away\""));
    const auto listening =
        node.spawn("collector", {"sh", "-c", "sleep 120 | busybox nc -l -p 11019 > /run/bmp"});
    REQUIRE_MESSAGE(listening, (listening ? "" : listening.error().text));
    CHECK_MESSAGE(becomes("\"state\": \"in sync\""), peers());
    // Initiation, then Peer Up (RFC 7854 section 4.1).
    CHECK(wait_until(
        [&] {
          return contains(node.shell("od -An -tx1 -N6 /run/bmp").out, "03 00 00") &&
                 contains(node.shell("od -An -tx1 -j5 -N1 /run/bmp").out, "04");
        },
        seconds(10)));

    const ExecResult dumped = cluster->ctl({"bgp", "dump-table"});
    CHECK_MESSAGE(contains(dumped.out, "written to /run/mrt/table."), dumped.out, dumped.err);
    std::string table;
    CHECK_MESSAGE(wait_until(
                      [&] {
                        table = node.shell("bgpdump -q -m /run/mrt/table.*.mrt").out;
                        return contains(table, "TABLE_DUMP2|") && contains(table, "|172.16.1.1|");
                      },
                      seconds(10)),
                  table);
    CHECK(cluster->all_sessions_up("node1"));
    CHECK_FALSE(contains(node.read_log("margayd"), "session lost"));

    const std::string none = R"({"spec": {"margay": null}})";
    REQUIRE(cluster->ctl({"patch", "bgpconfiguration", "default", "-p", none}).ok());
    CHECK(wait_until([&] { return !contains(peers(), "11019"); }, seconds(30)));
    CHECK_FALSE(contains(node.read_log("margayd"), "session lost"));
  }
}

}  // namespace margay::lab
