#include "felix/dns/domain_table.h"

#include <doctest/doctest.h>

namespace margay::felix {
namespace {

using std::chrono::seconds;

const WallTime kStart{seconds(1'000'000)};
const IpAddr kOne = IpAddr::v4(0xc6336401);  // 198.51.100.1
const IpAddr kTwo = IpAddr::v4(0xc6336402);

using Names = std::set<std::string>;
using Addresses = std::set<IpAddr>;

}  // namespace

TEST_SUITE("felix.dns.table") {
  TEST_CASE("an address stays until its own time is over, and longer where it is learnt again") {
    DomainTable table;
    table.learn("a.example", kOne, kStart + seconds(10));
    table.learn("a.example", kTwo, kStart + seconds(20));
    CHECK(table.take_changed() == Names{"a.example"});
    CHECK(table.addresses("a.example") == Addresses{kOne, kTwo});
    CHECK(table.next_end() == kStart + seconds(10));

    table.learn("a.example", kOne, kStart + seconds(30));
    CHECK(table.take_changed().empty());                  // the same addresses
    table.learn("a.example", kOne, kStart + seconds(5));  // a shorter time takes nothing away
    CHECK(table.next_end() == kStart + seconds(20));

    table.expire(kStart + seconds(19));
    CHECK(table.take_changed().empty());
    table.expire(kStart + seconds(20));
    CHECK(table.take_changed() == Names{"a.example"});
    CHECK(table.addresses("a.example") == Addresses{kOne});
    table.expire(kStart + seconds(30));
    CHECK(table.addresses("a.example").empty());
    CHECK_FALSE(table.next_end());
  }

  TEST_CASE("a record without time lives long enough for the connection it was asked for") {
    CHECK(life(seconds(0), seconds(0)) == kShortestLife);
    CHECK(life(seconds(0), seconds(60)) == seconds(60));
    CHECK(life(seconds(30), seconds(10)) == seconds(40));
  }

  TEST_CASE("beyond its bound what ends first makes room") {
    DomainTable table(2);
    table.learn("a.example", kOne, kStart + seconds(30));
    table.learn("b.example", kOne, kStart + seconds(10));
    (void)table.take_changed();
    table.learn("c.example", kOne, kStart + seconds(20));
    CHECK(table.take_changed() == Names{"b.example", "c.example"});
    CHECK(table.addresses("b.example").empty());
    REQUIRE(table.entries().size() == 2);
    CHECK(table.entries()[0] == DomainTable::Entry{"c.example", kOne, kStart + seconds(20)});
    CHECK(table.entries()[1].name == "a.example");
  }
}

}  // namespace margay::felix
