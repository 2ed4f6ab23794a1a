#include "felix/render/merge.h"

#include <doctest/doctest.h>

namespace margay::felix {
namespace {

using policy::Rule;

Prefix net(unsigned number) {
  return Prefix::host(IpAddr::v4(0x0a000000U + number));
}

Rule allow(unsigned source, std::uint16_t port, unsigned index) {
  Rule rule;
  rule.action = api::Action::kAllow;
  rule.protocol = api::kTcp;
  rule.source.nets = {net(source)};
  rule.destination.ports = {{port, port}};
  rule.written_index = index;
  return rule;
}
Rule deny(std::uint16_t port, unsigned index) {
  Rule rule = allow(1, port, index);
  rule.action = api::Action::kDeny;
  return rule;
}

std::vector<unsigned> written(const MergedRule& rule) {
  return rule.written;
}

}  // namespace

TEST_SUITE("felix.render.merge") {
  TEST_CASE("a thousand sources of one port are one rule, also where others stand between") {
    std::vector<Rule> rules;
    for (unsigned i = 0; i < 1000; ++i) {
      rules.push_back(allow(i, i % 2 == 0 ? 80 : 443, i));
    }
    const auto merged = merge_rules(rules, 8);
    REQUIRE(merged.size() == 2);
    CHECK(merged[0].rule.source.nets.size() == 500);
    CHECK(merged[0].rule.destination.ports == std::vector<api::PortRange>{{80, 80}});
    CHECK(merged[0].written.size() == 500);
    CHECK(merged[1].written.front() == 1);
  }

  TEST_CASE("ports of one source first, then the sources that have the same ports") {
    std::vector<Rule> rules;
    unsigned index = 0;
    for (unsigned source = 0; source < 3; ++source) {
      for (const std::uint16_t port : std::initializer_list<std::uint16_t>{80, 81, 443}) {
        rules.push_back(allow(source, port, index++));
      }
    }
    const auto merged = merge_rules(rules, 2);
    REQUIRE(merged.size() == 1);
    CHECK(merged[0].rule.source.nets.size() == 3);
    CHECK(merged[0].rule.destination.ports == std::vector<api::PortRange>{{80, 81}, {443, 443}});
    CHECK(rule_numbers(merged[0].written) == "rules 1 to 9");
  }

  TEST_CASE("no rule moves past one of another action, or past a Log") {
    std::vector<Rule> rules{allow(1, 80, 0), deny(80, 1), allow(2, 80, 2), allow(3, 80, 3)};
    rules.push_back(rules.back());
    rules.back().action = api::Action::kLog;
    rules.push_back(allow(4, 80, 5));
    const auto merged = merge_rules(rules, 2);
    REQUIRE(merged.size() == 5);
    CHECK(written(merged[0]) == std::vector<unsigned>{0});
    CHECK(written(merged[1]) == std::vector<unsigned>{1});
    CHECK(written(merged[2]) == std::vector<unsigned>{2, 3});
    CHECK(merged[3].rule.action == api::Action::kLog);
    CHECK(written(merged[4]) == std::vector<unsigned>{5});
  }

  TEST_CASE("a few rules keep their own counters, and rules that ask for more stay apart") {
    std::vector<Rule> rules;
    for (unsigned i = 0; i < 7; ++i) {
      rules.push_back(allow(i, 80, i));
    }
    CHECK(merge_rules(rules, 8).size() == 7);
    rules.push_back(allow(7, 80, 7));
    CHECK(merge_rules(rules, 8).size() == 1);
    Rule any_source = allow(0, 80, 8);
    any_source.source.nets.clear();
    Rule excluding = allow(9, 80, 9);
    excluding.source.not_nets = {net(3)};
    rules.push_back(any_source);
    rules.push_back(excluding);
    const auto merged = merge_rules(rules, 8);
    REQUIRE(merged.size() == 3);
    CHECK(merged[1].rule == any_source);
    CHECK(merged[2].rule == excluding);
  }

  TEST_CASE("numbers of rules as people read them") {
    CHECK(rule_numbers({2}) == "rule 3");
    CHECK(rule_numbers({0, 1}) == "rules 1, 2");
    CHECK(rule_numbers({0, 3, 4, 5, 9}) == "rules 1, 4 to 6, 10");
  }
}

}  // namespace margay::felix
