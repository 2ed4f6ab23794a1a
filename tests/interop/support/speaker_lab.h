#pragma once
// A lab of tests/interop with margay-bgpd on its node "speaker", and the questions that all of its
// tests ask. For a doctest program: what cannot be started ends the case.

#include "tests/lab/lab.h"

#include <doctest/doctest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace margay::bgp::test {

inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

class SpeakerLab {
 public:
  // tests/interop/NAME/NAME.clab.yml as the lab "it-NAME". `start_nodes`: the programs of its nodes
  // run, too; the speaker is the test's to start.
  explicit SpeakerLab(const std::string& name, bool start_nodes = true) {
    lab::LabOptions options;
    options.name = "it-" + name;
    options.bin_dir = MARGAY_BINARY_DIR "/bin";
    options.replace = true;
    options.start = start_nodes;
    auto up = lab::Lab::up(
        fmt::format("{}/tests/interop/{}/{}.clab.yml", MARGAY_SOURCE_DIR, name, name), options);
    REQUIRE_MESSAGE(up, (up ? "" : up.error().text));
    lab_ = std::make_unique<lab::Lab>(std::move(*up));
  }

  lab::Node& node(const std::string& name) { return lab_->node(name); }
  // Its log is that of "main".
  lab::ProcessId start(const std::string& name, const std::vector<std::string>& argv) {
    const auto started = node(name).spawn("main", argv);
    REQUIRE_MESSAGE(started, (started ? "" : started.error().text));
    return *started;
  }
  lab::ProcessId start_speaker(const std::string& name = "speaker") {
    return start(name, {"margay-bgpd", "--config", "/etc/margay/bgpd.yaml"});
  }
  std::string log(const std::string& name = "speaker") { return node(name).read_log("main"); }

  std::string ctl(const std::string& words) {
    return node("speaker").shell("margayctl bgp " + words).out;
  }
  // What the speaker put into its kernel for a network.
  std::string kernel_route(const std::string& net) {
    const std::string family = contains(net, ":") ? "-6" : "-4";
    return node("speaker").exec({"ip", family, "route", "show", net, "proto", "91"}).out;
  }
  std::string birdc(const std::string& at, const std::string& words) {
    return node(at).shell("birdc -s /run/bird/bird.ctl " + words).out;
  }
  std::string vtysh(const std::string& at, const std::string& words) {
    return node(at).exec({"vtysh", "-c", words}).out;
  }

 private:
  std::unique_ptr<lab::Lab> lab_;
};

}  // namespace margay::bgp::test
