// Peers that are not named but by their network: BIRD 2 comes, stays within the limit, needs the
// password, keeps its routes while it restarts, and is forgotten afterwards.

#include "tests/interop/support/speaker_lab.h"
#include "tests/lab/wait.h"

#include <doctest/doctest.h>

#include <chrono>
#include <string>

namespace margay::bgp::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr seconds kDeadline{30};
constexpr seconds kRestartTime{6};  // configs/*.conf

class Scenario : public SpeakerLab {
 public:
  Scenario() : SpeakerLab("dynamic", false) { start_speaker(); }

  void start_node(const std::string& name) {
    const auto started = node(name).start();
    REQUIRE_MESSAGE(started, (started ? "" : started.error().text));
  }
  std::string peers() { return ctl("peers"); }
  bool established(const std::string& name) {
    const std::string all = peers();
    const auto line = all.find(name);
    return line != std::string::npos &&
           contains(all.substr(line, all.find('\n', line) - line), "Established");
  }
  bool routed(const std::string& net) { return !kernel_route(net).empty(); }
  std::string bird(const std::string& at) { return birdc(at, "show protocols all speaker"); }
};

template <typename Condition>
bool soon(const Condition& condition) {
  return lab::wait_until(condition, kDeadline, milliseconds(100));
}

}  // namespace

TEST_SUITE("interop.dynamic") {
  TEST_CASE("who connects from the network is a peer while it is there, up to the limit") {
    Scenario scenario;
    scenario.start_node("one");
    scenario.start_node("two");
    REQUIRE_MESSAGE(soon([&] {
                      return scenario.established("nodes-10.1.1.2") &&
                             scenario.established("nodes-10.1.2.2") &&
                             scenario.routed("10.9.1.0/24") && scenario.routed("10.9.2.0/24");
                    }),
                    scenario.peers(),
                    scenario.log());
    CHECK(soon([&] { return contains(scenario.bird("one"), "2 imported"); }));  // ours and two's

    MESSAGE("a third one is refused");
    scenario.start_node("three");
    CHECK_MESSAGE(soon([&] { return contains(scenario.bird("three"), "Connection rejected"); }),
                  scenario.bird("three"));
    CHECK_FALSE(contains(scenario.peers(), "10.1.3.2"));
    CHECK(contains(scenario.log(), "the limit of dynamic peers is reached"));

    MESSAGE("one that was killed keeps its place and its routes while it may come back");
    const auto begun = std::chrono::steady_clock::now();
    REQUIRE(scenario.node("one").kill());
    REQUIRE(soon([&] { return !scenario.established("nodes-10.1.1.2"); }));
    CHECK(scenario.routed("10.9.1.0/24"));
    CHECK(contains(scenario.peers(), "nodes-10.1.1.2"));
    CHECK_MESSAGE(soon([&] {
                    return !contains(scenario.peers(), "nodes-10.1.1.2") &&
                           !scenario.routed("10.9.1.0/24");
                  }),
                  scenario.peers());
    CHECK(std::chrono::steady_clock::now() - begun >= kRestartTime - seconds(1));

    MESSAGE("then there is room");
    CHECK_MESSAGE(soon([&] {
                    return scenario.established("nodes-10.1.3.2") && scenario.routed("10.9.3.0/24");
                  }),
                  scenario.peers());

    MESSAGE("without the password there is no connection");
    REQUIRE(scenario.node("three").stop());
    REQUIRE(soon([&] { return !contains(scenario.peers(), "10.1.3.2"); }));
    const auto connects = [&scenario](const char* from, const char* to) {
      return scenario.node(from).exec({"margay-probe", "connect", to, "--timeout=2s"}).ok();
    };
    CHECK(connects("speaker", "127.0.0.1:179"));  // outside the network there is none
    CHECK_FALSE(connects("one", "10.1.1.1:179"));
    CHECK_FALSE(contains(scenario.peers(), "nodes-10.1.1.2"));
  }
}

}  // namespace margay::bgp::test
