// Every topology of containerlab/, brought up, checked and taken down as its README says.

#include "tests/lab/lab.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <string>
#include <vector>

namespace margay::lab {
namespace {

namespace fs = std::filesystem;

ExecResult margay_lab(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), MARGAY_BINARY_DIR "/bin/margay-lab");
  Command command;
  command.argv = std::move(arguments);
  command.env = {{"PATH", kSystemPath}};
  command.timeout = std::chrono::minutes(5);
  auto done = run(command);
  return done ? *done : ExecResult{kCannotStart, "", done.error().text};
}

std::vector<std::string> topologies() {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(MARGAY_SOURCE_DIR "/containerlab")) {
    if (fs::exists(entry.path() / "check.sh")) {
      names.push_back(entry.path().filename());
    }
  }
  std::ranges::sort(names);
  return names;
}

}  // namespace

TEST_SUITE("functional.fabric.topologies") {
  TEST_CASE("every topology comes up, passes its own check and leaves nothing behind") {
    const std::vector<std::string> names = topologies();
    REQUIRE(names.size() >= 7);
    for (const std::string& name : names) {
      CAPTURE(name);
      const std::string file =
          fmt::format("{}/containerlab/{}/{}.clab.yml", MARGAY_SOURCE_DIR, name, name);
      const ExecResult up = margay_lab({"up", file, "--replace"});
      CHECK_MESSAGE(up.ok(), up.out, up.err);
      if (up.ok()) {
        const ExecResult check = margay_lab({"check", file});
        CHECK_MESSAGE(check.ok(), check.out, check.err);
        CHECK(check.out.find("\n0 failed\n") != std::string::npos);
      }
      CHECK(margay_lab({"down", file}).ok());
      CHECK(!fs::exists("/run/netns/" + name + "-node1"));
    }
  }
}

}  // namespace margay::lab
