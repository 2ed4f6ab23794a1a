// Roles (RFC 9234) with BIRD 2: who hears what, what is a leak, and which sessions come up.

#include "tests/lab/lab.h"
#include "tests/lab/wait.h"

#include <doctest/doctest.h>

#include <chrono>
#include <memory>
#include <string>

namespace margay::bgp::test {
namespace {

using lab::Node;
using std::chrono::milliseconds;
using std::chrono::seconds;

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

class Scenario {
 public:
  Scenario() {
    lab::LabOptions options;
    options.name = "it-roles";
    options.bin_dir = MARGAY_BINARY_DIR "/bin";
    options.replace = true;
    auto up = lab::Lab::up(MARGAY_SOURCE_DIR "/tests/interop/roles/roles.clab.yml", options);
    REQUIRE_MESSAGE(up, (up ? "" : up.error().text));
    lab_ = std::make_unique<lab::Lab>(std::move(*up));
    const auto started =
        node("speaker").spawn("margay-bgpd", {"margay-bgpd", "--config", "/etc/margay/bgpd.yaml"});
    REQUIRE_MESSAGE(started, (started ? "" : started.error().text));
  }
  Node& node(const std::string& name) { return lab_->node(name); }
  // What BIRD has of a route, and whether it comes to say this of it.
  std::string bird(const std::string& at, const std::string& prefix) {
    return node(at).shell("birdc -s /run/bird/bird.ctl show route all for " + prefix).out;
  }
  bool hears(const std::string& at, const std::string& prefix, const std::string& what) {
    return soon([&] { return contains(bird(at, prefix), what); });
  }
  std::string ctl(const std::string& words) {
    return node("speaker").shell("margayctl bgp " + words).out;
  }
  template <typename Condition>
  static bool soon(const Condition& condition) {
    return lab::wait_until(condition, seconds(30), milliseconds(200));
  }

 private:
  std::unique_ptr<lab::Lab> lab_;
};

}  // namespace

TEST_SUITE("interop.roles") {
  TEST_CASE("BIRD and we keep routes from above to customers, and see a leak") {
    Scenario scenario;
    // Downwards everything goes, with the mark of where it came from.
    CHECK_MESSAGE(scenario.hears("down", "10.9.1.0/24", "BGP.otc: 65001"),
                  scenario.bird("down", "10.9.1.0/24"),
                  scenario.ctl("neighbors up"),
                  scenario.node("speaker").read_log("margay-bgpd"));
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
