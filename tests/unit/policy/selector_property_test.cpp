// Random selectors and labels: the compiled form against a matcher that walks the expression as
// written, and printing against parsing.

#include "policy/selector.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <functional>
#include <random>

using margay::api::Labels;
using margay::policy::Selector;

namespace {

constexpr unsigned kSeed = 20'261;

// An expression with its text in one of many spellings and its meaning for given labels.
struct Expression {
  std::string text;
  std::function<bool(const Labels&)> meaning;
};

class Generator {
 public:
  explicit Generator(unsigned seed) : random_(seed) {}

  unsigned below(unsigned bound) {
    return std::uniform_int_distribution<unsigned>(0, bound - 1)(random_);
  }

  Labels labels() {
    Labels labels;
    for (unsigned count = below(4); count > 0; --count) {
      labels[key()] = value();
    }
    return labels;
  }

  // NOLINTNEXTLINE(misc-no-recursion): bounded by depth
  Expression expression(unsigned depth) {
    const unsigned choice = depth == 0 ? 0 : below(5);
    if (choice < 2) {
      return leaf();
    }
    if (choice == 2) {
      Expression inner = expression(depth - 1);
      return {"!" + space() + "(" + inner.text + ")",
              [meaning = inner.meaning](const Labels& labels) { return !meaning(labels); }};
    }
    const bool both = choice == 3;
    Expression a = expression(depth - 1);
    Expression b = expression(depth - 1);
    return {"(" + a.text + ")" + space() + (both ? "&&" : "||") + space() + "(" + b.text + ")",
            [both, x = a.meaning, y = b.meaning](const Labels& labels) {
              return both ? x(labels) && y(labels) : x(labels) || y(labels);
            }};
  }

 private:
  std::string key() { return std::string("k") + static_cast<char>('a' + below(3)); }
  std::string value() {
    static const char* const kValues[] = {"", "x", "xy", "y", "yx", "'", "\"", "\\", "a\\'b"};
    return kValues[below(9)];
  }
  std::string space() {
    static const char* const kSpaces[] = {"", " ", "\n", " \t "};
    return kSpaces[below(4)];
  }
  std::string quoted(const std::string& text) {
    const char quote = below(2) == 0 ? '\'' : '"';
    std::string out(1, quote);
    for (const char character : text) {
      if (character == '\\' || character == quote) {
        out += '\\';
      }
      out += character;
    }
    return out + quote;
  }

  Expression leaf() {
    const std::string name = key();
    const std::string text = value();
    const auto test = [name](auto predicate) {
      return [name, predicate](const Labels& labels) {
        const auto found = labels.find(name);
        return found != labels.end() && predicate(found->second);
      };
    };
    const auto negated = [](auto meaning) {
      return [meaning](const Labels& labels) { return !meaning(labels); };
    };
    const auto equals = test([text](const std::string& held) { return held == text; });
    switch (below(8)) {
      case 0:
        return {"has(" + space() + name + space() + ")",
                test([](const std::string&) { return true; })};
      case 1:
        return {name + space() + "==" + space() + quoted(text), equals};
      case 2:
        return {name + space() + "!=" + space() + quoted(text), negated(equals)};
      case 3:
        return {name + " contains" + space() + quoted(text), test([text](const std::string& held) {
                  return held.find(text) != std::string::npos;
                })};
      case 4:
        return {name + " starts with" + space() + quoted(text),
                test([text](const std::string& held) { return held.rfind(text, 0) == 0; })};
      case 5:
        return {name + " endswith" + space() + quoted(text), test([text](const std::string& held) {
                  return held.size() >= text.size() &&
                         held.compare(held.size() - text.size(), text.size(), text) == 0;
                })};
      default:
        break;
    }
    std::vector<std::string> values;
    std::string set = "{";
    for (unsigned count = below(4); count > 0; --count) {
      values.push_back(value());
      set += quoted(values.back()) + (count > 1 ? "," : "") + space();
    }
    set += "}";
    const auto in = test([values](const std::string& held) {
      return std::ranges::find(values, held) != values.end();
    });
    if (below(2) == 0) {
      return {name + " in" + space() + set, in};
    }
    return {name + " not in" + space() + set, negated(in)};
  }

  std::mt19937 random_;
};

// Whether labels can be a match at all, by the restrictions.
bool fulfil(const margay::policy::LabelRestrictions& restrictions, const Labels& labels) {
  return std::ranges::all_of(restrictions, [&labels](const auto& entry) {
    const auto found = labels.find(entry.first);
    const auto& restriction = entry.second;
    if (found == labels.end()) {
      return !restriction.present && !restriction.values;
    }
    return !restriction.absent &&
           (!restriction.values || restriction.values->contains(found->second));
  });
}

}  // namespace

TEST_SUITE("policy.selector") {
  TEST_CASE("random selectors mean what their text says, in every form") {
    CAPTURE(kSeed);
    Generator generator(kSeed);
    for (int i = 0; i < 4000; ++i) {
      const Expression expression = generator.expression(5);
      CAPTURE(expression.text);
      const auto selector = Selector::parse(expression.text);
      REQUIRE(selector);
      const auto again = Selector::parse(selector->text());
      REQUIRE_MESSAGE(again, selector->text());
      REQUIRE(again->text() == selector->text());
      const Selector opposite = selector->negation();
      REQUIRE(opposite.negation().text() == selector->text());
      for (int j = 0; j < 10; ++j) {
        const Labels labels = generator.labels();
        const bool expected = expression.meaning(labels);
        REQUIRE(selector->matches(labels) == expected);
        REQUIRE(opposite.matches(labels) != expected);
        if (expected) {
          REQUIRE(fulfil(selector->restrictions(), labels));
        }
      }
    }
  }
}
