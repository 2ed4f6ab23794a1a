// BMP (RFC 7854) to a monitoring station that is written from the RFC.

#include "tests/interop/monitor/monitor_lab.h"
#include "tests/lab/wait.h"
#include "tests/support/bmp_collector.h"

#include <doctest/doctest.h>

#include <array>
#include <ctime>
#include <fstream>
#include <set>
#include <string>
#include <unistd.h>

namespace margay::bgp::test {
namespace {

const std::string kBmp = "bmp: {address: 192.0.2.50}\n";

BmpCollector collector() {
  auto listening = BmpCollector::listen(*IpAddr::parse(kCollector), kCollectorPort);
  REQUIRE_MESSAGE(listening, (listening ? "" : listening.error().text));
  return std::move(*listening);
}

const AttributeSet* held(const BmpCollector::Rib& rib, std::string_view prefix) {
  const auto found = rib.routes.find(*Prefix::parse(prefix));
  return found == rib.routes.end() ? nullptr : &found->second;
}

bool has_both_of_bird(const BmpCollector& station) {
  const auto* session = station.session(kBird);
  return session != nullptr && session->up && held(session->before_policy, kBird4) != nullptr &&
         held(session->before_policy, kBird6) != nullptr &&
         session->before_policy.ended == std::set<AfiSafi>{kIpv4Unicast, kIpv6Unicast};
}

// Resident memory in bytes.
std::size_t resident(pid_t pid) {
  std::ifstream statm("/proc/" + std::to_string(pid) + "/statm");
  std::size_t total = 0;
  std::size_t pages = 0;
  statm >> total >> pages;
  return pages * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

}  // namespace

TEST_SUITE("interop.bmp") {
  TEST_CASE("a collector hears of BIRD's session, its routes of both families and their ends") {
    enter_monitor_network();
    BmpCollector station = collector();
    MonitorLab lab("bmp", example("# BMP", MonitorLab::directory()));
    lab.start_bird();
    REQUIRE_MESSAGE(station.receive_until(
                        [&] {
                          return has_both_of_bird(station) &&
                                 station.session(kBird)->behind_policy.ended.size() == 2;
                        },
                        kDeadline),
                    station.error(),
                    lab.bgpd().log());
    CHECK(station.system_name() == "rack1-leaf");
    CHECK(station.system_description() == "Margay BGP speaker");
    const BmpCollector::Session& bird = *station.session(kBird);
    CHECK(bird.asn == Asn(65003));
    CHECK(bird.router_id == RouterId(0x0A000003));
    CHECK(bird.local == *IpAddr::parse("10.0.0.1"));
    CHECK((bird.local_port == 179) != (bird.remote_port == 179));
    CHECK(bird.sent.asn == Asn(65000));
    CHECK(bird.sent.id == RouterId(0x0A000001));
    CHECK_FALSE(bird.two_octet_as);
    const auto now = static_cast<std::uint64_t>(std::time(nullptr));
    CHECK(now - bird.up_seconds < 60);
    CHECK(now - bird.update_seconds < 60);
    const AttributeSet route = *held(bird.before_policy, kBird4);
    CHECK(route.as_path.str() == "65003");
    CHECK(route.next_hop.address == *IpAddr::parse(kBird));
    CHECK(route.has(Community((65003U << 16U) + 7)));
    // The example asks for what the filters leave, too.
    CHECK(held(bird.behind_policy, kBird6) != nullptr);

    // A collector that comes back is told everything again, from the table.
    station.drop();
    CHECK_MESSAGE(station.receive_until([&] { return has_both_of_bird(station); }, kDeadline),
                  station.error(),
                  lab.bgpd().log());
    CHECK(*held(station.session(kBird)->before_policy, kBird4) == route);
    CHECK(station.session(kBird)->update_seconds == 0);  // when it came is not kept
    CHECK(held(station.session(kBird)->behind_policy, kBird4) != nullptr);

    lab.stop_bird();  // which says goodbye
    CHECK(station.receive_until([&] { return !station.session(kBird)->up; }, kDeadline));
    CHECK(station.session(kBird)->down_reason == 3U);
    REQUIRE(station.session(kBird)->notification);
    CHECK(station.session(kBird)->notification->code == ErrorCode::kCease);
    CHECK(station.error() == "");
  }

  TEST_CASE("routes come and go, filters and old peers are seen, sessions end for their reasons") {
    enter_monitor_network();
    BmpCollector station = collector();
    const std::string bmp = "bmp: {address: 192.0.2.50, post_policy: true, statistics_s: 1}\n";
    MonitorLab lab("bmp-live", bmp);
    BgpClient client = lab.client();
    BgpClient old = lab.client(kOldClient);
    announce(client, route_of(client, kClient), {nlri("10.66.1.0/24"), nlri("203.0.113.0/24")});
    announce(client, route_of(client, "2001:db8::2"), {nlri("2001:db8:2::/48")});
    announce(old, route_of(old, kOldClient), {nlri("203.0.112.0/24")});
    const auto told = [&] {
      const auto* session = station.session(kClient);
      const auto* other = station.session(kOldClient);
      return session != nullptr && other != nullptr && session->behind_policy.routes.size() == 2 &&
             session->before_policy.routes.size() == 3 && !other->behind_policy.routes.empty();
    };
    REQUIRE_MESSAGE(station.receive_until(told, kDeadline), station.error(), lab.bgpd().log());
    const BmpCollector::Session& session = *station.session(kClient);
    CHECK(held(session.before_policy, "10.66.1.0/24") != nullptr);
    CHECK(held(session.behind_policy, "10.66.1.0/24") == nullptr);  // the filter "sane"
    CHECK(held(session.behind_policy, "2001:db8:2::/48") != nullptr);
    CHECK_FALSE(session.two_octet_as);
    const BmpCollector::Session& old_session = *station.session(kOldClient);
    CHECK(old_session.two_octet_as);
    CHECK(held(old_session.before_policy, "203.0.112.0/24")->as_path.str() == "65004 70000");

    UpdatePacker packer(client.context());
    packer.withdraw(std::array{nlri("203.0.113.0/24"), nlri("2001:db8:2::/48")});
    REQUIRE(client.send(packer.take()));
    CHECK(station.receive_until(
        [&] {
          return session.before_policy.routes.size() == 1 && session.behind_policy.routes.empty();
        },
        kDeadline));
    // A Stats Report a second.
    CHECK(station.receive_until(
        [&] {
          const auto found = session.statistics.find(7);
          return found != session.statistics.end() && found->second == 1;
        },
        kDeadline));
    CHECK(session.statistics.at(11) == 0);

    // A malformed ORIGIN: routes are withdrawn, the session stays (RFC 7606).
    const std::vector<std::uint8_t> bad{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                        0,    31,   2,    0,    0,    0,    4,    0x40,
                                        1,    1,    9,    24,   10,   66,   1};
    REQUIRE(client.send(bad));
    CHECK(station.receive_until(
        [&] { return session.statistics.at(11) == 1 && session.statistics.at(12) == 1; },
        kDeadline));

    // Other filters are seen behind the policy, and close nothing.
    announce(client, route_of(client, kClient), {nlri("10.66.1.0/24")});
    REQUIRE(station.receive_until([&] { return session.before_policy.updates >= 5; }, kDeadline));
    lab.reload(bmp + "networks: [192.0.2.0/24]", "import: accept, export: accept");
    CHECK_MESSAGE(
        station.receive_until(
            [&] { return held(session.behind_policy, "10.66.1.0/24") != nullptr; }, kDeadline),
        lab.bgpd().log());
    CHECK(session.up);

    // Ends: by the peer's NOTIFICATION, and by the wire.
    const auto cease = Notification::cease(CeaseError::kAdministrativeShutdown, "over");
    REQUIRE(client.send(encode_notification(cease)));
    CHECK(station.receive_until([&] { return session.down_reason == 3U; }, kDeadline));
    CHECK(session.notification == cease);
    { const BgpClient gone = std::move(old); }
    CHECK(station.receive_until([&] { return old_session.down_reason == 4U; }, kDeadline));

    // By us, for another configuration.
    BgpClient again = lab.client();
    REQUIRE(station.receive_until([&] { return session.up; }, kDeadline));
    lab.reload(bmp, "import: accept, export: accept, max_prefixes: 7");
    CHECK(station.receive_until([&] { return session.down_reason == 1U; }, kDeadline));
    REQUIRE(session.notification);
    CHECK(*session.notification == Notification::cease(CeaseError::kOtherConfigurationChange));

    lab.bgpd().finish();
    CHECK(station.receive_until([&] { return station.termination().has_value(); }, kDeadline));
    CHECK(station.termination() == 0U);
    CHECK_MESSAGE(station.error() == "", station.error());
  }

  TEST_CASE("a collector is added and taken away without closing a session, and status says how") {
    enter_monitor_network();
    MonitorLab lab("bmp-reload");
    lab.start_bird();
    REQUIRE(lab::wait_until([&] { return lab.bird_is_up(); }, kDeadline));
    lab.reload(kBmp);
    // Nobody listens yet.
    REQUIRE(lab::wait_until(
        [&] {
          return contains(lab.margayctl({"bgp", "peers"}), "away");
        },
        kDeadline));
    const std::string away = lab.margayctl({"bgp", "peers"});
    CHECK_MESSAGE(contains(away, "192.0.2.50  "), away);
    CHECK_MESSAGE(contains(away, "connect to 192.0.2.50: "), away);
    BmpCollector station = collector();
    REQUIRE_MESSAGE(station.receive_until([&] { return has_both_of_bird(station); }, kDeadline),
                    station.error(),
                    lab.bgpd().log());
    const std::string text = lab.margayctl({"bgp", "peers"});
    CHECK_MESSAGE(contains(text, "in sync"), text);
    const std::string json = lab.margayctl({"bgp", "peers", "-o", "json"});
    CHECK_MESSAGE(contains(json, "\"state\": \"in sync\""), json);
    CHECK_MESSAGE(contains(json, "\"port\": 11019"), json);
    CHECK_MESSAGE(contains(json, "\"flaps\": 0"), json);
    CHECK_FALSE(contains(json, "\"flaps\": 1"));
    lab.reload("");
    CHECK(station.receive_until([&] { return station.termination() == 0U; }, kDeadline));
    CHECK(lab.bird_is_up());
    CHECK_FALSE(contains(lab.margayctl({"bgp", "peers"}), "192.0.2.50"));
    CHECK_FALSE(contains(lab.bgpd().log(), "session lost"));
  }

  TEST_CASE("a collector that reads nothing holds up no session and costs bounded memory") {
    enter_monitor_network();
    BmpCollector station = collector();
    MonitorLab lab("bmp-slow", kBmp);
    REQUIRE(station.accept(kDeadline));
    BgpClient client = lab.client();
    const std::size_t before = resident(lab.bgpd().process().pid);
    // 60 MB of UPDATEs about the same ten prefixes.
    std::vector<Nlri> prefixes;
    constexpr std::uint32_t kPrefixes = 10;
    for (std::uint32_t i = 0; i < kPrefixes; ++i) {
      prefixes.push_back({Prefix::host(IpAddr::v4(0x0B000000U + i)), 0});
    }
    AttributeSet set = long_route_of(client);
    constexpr std::uint32_t kRounds = 16'000;
    for (std::uint32_t round = 0; round < kRounds; ++round) {
      set.med = round;
      announce(client, set, prefixes);
    }
    announce(client, set, {nlri("203.0.113.0/24")});
    REQUIRE_MESSAGE(lab::wait_until(
                        [&] {
                          const std::string log = lab.bgpd().log();
                          return contains(log, "the collector reads too slowly") ||
                                 contains(log, "the collector has stopped reading");
                        },
                        kDeadline * 2),
                    lab.bgpd().log());
    BgpClient other = lab.client(kOldClient);
    CHECK_MESSAGE(other.receive_until(
                      [&] { return other.route(*Prefix::parse("203.0.113.0/24")) != nullptr; },
                      kDeadline * 2),
                  lab.bgpd().log());
    const std::size_t after = resident(lab.bgpd().process().pid);
    CAPTURE(before);
    CAPTURE(after);
    // Of 60 MB the sockets hold some ten; the bound is 16 MiB.
    CHECK(after < before + (36U << 20U));
    CHECK_FALSE(contains(lab.bgpd().log(), "session lost"));
    // When it reads again it is told what is, not what was.
    station.drop();
    CHECK_MESSAGE(station.receive_until(
                      [&] {
                        const auto* session = station.session(kClient);
                        return session != nullptr &&
                               session->before_policy.routes.size() == kPrefixes + 1 &&
                               session->before_policy.ended.size() == 2;
                      },
                      kDeadline * 2),
                  station.error(),
                  lab.bgpd().log());
  }
}

}  // namespace margay::bgp::test
