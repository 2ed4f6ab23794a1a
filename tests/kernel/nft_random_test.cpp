// Random tables, one after the other, through the reconciler into the kernel and into the fake:
// both must hold the same, and the next apply must find nothing to do.

#include "felix/dataplane/nft_reconciler.h"
#include "kernel/model/nft_text.h"
#include "kernel/nft/nft_kernel.h"
#include "tests/kernel/kernel_lab.h"
#include "tests/support/fake_kernel.h"

#include <doctest/doctest.h>

#include <cstdlib>
#include <random>
#include <string>
#include <vector>

namespace margay {
namespace {

using nft::DataType;
using nft::Field;
using nft::key;
using nft::Verdict;

class TableMaker {
 public:
  explicit TableMaker(std::uint32_t seed) : random_(seed) {}

  // A table near the given one: most of it stays, as between two applies of an agent.
  nft::Table next(nft::Table table) {
    if (chance(20)) {
      table = {};
    }
    change_counters(table);
    for (unsigned i = 0; i < kSets; ++i) {
      if (chance(2)) {
        change_set(table, i);
      }
    }
    for (unsigned i = 0; i < kChains; ++i) {
      if (chance(2)) {
        change_chain(table, i);
      }
    }
    drop_dangling(table);
    return table;
  }

 private:
  static constexpr unsigned kSets = 6;
  static constexpr unsigned kChains = 5;

  unsigned below(unsigned bound) {
    return std::uniform_int_distribution<unsigned>(0, bound - 1)(random_);
  }
  bool chance(unsigned one_in) { return below(one_in) == 0; }

  void change_counters(nft::Table& table) {
    for (const char* name : {"c0", "c1", "c2"}) {
      if (chance(4)) {
        table.counters.erase(name);
      } else if (chance(3)) {
        table.counters.insert(name);
      }
    }
  }

  static nft::SetSpec spec_of(unsigned kind) {
    switch (kind) {
      case 0:
        return {.key = {DataType::kIpv4Addr}};
      case 1:
        return {.key = {DataType::kIpv4Addr}, .interval = true};
      case 2:
        return {.key = {DataType::kIpv4Addr, DataType::kInetProto, DataType::kInetService}};
      case 3:
        return {.key = {DataType::kIpv4Addr, DataType::kInetService}, .interval = true};
      case 4:
        return {.key = {DataType::kIfName}, .data = nft::VerdictData{}};
      default:
        return {.key = {DataType::kIpv4Addr}, .data = nft::DataTypes{DataType::kMark}};
    }
  }
  IpAddr addr() { return IpAddr::v4(0x0a000000U + 16 * below(40)); }
  nft::Port port() { return nft::Port(static_cast<std::uint16_t>(100 * (1 + below(20)))); }

  void add_element(nft::Set& set, unsigned kind) {
    const IpAddr a = addr();
    const nft::Port p = port();
    switch (kind) {
      case 0:
        set.elements[nft::single(key(a))] = {};
        return;
      case 1:  // ranges of different lengths in one place replace each other
        erase_from(set, key(a));
        set.elements[nft::range(key(a), key(a.add(below(16))))] = {};
        return;
      case 2:
        set.elements[nft::single(key(a, nft::kTcp, p))] = {};
        return;
      case 3:
        erase_from(set, key(a, p));
        set.elements[nft::range(
            key(a, p),
            key(a.add(below(16)), nft::Port(static_cast<std::uint16_t>(p.value() + below(100)))))] =
            {};
        return;
      case 4:
        set.elements[nft::single(key(*IfName::parse(fmt::format("mgy{}", below(20)))))] = verdict();
        return;
      default:
        set.elements[nft::single(key(a))] = key(Mark(below(5)));
        return;
    }
  }
  static void erase_from(nft::Set& set, const nft::Key& from) {
    std::erase_if(set.elements, [&from](const auto& entry) { return entry.first.from == from; });
  }

