#include "policy/label_index.h"

#include <doctest/doctest.h>

#include <random>
#include <string>

using margay::api::Labels;
using margay::policy::ItemId;
using margay::policy::LabelIndex;
using margay::policy::LabelView;
using margay::policy::MatchChange;
using margay::policy::Selector;
using margay::policy::SelectorId;

namespace {

Selector parsed(const std::string& text) {
  auto selector = Selector::parse(text);
  REQUIRE(selector);
  return *selector;
}

constexpr ItemId kItem{1};
constexpr ItemId kOther{2};
constexpr SelectorId kFirst{10};
constexpr SelectorId kSecond{20};
using Changes = std::vector<MatchChange>;

}  // namespace

TEST_SUITE("policy.label_index") {
  TEST_CASE("matches start and stop with labels, parents and selectors") {
    LabelIndex index;
    index.set_item(kItem, {{"app", "web"}}, {"prod"});
    index.set_selector(kFirst, parsed("app == 'web' && pcns.team == 'red'"));
    CHECK(index.take_changes().empty());

    index.set_parent("prod", {{"pcns.team", "red"}});
    CHECK(index.take_changes() == Changes{{kFirst, kItem, true}});

    index.set_parent("prod", {{"pcns.team", "blue"}});
    CHECK(index.take_changes() == Changes{{kFirst, kItem, false}});

    index.set_parent("prod", {{"pcns.team", "red"}});
    index.set_item(kItem, {{"app", "db"}}, {"prod"});
    CHECK(index.take_changes().empty());

    index.set_selector(kFirst, parsed("app == 'db'"));
    CHECK(index.take_changes() == Changes{{kFirst, kItem, true}});
    CHECK(index.items_of(kFirst) == std::set<ItemId>{kItem});
    CHECK(index.selectors_of(kItem) == std::set<SelectorId>{kFirst});

    index.remove_selector(kFirst);
    CHECK(index.take_changes() == Changes{{kFirst, kItem, false}});
    CHECK(index.selectors_of(kItem).empty());
  }

  TEST_CASE("moving to another parent changes what is inherited") {
    LabelIndex index;
    index.set_parent("a", {{"team", "red"}});
    index.set_parent("b", {{"team", "blue"}});
    index.set_selector(kFirst, parsed("team == 'red'"));
    index.set_selector(kSecond, parsed("!has(team)"));
    index.set_item(kItem, {}, {"a"});
    CHECK(index.take_changes() == Changes{{kFirst, kItem, true}});

    index.set_item(kItem, {}, {"b"});
    CHECK(index.take_changes() == Changes{{kFirst, kItem, false}});

    index.remove_parent("b");
    CHECK(index.take_changes() == Changes{{kSecond, kItem, true}});

    index.remove_item(kItem);
    CHECK(index.take_changes() == Changes{{kSecond, kItem, false}});
    CHECK(index.items_of(kSecond).empty());
  }

  TEST_CASE("a change and its opposite are not reported") {
    LabelIndex index;
    index.set_selector(kFirst, parsed("has(a)"));
    index.set_item(kItem, {{"a", ""}}, {});
    index.remove_item(kItem);
    index.set_item(kOther, {}, {});
    index.remove_selector(kSecond);
    index.remove_item(ItemId{99});
    index.remove_parent("nothing");

    CHECK(index.take_changes().empty());
  }

  TEST_CASE("a label change is tried against the selectors it can affect only") {
    LabelIndex index;
    for (std::uint32_t i = 0; i < 1000; ++i) {
      index.set_selector(SelectorId{i},
                         parsed("env == 'prod' && app == 'app" + std::to_string(i) + "'"));
      index.set_selector(SelectorId{1000 + i}, parsed("other != 'x" + std::to_string(i) + "'"));
    }
    for (std::uint32_t i = 0; i < 100; ++i) {
      index.set_item(ItemId{i}, {{"env", "prod"}, {"app", "app" + std::to_string(i)}}, {});
    }
    const std::uint64_t before = index.evaluations();

    index.set_item(ItemId{5}, {{"env", "prod"}, {"app", "app500"}}, {});

    CHECK(index.evaluations() - before <= 3);
    CHECK(index.items_of(SelectorId{5}).empty());
    CHECK(index.items_of(SelectorId{500}) == std::set<ItemId>{ItemId{5}});

    const std::uint64_t middle = index.evaluations();
    index.set_selector(SelectorId{5000}, parsed("app == 'app7'"));
    CHECK(index.evaluations() - middle == 1);
  }

  TEST_CASE("random changes end in the matches that brute force finds") {
    constexpr unsigned kSeed = 7;
    CAPTURE(kSeed);
    std::mt19937 random(kSeed);
    const auto below = [&random](std::uint32_t bound) {
      return std::uniform_int_distribution<std::uint32_t>(0, bound - 1)(random);
    };
    const auto some_labels = [&below] {
      Labels labels;
      for (std::uint32_t count = below(4); count > 0; --count) {
        labels["k" + std::to_string(below(3))] = "v" + std::to_string(below(3));
      }
      return labels;
    };
    const char* const texts[] = {"all()",
                                 "has(k0)",
                                 "!has(k1)",
                                 "k0 == 'v1'",
                                 "k0 != 'v1'",
                                 "k0 in {'v0','v2'} && k1 == 'v1'",
                                 "k2 not in {'v0'} || has(k1)",
                                 "k1 == 'v0' || k1 == 'v1'",
                                 "k0 == 'v0' && k2 != 'v0'",
                                 "k0 starts with 'v'",
                                 "k0 in {}",
                                 "k0 == 'v0' && k0 == 'v1'"};
    struct Model {
      std::map<ItemId, std::pair<Labels, std::vector<std::string>>> items;
      std::map<std::string, Labels> parents;
      std::map<SelectorId, Selector> selectors;
    } model;
    std::set<std::pair<SelectorId, ItemId>> reported;
    LabelIndex index;
    for (int step = 0; step < 4000; ++step) {
      const ItemId item{below(6)};
      const SelectorId selector{below(6)};
      const std::string parent = "p" + std::to_string(below(3));
      switch (below(8)) {
        case 0:
          index.remove_item(item);
          model.items.erase(item);
          break;
        case 1:
          index.remove_selector(selector);
          model.selectors.erase(selector);
          break;
        case 2:
          index.remove_parent(parent);
          model.parents.erase(parent);
          break;
        case 3:
          model.parents[parent] = some_labels();
          index.set_parent(parent, model.parents[parent]);
          break;
        case 4:
        case 5: {
          const Selector parsed_selector = parsed(texts[below(12)]);
          model.selectors.insert_or_assign(selector, parsed_selector);
          index.set_selector(selector, parsed_selector);
          break;
        }
        default: {
          std::vector<std::string> parents;
          for (std::uint32_t count = below(3); count > 0; --count) {
            parents.push_back("p" + std::to_string(below(3)));
          }
          model.items[item] = {some_labels(), parents};
          index.set_item(item, model.items[item].first, parents);
          break;
        }
      }
      for (const MatchChange& change : index.take_changes()) {
        const std::pair ids{change.selector, change.item};
        REQUIRE(reported.contains(ids) != change.matches);
        change.matches ? void(reported.insert(ids)) : void(reported.erase(ids));
      }
      std::set<std::pair<SelectorId, ItemId>> expected;
      for (const auto& [id, own] : model.items) {
        std::vector<const Labels*> inherited;
        for (const std::string& name : own.second) {
          if (model.parents.contains(name)) {
            inherited.push_back(&model.parents[name]);
          }
        }
        for (const auto& [selector_id, wanted] : model.selectors) {
          if (wanted.matches(LabelView(own.first, inherited))) {
            expected.insert({selector_id, id});
          }
        }
      }
      CAPTURE(step);
      REQUIRE(reported == expected);
    }
  }
}
