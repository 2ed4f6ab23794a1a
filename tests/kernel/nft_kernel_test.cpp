#include "kernel/nft/nft_kernel.h"

#include "felix/dataplane/nft_reconciler.h"
#include "kernel/model/nft_text.h"
#include "tests/kernel/kernel_lab.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

namespace margay {
namespace {

using nft::DataType;
using nft::Field;
using nft::key;
using nft::Verdict;
using test::FreshNamespace;
using test::shell;
using test::squeezed;

IpAddr ip(std::string_view text) {
  return *IpAddr::parse(text);
}
Prefix net(std::string_view text) {
  return *Prefix::parse(text);
}
IfName ifname(std::string_view text) {
  return *IfName::parse(text);
}

std::unique_ptr<nft::NftKernel> open_kernel() {
  auto kernel = nft::open_nft_kernel("margay");
  REQUIRE(kernel.has_value());
  return std::move(*kernel);
}

// One of everything that the model can say.
nft::Table full_table() {
  nft::Table table;
  table.counters = {"allowed", "denied"};
  nft::Set& plain = table.sets["addresses"];
  plain.spec.key = {DataType::kIpv4Addr};
  plain.elements[nft::single(key(ip("10.0.0.1")))] = {};
  plain.elements[nft::single(key(ip("10.0.0.2")))] = {};
  nft::Set& nets = table.sets["nets"];
  nets.spec = {.key = {DataType::kIpv4Addr}, .interval = true};
  nets.elements[nft::element(net("10.0.0.0/8"))] = {};
  nets.elements[nft::element(net("11.0.0.0/8"))] = {};
  nets.elements[nft::element(net("192.0.2.1/32"))] = {};
  nets.elements[nft::element(net("255.255.255.0/24"))] = {};
  nft::Set& nets6 = table.sets["nets6"];
  nets6.spec = {.key = {DataType::kIpv6Addr}, .interval = true};
  nets6.elements[nft::element(net("fd00::/8"))] = {};
  nft::Set& ports = table.sets["ports"];
  ports.spec = {.key = {DataType::kInetService}, .interval = true};
  ports.elements[nft::range(key(nft::Port(80)), key(nft::Port(90)))] = {};
  ports.elements[nft::single(key(nft::Port(443)))] = {};
  nft::Set& services = table.sets["services"];
  services.spec = {.key = {DataType::kIpv4Addr, DataType::kInetProto, DataType::kInetService}};
  services.elements[nft::single(key(ip("10.0.0.1"), nft::kTcp, nft::Port(80)))] = {};
  nft::Set& ranges = table.sets["ranges"];
  ranges.spec = services.spec;
  ranges.spec.interval = true;
  ranges.elements[nft::range(key(ip("10.0.0.0"), nft::kTcp, nft::Port(80)),
                             key(ip("10.0.0.255"), nft::kTcp, nft::Port(90)))] = {};
  nft::Set& spoof = table.sets["sources"];
  spoof.spec.key = {DataType::kIfName, DataType::kIpv4Addr};
  spoof.elements[nft::single(key(ifname("mgy1"), ip("10.0.0.1")))] = {};
  nft::Set& dispatch = table.sets["dispatch"];
  dispatch.spec = {.key = {DataType::kIfName}, .data = nft::VerdictData{}};
  dispatch.elements[nft::single(key(ifname("mgy1")))] = Verdict::go_to("stack");
  dispatch.elements[nft::single(key(ifname("mgy2")))] = Verdict::accept();
  nft::Set& marks = table.sets["marks"];
  marks.spec = {.key = {DataType::kIpv4Addr}, .data = nft::DataTypes{DataType::kMark}};
  marks.elements[nft::single(key(ip("10.0.0.1")))] = key(Mark(0x10));
  nft::Set& published = table.sets["published"];
  published.spec = {.key = {DataType::kInetProto, DataType::kInetService},
                    .data = nft::DataTypes{DataType::kIpv4Addr, DataType::kInetService}};
  published.elements[nft::single(key(nft::kTcp, nft::Port(8080)))] =
      key(ip("10.0.0.1"), nft::Port(80));
  nft::Set& published6 = table.sets["published6"];
  published6.spec = {.key = {DataType::kIpv6Addr, DataType::kInetProto, DataType::kInetService},
                     .data = nft::DataTypes{DataType::kIpv6Addr, DataType::kInetService}};
  published6.elements[nft::single(key(ip("fd00::1"), nft::kUdp, nft::Port(53)))] =
      key(ip("fd00::2"), nft::Port(5353));
  nft::Set& groups = table.sets["groups"];
  groups.spec = {.key = {DataType::kMark}, .data = nft::VerdictData{}};
  groups.elements[nft::single(key(Mark(7)))] = Verdict::jump("stack");

  table.chains["forward"].hook = nft::Hook{.policy = nft::Policy::kDrop};
  table.chains["forward"].rules = {
      {{nft::match_ct_state(nft::kStateEstablished | nft::kStateRelated),
        nft::Counter{},
        Verdict::accept()},
       "established"},
      {{nft::match_ct_state(nft::kStateInvalid), nft::Counter{}, Verdict::drop()}, ""},
      {{nft::Match{Field::kFibSaddrIif, key(nft::kFibMissing)}, Verdict::drop()}, ""},
      {{nft::Lookup{{Field::kIifName, Field::kIpSaddr}, "sources", true}, Verdict::drop()}, ""},
      {{nft::VerdictLookup{{Field::kIifName}, "dispatch"}}, ""},
      {{nft::VerdictLookup{{Field::kMark}, "groups"}}, ""},
      {{nft::Match{Field::kIifName, nft::Key{}.append_name_prefix("mgy")}, Verdict::drop()}, ""},
      {{nft::Match{Field::kOifName, key(ifname("lo")), true},
        Verdict{nft::VerdictKind::kContinue, {}}},
       ""},
  };
  table.chains["raw"].hook = nft::Hook{.point = nft::HookPoint::kPrerouting, .priority = -290};
  table.chains["raw"].rules = {
      {{nft::match_addr(true, net("192.0.2.0/25")), nft::Notrack{}}, ""},
      {{nft::Match{Field::kFibDaddrType, key(nft::kFibLocal)}, Verdict::accept()}, ""},
  };
  table.chains["nat"].hook = nft::Hook{
      .type = nft::ChainType::kNat, .point = nft::HookPoint::kPostrouting, .priority = 100};
  table.chains["nat"].rules = {
      {{nft::Match{Field::kL4Proto, key(nft::kTcp)},
        nft::Masquerade{nft::Port(1024), nft::Port(2048), true}},
       ""},
      {{nft::Masquerade{}}, ""},
  };
  table.chains["dnat"].hook = nft::Hook{
      .type = nft::ChainType::kNat, .point = nft::HookPoint::kPrerouting, .priority = -100};
  table.chains["dnat"].rules = {
      {{nft::DestinationNatFromMap{
           Family::kIpv6, {Field::kIp6Daddr, Field::kL4Proto, Field::kThDport}, "published6"}},
       ""},
      {{nft::Match{Field::kFibDaddrType, key(nft::kFibLocal)},
        nft::DestinationNatFromMap{Family::kIpv4, {Field::kL4Proto, Field::kThDport}, "published"}},
       ""},
  };
  table.chains["stack"].rules = {
      {{nft::match_addr(true, net("10.0.0.0/8")),
        nft::match_addr(false, net("10.1.0.0/17"), true),
        Verdict::accept()},
       "policy \"a\""},
      {{nft::match_addr(true, net("10.0.0.1/32")), Verdict::accept()}, ""},
      {{nft::match_addr(true, net("fe80::/10")), Verdict::accept()}, ""},
      {{nft::match_addr(true, net("::/0")), Verdict::drop()}, ""},
      {{nft::Match{Field::kL4Proto, key(nft::kTcp)},
        nft::Match{Field::kThDport, key(nft::Port(80))},
        nft::CounterRef{"allowed"},
        Verdict::accept()},
       ""},
      {{nft::Match{Field::kL4Proto, key(nft::kUdp)},
        nft::MatchRange{Field::kThDport, key(nft::Port(80)), key(nft::Port(90))},
        Verdict::drop()},
       ""},
      {{nft::Match{Field::kL4Proto, key(nft::kTcp)},
        nft::MatchRange{Field::kThDport, key(nft::Port(80)), key(nft::Port(90)), true},
        Verdict::drop()},
       ""},
      {{nft::Match{Field::kL4Proto, key(nft::kSctp)},
        nft::Lookup{{Field::kThDport}, "ports"},
        Verdict::accept()},
       ""},
      {{nft::Lookup{{Field::kIpSaddr, Field::kL4Proto, Field::kThDport}, "services"},
        Verdict::accept()},
       ""},
      {{nft::Lookup{{Field::kIpSaddr, Field::kL4Proto, Field::kThDport}, "ranges"},
        Verdict::accept()},
       ""},
      {{nft::Lookup{{Field::kIpDaddr}, "nets", true}, Verdict::ret()}, ""},
      {{nft::Lookup{{Field::kIp6Daddr}, "nets6"}, Verdict::ret()}, ""},
      {{nft::Match{Field::kIcmpType, key(nft::IcmpType(8))}, Verdict::accept()}, ""},
      {{nft::Match{Field::kIcmpv6Type, key(nft::IcmpType(128))}, Verdict::accept()}, ""},
      {{nft::SetMark{Field::kMark, Mark(0x10)}}, ""},
      {{nft::SetMark{Field::kMark, Mark(0x10), Mark(0xf0)}}, ""},
      {{nft::SetMark{Field::kCtMark, Mark(5)}}, ""},
      {{nft::SetMarkFromMap{{Field::kIpSaddr}, "marks"}}, ""},
      {{nft::MatchMask{Field::kMark, key(Mark(0xf0)), key(Mark(0x10))}, Verdict::ret()}, ""},
      {{nft::Match{Field::kCtDirection, key(nft::kCtReply)}, Verdict::accept()}, ""},
      {{nft::Log{"denied: ", std::uint16_t{5}}}, ""},
      {{nft::Log{"kernel: ", std::nullopt, 6}}, ""},
      {{nft::CounterRef{"denied"}, Verdict::drop()}, ""},
  };
  return table;
}

felix::ApplyReport apply(felix::NftReconciler& reconciler, const nft::Table& table) {
  reconciler.set_in_sync(true);
  reconciler.set_desired(table);
  auto report = reconciler.apply();
  for (const auto& failure : report.failures) {
    MESSAGE(failure.what, ": ", failure.error.text);
  }
  return report;
}

TEST_SUITE("kernel.nft") {
  TEST_CASE("a table is read back as it was written, and nft prints it as we do") {
    const FreshNamespace ns;
    const auto kernel = open_kernel();
    felix::NftReconciler reconciler(*kernel);
    const nft::Table table = full_table();

    REQUIRE(apply(reconciler, table).clean());

    const auto dumped = kernel->dump();
    REQUIRE(dumped.has_value());
    REQUIRE(dumped->has_value());
    CHECK(nft::to_text("margay", **dumped) == nft::to_text("margay", nft::canonical(table)));
    CHECK((**dumped == nft::canonical(table)));
    // nft lists in the order of creation; so does a text that it reads and lists again.
    const std::string listed = squeezed(shell("nft list table inet margay"));
    for (const auto& [name, set] : table.sets) {
      nft::Table one;
      one.sets[name] = set;
      std::string text = squeezed(nft::to_text("margay", one));
      text = text.substr(text.find('{') + 2);  // "set name { ... } }"
      text = text.substr(0, text.size() - 3);
      CHECK_MESSAGE(listed.find(text) != std::string::npos, text, " in ", listed);
    }
    for (const auto& [name, chain] : table.chains) {
      nft::Table one;
      one.chains[name] = chain;
      std::string text = squeezed(nft::to_text("margay", one));
      text = text.substr(text.find('{') + 2);
      text = text.substr(0, text.size() - 3);
      CHECK_MESSAGE(listed.find(text) != std::string::npos, text, "\nin\n", listed);
    }
  }

  TEST_CASE("a second reconciler over the same kernel adopts the table and writes nothing") {
    const FreshNamespace ns;
    const auto kernel = open_kernel();
    felix::NftReconciler first(*kernel);
    REQUIRE(apply(first, full_table()).clean());

    const auto other = open_kernel();
    felix::NftReconciler second(*other);
    const auto report = apply(second, full_table());

    CHECK(report.clean());
    CHECK(report.changes == 0);
    CHECK_FALSE(kernel->take_changes().foreign);  // nothing happened to the table
  }

  TEST_CASE("a change of one element is one command, and removing everything leaves nothing") {
    const FreshNamespace ns;
    const auto kernel = open_kernel();
    felix::NftReconciler reconciler(*kernel);
    nft::Table table = full_table();
    REQUIRE(apply(reconciler, table).clean());

    table.sets["addresses"].elements[nft::single(key(ip("10.9.9.9")))] = {};
    const auto report = apply(reconciler, table);
    CHECK(report.clean());
    CHECK(report.changes == 1);
    CHECK(shell("nft list set inet margay addresses").find("10.9.9.9") != std::string::npos);

    CHECK(apply(reconciler, nft::Table{}).clean());
    const auto dumped = kernel->dump();
    REQUIRE(dumped.has_value());
    CHECK(dumped->value_or(nft::Table{}) == nft::Table{});
  }

  TEST_CASE("a rule that changes in the middle of a chain leaves the counters of the others") {
    const FreshNamespace ns;
    const auto kernel = open_kernel();
    felix::NftReconciler reconciler(*kernel);
    nft::Table table;
    nft::Chain& chain = table.chains["output"];
    chain.hook = nft::Hook{.point = nft::HookPoint::kOutput};
    const auto rule = [](std::uint16_t port) {
      return nft::Rule{{nft::Match{Field::kL4Proto, key(nft::kUdp)},
                        nft::Match{Field::kThDport, key(nft::Port(port))},
                        nft::Counter{}},
                       fmt::format("port {}", port)};
    };
    chain.rules = {rule(1), rule(2), rule(3)};
    REQUIRE(apply(reconciler, table).clean());
    REQUIRE(shell("bash -c 'echo -n x >/dev/udp/127.0.0.1/1; echo -n x >/dev/udp/127.0.0.1/3'")
                .empty());

    chain.rules = {rule(1), rule(4), rule(5), rule(3)};
    REQUIRE(apply(reconciler, table).clean());

    const std::string listed = shell("nft list chain inet margay output");
    CHECK(listed.find("udp dport 1 counter packets 1") < listed.find("udp dport 4 "));
    CHECK(listed.find("udp dport 4 ") < listed.find("udp dport 5 "));
    CHECK(listed.find("udp dport 5 ") < listed.find("udp dport 3 counter packets 1"));
    CHECK(listed.find("udp dport 3 counter packets 1") != std::string::npos);
  }

  TEST_CASE("a table that someone else changes, flushes or deletes comes back") {
    const FreshNamespace ns;
    const auto kernel = open_kernel();
    felix::NftReconciler reconciler(*kernel);
    const nft::Table table = nft::canonical(full_table());
    REQUIRE(apply(reconciler, table).clean());
    CHECK_FALSE(reconciler.on_event());  // our own change is not an event
    for (const char* attack : {
             "nft flush ruleset",
             "nft delete table inet margay",
             "nft flush table inet margay",
             "nft add rule inet margay stack accept",
             "nft insert rule inet margay forward tcp flags syn accept",
             "nft add element inet margay addresses '{ 1.2.3.4 }'",
             "nft delete element inet margay nets '{ 10.0.0.0/8 }'",
             "nft add chain inet margay mine",
             "nft add set inet margay mine '{ type ether_addr; }'",
             "nft add chain inet margay forward '{ policy accept; }'",
         }) {
      CAPTURE(attack);
      REQUIRE(shell(attack).empty());
      CHECK(reconciler.on_event());
      const auto report = reconciler.apply();
      CHECK(report.clean());
      CHECK(report.changes > 0);
      const auto dumped = kernel->dump();
      REQUIRE(dumped.has_value());
      REQUIRE(dumped->has_value());
      CHECK(**dumped == table);
      CHECK_FALSE(reconciler.on_event());
    }
    REQUIRE(shell("nft add table inet other").empty());
    CHECK_FALSE(reconciler.on_event());  // another table is none of our business
  }

  TEST_CASE("a refused transaction changes nothing and names its command") {
    const FreshNamespace ns;
    const auto kernel = open_kernel();
    REQUIRE(kernel->commit({nft::AddTable{}, nft::AddChain{"a", {}}}).has_value());

    const auto refused = kernel->commit(
        {nft::AddChain{"b", {}},
         nft::AddRule{
             "a", std::make_shared<const nft::Rule>(nft::Rule{{Verdict::jump("nowhere")}, ""}), {}},
         nft::AddChain{"c", {}}});

    REQUIRE_FALSE(refused.has_value());
    CHECK(refused.error().command == 1);
    CHECK(refused.error().error.code == Errc::kNotFound);
    const auto dumped = kernel->dump();
    REQUIRE(dumped.has_value());
    CHECK((*dumped)->chains.size() == 1);
  }

  TEST_CASE("a set of 20000 elements goes in as one transaction and is read back whole") {
    const FreshNamespace ns;
    const auto kernel = open_kernel();
    felix::NftReconciler reconciler(*kernel);
    nft::Table table;
    for (const bool interval : {false, true}) {
      nft::Set& set = table.sets[interval ? "ranges" : "plain"];
      set.spec = {.key = {DataType::kIpv4Addr}, .interval = interval};
      for (std::uint32_t i = 0; i < 20000; ++i) {
        set.elements[nft::single(key(IpAddr::v4(0x0a000000U + 2 * i)))] = {};
      }
    }
    REQUIRE(apply(reconciler, table).clean());
    const auto dumped = kernel->dump();
    REQUIRE(dumped.has_value());
    CHECK(**dumped == table);
  }
}

}  // namespace
}  // namespace margay
