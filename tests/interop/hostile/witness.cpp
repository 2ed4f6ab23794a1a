#include "tests/interop/hostile/witness.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>

namespace margay::bgp::test {

namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::uint16_t kHoldTime = 3;
constexpr seconds kDeadline{20};
// Keepalives come every 750 to 1,000 ms; twice that is still in good time.
constexpr milliseconds kLongestSilence{2000};
constexpr milliseconds kSlowestRoute{2000};
constexpr auto kFence = "203.0.113.0/24";

BgpClient establish(unsigned last, const Bgpd& bgpd) {
  auto client = BgpClient::establish(client_options(last, 65000 + last, kHoldTime), kDeadline);
  REQUIRE_MESSAGE(client, (client ? "" : client.error().text + "\n" + bgpd.log()));
  return std::move(*client);
}

}  // namespace

unsigned sized(unsigned usual, unsigned full) {
  const char* wanted = std::getenv("MARGAY_HOSTILE");
  return wanted != nullptr && std::strcmp(wanted, "full") == 0 ? full : usual;
}

Prefix prefix(std::string_view text) {
  return *Prefix::parse(text);
}

BgpClient::Options client_options(unsigned last, std::uint32_t asn, std::uint16_t hold_time_s) {
  return BgpClient::Options{
      .local = IpAddr::v4(0x0A000000U + last),
      .remote = IpAddr::v4(0x0A000001U),
      .remote_asn = Asn{65000},
      .open = Open{Asn{asn},
                   hold_time_s,
                   RouterId{0x0A000000U + last},
                   {MultiprotocolCapability{kIpv4Unicast}, FourOctetAsCapability{Asn{asn}}}},
  };
}

std::unique_ptr<Bgpd> start_speaker(const std::string& hostile_fields) {
  std::vector<std::string> addresses;
  std::string peers;
  for (unsigned last = 1; last < 30; ++last) {
    addresses.push_back(fmt::format("10.0.0.{}/32", last));
    const bool hostile = last >= 10;
    if (hostile || (last >= 2 && last <= 4)) {
      const char* group = hostile ? "hostile" : (last == 4 ? "quiet" : "witness");
      peers += fmt::format(
          "  - {{address: 10.0.0.{}, asn: {}, group: {}}}\n", last, 65000 + last, group);
    }
  }
  REQUIRE(enter_fresh_network(addresses));
  auto bgpd = Bgpd::start("hostile",
                          fmt::format(R"(
router: {{asn: 65000, id: 10.0.0.1, listen: ["10.0.0.1:179"], fib: {{ipv4: false, ipv6: false}}}}
filters:
  fence: [{{match: {{prefix: {}}}, action: accept}}]
  nothing: [{{match: {{prefix: 192.0.2.0/32}}, action: accept}}]
groups:
  witness: {{passive: true, hold_time_s: 3, import: accept, export: fence}}
  quiet: {{passive: true, hold_time_s: 3, import: accept, export: nothing}}
  hostile: {{passive: true, hold_time_s: 9, import: accept, export: accept{}}}
peers:
{})",
                                      kFence,
                                      hostile_fields.empty() ? "" : ", " + hostile_fields,
                                      peers));
  REQUIRE_MESSAGE(bgpd, (bgpd ? "" : bgpd.error().text));
  return std::move(*bgpd);
}

Witness::Witness(const Bgpd& bgpd)
    : talker_(establish(2, bgpd)), listener_(establish(3, bgpd)), quiet_(establish(4, bgpd)) {
  thread_ = std::thread([this] { run(); });
}

Witness::~Witness() {
  stop_ = true;
  if (thread_.joinable()) {
    thread_.join();
  }
}

void Witness::run() {
  const Prefix fence = prefix(kFence);
  AttributeSet route;
  route.as_path = AsPath::sequence(std::array{Asn{65002}});
  route.next_hop.address = IpAddr::v4(0x0A000002U);
  for (std::uint32_t round = 1; !stop_ && !failed_; ++round) {
    const auto began = BgpClient::Clock::now();
    UpdatePacker packer(talker_.context());
    route.communities = {Community{round}};
    (void)packer.announce(route, std::array{Nlri{fence, 0}});
    bool sent = talker_.send(packer.take()).operator bool();
    for (BgpClient* one : {&talker_, &listener_, &quiet_}) {
      sent = sent && one->send(encode_keepalive());
    }
    const auto heard = [&] {
      const auto* got = listener_.route(fence);
      return got != nullptr && got->attributes.has(Community{round});
    };
    // Longer than what is allowed, to know how late it was.
    const auto end = began + seconds(30);
    while (sent && !heard() && BgpClient::Clock::now() < end && !quiet_.notification()) {
      (void)listener_.receive(milliseconds(10));
      (void)quiet_.receive(milliseconds(1));
      (void)talker_.receive(milliseconds(1));
      (void)quiet_.send(encode_keepalive());
    }
    slowest_ = std::max(slowest_, BgpClient::Clock::now() - began);
    if (!heard()) {
      failed_ = true;
      return;
    }
    ++passed_;
    // A few a second.
    const auto next = began + milliseconds(150);
    while (!stop_ && BgpClient::Clock::now() < next) {
      (void)quiet_.receive(milliseconds(10));
      (void)listener_.receive(milliseconds(1));
    }
  }
}

void Witness::check(unsigned rounds) {
  const auto end = BgpClient::Clock::now() + seconds(60);
  while (passed_ < rounds && !failed_ && BgpClient::Clock::now() < end) {
    std::this_thread::sleep_for(milliseconds(20));
  }
  stop_ = true;
  thread_.join();
  const auto ms = [](BgpClient::Clock::duration time) {
    return std::chrono::duration_cast<milliseconds>(time).count();
  };
  MESSAGE(passed_.load(),
          " routes of others passed, the slowest in ",
          ms(slowest_),
          " ms; longest silence ",
          ms(quiet_.longest_silence()),
          " ms");
  CHECK_MESSAGE(!failed_, "a route did not pass");
  CHECK(passed_ >= rounds);
  CHECK(slowest_ < kSlowestRoute);
  CHECK(quiet_.longest_silence() < kLongestSilence);
  for (BgpClient* one : {&talker_, &listener_, &quiet_}) {
    CHECK(!one->notification().has_value());
  }
}

}  // namespace margay::bgp::test
