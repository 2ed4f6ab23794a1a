// BFD with BIRD 2 (single hop for IPv4, multihop for IPv6) and FRR: who goes silent is found out in
// less than 3.5 intervals, far below the hold time, and is taken back when it speaks again.

#include "tests/interop/support/speaker_lab.h"
#include "tests/lab/wait.h"

#include <doctest/doctest.h>

#include <chrono>
#include <csignal>
#include <string>

namespace margay::bgp::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Steady = std::chrono::steady_clock;

constexpr milliseconds kInterval{300};
constexpr milliseconds kDetection = kInterval * 7 / 2;
constexpr seconds kDeadline{30};

class Scenario : public SpeakerLab {
 public:
  Scenario() : SpeakerLab("bfd"), speaker_(start_speaker()) {}
  ~Scenario() { lab::send_signal(speaker_, SIGCONT); }
  Scenario(const Scenario&) = delete;
  Scenario& operator=(const Scenario&) = delete;

  void signal(int number) { lab::send_signal(speaker_, number); }

  bool routed(const std::string& prefix) { return !kernel_route(prefix).empty(); }
  std::string bird(const std::string& what) { return birdc("bird", "show " + what); }
  std::string frr(const std::string& what) { return vtysh("frr", "show " + what); }
  // BFD on both sides of every session, and the routes.
  bool all_up() {
    const std::string sessions = bird("bfd sessions");
    return routed("198.51.100.0/24") && routed("2001:db8:98::/48") && routed("203.0.113.0/24") &&
           contains(sessions, "10.1.0.1 ") && !contains(sessions, "Down") &&
           !contains(sessions, "Init") && contains(frr("bfd peers"), "Status: up");
  }
  // For two seconds on end: a session that has just come up changes its pace first.
  bool stays_up() {
    unsigned in_a_row = 0;
    return lab::wait_until(
        [&] {
          constexpr unsigned kChecks = 20;
          in_a_row = all_up() ? in_a_row + 1 : 0;
          return in_a_row == kChecks;
        },
        kDeadline,
        milliseconds(100));
  }

 private:
  lab::ProcessId speaker_;
};

template <typename Condition>
milliseconds time_until(const Condition& condition) {
  const auto begun = Steady::now();
  CHECK(lab::wait_until(condition, kDeadline, milliseconds(2)));
  return std::chrono::duration_cast<milliseconds>(Steady::now() - begun);
}

constexpr const char* kCut =
    "nft 'table inet cut { chain in { type filter hook input priority -300; drop; }; chain out { "
    "type filter hook output priority -300; drop; }; }'";

}  // namespace

TEST_SUITE("interop.bfd") {
  TEST_CASE("a silent peer is found out in 3.5 intervals, by us and by BIRD and FRR") {
    Scenario scenario;
    REQUIRE_MESSAGE(scenario.stays_up(),
                    scenario.bird("bfd sessions"),
                    scenario.frr("bfd peers"),
                    scenario.node("speaker").read_log("main"));

    SUBCASE("BIRD goes silent") {
      REQUIRE(scenario.node("bird").shell(kCut).ok());
      CHECK(time_until([&] { return !scenario.routed("198.51.100.0/24"); }) < kDetection);
      CHECK(lab::wait_until([&] { return !scenario.routed("2001:db8:98::/48"); }, kInterval));
      CHECK_MESSAGE(scenario.routed("203.0.113.0/24"),  // no business of FRR's
                    scenario.node("speaker").read_log("main"));
      CHECK(contains(scenario.node("speaker").read_log("main"), "BFD"));
      REQUIRE(scenario.node("bird").exec({"nft", "flush", "ruleset"}).ok());
    }
    SUBCASE("FRR goes silent") {
      REQUIRE(scenario.node("frr").shell(kCut).ok());
      CHECK(time_until([&] { return !scenario.routed("203.0.113.0/24"); }) < kDetection);
      CHECK_MESSAGE(scenario.routed("198.51.100.0/24"), scenario.node("speaker").read_log("main"));
      REQUIRE(scenario.node("frr").exec({"nft", "flush", "ruleset"}).ok());
    }
    SUBCASE("we go silent") {
      scenario.signal(SIGSTOP);
      CHECK(time_until([&] {
              return !contains(scenario.bird("protocols speaker4"), "Established") &&
                     !contains(scenario.bird("protocols speaker6"), "Established");
            }) < kDetection);
      CHECK(lab::wait_until([&] { return contains(scenario.frr("bfd peers"), "Status: down"); },
                            kInterval));
      scenario.signal(SIGCONT);
    }
    CHECK(lab::wait_until([&] { return scenario.all_up(); }, kDeadline));
  }
}

}  // namespace margay::bgp::test
