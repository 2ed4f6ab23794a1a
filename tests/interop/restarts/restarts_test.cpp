// What a running speaker says after its own start, and what it keeps of a peer that is gone
// (RFC 4724), towards peers whose every byte is the test's.

#include "tests/interop/support/bgpd.h"
#include "tests/support/bgp_client.h"

#include <doctest/doctest.h>

#include <array>
#include <chrono>
#include <memory>

namespace margay::bgp::test {
namespace {

using std::chrono::seconds;

constexpr seconds kDeadline{20};

BgpClient::Options client(unsigned last, std::uint32_t asn, std::vector<AfiSafi> restarts) {
  GracefulRestartCapability restart;
  restart.restart_time_s = 60;
  for (const AfiSafi family : restarts) {
    restart.entries.push_back({family, true});
  }
  return BgpClient::Options{
      .local = IpAddr::v4(0x0A000000U + last),
      .remote = IpAddr::v4(0x0A000001U),
      .remote_asn = Asn{65000},
      .open = Open{Asn{asn},
                   0,
                   RouterId{0x0A000000U + last},
                   {MultiprotocolCapability{kIpv4Unicast},
                    MultiprotocolCapability{kIpv6Unicast},
                    FourOctetAsCapability{Asn{asn}},
                    restart}},
  };
}

BgpClient connect(const BgpClient::Options& options, const Bgpd& bgpd) {
  auto made = BgpClient::establish(options, kDeadline);
  REQUIRE_MESSAGE(made, (made ? "" : made.error().text + "\n" + bgpd.log()));
  return std::move(*made);
}

void say_end(BgpClient& client) {
  for (const AfiSafi family : {kIpv4Unicast, kIpv6Unicast}) {
    UpdatePacker packer(client.context());
    packer.end_of_rib(family);
    REQUIRE(client.send(packer.take()));
  }
}

void announce(BgpClient& client, const Prefix& prefix, const IpAddr& next_hop) {
  AttributeSet set;
  set.as_path = AsPath::sequence(std::array{client.context().local_asn});
  set.next_hop.address = next_hop;
  UpdatePacker packer(client.context());
  REQUIRE(packer.announce(set, std::array{Nlri{prefix, 0}}));
  REQUIRE(client.send(packer.take()));
}

std::unique_ptr<Bgpd> start(const std::string& peers) {
  REQUIRE(enter_fresh_network({"10.0.0.1/32", "10.0.0.2/32", "10.0.0.3/32", "2001:db8::1/128"}));
  auto bgpd = Bgpd::start("restarts",
                          "router: {asn: 65000, id: 10.0.0.1, listen: [\"10.0.0.1:179\"], "
                          "graceful_restart_s: 120, fib: {ipv4: false, ipv6: false}}\n"
                          "peers:\n" +
                              peers);
  REQUIRE_MESSAGE(bgpd, (bgpd ? "" : bgpd.error().text));
  return std::move(*bgpd);
}

}  // namespace

TEST_SUITE("interop.restarts") {
  TEST_CASE("a client hears the end of the reflector's table when the other client said its own") {
    const auto bgpd = start(
        "  - {address: 10.0.0.2, asn: 65000, passive: true, route_reflector_client: true}\n"
        "  - {address: 10.0.0.3, asn: 65000, passive: true, route_reflector_client: true}\n");
    BgpClient early = connect(client(2, 65000, {kIpv4Unicast, kIpv6Unicast}), *bgpd);
    say_end(early);
    const auto ended = [&early] {
      return early.end_of_rib(kIpv4Unicast) && early.end_of_rib(kIpv6Unicast);
    };
    CHECK_FALSE(early.receive_until(ended, seconds(2)));
    BgpClient late = connect(client(3, 65000, {kIpv4Unicast, kIpv6Unicast}), *bgpd);
    CHECK_FALSE(early.receive_until(ended, seconds(1)));
    say_end(late);
    CHECK(early.receive_until(ended, seconds(5)));
  }

  TEST_CASE("of a peer that is gone only the families stay that it named for its restart") {
    const auto bgpd = start(
        "  - {address: 10.0.0.2, asn: 65002, passive: true, import: accept, export: accept}\n"
        "  - {address: 10.0.0.3, asn: 65000, passive: true}\n");
    const Prefix v4 = *Prefix::parse("10.9.0.0/16");
    const Prefix v6 = *Prefix::parse("2001:db8:9::/48");
    BgpClient witness = connect(client(3, 65000, {}), *bgpd);
    {
      BgpClient leaving = connect(client(2, 65002, {kIpv4Unicast}), *bgpd);
      announce(leaving, v4, *IpAddr::parse("10.0.0.2"));
      announce(leaving, v6, *IpAddr::parse("2001:db8::2"));
      REQUIRE(witness.receive_until(
          [&] { return witness.route(v4) != nullptr && witness.route(v6) != nullptr; }, kDeadline));
    }
    CHECK(witness.receive_until([&] { return witness.route(v6) == nullptr; }, seconds(5)));
    CHECK_FALSE(witness.receive_until([&] { return witness.route(v4) == nullptr; }, seconds(2)));
    CHECK(bgpd->alive());
  }
}

}  // namespace margay::bgp::test