  void change_set(nft::Table& table, unsigned index) {
    const std::string name = fmt::format("s{}", index);
    if (chance(8)) {
      table.sets.erase(name);
      return;
    }
    // Sometimes the same name comes back with other types.
    const unsigned kind = chance(10) ? (index + 1) % kSets : index;
    nft::Set& set = table.sets[name];
    if (set.spec != spec_of(kind)) {
      set = {spec_of(kind), {}};
    }
    for (unsigned i = below(20); i > 0; --i) {
      add_element(set, kind);
    }
    std::erase_if(set.elements, [this](const auto&) { return chance(5); });
  }

  // Jumps go to chains with a higher number only: no loops.
  Verdict verdict(unsigned from = kChains - 2) {
    switch (below(4)) {
      case 0:
        return Verdict::drop();
      case 1:
        return from + 1 < kChains ? Verdict::jump(fmt::format("h{}", from + 1)) : Verdict::accept();
      default:
        return Verdict::accept();
    }
  }

  // Verdict maps lead to the last chain, so that chain asks none.
  nft::Statement lookup(nft::Table& table, unsigned index, unsigned chain) {
    const std::string name = fmt::format("s{}", index);
    const auto set = table.sets.find(name);
    if (set == table.sets.end()) {
      return nft::Counter{};
    }
    const nft::SetSpec& spec = set->second.spec;
    std::vector<Field> fields;
    for (const DataType type : spec.key) {
      fields.push_back(type == DataType::kIpv4Addr    ? Field::kIpSaddr
                       : type == DataType::kIfName    ? Field::kIifName
                       : type == DataType::kInetProto ? Field::kL4Proto
                                                      : Field::kThDport);
    }
    if (std::holds_alternative<nft::VerdictData>(spec.data)) {
      return chain + 1 < kChains ? nft::Statement(nft::VerdictLookup{fields, name})
                                 : nft::Statement(nft::Counter{});
    }
    if (spec.is_map()) {
      return nft::SetMarkFromMap{fields, name};
    }
    return nft::Lookup{fields, name, chance(3)};
  }

  nft::Rule rule(nft::Table& table, unsigned chain) {
    nft::Rule out;
    switch (below(6)) {
      case 0:
        out.statements = {lookup(table, below(kSets), chain)};
        break;
      case 1:
        out.statements = {nft::match_addr(chance(2), *Prefix::parse("10.0.0.0/8"), chance(2)),
                          nft::Counter{},
                          verdict(chain)};
        break;
      case 2:
        out.statements = {
            nft::Match{Field::kL4Proto, key(nft::kTcp)},
            nft::MatchRange{Field::kThDport, key(nft::Port(1)), key(port()), chance(2)},
            verdict(chain)};
        break;
      case 3:
        out.statements = {nft::Match{Field::kNfProto, key(nft::kNfProtoIpv4)},
                          nft::Match{Field::kIcmpType, key(nft::IcmpType(8))},
                          verdict(chain)};
        break;
      case 4:
        out.statements = {nft::SetMark{Field::kMark, Mark(below(256)), Mark(0xff)}};
        break;
      default:
        out.statements = {nft::match_ct_state(nft::kStateNew), nft::Log{"new", std::uint16_t{1}}};
        break;
    }
    out.comment = chance(2) ? fmt::format("r{}", below(100)) : "";
    return out;
  }

  void change_chain(nft::Table& table, unsigned index) {
    const std::string name = fmt::format("h{}", index);
    if (chance(10)) {
      table.chains.erase(name);
      return;
    }
    nft::Chain& chain = table.chains[name];
    if (index == 0) {
      chain.hook = nft::Hook{.policy = chance(2) ? nft::Policy::kDrop : nft::Policy::kAccept};
    }
    std::erase_if(chain.rules.edit(), [this](const nft::Rule&) { return chance(4); });
    for (unsigned i = below(4); i > 0; --i) {
      const auto at =
          static_cast<std::ptrdiff_t>(below(static_cast<unsigned>(chain.rules.size()) + 1));
      auto& rules = chain.rules.edit();
      rules.insert(rules.begin() + at, rule(table, index));
    }
  }

