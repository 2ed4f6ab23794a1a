// Messages above 4,096 bytes (RFC 8654) both ways, with BIRD 2; and a peer that takes none of them.

#include "tests/interop/support/speaker_lab.h"
#include "tests/lab/wait.h"

#include <doctest/doctest.h>

#include <chrono>
#include <string>

namespace margay::bgp::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr const char* kLong = "10.9.1.0/24";
constexpr const char* kShort = "10.9.2.0/24";

class ThreeBirds : public SpeakerLab {
 public:
  ThreeBirds() : SpeakerLab("extended") { start_speaker(); }
  std::string route(const std::string& at, const std::string& prefix) {
    return birdc(at, "show route all for " + prefix);
  }
  template <typename Condition>
  static bool soon(const Condition& condition) {
    return lab::wait_until(condition, seconds(30), milliseconds(200));
  }
};

}  // namespace

TEST_SUITE("interop.extended") {
  TEST_CASE(
      "a route of 7,200 bytes passes where both sides take it, and ends no session elsewhere") {
    ThreeBirds scenario;
    // The first and the last of its communities.
    const auto whole = [](const std::string& route) {
      return contains(route, "(65001, 1, 0)") && contains(route, "(65001, 1, 599)");
    };
    CHECK_MESSAGE(ThreeBirds::soon([&] { return whole(scenario.route("able", kLong)); }),
                  scenario.route("able", kLong),
                  scenario.ctl("neighbors long"));
    CHECK(contains(scenario.ctl(std::string("routes ") + kLong), "65001:1:599"));
    CHECK(ThreeBirds::soon(
        [&] { return contains(scenario.route("plain", kShort), "BGP.as_path: 65000 65001"); }));
    CHECK_FALSE(contains(scenario.route("plain", kLong), "BGP.as_path"));

    MESSAGE("it goes away as any other");
    (void)scenario.birdc("long", "disable lengthy");
    CHECK(
        ThreeBirds::soon([&] { return !contains(scenario.route("able", kLong), "BGP.as_path"); }));
    CHECK(contains(scenario.route("able", kShort), "BGP.as_path"));
    const std::string sessions = scenario.ctl("peers -o json");
    std::size_t unbroken = 0;
    const std::string never = "\"flaps\": 0";
    for (auto at = sessions.find(never); at != std::string::npos;
         at = sessions.find(never, at + 1)) {
      ++unbroken;
    }
    CHECK_MESSAGE(unbroken == 3, sessions);
  }
}

}  // namespace margay::bgp::test
