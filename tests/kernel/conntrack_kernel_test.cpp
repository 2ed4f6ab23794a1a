#include "kernel/conntrack_kernel.h"

#include "tests/kernel/kernel_lab.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <vector>

namespace margay {
namespace {

using test::FreshNamespace;
using test::shell;

// Entries of UDP port 5353, which only this test uses in its namespace.
std::vector<Connection> mine(ConntrackKernel& kernel) {
  const auto all = kernel.dump();
  REQUIRE(all);
  std::vector<Connection> out;
  std::ranges::copy_if(*all, std::back_inserter(out), [](const Connection& connection) {
    return connection.original.destination_port == 5353;
  });
  return out;
}

}  // namespace

TEST_SUITE("kernel.conntrack") {
  TEST_CASE("tracked connections of both families are read, and marked one by one") {
    const FreshNamespace ns;
    REQUIRE(shell("ip link set lo up && nft 'add table inet t; add chain inet t c { type filter "
                  "hook output priority 0; }; add rule inet t c ct state new counter'")
                .empty());
    for (const char* target : {"127.0.0.1", "::1"}) {
      const std::string send = std::string("exec 3<>/dev/udp/") + target + "/5353; echo hi >&3";
      (void)shell("bash -c '" + send + "'");
    }
    auto kernel = open_conntrack_kernel();
    REQUIRE(kernel);
    std::vector<Connection> found = mine(**kernel);
    REQUIRE(found.size() == 2);
    for (const Connection& connection : found) {
      CHECK(connection.original.protocol == 17);
      CHECK(connection.original.source_port != 0);
      CHECK(connection.reply.source == connection.original.destination);
      CHECK(connection.reply.source_port == 5353);
    }
    CHECK(found[0].original.source == *IpAddr::parse("127.0.0.1"));
    CHECK(found[1].original.source == *IpAddr::parse("::1"));

    constexpr Mark kBit{0x01000000U};
    constexpr Mark kOther{0x2U};
    REQUIRE((*kernel)->set_mark(found, kOther, kOther));
    const auto marked = (*kernel)->set_mark({found.data(), 1}, kBit, kBit);
    REQUIRE(marked);
    CHECK(*marked == 1);
    found = mine(**kernel);
    REQUIRE(found.size() == 2);
    CHECK(found[0].mark == Mark(0x01000002U));  // other bits stay
    CHECK(found[1].mark == kOther);
    REQUIRE((*kernel)->set_mark({found.data(), 1}, Mark(0), kBit));
    CHECK(mine(**kernel)[0].mark == kOther);

    Connection unknown = found[0];
    unknown.original.source_port = 1;
    const auto none = (*kernel)->set_mark({&unknown, 1}, kBit, kBit);
    REQUIRE(none);
    CHECK(*none == 0);
    CHECK(mine(**kernel).size() == 2);  // and none was made
  }

  TEST_CASE("connections of an address are removed in whatever direction, and no others") {
    const FreshNamespace ns;
    REQUIRE(shell("ip link set lo up && nft 'add table inet t; add chain inet t c { type filter "
                  "hook output priority 0; }; add rule inet t c ct state new counter'")
                .empty());
    for (const char* addresses :
         {"127.0.0.2 127.0.0.3", "127.0.0.3 127.0.0.2", "127.0.0.1 127.0.0.3"}) {
      const std::string text(addresses);
      const std::string from = text.substr(0, text.find(' '));
      const std::string to = text.substr(text.find(' ') + 1);
      // Bound to its source by the route that leads to the target.
      REQUIRE(shell("ip route replace table local local " + to + " dev lo src " + from).empty());
      (void)shell("bash -c 'exec 3<>/dev/udp/" + to + "/5353; echo hi >&3'");
    }
    auto kernel = open_conntrack_kernel();
    REQUIRE(kernel);
    REQUIRE(mine(**kernel).size() == 3);
    const std::vector<IpAddr> gone{*IpAddr::parse("127.0.0.2"), *IpAddr::parse("fd00::1")};
    const auto removed = (*kernel)->remove(gone);
    REQUIRE(removed);
    CHECK(*removed == 2);
    const auto left = mine(**kernel);
    REQUIRE(left.size() == 1);
    CHECK(left[0].original.source == *IpAddr::parse("127.0.0.1"));
    CHECK(*(*kernel)->remove(gone) == 0);
  }
}

}  // namespace margay
