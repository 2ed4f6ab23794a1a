// Roles (RFC 9234) with BIRD 2: who hears what, what is a leak, and which sessions come up.

#include "tests/interop/support/speaker_lab.h"
#include "tests/lab/wait.h"

#include <doctest/doctest.h>

#include <chrono>
#include <string>

namespace margay::bgp::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class Scenario : public SpeakerLab {
 public:
  Scenario() : SpeakerLab("roles") { start_speaker(); }
  // What BIRD has of a route, and whether it comes to say this of it.
  std::string bird(const std::string& at, const std::string& prefix) {
    return birdc(at, "show route all for " + prefix);
  }
  bool hears(const std::string& at, const std::string& prefix, const std::string& what) {
    return soon([&] { return contains(bird(at, prefix), what); });
  }
  template <typename Condition>
  static bool soon(const Condition& condition) {
    return lab::wait_until(condition, seconds(30), milliseconds(200));
  }
};

}  // namespace

TEST_SUITE("interop.roles") {
  TEST_CASE("BIRD and we keep routes from above to customers, and see a leak") {
    Scenario scenario;
    // Downwards everything goes, with the mark of where it came from.
    CHECK_MESSAGE(scenario.hears("down", "10.9.1.0/24", "BGP.otc: 65001"),
                  scenario.bird("down", "10.9.1.0/24"),
                  scenario.ctl("neighbors up"),
                  scenario.log());
    CHECK(scenario.hears("down", "10.9.2.0/24", "BGP.otc: 65002"));
    CHECK(scenario.hears("down", "192.0.2.0/24", "BGP.otc: 65000"));
    // A customer's routes go everywhere; sidewards they are marked.
    CHECK(scenario.hears("equal", "10.9.3.0/24", "BGP.otc: 65000"));
    CHECK(scenario.hears("up", "10.9.3.0/24", "BGP.as_path: 65000 65003"));
    CHECK(scenario.hears("up", "192.0.2.0/24", "BGP.as_path: 65000"));
    // What came from above or from the side goes neither way again.
    CHECK_FALSE(contains(scenario.bird("equal", "10.9.1.0/24"), "BGP.as_path"));
    CHECK_FALSE(contains(scenario.bird("up", "10.9.2.0/24"), "BGP.as_path"));

    MESSAGE("a customer that tells what is only for customers leaks");
    CHECK(Scenario::soon([&] { return contains(scenario.ctl("routes 10.9.4.0/24"), "leak"); }));
    CHECK(scenario.node("speaker").exec({"ip", "route", "show", "10.9.4.0/24"}).out.empty());

    MESSAGE("roles that do not fit make no session");
    CHECK(Scenario::soon(
        [&] { return contains(scenario.ctl("neighbors wrong"), "role mismatch (2/11)"); }));
    CHECK_FALSE(contains(scenario.ctl("neighbors wrong"), "Established"));
    CHECK(contains(scenario.ctl("neighbors up"), "role customer"));
    CHECK(contains(scenario.ctl("neighbors up"), "transit of rack 7"));
    CHECK(contains(scenario.ctl("neighbors up"), "role provider"));  // its capability
  }
}

}  // namespace margay::bgp::test
