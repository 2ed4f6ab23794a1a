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
  TEST_CASE("tracked connections of both families are read, and removed one by one") {
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

    Connection newer = found[0];
    newer.id += 1;  // another connection in its place
    const auto spared = (*kernel)->remove({&newer, 1});
    REQUIRE(spared);
    CHECK(*spared == 0);
    CHECK(mine(**kernel).size() == 2);
    const auto removed = (*kernel)->remove({found.data(), 1});
    REQUIRE(removed);
    CHECK(*removed == 1);
    CHECK(mine(**kernel) == std::vector<Connection>{found[1]});
    const auto again = (*kernel)->remove(found);
    REQUIRE(again);
    CHECK(*again == 1);
    CHECK(mine(**kernel).empty());
  }
}

}  // namespace margay
