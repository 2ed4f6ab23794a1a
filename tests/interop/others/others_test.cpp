// GoBGP 3, OpenBGPD 7 and ExaBGP 4 as external peers: sessions with a password in both families,
// routes and communities both ways, and a peer that is killed.

#include "tests/interop/support/speaker_lab.h"
#include "tests/lab/wait.h"

#include <doctest/doctest.h>

#include <chrono>
#include <csignal>
#include <string>
#include <vector>

namespace margay::bgp::test {
namespace {

using std::chrono::seconds;

constexpr seconds kDeadline{40};
constexpr const char* kOurs4 = "192.0.2.0/24";
constexpr const char* kOurs6 = "2001:db8:2::/48";

// One of the speakers.
struct Other {
  std::string name;
  std::vector<std::string> start;
  std::vector<std::string> announce;  // by hand, where its configuration has no routes
  std::string show;                   // prints what it heard of ours, as a shell command
  std::string route4;
  std::string route6;
};

const std::vector<Other>& others() {
  static const std::vector<Other> kOthers{
      {"gobgp",
       {"gobgpd", "-f", "/etc/gobgp/gobgp.toml", "--pprof-disable"},
       {"gobgp global rib add 198.51.101.0/24 community 65001:7",
        "gobgp global rib add -a ipv6 2001:db8:81::/48 large-community 65001:1:2"},
       "gobgp global rib; gobgp global rib -a ipv6",
       "198.51.101.0/24",
       "2001:db8:81::/48"},
      {"openbgpd",
       {"sh", "-c", "mkdir -p /run/openbgpd && exec /usr/sbin/bgpd -d -f /etc/openbgpd.conf"},
       {},
       "bgpctl -s /run/bgpd.sock show rib",
       "198.51.102.0/24",
       "2001:db8:82::/48"},
      {"exabgp",
       {"env",
        "exabgp.daemon.user=root",
        "exabgp.daemon.daemonize=false",
        "exabgp.api.cli=false",
        "exabgp.api.ack=false",
        "/usr/sbin/exabgp",
        "/etc/exabgp.conf"},
       {},
       "cat /run/heard.json",
       "198.51.103.0/24",
       "2001:db8:83::/48"},
  };
  return kOthers;
}

class Scenario : public SpeakerLab {
 public:
  Scenario() : SpeakerLab("others") { start_speaker(); }

  std::string logs(const std::string& name) { return log() + log(name); }
};

}  // namespace

TEST_SUITE("interop.others") {
  TEST_CASE("GoBGP, OpenBGPD and ExaBGP exchange routes of both families over MD5 sessions") {
    Scenario scenario;
    for (const Other& other : others()) {
      CAPTURE(other.name);
      const lab::ProcessId process = scenario.start(other.name, other.start);
      for (const std::string& line : other.announce) {
        CHECK_MESSAGE(
            lab::wait_until([&] { return scenario.node(other.name).shell(line).ok(); }, kDeadline),
            scenario.logs(other.name));
      }
      CHECK_MESSAGE(
          lab::wait_until([&] { return !scenario.kernel_route(other.route4).empty(); }, kDeadline),
          scenario.logs(other.name));
      CHECK_MESSAGE(
          lab::wait_until([&] { return !scenario.kernel_route(other.route6).empty(); }, kDeadline),
          scenario.logs(other.name));
      std::string heard;
      const bool both = lab::wait_until(
          [&] {
            heard = scenario.node(other.name).shell(other.show).out;
            return contains(heard, kOurs4) && contains(heard, kOurs6);
          },
          kDeadline);
      CHECK_MESSAGE(both, heard);

      lab::send_signal(process, SIGKILL);
      CHECK(lab::wait_until(
          [&] {
            return scenario.kernel_route(other.route4).empty() &&
                   scenario.kernel_route(other.route6).empty();
          },
          kDeadline));
    }
  }
}

}  // namespace margay::bgp::test
