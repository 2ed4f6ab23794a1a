#include "tests/lab/lab.h"
#include "tests/lab/wait.h"

#include <doctest/doctest.h>

// The switches of leaf-spine, without agents: what a test about Margay may take for granted.

namespace margay::lab {

TEST_SUITE("functional.fabric") {
  TEST_CASE("the switches of leaf-spine find each other and use both spines") {
    LabOptions options;
    options.name = "ft-fabric";
    options.start = false;
    options.run_exec = false;
    auto lab = Lab::up(
        std::filesystem::path(MARGAY_SOURCE_DIR) / "containerlab/leaf-spine/leaf-spine.clab.yml",
        options);
    REQUIRE_MESSAGE(lab, (lab ? "" : lab.error().text));
    for (const char* name : {"spine1", "spine2", "leaf1", "leaf2"}) {
      Node& node = lab->node(name);
      for (const std::string& line : node.spec().exec) {
        REQUIRE(node.exec(*split_command(line)).ok());
      }
      const auto started = node.start();
      REQUIRE_MESSAGE(started, (started ? "" : started.error().text));
      CHECK(node.running());
    }
    const auto two_paths = [&](const char* node, const char* to) {
      const std::string route = lab->node(node).exec({"ip", "route", "show", to}).out;
      const auto first = route.find("nexthop via");
      return first != std::string::npos &&
             route.find("nexthop via", first + 1) != std::string::npos;
    };
    const auto converged = [&] {
      return two_paths("leaf1", "10.255.0.12") && two_paths("leaf2", "10.255.0.11");
    };
    // The leaves may know both ways before the spines know the way back.
    const auto reaches = [&] {
      return lab->node("leaf1")
          .exec({"ping", "-c", "1", "-W", "1", "-I", "10.255.0.11", "10.255.0.12"})
          .ok();
    };
    CHECK(wait_until(converged, std::chrono::seconds(20)));
    CHECK(wait_until(reaches, std::chrono::seconds(10)));

    REQUIRE(lab->node("spine2").shell("ip link set eth1 down").ok());
    CHECK(wait_until([&] { return !two_paths("leaf1", "10.255.0.12"); }, std::chrono::seconds(20)));
    CHECK(wait_until(reaches, std::chrono::seconds(10)));
    REQUIRE(lab->node("spine2").shell("ip link set eth1 up").ok());
    CHECK(wait_until(converged, std::chrono::seconds(30)));

    REQUIRE(lab->node("leaf2").kill());
    CHECK(!lab->node("leaf2").running());
    const auto restarted = lab->node("leaf2").start();
    REQUIRE_MESSAGE(restarted, (restarted ? "" : restarted.error().text));
    CHECK(wait_until(converged, std::chrono::seconds(30)));
  }
}

}  // namespace margay::lab
