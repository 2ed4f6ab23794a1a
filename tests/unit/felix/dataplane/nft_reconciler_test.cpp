#include "felix/dataplane/nft_reconciler.h"

#include "tests/support/fake_kernel.h"

#include <doctest/doctest.h>

#include <random>

namespace margay::felix {
namespace {

using nft::Chain;
using nft::Delta;
using nft::Rule;
using nft::Set;
using nft::Table;
using nft::Verdict;
using test::FakeNftKernel;

nft::ElementKey addr(std::uint32_t host) {
  return nft::single(nft::key(IpAddr::v4(host)));
}

Rule jump_rule(const std::string& chain) {
  return {{Verdict::jump(chain)}, "jump " + chain};
}
Rule lookup_rule(const std::string& set) {
  return {{nft::Lookup{{nft::Field::kIpSaddr}, set, false}, nft::Counter{}, Verdict::accept()},
          "from " + set};
}
Set address_set(std::initializer_list<std::uint32_t> hosts) {
  Set set{{{nft::DataType::kIpv4Addr}, {}, false, false}, {}};
  for (const std::uint32_t host : hosts) {
    set.elements.emplace(addr(host), std::monostate{});
  }
  return set;
}

// A base chain that dispatches by interface to a stack, which uses a policy chain, which looks up a
// set.
Table small_table() {
  Table table;
  table.sets["s1"] = address_set({1, 2});
  Set dispatch{{{nft::DataType::kIfName}, nft::VerdictData{}, false, false}, {}};
  dispatch.elements.emplace(nft::single(nft::key(*IfName::parse("mgy1"))),
                            Verdict::go_to("stack1"));
  table.sets["dispatch"] = dispatch;
  table.chains["policy1"] = Chain{std::nullopt, {lookup_rule("s1"), {{Verdict::drop()}, "end"}}};
  table.chains["stack1"] =
      Chain{std::nullopt, {jump_rule("policy1"), {{Verdict::drop()}, "no match"}}};
  table.chains["forward"] =
      Chain{nft::Hook{}, {{{nft::VerdictLookup{{nft::Field::kIifName}, "dispatch"}}, "dispatch"}}};
  table.counters.insert("c1");
  return table;
}

struct Rig {
  Rig() { reconciler.set_in_sync(true); }
  FakeNftKernel kernel;
  NftReconciler reconciler{kernel};
};

// A table of random content in which all references hold.
Table random_table(std::mt19937& random) {
  Table table;
  const auto pick = [&random](unsigned n) { return static_cast<unsigned>(random() % n); };
  for (unsigned s = 0; s < 4; ++s) {
    if (pick(4) != 0) {
      Set set = address_set({});
      set.spec.interval = pick(3) == 0;
      for (unsigned e = pick(4); e > 0; --e) {
        set.elements.emplace(addr(pick(5)), std::monostate{});
      }
      table.sets["set" + std::to_string(s)] = set;
    }
  }
  for (unsigned c = 0; c < 4; ++c) {
    if (pick(4) == 0) {
      continue;
    }
    Chain chain;
    if (c == 0) {
      chain.hook = nft::Hook{nft::ChainType::kFilter,
                             nft::HookPoint::kForward,
                             pick(2) == 0 ? 0 : 10,
                             pick(2) == 0 ? nft::Policy::kAccept : nft::Policy::kDrop};
    }
    for (unsigned r = pick(4); r > 0; --r) {
      if (pick(2) == 0 && !table.sets.empty()) {
        chain.rules.push_back(lookup_rule(
            std::next(table.sets.begin(), pick(static_cast<unsigned>(table.sets.size())))->first));
      } else if (!table.chains.empty()) {
        // Only chains made before: no loops.
        const auto target =
            std::next(table.chains.begin(), pick(static_cast<unsigned>(table.chains.size())));
        if (!target->second.hook) {
          chain.rules.push_back(jump_rule(target->first));
        }
      }
    }
    table.chains["chain" + std::to_string(c)] = chain;
  }
  Set map{{{nft::DataType::kIfName}, nft::VerdictData{}, false, false}, {}};
  for (const auto& [name, chain] : table.chains) {
    if (!chain.hook && pick(2) == 0) {
      map.elements.emplace(nft::single(nft::key(*IfName::parse("mgy" + std::to_string(pick(3))))),
                           Verdict::go_to(name));
    }
  }
  table.sets["map"] = map;
  return table;
}

TEST_SUITE("felix.dataplane.nft") {
  TEST_CASE("nothing is written before the datastore was in sync") {
    FakeNftKernel kernel;
    NftReconciler reconciler(kernel);
    reconciler.set_desired(small_table());
    CHECK(reconciler.apply().changes == 0);
    CHECK_FALSE(kernel.table());
  }

  TEST_CASE("the desired table goes in with one transaction, and a second apply writes nothing") {
    Rig rig;
    rig.reconciler.set_desired(small_table());
    CHECK(rig.reconciler.apply().clean());
    CHECK(rig.kernel.table() == small_table());
    CHECK(rig.kernel.committed.size() == 1);
    CHECK(rig.reconciler.apply().clean());
    CHECK(rig.kernel.committed.size() == 1);
  }

  TEST_CASE("a restart that wants what is there writes nothing") {
    Rig rig;
    rig.kernel.tamper(small_table());
    (void)rig.kernel.take_changes();
    rig.reconciler.set_desired(small_table());
    CHECK(rig.reconciler.apply().clean());
    CHECK(rig.kernel.committed.empty());
  }

  TEST_CASE("one set element costs one element command") {
    Rig rig;
    rig.reconciler.set_desired(small_table());
    (void)rig.reconciler.apply();
    Delta delta;
    delta.elements["s1"].add.emplace(addr(3), std::monostate{});
    delta.elements["s1"].remove.insert(addr(1));

    rig.reconciler.set_desired(delta);
    CHECK(rig.reconciler.apply().clean());

    REQUIRE(rig.kernel.committed.size() == 2);
    const auto& transaction = rig.kernel.committed.back();
    REQUIRE(transaction.size() == 2);
    CHECK(std::holds_alternative<nft::DeleteElements>(transaction[0]));
    CHECK(std::holds_alternative<nft::AddElements>(transaction[1]));
    CHECK(rig.kernel.table()->sets.at("s1") == address_set({2, 3}));
  }

  TEST_CASE("a changed rule in the middle leaves its neighbours alone") {
    Rig rig;
    Table table = small_table();
    table.chains["policy1"].rules = {
        lookup_rule("s1"), {{Verdict::accept()}, "b"}, {{Verdict::drop()}, "c"}};
    rig.reconciler.set_desired(table);
    (void)rig.reconciler.apply();
    const auto before = *rig.kernel.rule_handles("policy1");

    table.chains["policy1"].rules.edit()[1].comment = "b2";
    rig.reconciler.set_desired(table);
    (void)rig.reconciler.apply();

    const auto after = *rig.kernel.rule_handles("policy1");
    REQUIRE(after.size() == 3);
    CHECK(after[0] == before[0]);
    CHECK(after[1] != before[1]);
    CHECK(after[2] == before[2]);
    CHECK(rig.kernel.table() == table);
  }

  TEST_CASE("a table that someone flushed, deleted or changed is back with the next apply") {
    Table changed = small_table();
    changed.chains["foreign"] = Chain{};
    changed.chains["policy1"].rules.edit().pop_back();
    changed.sets["s1"] = address_set({9});
    for (const std::optional<Table>& state :
         {std::optional<Table>(), std::optional(Table()), std::optional(changed)}) {
      Rig rig;
      rig.reconciler.set_desired(small_table());
      (void)rig.reconciler.apply();
      rig.kernel.tamper(state);
      CHECK(rig.reconciler.on_event());
      CHECK(rig.reconciler.apply().clean());
      CHECK(rig.kernel.table() == small_table());
      CHECK(rig.kernel.committed.size() == 2);
    }
  }

  TEST_CASE("a set of another type takes the place of the old one although rules refer to it") {
    Rig rig;
    rig.reconciler.set_desired(small_table());
    (void)rig.reconciler.apply();
    Table table = small_table();
    table.sets["s1"].spec.interval = true;
    rig.reconciler.set_desired(table);
    CHECK(rig.reconciler.apply().clean());
    CHECK(rig.kernel.table() == table);
  }

  TEST_CASE("base chains that leave are empty before what they look up is gone") {
    Rig rig;
    rig.reconciler.set_desired(small_table());
    (void)rig.reconciler.apply();
    Table table;
    table.sets["next-s1"] = address_set({1, 2});
    table.chains["next-forward"] = Chain{nft::Hook{}, {lookup_rule("next-s1")}};
    rig.reconciler.set_desired(table);
    // The second of the two transactions fails, to see what the first one left behind.
    rig.kernel.failures.fail_call(2);
    CHECK_FALSE(rig.reconciler.apply().clean());
    REQUIRE(rig.kernel.table());
    CHECK(rig.kernel.table()->chains.at("forward") == Chain{nft::Hook{}, {}});
    CHECK(rig.kernel.table()->chains.at("stack1") == Chain{});
    CHECK(rig.kernel.table()->chains.at("next-forward") == table.chains.at("next-forward"));
    CHECK(rig.kernel.table()->sets.at("dispatch") == small_table().sets.at("dispatch"));

    CHECK(rig.reconciler.apply().clean());
    CHECK(rig.kernel.table() == table);
  }

  TEST_CASE("a base chain leaves while the map that it asked comes back as a set") {
    Rig rig;
    rig.reconciler.set_desired(small_table());
    (void)rig.reconciler.apply();
    Table table = small_table();
    table.chains["policy2"] =
        Chain{std::nullopt, {{{nft::VerdictLookup{{nft::Field::kIifName}, "dispatch"}}, "again"}}};
    rig.reconciler.set_desired(table);
    REQUIRE(rig.reconciler.apply().clean());
    Table next;
    next.sets["dispatch"] = address_set({1});
    next.chains["next-forward"] = Chain{nft::Hook{}, {lookup_rule("dispatch")}};
    rig.reconciler.set_desired(next);
    const auto report = rig.reconciler.apply();
    CHECK_MESSAGE(report.clean(), report.failures.front().error.text);
    CHECK(rig.kernel.table() == next);
  }

  TEST_CASE("any sequence of tables ends in the last one, whichever call of the kernel fails") {
    for (unsigned seed = 1; seed <= 60; ++seed) {
      std::mt19937 random(seed);
      std::vector<Table> tables;
      for (unsigned i = 0; i < 5; ++i) {
        tables.push_back(random_table(random));
      }
      for (unsigned fail_at = 0; fail_at < 12; ++fail_at) {
        CAPTURE(seed);
        CAPTURE(fail_at);
        Rig rig;
        rig.kernel.failures.fail_call(fail_at);
        for (const Table& table : tables) {
          // Half of the wishes come as deltas, half whole.
          if (seed % 2 == 0) {
            rig.reconciler.set_desired(nft::diff(rig.reconciler.desired(), table));
          } else {
            rig.reconciler.set_desired(table);
          }
          (void)rig.reconciler.apply();
        }
        for (int tries = 0; tries < 3 && !rig.reconciler.apply().clean(); ++tries) {
        }
        REQUIRE(rig.kernel.table() == tables.back());
      }
    }
  }
}

}  // namespace
}  // namespace margay::felix
