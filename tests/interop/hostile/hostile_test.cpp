// Peers that overwhelm a running speaker with routes: it stays within bounds, and others notice
// nothing.

#include "tests/interop/hostile/witness.h"

#include <doctest/doctest.h>

#include <sys/socket.h>

#include <array>
#include <chrono>

namespace margay::bgp::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr seconds kDeadline{60};
constexpr std::size_t kMib = std::size_t{1} << 20U;

BgpClient hostile(unsigned last, const Bgpd& bgpd, std::uint16_t hold_time_s = 0) {
  auto client = BgpClient::establish(client_options(last, 65000 + last, hold_time_s), kDeadline);
  REQUIRE_MESSAGE(client, (client ? "" : client.error().text + "\n" + bgpd.log()));
  return std::move(*client);
}

AttributeSet route_of(const BgpClient& from, unsigned last) {
  AttributeSet set;
  set.as_path = AsPath::sequence(std::array{from.context().local_asn});
  set.next_hop.address = IpAddr::v4(0x0A000000U + last);
  return set;
}

Nlri nth_prefix(std::uint32_t number) {
  return Nlri{Prefix::masked(IpAddr::v4(0x14000000U + (number << 4U)), 28), 0};
}

// Announces `count` prefixes, each with a set of its own of about 200 bytes, which `round` makes
// new.
bool announce_large(BgpClient& from, unsigned last, std::uint32_t count, std::uint32_t round) {
  constexpr std::uint32_t kCommunities = 40;
  for (std::uint32_t i = 0; i < count; ++i) {
    AttributeSet set = route_of(from, last);
    for (std::uint32_t community = 1; community < kCommunities; ++community) {
      set.communities.push_back(Community{community << 20U | i});
    }
    set.communities.push_back(Community{0xFD000000U | round});
    UpdatePacker packer(from.context());
    if (!packer.announce(set, std::array{nth_prefix(i)}) || !from.send(packer.take())) {
      return false;
    }
  }
  return true;
}

bool has_round(const BgpClient& client, std::uint32_t count, std::uint32_t round) {
  for (std::uint32_t i = 0; i < count; ++i) {
    const auto* route = client.route(nth_prefix(i).prefix);
    if (route == nullptr || !route->attributes.has(Community{0xFD000000U | round})) {
      return false;
    }
  }
  return true;
}

// But for the route of the witnesses.
bool has_nothing(const BgpClient& client) {
  return client.routes().size() <= (client.route(prefix("203.0.113.0/24")) == nullptr ? 0U : 1U);
}

// As many prefixes of one set as fit, from `first` on.
bool announce_packed(BgpClient& from, unsigned last, std::uint32_t first, std::uint32_t count) {
  std::vector<Nlri> prefixes;
  for (std::uint32_t i = 0; i < count; ++i) {
    prefixes.push_back(nth_prefix(first + i));
  }
  UpdatePacker packer(from.context());
  return packer.announce(route_of(from, last), prefixes) && from.send(packer.take());
}

}  // namespace

