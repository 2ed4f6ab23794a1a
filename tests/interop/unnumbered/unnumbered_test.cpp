// Peers without an IPv4 address on the link, with BIRD 2, FRR and ourselves: routes of both
// families both ways, and packets over them.

#include "tests/interop/support/speaker_lab.h"
#include "tests/lab/wait.h"

#include <doctest/doctest.h>

#include <chrono>
#include <csignal>
#include <map>
#include <string>
#include <vector>

namespace margay::bgp::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr seconds kDeadline{40};

struct Place {
  std::string name;
  char number;          // of its networks
  std::string device;   // of the speaker
  std::string gateway;  // of routes to it: what they begin with
  bool margay = false;
};
const std::vector<Place>& places() {
  static const std::vector<Place> all{
      {"bird-ra", '1', "eth1", "fe80:"},
      {"bird-fixed", '2', "eth2", "fe80::2"},
      {"frr-ll", '3', "eth3", "fe80:"},
      {"bird-global", '4', "eth4", "2001:db8:e4::2"},
      {"frr-global", '5', "eth5", "2001:db8:e5::2"},
      {"other", '6', "eth6", "fe80:", true},
  };
  return all;
}
std::string net4(char number) {
  return std::string("10.7.") + number + ".0/24";
}
std::string net6(char number) {
  return std::string("2001:db8:7") + number + "::/48";
}
std::string host4(char number) {
  return std::string("10.7.") + number + ".1";
}
std::string host6(char number) {
  return std::string("2001:db8:7") + number + "::1";
}

class Scenario : public SpeakerLab {
 public:
  Scenario() : SpeakerLab("unnumbered") {
    begin("speaker");
    begin("other");
  }

  void begin(const std::string& name) { processes_[name] = start_speaker(name); }
  void kill(const std::string& name) {
    lab::send_signal(processes_.at(name), SIGKILL);
    REQUIRE(lab::wait_gone(processes_.at(name), kDeadline));
  }

  std::string routes(const std::string& at, const std::string& net) {
    const std::string family = contains(net, ":") ? "-6" : "-4";
    return node(at).exec({"ip", family, "route", "show", net, "proto", "91"}).out;
  }
  bool routed(const Place& place) {
    const std::string v4 = routes("speaker", net4(place.number));
    const std::string v6 = routes("speaker", net6(place.number));
    return contains(v4, "via inet6 " + place.gateway) && contains(v4, "dev " + place.device) &&
           contains(v6, "via " + place.gateway) && contains(v6, "dev " + place.device);
  }
  bool pings(const std::string& from, const std::string& source, const std::string& target) {
    return node(from).exec({"ping", "-c", "1", "-W", "1", "-I", source, target}).ok();
  }
  std::string about(const Place& place) {
    return routes("speaker", net4(place.number)) + routes("speaker", net6(place.number)) +
           node("speaker").exec({"margayctl", "bgp", "neighbors", place.name}).out +
           node("speaker").read_log("main") +
           node(place.name)
               .shell(
                   "ip -4 route; ip -6 route; birdc -s /run/bird/bird.ctl show proto all speaker; "
                   "vtysh -c 'show bgp neighbors'")
               .out;
  }

 private:
  std::map<std::string, lab::ProcessId> processes_;
};

// Both families, both ways: the routes are in the kernels, and packets pass.
void check_exchange(Scenario& scenario, const Place& place) {
  CAPTURE(place.name);
  const bool routed =
      lab::wait_until([&] { return scenario.routed(place); }, kDeadline, milliseconds(200));
  CHECK_MESSAGE(routed, scenario.about(place));
  for (const bool v4 : {true, false}) {
    const std::string ours = v4 ? host4('0') : host6('0');
    const std::string theirs = v4 ? host4(place.number) : host6(place.number);
    CAPTURE(theirs);
    CHECK_MESSAGE(
        lab::wait_until(
            [&] { return scenario.pings("speaker", ours, theirs); }, kDeadline, milliseconds(200)),
        scenario.about(place));
    CHECK(scenario.pings(place.name, theirs, ours));
  }
}

}  // namespace

TEST_SUITE("interop.unnumbered") {
  TEST_CASE(
      "IPv4 and IPv6 pass between peers that know each other by link and IPv6 address alone") {
    Scenario scenario;
    for (const Place& place : places()) {
      check_exchange(scenario, place);
    }

    MESSAGE("what the status says of a peer that was found");
    const std::string found =
        scenario.node("speaker").exec({"margayctl", "bgp", "neighbors", "frr-ll"}).out;
    CHECK_MESSAGE(contains(found, "%eth3"), found);
    CHECK_MESSAGE(contains(found, "65003"), found);
    CHECK_MESSAGE(contains(found, "bfd Up"), found);

    MESSAGE("a link that goes down takes its routes along, at once; and brings them back");
    REQUIRE(scenario.node("speaker").exec({"ip", "link", "set", "eth3", "down"}).ok());
    CHECK(
        lab::wait_until([&] { return scenario.routes("speaker", net4('3')).empty(); }, seconds(2)));
    CHECK(lab::wait_until(
        [&] {
          return contains(
              scenario.node("speaker").exec({"margayctl", "bgp", "neighbors", "frr-ll"}).out,
              "eth3 went down");
        },
        seconds(3)));
    REQUIRE(scenario.node("speaker").exec({"ip", "link", "set", "eth3", "up"}).ok());
    check_exchange(scenario, places()[2]);

    MESSAGE("a neighbour with another link-local address is found again");
    REQUIRE(
        scenario.node("other")
            .shell("ip -6 addr flush dev eth1 scope link && ip addr add fe80::77/64 dev eth1 nodad")
            .ok());
    CHECK_MESSAGE(
        lab::wait_until([&] { return contains(scenario.routes("speaker", net4('6')), "fe80::77"); },
                        kDeadline,
                        milliseconds(200)),
        scenario.about(places()[5]));
    check_exchange(scenario, places()[5]);

    MESSAGE("killed and started: everything is there again");
    scenario.kill("speaker");
    scenario.begin("speaker");
    for (const Place& place : places()) {
      check_exchange(scenario, place);
    }
  }
}

}  // namespace margay::bgp::test
