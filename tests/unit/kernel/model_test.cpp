#include "kernel/model/link.h"
#include "kernel/model/nft.h"
#include "kernel/model/nft_text.h"
#include "kernel/model/route.h"

#include <doctest/doctest.h>

#include <string>

namespace margay {
namespace {

using nft::DataType;
using nft::Field;
using nft::key;
using nft::Verdict;

IpAddr ip(std::string_view text) {
  return *IpAddr::parse(text);
}
Prefix net(std::string_view text) {
  return *Prefix::parse(text);
}

TEST_SUITE("kernel.model") {
  TEST_CASE("statements print as nft prints them") {
    struct Row {
      nft::Rule rule;
      const char* text = nullptr;
    };
    const nft::Statement tcp = nft::Match{Field::kL4Proto, key(nft::kTcp)};
    const nft::Statement web = nft::Match{Field::kThDport, key(nft::Port(80))};
    for (const Row& row : {
             Row{{{tcp, web, Verdict::accept()}, ""}, "tcp dport 80 accept"},
             Row{{{tcp, nft::Counter{3, 4}, web}, ""},
                 "meta l4proto tcp counter packets 3 bytes 4 tcp dport 80"},
             Row{{{nft::match_addr(true, net("10.0.0.0/8"), true), Verdict::ret()}, "who"},
                 "ip saddr != 10.0.0.0/8 return comment \"who\""},
             Row{{{nft::match_addr(false, net("2001:db8::1/128"))}, ""}, "ip6 daddr 2001:db8::1"},
             Row{{{nft::match_addr(true, net("0.0.0.0/0"))}, ""}, "meta nfproto ipv4"},
             Row{{{nft::match_ct_state(nft::kStateNew | nft::kStateInvalid)}, ""},
                 "ct state invalid,new"},
             Row{{{nft::Lookup{{Field::kIifName, Field::kIpSaddr}, "spoof", true}}, ""},
                 "iifname . ip saddr != @spoof"},
             Row{{{nft::VerdictLookup{{Field::kOifName}, "to"}}, ""}, "oifname vmap @to"},
             Row{{{nft::SetMark{Field::kMark, Mark(0x10), Mark(0xf0)}}, ""},
                 "meta mark set meta mark & 0xffffff1f | 0x00000010"},
             Row{{{nft::Log{"x", std::uint16_t{5}}}, ""}, "log prefix \"x\" group 5"},
             Row{{{nft::Match{Field::kIifName, nft::Key{}.append_name_prefix("mgy")},
                   Verdict::go_to("pods")},
                  ""},
                 "iifname \"mgy*\" goto pods"},
         }) {
      CHECK(nft::to_text(row.rule) == row.text);
    }
  }

  TEST_CASE("a table prints its parts in the order of their names") {
    nft::Table table;
    table.counters = {"c"};
    table.sets["s"].spec = {.key = {DataType::kIpv4Addr, DataType::kInetService}, .interval = true};
    table.sets["s"].elements[nft::range(key(ip("10.0.0.0"), nft::Port(80)),
                                        key(ip("10.0.0.255"), nft::Port(90)))] = {};
    table.chains["a"].hook = nft::Hook{.priority = 10, .policy = nft::Policy::kDrop};
    table.chains["a"].rules = {{{Verdict::jump("b")}, ""}};
    CHECK(nft::to_text("t", table) ==
          "table inet t {\n"
          "\tcounter c {\n\t\tpackets 0 bytes 0\n\t}\n"
          "\n"
          "\tset s {\n\t\ttype ipv4_addr . inet_service\n\t\tflags interval\n"
          "\t\telements = { 10.0.0.0/24 . 80-90 }\n\t}\n"
          "\n"
          "\tchain a {\n\t\ttype filter hook forward priority filter + 10; policy drop;\n"
          "\t\tjump b\n\t}\n"
          "}\n");
  }

  TEST_CASE("canonical rules lack what the next statement implies") {
    const nft::Statement ipv4 = nft::Match{Field::kNfProto, key(nft::kNfProtoIpv4)};
    const nft::Statement icmp = nft::Match{Field::kL4Proto, key(nft::kIcmp)};
    const nft::Statement echo = nft::Match{Field::kIcmpType, key(nft::IcmpType(8))};
    const nft::Statement saddr = nft::match_addr(true, net("10.0.0.1/32"));
    const nft::Statement saddr6 = nft::match_addr(true, net("fd00::1/128"));
    CHECK(nft::canonical(nft::Rule{{ipv4, icmp, echo}, ""}) == nft::Rule{{echo}, ""});
    CHECK(nft::canonical(nft::Rule{{ipv4, saddr}, ""}) == nft::Rule{{saddr}, ""});
    CHECK(nft::canonical(nft::Rule{{ipv4, saddr6}, ""}) == nft::Rule{{ipv4, saddr6}, ""});
    CHECK(nft::canonical(nft::Rule{{ipv4, icmp}, ""}) == nft::Rule{{ipv4, icmp}, ""});
  }

  TEST_CASE("a difference applied to the old table gives the new one") {
    nft::Table old_table;
    old_table.counters = {"a", "b"};
    old_table.sets["kept"].spec.key = {DataType::kIpv4Addr};
    old_table.sets["kept"].elements[nft::single(key(ip("10.0.0.1")))] = {};
    old_table.sets["kept"].elements[nft::single(key(ip("10.0.0.2")))] = {};
    old_table.sets["gone"].spec.key = {DataType::kIpv4Addr};
    old_table.chains["gone"] = {};
    nft::Table new_table = old_table;
    new_table.counters = {"b", "c"};
    new_table.sets.erase("gone");
    new_table.chains.erase("gone");
    new_table.chains["new"].rules = {{{Verdict::drop()}, ""}};
    new_table.sets["kept"].elements.erase(nft::single(key(ip("10.0.0.1"))));
    new_table.sets["kept"].elements[nft::single(key(ip("10.0.0.3")))] = {};

    const nft::Delta delta = nft::diff(old_table, new_table);

    CHECK(delta.upsert_sets.empty());  // elements only
    CHECK(delta.elements.at("kept").add.size() == 1);
    CHECK(delta.elements.at("kept").remove.size() == 1);
    nft::apply(delta, old_table);
    CHECK(old_table == new_table);
    CHECK(nft::diff(new_table, new_table).empty());
  }

  TEST_CASE("a range of one value is that value") {
    CHECK(nft::element(net("10.0.0.1/32")) == nft::single(key(ip("10.0.0.1"))));
    CHECK(nft::element(net("10.0.0.0/31")).to == key(ip("10.0.0.1")));
  }

  TEST_CASE("hardware addresses parse strictly") {
    CHECK(MacAddr::parse("ee:EE:0a:00:00:01")->str() == "ee:ee:0a:00:00:01");
    for (const char* bad : {"",
                            "ee:ee:ee:ee:ee",
                            "ee:ee:ee:ee:ee:e",
                            "ee-ee-ee-ee-ee-ee",
                            "eg:ee:ee:ee:ee:ee",
                            "ee:ee:ee:ee:ee:ee:"}) {
      CHECK_FALSE(MacAddr::parse(bad).has_value());
    }
  }

  TEST_CASE("routes have one canonical form and name themselves") {
    const RouteSpec a =
        route_via(net("10.0.0.0/8"), {ip("192.0.2.2"), ip("192.0.2.1")}, kProtocolBgp);
    const RouteSpec b =
        route_via(net("10.0.0.0/8"), {ip("192.0.2.1"), ip("192.0.2.2")}, kProtocolBgp);
    CHECK(a == b);
    CHECK(a.str() == "10.0.0.0/8 via 192.0.2.1 via 192.0.2.2 table 254 proto 91");
    CHECK(route_to_interface(ip("fd00::1"), *IfName::parse("mgy1")).str() ==
          "fd00::1/128 dev mgy1 table 254 proto 90 metric 1024");
    CHECK(blackhole_route(net("10.64.0.0/26")).str() ==
          "blackhole 10.64.0.0/26 table 254 proto 92");
  }
}

}  // namespace
}  // namespace margay
