// Several paths of a prefix to and from BIRD 2, FRR and GoBGP (RFC 7911), and routes that outlive a
// dead speaker, ours or BIRD's, as the last choice (RFC 9494).

#include "tests/interop/support/speaker_lab.h"
#include "tests/lab/wait.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <string>
#include <vector>

namespace margay::bgp::test {
namespace {

using std::chrono::seconds;

constexpr seconds kDeadline{40};
constexpr seconds kRestartTime{3};  // of all configurations

class Scenario : public SpeakerLab {
 public:
  Scenario() : SpeakerLab("paths") {
    start_main();
    start_bird();
    start("gobgp", {"gobgpd", "-f", "/etc/gobgp/gobgp.toml", "--pprof-disable"});
    CHECK(lab::wait_until(
        [&] { return node("gobgp").shell("gobgp global rib add 198.51.100.0/24 origin igp").ok(); },
        kDeadline));
  }

  void start_main() { speaker_ = start_speaker(); }
  void start_bird() {
    bird_ =
        start("bird", {"sh", "-c", "mkdir -p /run/bird && exec bird -f -R -c /etc/bird/bird.conf"});
  }
  void kill_speaker() { lab::send_signal(speaker_, SIGKILL); }
  void kill_bird() { lab::send_signal(bird_, SIGKILL); }

  std::string bird(const std::string& prefix) {
    return node("bird").shell("birdc show route " + prefix + " all").out;
  }
  std::string frr(const std::string& prefix) {
    return vtysh("frr", "show bgp ipv4 unicast " + prefix);
  }
  std::string gobgp(const std::string& prefix) {
    return node("gobgp").shell("gobgp global rib " + prefix).out;
  }

 private:
  lab::ProcessId speaker_;
  lab::ProcessId bird_;
};

constexpr const char* kShared = "198.51.100.0/24";  // told by all three
constexpr const char* kOfBird = "198.51.110.0/24";
constexpr const char* kOurs = "192.0.2.0/24";

// The answer holds every one of these.
template <typename Ask>
void expect(const Ask& ask, const std::vector<std::string>& parts, Scenario& scenario) {
  std::string answer;
  const bool all = lab::wait_until(
      [&] {
        answer = ask();
        return std::ranges::all_of(parts,
                                   [&](const std::string& part) { return contains(answer, part); });
      },
      kDeadline);
  CHECK_MESSAGE(all, answer, scenario.log());
}

}  // namespace

TEST_SUITE("interop.paths") {
  TEST_CASE(
      "BIRD, FRR and GoBGP hear every path of a prefix, and two of BIRD's paths share traffic") {
    Scenario scenario;
    expect([&] { return scenario.bird(kShared); }, {"65000 65002", "65000 65003"}, scenario);
    expect([&] { return scenario.frr(kShared); }, {"65000 65001", "65000 65003"}, scenario);
    expect([&] { return scenario.gobgp(kShared); }, {"65000 65001", "65000 65002"}, scenario);
    expect([&] { return scenario.kernel_route(kShared); },
           {"via 10.1.0.2", "via 10.1.0.3", "via 10.2.0.2", "via 10.3.0.2"},
           scenario);
    const std::string told = scenario.ctl(std::string("export 10.2.0.2 ") + kShared);
    CHECK_MESSAGE(contains(told, "learnt from this peer"), told);
    CHECK_MESSAGE(contains(told, "65000 65003"), told);

    // One path of two goes: FRR hears that, and keeps the others.
    REQUIRE(scenario.node("bird").shell("birdc disable two").ok());
    std::string route;
    CHECK_MESSAGE(lab::wait_until(
                      [&] {
                        route = scenario.kernel_route(kShared);
                        return contains(route, "via 10.1.0.2") && !contains(route, "10.1.0.3");
                      },
                      kDeadline),
                  route);
    expect([&] { return scenario.frr(kShared); }, {"65000 65001", "65000 65003"}, scenario);
  }

  TEST_CASE("routes of a speaker that died stay for those who know what that means") {
    Scenario scenario;
    expect([&] { return scenario.kernel_route(kOfBird); }, {"via 10.1.0.2"}, scenario);
    expect([&] { return scenario.gobgp(kOfBird); }, {"65000 65001"}, scenario);
    expect([&] { return scenario.bird(kOurs); }, {"BGP.as_path: 65000"}, scenario);

    SUBCASE("BIRD dies: its routes stay, marked for FRR, and GoBGP hears no more of them") {
      scenario.kill_bird();
      CHECK_MESSAGE(lab::wait_until([&] { return !contains(scenario.gobgp(kOfBird), "65001"); },
                                    kRestartTime + kDeadline),
                    scenario.log());
      expect([&] { return scenario.frr(kOfBird); }, {"65000 65001", "llgr-stale"}, scenario);
      CHECK(contains(scenario.kernel_route(kOfBird), "via 10.1.0.2"));
      CHECK(contains(scenario.ctl(std::string("routes ") + kOfBird), "65535:6"));
      const std::string told = scenario.ctl(std::string("export 10.3.0.2 ") + kOfBird);
      CHECK_MESSAGE(contains(told, "long-lived stale"), told);
      scenario.start_bird();
      expect([&] { return scenario.gobgp(kOfBird); }, {"65000 65001"}, scenario);
    }
    SUBCASE("we die: BIRD keeps our route and marks it") {
      scenario.kill_speaker();
      expect([&] { return scenario.bird(kOurs); }, {"(65535,6)"}, scenario);
      scenario.start_main();
      CHECK(lab::wait_until(
          [&] {
            const std::string route = scenario.bird(kOurs);
            return contains(route, "BGP.as_path: 65000") && !contains(route, "(65535,6)");
          },
          kDeadline));
    }
  }
}

}  // namespace margay::bgp::test