  // What refers to a set or chain that went, or changed its types, goes too.
  static void drop_dangling(nft::Table& table) {
    const auto dangling = [&table](const Verdict& verdict) {
      return !verdict.chain.empty() && !table.chains.contains(verdict.chain);
    };
    for (auto& [name, set] : table.sets) {
      std::erase_if(set.elements, [&](const auto& entry) {
        const auto* verdict = std::get_if<Verdict>(&entry.second);
        return verdict != nullptr && dangling(*verdict);
      });
    }
    for (auto& [name, chain] : table.chains) {
      std::erase_if(chain.rules.edit(), [&](const nft::Rule& rule) {
        return std::ranges::any_of(rule.statements, [&](const nft::Statement& statement) {
          if (const auto* verdict = std::get_if<Verdict>(&statement)) {
            return dangling(*verdict);
          }
          return !lookup_fits(statement, table);
        });
      });
    }
  }
  static bool lookup_fits(const nft::Statement& statement, const nft::Table& table) {
    std::string name;
    std::size_t data = 0;
    if (const auto* set = std::get_if<nft::Lookup>(&statement)) {
      name = set->set;
    } else if (const auto* map = std::get_if<nft::VerdictLookup>(&statement)) {
      name = map->map;
      data = 1;
    } else if (const auto* marks = std::get_if<nft::SetMarkFromMap>(&statement)) {
      name = marks->map;
      data = 2;
    } else {
      return true;
    }
    const auto set = table.sets.find(name);
    if (set == table.sets.end() || set->second.spec.data.index() != data) {
      return false;
    }
    const auto fields = nft::fields_of(statement);
    const auto& types = set->second.spec.key;
    const auto type_of = [](Field field) {
      return field == Field::kIpSaddr   ? DataType::kIpv4Addr
             : field == Field::kIifName ? DataType::kIfName
             : field == Field::kL4Proto ? DataType::kInetProto
                                        : DataType::kInetService;
    };
    return std::ranges::equal(fields, types, {}, type_of);
  }

  std::mt19937 random_;
};

TEST_SUITE("kernel.nft.random") {
  TEST_CASE("random transactions leave kernel and fake with the desired table") {
    constexpr std::uint32_t kSeed = 20240607;
    // 1,000, or as many as a soak asks for.
    const char* wanted = std::getenv("MARGAY_TRANSACTIONS");
    const unsigned steps = wanted == nullptr ? 1000 : static_cast<unsigned>(std::stoul(wanted));
    CAPTURE(kSeed);
    const test::FreshNamespace ns;
    auto kernel = nft::open_nft_kernel("margay");
    REQUIRE(kernel.has_value());
    test::FakeNftKernel fake;
    felix::NftReconciler real_side(**kernel);
    felix::NftReconciler fake_side(fake);
    real_side.set_in_sync(true);
    fake_side.set_in_sync(true);
    TableMaker maker(kSeed);
    nft::Table table;
    for (unsigned step = 0; step < steps; ++step) {
      CAPTURE(step);
      const nft::Table next = nft::canonical(maker.next(table));
      const nft::Delta delta = nft::diff(table, next);
      real_side.set_desired(delta);
      fake_side.set_desired(delta);
      const auto report = real_side.apply();
      REQUIRE_MESSAGE(
          report.clean(), report.failures.front().what, ": ", report.failures.front().error.text);
      REQUIRE(fake_side.apply().clean());
      const auto dumped = (*kernel)->dump();
      REQUIRE(dumped.has_value());
      const nft::Table held = dumped->value_or(nft::Table{});
      CHECK(nft::to_text("t", held) == nft::to_text("t", next));
      REQUIRE(held == next);
      REQUIRE(fake.table().value_or(nft::Table{}) == next);
      real_side.resync();
      REQUIRE(real_side.apply().changes == 0);
      table = next;
    }
  }
}

}  // namespace
}  // namespace margay
