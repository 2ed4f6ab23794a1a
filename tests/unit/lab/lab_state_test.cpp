#include "tests/lab/lab_state.h"

#include <doctest/doctest.h>

#include <fstream>
#include <unistd.h>

namespace margay::lab {
namespace {

std::filesystem::path a_root() {
  return std::filesystem::temp_directory_path() /
         ("margay-lab-state-" + std::to_string(::getpid()));
}

}  // namespace

TEST_SUITE("lab.state") {
  TEST_CASE("what was recorded is read back, pods that left are not") {
    LabState state(a_root(), "one");
    REQUIRE(state.create("/x/one.clab.yml"));
    REQUIRE(state.add_process({"n1", "holder", {1, 2}}));
    REQUIRE(state.add_pod({"p1", "default", "n1", "c1", "10.0.0.1"}));
    REQUIRE(state.add_pod({"p2", "default", "n1", "c2", "10.0.0.2"}));
    REQUIRE(state.remove_pod("p1"));
    const auto record = LabState(a_root(), "one").read();
    REQUIRE(record);
    CHECK(record->topology_file == "/x/one.clab.yml");
    REQUIRE(record->processes.size() == 1);
    CHECK(record->processes[0].id == ProcessId{1, 2});
    REQUIRE(record->pods.size() == 1);
    CHECK(record->pods[0].address == "10.0.0.2");
    CHECK(list_labs(a_root()) == std::vector<std::string>{"one"});
    // pid 1 lives, but is not the recorded process: destroy leaves it alone.
    CHECK(state.destroy());
    CHECK(state.destroy());
    CHECK(list_labs(a_root()).empty());
    std::filesystem::remove_all(a_root());
  }

  TEST_CASE("a line that a crash cut short is ignored") {
    LabState state(a_root(), "cut");
    REQUIRE(state.create("/x"));
    std::ofstream(state.dir() / "record", std::ios::app) << "process n1 bird 12";
    const auto record = state.read();
    REQUIRE(record);
    CHECK(record->processes.empty());
    CHECK(state.destroy());
    std::filesystem::remove_all(a_root());
  }
}

}  // namespace margay::lab
