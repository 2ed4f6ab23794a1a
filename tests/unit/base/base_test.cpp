#include "base/byte_io.h"
#include "base/delta_tracker.h"
#include "base/ip_addr.h"
#include "base/socket_addr.h"
#include "base/stable_hash.h"
#include "base/strong.h"
#include "base/timer_set.h"
#include "base/wall_time.h"

#include <doctest/doctest.h>

#include <array>
#include <chrono>
#include <string>

namespace margay {
namespace {

TEST_SUITE("base") {
  TEST_CASE("an error gains context and keeps code and errno") {
    const Failure<Error> low = fail_errno(2, "open x");
    const Failure<Error> high = fail(low.error, "load {}", "config");
    CHECK(high.error.code == Errc::kNotFound);
    CHECK(high.error.sys_errno == 2);
    CHECK(high.error.text == "load config: open x: No such file or directory");
  }

  TEST_CASE("addresses parse strictly and print canonically") {
    struct Row {
      const char* text;
      const char* printed;  // nullptr: refused
      const char* why;
    };
    for (const Row& row : {
             Row{"192.0.2.1", "192.0.2.1", "plain IPv4"},
             Row{"192.0.2.01", nullptr, "leading zero is octal elsewhere"},
             Row{"192.0.2", nullptr, "short form"},
             Row{"2001:DB8:0:0::1", "2001:db8::1", "IPv6 in RFC 5952 form"},
             Row{"fe80::1%eth0", nullptr, "scope does not belong to the address"},
             Row{"", nullptr, "empty"},
         }) {
      CAPTURE(row.why);
      const auto addr = IpAddr::parse(row.text);
      CHECK(addr.has_value() == (row.printed != nullptr));
      if (addr && row.printed != nullptr) {
        CHECK(addr->str() == row.printed);
      }
    }
  }

  TEST_CASE("an address with a port has brackets exactly for IPv6") {
    struct Row {
      const char* text;
      const char* why;  // nullptr: taken, and printed as it was written
    };
    for (const Row& row : {
             Row{"192.0.2.1:179", nullptr},
             Row{"[2001:db8::1]:65535", nullptr},
             Row{"[::]:0", nullptr},
             Row{"192.0.2.1", "no port"},
             Row{"192.0.2.1:", "an empty port"},
             Row{"192.0.2.1:65536", "a port beyond 16 bits"},
             Row{"192.0.2.1:-1", "a sign"},
             Row{"192.0.2.1:179x", "more behind the port"},
             Row{"2001:db8::1:179", "IPv6 without brackets"},
             Row{"[192.0.2.1]:179", "IPv4 with brackets"},
             Row{"[2001:db8::1]", "no port behind brackets"},
             Row{"[]:179", "no address"},
             Row{":179", "no address"},
             Row{"localhost:179", "a name"},
         }) {
      CAPTURE(row.text);
      const auto parsed = SocketAddr::parse(row.text);
      CHECK(parsed.has_value() == (row.why == nullptr));
      CHECK((parsed ? parsed->str() : "") == (row.why == nullptr ? row.text : ""));
    }
  }

  TEST_CASE("the stable hash is what it was: names are found by it again") {
    CHECK(stable_hash("") == 0x2d06800538d394c2U);
    CHECK(stable_hash("node1") == 0x52039e369c1b4eb7U);
    CHECK(stable_hash("c0ffee/eth0") == 0xc2af15e57a7a200cU);
  }

  TEST_CASE("a prefix with host bits is refused and the error names the right one") {
    const auto prefix = Prefix::parse("10.0.0.1/24");
    REQUIRE_FALSE(prefix);
    CHECK(prefix.error().text == "\"10.0.0.1/24\" has host bits set: expected 10.0.0.0/24");
    CHECK_FALSE(Prefix::parse("10.0.0.0/33"));
    CHECK_FALSE(Prefix::parse("10.0.0.0/08"));
    CHECK_FALSE(Prefix::parse("10.0.0.0/"));
    CHECK(*Prefix::parse("10.0.0.1") == Prefix::host(IpAddr::v4(0x0a000001)));
  }

  TEST_CASE("prefix arithmetic holds at the borders of both families") {
    const Prefix all = *Prefix::parse("::/0");
    CHECK(all.contains(*IpAddr::parse("ffff::1")));
    CHECK_FALSE(all.contains(*IpAddr::parse("1.2.3.4")));
    CHECK(all.size() == ~std::uint64_t{0});
    CHECK(Prefix::parse("10.64.0.0/26")->last().str() == "10.64.0.63");
    CHECK(Prefix::parse("10.64.0.0/26")->size() == 64);
    CHECK(Prefix::parse("fd00::/122")->last().str() == "fd00::3f");
    CHECK(IpAddr::parse("10.0.0.255")->add(1).str() == "10.0.1.0");
    CHECK(*IpAddr::parse("10.0.1.0")->offset_from(*IpAddr::parse("10.0.0.255")) == 1);
    CHECK_FALSE(IpAddr::parse("10.0.0.0")->offset_from(*IpAddr::parse("10.0.0.1")));
  }

  TEST_CASE("interface and node names are checked at the border") {
    CHECK(IfName::parse("mgy0123456789ab"));
    CHECK_FALSE(IfName::parse("mgy0123456789abc"));
    CHECK_FALSE(IfName::parse("a/b"));
    CHECK_FALSE(IfName::parse(".."));
    CHECK(NodeName::parse("node-1.rack2"));
    CHECK_FALSE(NodeName::parse("Node"));
    CHECK_FALSE(NodeName::parse("a..b"));
  }

  TEST_CASE("a reader that ran out stays failed and returns zeros") {
    const std::array<std::uint8_t, 3> bytes{1, 2, 3};
    ByteReader reader(bytes);
    CHECK(reader.u16() == 0x0102);
    CHECK(reader.u16() == 0);
    CHECK_FALSE(reader.ok());
    CHECK(reader.u8() == 0);
    ByteReader outer(bytes);
    CHECK_FALSE(outer.sub(4).ok());
  }

  TEST_CASE("delta tracker keeps only real differences pending") {
    DeltaTracker<std::string, int> tracker;
    tracker.set_desired("a", 1);
    tracker.set_desired("b", 2);
    tracker.replace_observed({{"b", 2}, {"c", 3}});
    CHECK(tracker.to_set() == std::vector<std::pair<std::string, int>>{{"a", 1}});
    CHECK(tracker.to_delete() == std::vector<std::string>{"c"});
    tracker.set_observed("a", 1);
    tracker.remove_observed("c");
    CHECK(tracker.in_sync());
    tracker.set_observed("b", 9);
    CHECK(tracker.to_set() == std::vector<std::pair<std::string, int>>{{"b", 2}});
  }

  TEST_CASE("times of the wall are read as they are written, and nothing else is a time") {
    const WallSeconds time{std::chrono::seconds(1'795'000'000)};
    CHECK(format_rfc3339(time) == "2026-11-18T11:06:40Z");
    CHECK(parse_rfc3339("2026-11-18T11:06:40Z") == time);
    for (const char* bad :
         {"", "soon", "2026-11-18T11:06:40", "2026-11-18T11:06:40Z ", "2026-13-01T00:00:00Z"}) {
      CHECK_FALSE(parse_rfc3339(bad));
    }
  }

  TEST_CASE("timers fire earliest first and a restart replaces") {
    using std::chrono::seconds;
    const TimePoint zero{};
    TimerSet<int> timers;
    timers.start(1, zero + seconds(5));
    timers.start(2, zero + seconds(3));
    timers.start(1, zero + seconds(2));
    CHECK(timers.next_deadline() == zero + seconds(2));
    CHECK(timers.pop_due(zero + seconds(4)) == 1);
    CHECK(timers.pop_due(zero + seconds(4)) == 2);
    CHECK_FALSE(timers.pop_due(zero + seconds(9)));
  }
}

}  // namespace
}  // namespace margay