TEST_SUITE("interop.hostile") {
  TEST_CASE("a peer that does not read costs nobody anything, and gets the newest state later") {
    const auto bgpd = start_speaker();
    const std::uint32_t count = 4000;
    const std::uint32_t rounds = sized(50, 2000);
    BgpClient source = hostile(10, *bgpd);
    BgpClient slow = hostile(11, *bgpd);
    BgpClient reader = hostile(12, *bgpd);
    Witness witness(*bgpd);
    REQUIRE(announce_large(source, 10, count, 1));
    REQUIRE(reader.receive_until([&] { return has_round(reader, count, 1); }, kDeadline));
    const std::size_t before = bgpd->peak_memory();
    for (std::uint32_t round = 2; round <= rounds; ++round) {
      REQUIRE(announce_large(source, 10, count, round));
      (void)source.receive(milliseconds(1));
      while (reader.receive(milliseconds(1))) {
      }
    }
    REQUIRE(reader.receive_until([&] { return has_round(reader, count, rounds); }, kDeadline));
    // Some 4 MiB for the peer that does not read, and what the allocator keeps; not the 45 MB and
    // more that it was told meanwhile.
    const std::size_t more = (bgpd->peak_memory() - before) / kMib;
    MESSAGE(more, " MiB more");
    CHECK(bgpd->peak_memory() < before + 24 * kMib);

    CHECK(slow.receive_until([&] { return has_round(slow, count, rounds); }, kDeadline));
    std::size_t most = 0;
    for (std::uint32_t i = 0; i < count; ++i) {
      most = std::max<std::size_t>(most, slow.route(nth_prefix(i).prefix)->times);
    }
    MESSAGE("told at most ", most, " of ", rounds, " times");
    CHECK(most < rounds);
    witness.check();
    CHECK(!slow.notification().has_value());
    CHECK(bgpd->alive());
  }

  TEST_CASE("a flood of updates from several peers delays nobody and does not pile up") {
    const auto bgpd = start_speaker("max_prefixes: 20000");
    constexpr unsigned kPeers = 4;
    std::vector<BgpClient> floods;
    for (unsigned i = 0; i < kPeers; ++i) {
      floods.push_back(hostile(10 + i, *bgpd));
    }
    Witness witness(*bgpd);
    std::size_t before = 0;
    const auto end = BgpClient::Clock::now() + seconds(sized(6, 60));
    std::uint32_t told = 0;
    for (std::uint32_t at = 0; BgpClient::Clock::now() < end; ++at) {
      // Other prefixes all the time, and those of the round before taken back.
      constexpr std::uint32_t kAtOnce = 2000;
      for (unsigned i = 0; i < kPeers; ++i) {
        const std::uint32_t first = (at * kPeers + i) * kAtOnce % (1U << 24U);
        REQUIRE(announce_packed(floods[i], 10 + i, first, kAtOnce));
        std::vector<Nlri> gone;
        for (std::uint32_t prefix = 0; prefix < kAtOnce; ++prefix) {
          gone.push_back(nth_prefix(first + prefix));
        }
        UpdatePacker packer(floods[i].context());
        packer.withdraw(gone);
        REQUIRE(floods[i].send(packer.take()));
        told += 2 * kAtOnce;
        while (floods[i].receive(milliseconds(1))) {
        }
      }
      if (at == 4) {
        before = bgpd->peak_memory();
      }
    }
    const std::size_t more = (bgpd->peak_memory() - before) / kMib;
    MESSAGE(told, " changes, ", more, " MiB more");
    // At most 20,000 prefixes of four peers are there at any time, whatever comes and goes.
    CHECK(bgpd->peak_memory() < before + 64 * kMib);
    witness.check();
    CHECK(bgpd->alive());
  }

  TEST_CASE("a peer with more prefixes than allowed is cut off, the others stay") {
    const auto bgpd = start_speaker("max_prefixes: 10000");
    BgpClient greedy = hostile(10, *bgpd);
    BgpClient modest = hostile(11, *bgpd);
    Witness witness(*bgpd);
    const std::size_t before = bgpd->peak_memory();
    for (std::uint32_t first = 0; first < sized(200'000, 10'000'000); first += 1000) {
      if (!announce_packed(greedy, 10, first, 1000)) {
        break;
      }
    }
    REQUIRE(greedy.receive_until([&] { return greedy.notification().has_value(); }, kDeadline));
    CHECK(greedy.notification()->code == ErrorCode::kCease);
    CHECK(greedy.notification()->subcode == 1);
    CHECK(bgpd->peak_memory() < before + 16 * kMib);
    CHECK(modest.receive_until([&] { return has_nothing(modest); }, kDeadline));
    // It is not let in again at once, to do the same.
    CHECK_FALSE(BgpClient::establish(client_options(10, 65010, 0), seconds(5)));
    CHECK(bgpd->log().find("too many prefixes peer=10.0.0.10 most=10000") != std::string::npos);
    witness.check();
  }

  TEST_CASE("a limit that only warns ends no session, and one that shuts the peer keeps it out") {
    for (const bool warns : {true, false}) {
      CAPTURE(warns);
      const auto bgpd = start_speaker(
          fmt::format("max_prefixes: 5, max_prefixes_action: {}", warns ? "warn" : "down"));
      BgpClient greedy = hostile(10, *bgpd);
      BgpClient modest = hostile(11, *bgpd);
      REQUIRE(announce_packed(greedy, 10, 0, 20));
      if (warns) {
        CHECK(modest.receive_until([&] { return modest.routes().size() >= 20; }, kDeadline));
        CHECK_FALSE(greedy.notification().has_value());
        CHECK(bgpd->log().find("too many prefixes") != std::string::npos);
      } else {
        REQUIRE(greedy.receive_until([&] { return greedy.notification().has_value(); }, kDeadline));
        CHECK(greedy.notification()->subcode == 1);
        CHECK_FALSE(BgpClient::establish(client_options(10, 65010, 0), seconds(3)));
      }
      CHECK(bgpd->alive());
    }
  }

  TEST_CASE(
      "a peer without a limit may fill the table, and its end is the end of its routes only") {
    const auto bgpd = start_speaker("max_prefixes: 4294967295");
    const std::uint32_t count = sized(50'000, 2'000'000);
    auto greedy = std::make_unique<BgpClient>(hostile(10, *bgpd));
    Witness witness(*bgpd);
    const std::size_t before = bgpd->peak_memory();
    for (std::uint32_t first = 0; first < count; first += 10'000) {
      REQUIRE(announce_packed(*greedy, 10, first, 10'000));
      REQUIRE(greedy->send(encode_keepalive()));
    }
    // One set, so a prefix costs a slot and a path, and what it is to each group of peers.
    constexpr std::size_t kPerPrefix = 320;
    const auto last = nth_prefix(count - 1).prefix;
    BgpClient late = hostile(11, *bgpd);
    REQUIRE(late.receive_until([&] { return late.route(last) != nullptr; }, 5 * kDeadline));
    const std::size_t each = (bgpd->peak_memory() - before) / count;
    MESSAGE(each, " bytes a prefix");
    CHECK(bgpd->peak_memory() < before + count * kPerPrefix + 32 * kMib);
    greedy.reset();
    CHECK(late.receive_until([&] { return has_nothing(late); }, 5 * kDeadline));
    witness.check();
  }

  TEST_CASE("connections that are cut in the middle of an UPDATE leave nothing") {
    const auto bgpd = start_speaker();
    Witness witness(*bgpd);
    BgpClient observer = hostile(11, *bgpd);
    const std::size_t files = bgpd->open_files();
    const std::size_t before = bgpd->peak_memory();
    for (std::uint32_t round = 0; round < sized(40, 2000); ++round) {
      BgpClient one = hostile(10, *bgpd);
      REQUIRE(announce_packed(one, 10, round * 1000, 1000));
      UpdatePacker packer(one.context());
      REQUIRE(packer.announce(route_of(one, 10), std::array{nth_prefix(0)}));
      const std::vector<std::uint8_t> whole = packer.take();
      REQUIRE(one.send(Bytes(whole).first(whole.size() - 1 - round % 30)));
      if (round % 2 == 0) {  // a reset instead of an orderly end
        const linger now{1, 0};
        ::setsockopt(one.descriptor(), SOL_SOCKET, SO_LINGER, &now, sizeof now);
      }
    }
    CHECK(observer.receive_until([&] { return has_nothing(observer); }, kDeadline));
    CHECK(bgpd->open_files() <= files + 1);
    CHECK(bgpd->peak_memory() < before + 16 * kMib);
    witness.check();
  }
}

}  // namespace margay::bgp::test
