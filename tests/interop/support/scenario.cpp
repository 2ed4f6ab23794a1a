#include "tests/interop/support/scenario.h"

#include "tests/lab/wait.h"

#include <doctest/doctest.h>

#include <chrono>
#include <csignal>

namespace margay::bgp::test {

namespace {

using lab::Node;
using std::chrono::seconds;

constexpr seconds kDeadline{20};
constexpr auto kEdge4 = "198.51.100.0/24";
constexpr auto kEdge6 = "2001:db8:98::/48";

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

class Scenario {
 public:
  explicit Scenario(const Dialect& dialect) : dialect_(dialect) {
    lab::LabOptions options;
    options.name = "it-" + dialect.name;
    options.bin_dir = MARGAY_BINARY_DIR "/bin";
    options.replace = true;
    auto up = lab::Lab::up(dialect.topology, options);
    REQUIRE_MESSAGE(up, (up ? "" : up.error().text));
    lab_ = std::make_unique<lab::Lab>(std::move(*up));
    start_margay("speaker");
    start_margay("other");
  }

  Node& node(const std::string& name) { return lab_->node(name); }

  void start_margay(const std::string& name) {
    const auto started =
        node(name).spawn("margay-bgpd", {"margay-bgpd", "--config", "/etc/margay/bgpd.yaml"});
    REQUIRE_MESSAGE(started, (started ? "" : started.error().text));
    running_[name] = *started;
  }
  void stop_margay(const std::string& name, int signal) {
    lab::send_signal(running_.at(name), signal);
    REQUIRE(lab::wait_gone(running_.at(name), kDeadline));
  }

  // Our kernel routes, and what the other implementation says about a prefix.
  std::string kernel_route(const std::string& at, const std::string& prefix) {
    const std::string family = contains(prefix, ":") ? "-6" : "-4";
    return node(at).exec({"ip", family, "route", "show", prefix, "proto", "91"}).out;
  }
  std::string shown(const std::string& at, const std::string& prefix) {
    return node(at).exec(dialect_.show_route(prefix)).out;
  }
  void kernel_gets(const std::string& at, const std::string& prefix, const std::string& part) {
    CAPTURE(at);
    CAPTURE(prefix);
    const bool got = lab::wait_until([&] { return contains(kernel_route(at, prefix), part); },
                                     kDeadline,
                                     std::chrono::milliseconds(100));
    CHECK_MESSAGE(got,
                  "expected ",
                  part,
                  ", kernel has ",
                  kernel_route(at, prefix),
                  "\n",
                  node(at).read_log("margay-bgpd"));
  }
  void kernel_loses(const std::string& at, const std::string& prefix) {
    CAPTURE(at);
    CAPTURE(prefix);
    CHECK(lab::wait_until([&] { return kernel_route(at, prefix).empty(); },
                          kDeadline,
                          std::chrono::milliseconds(100)));
  }
  void shows(const std::string& at, const std::string& prefix, const std::string& part) {
    CAPTURE(at);
    CAPTURE(prefix);
    const bool got = lab::wait_until([&] { return contains(shown(at, prefix), part); },
                                     kDeadline,
                                     std::chrono::milliseconds(200));
    CHECK_MESSAGE(got, "expected \"", part, "\", shown is:\n", shown(at, prefix));
  }
  void no_longer_shows(const std::string& at, const std::string& prefix, const std::string& part) {
    CAPTURE(at);
    CAPTURE(prefix);
    CHECK(lab::wait_until([&] { return !contains(shown(at, prefix), part); },
                          kDeadline,
                          std::chrono::milliseconds(200)));
  }

  void routes_both_ways() {
    kernel_gets("speaker", kEdge4, "via 10.1.0.2");
    kernel_gets("speaker", kEdge6, "dev eth1");
    for (const char* own : {"192.0.2.0/24", "2001:db8:2::/48"}) {
      for (const std::string& part : dialect_.own_at_edge) {
        shows("edge", own, part);
      }
    }
  }
  void attributes_survive() {
    for (const char* prefix : {kEdge4, kEdge6}) {
      for (const std::string& part : dialect_.attributes_at_reflector) {
        shows("reflector", prefix, part);
      }
    }
  }
  // other -> reflector -> speaker -> edge, and back.
  void reflection() {
    kernel_gets("speaker", "203.0.113.0/24", "via 10.2.0.2");
    kernel_gets("speaker", "2001:db8:4::/48", "dev eth2");
    kernel_gets("other", "192.0.2.0/24", "via 10.3.0.2");
    kernel_gets("other", kEdge4, "via 10.3.0.2");
    shows("edge", "203.0.113.0/24", "65000");
  }
  void withdrawal() {
    REQUIRE(node("edge").exec(dialect_.withdraw).ok());
    kernel_loses("speaker", kEdge4);
    kernel_loses("other", kEdge4);
    kernel_gets("speaker", kEdge6, "dev eth1");  // the rest stays
    REQUIRE(node("edge").exec(dialect_.announce).ok());
    kernel_gets("speaker", kEdge4, "via 10.1.0.2");
    kernel_gets("other", kEdge4, "via 10.3.0.2");
  }
  void peer_restart() {
    REQUIRE(node("edge").stop());
    kernel_loses("speaker", kEdge4);
    kernel_loses("speaker", kEdge6);
    kernel_loses("other", kEdge4);
    const auto started = node("edge").start();
    REQUIRE_MESSAGE(started, (started ? "" : started.error().text));
    kernel_gets("speaker", kEdge4, "via 10.1.0.2");
    kernel_gets("speaker", kEdge6, "dev eth1");
  }
  // Killed without a word (RFC 4724): the peers keep its routes until it is back.
  void own_restart() {
    stop_margay("speaker", SIGKILL);
    const auto kept = [&] {
      return contains(shown("edge", "192.0.2.0/24"), "65000") &&
             !kernel_route("other", "192.0.2.0/24").empty() &&
             !kernel_route("speaker", kEdge4).empty();
    };
    const auto end = std::chrono::steady_clock::now() + seconds(2);
    while (std::chrono::steady_clock::now() < end) {
      REQUIRE(kept());
    }
    start_margay("speaker");
    routes_both_ways();
    CHECK(kept());
  }
  // Ended in order, without graceful restart: its routes go at once.
  void own_end() {
    stop_margay("other", SIGTERM);
    kernel_loses("speaker", "203.0.113.0/24");
    kernel_loses("speaker", "2001:db8:4::/48");
    no_longer_shows("edge", "203.0.113.0/24", "65000");
  }

 private:
  const Dialect& dialect_;
  std::unique_ptr<lab::Lab> lab_;
  std::map<std::string, lab::ProcessId> running_;
};

}  // namespace

void run_scenario(const Dialect& dialect) {
  Scenario scenario(dialect);
  MESSAGE(dialect.name, ": routes of both families both ways");
  scenario.routes_both_ways();
  MESSAGE(dialect.name, ": attributes");
  scenario.attributes_survive();
  MESSAGE(dialect.name, ": a route reflector's client");
  scenario.reflection();
  MESSAGE(dialect.name, ": withdrawal");
  scenario.withdrawal();
  MESSAGE(dialect.name, ": the peer restarts");
  scenario.peer_restart();
  MESSAGE(dialect.name, ": margay-bgpd is killed and started");
  scenario.own_restart();
  MESSAGE(dialect.name, ": margay-bgpd ends");
  scenario.own_end();
}

}  // namespace margay::bgp::test
