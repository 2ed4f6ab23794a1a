#include "policy/selector.h"

#include <doctest/doctest.h>

#include <string>
#include <string_view>

using margay::api::Labels;
using margay::policy::LabelRestriction;
using margay::policy::LabelView;
using margay::policy::Selector;

namespace {

Selector parsed(std::string_view text) {
  auto selector = Selector::parse(text);
  REQUIRE_MESSAGE(selector, text, ": ", selector ? "" : selector.error().text);
  return *selector;
}

bool matches(std::string_view text, const Labels& labels) {
  return parsed(text).matches(labels);
}

std::string error_of(std::string_view text) {
  const auto selector = Selector::parse(text);
  return selector ? "accepted" : selector.error().text;
}

}  // namespace

TEST_SUITE("policy.selector") {
  TEST_CASE("every operator matches as Calico's does") {
    const Labels web{{"app", "web"}, {"empty", ""}, {"a/b/c", "x"}, {"NS-.1", "y"}};
    struct Row {
      std::string text;
      bool expected;
      std::string why;
    };
    const Row rows[] = {
        {"", true, "empty means all"},
        {" \t\n", true, "blank means all"},
        {"all()", true, ""},
        {"all( )", true, ""},
        {"global()", true, "no namespace label"},
        {"app == 'web'", true, ""},
        {"app=='web'", true, "white space is free"},
        {"app == \"web\"", true, "either quote"},
        {"app == 'Web'", false, "case counts"},
        {"app != 'web'", false, ""},
        {"missing != 'web'", true, "absent label: != is true"},
        {"missing == 'web'", false, ""},
        {"missing not in {'a'}", true, "absent label: not in is true"},
        {"missing in {'a'}", false, ""},
        {"missing contains 'a'", false, ""},
        {"!missing contains 'a'", true, ""},
        {"has(app)", true, ""},
        {"has( app )", true, ""},
        {"has(missing)", false, ""},
        {"!has(missing)", true, ""},
        {"! has(missing)", true, "space after !"},
        {"!!!has(missing)", true, "any number of !"},
        {"! ! has(app)", true, ""},
        {"has(a/b/c)", true, "slashes in a label"},
        {"has(NS-.1)", true, ""},
        {"has(empty)", true, "an empty value is a value"},
        {"empty == ''", true, ""},
        {"missing == ''", false, ""},
        {"app in {'web', 'db'}", true, ""},
        {"app in {'db', 'web',}", true, "trailing comma"},
        {"app in {}", false, "empty set"},
        {"app not in {}", true, ""},
        {"app notin {'db'}", true, ""},
        {"app not in {'web'}", false, ""},
        {"app contains 'e'", true, ""},
        {"app contains ''", true, ""},
        {"app starts with 'we'", true, ""},
        {"app startswith 'we'", true, ""},
        {"app starts with 'eb'", false, ""},
        {"app ends with 'eb'", true, ""},
        {"app endswith 'we'", false, ""},
        {"app == 'web' && has(missing)", false, ""},
        {"app == 'web' || has(missing)", true, ""},
        {"has(missing) && has(missing) || has(app)", true, "&& binds tighter"},
        {"has(app) || has(missing) && has(missing)", true, ""},
        {"(has(app) || has(missing)) && has(missing)", false, ""},
        {"!(app == 'web' && has(missing))", true, ""},
        {"!(app == 'web' || has(missing))", false, ""},
        {"app\n==\n'web'\r\n&& has(app)", true, "newlines of a YAML block"},
    };
    for (const Row& row : rows) {
      CAPTURE(row.text);
      CAPTURE(row.why);
      CHECK(matches(row.text, web) == row.expected);
    }
  }

  TEST_CASE("labels named like keywords are labels") {
    const Labels odd{{"contains", "in"}, {"in", "x"}, {"not", "y"}, {"has", "z"}, {"all", "w"}};

    CHECK(matches("contains contains 'i'", odd));
    CHECK(matches("in in {'x'}", odd));
    CHECK(matches("not not in {'x'}", odd));
    CHECK(matches("has == 'z' && all == 'w' && has(has)", odd));
  }

  TEST_CASE("quotes and backslashes can stand in values") {
    CHECK(matches(R"(a == 'say "hi"')", {{"a", R"(say "hi")"}}));
    CHECK(matches(R"(a == "it's")", {{"a", "it's"}}));
    CHECK(matches(R"(a == 'it\'s "x"')", {{"a", R"(it's "x")"}}));
    CHECK(matches(R"(a == 'b\\')", {{"a", R"(b\)"}}));
    CHECK(matches(R"(a == 'C:\dir')", {{"a", R"(C:\dir)"}}));
    CHECK(parsed(R"(a == 'it\'s "x" \\')").text() == R"(a == "it's \"x\" \\")");
    CHECK(parsed(parsed(R"(a == 'it\'s "x" \\')").text()).text() == R"(a == "it's \"x\" \\")");
  }

  TEST_CASE("spellings of one meaning share the canonical text") {
    struct Row {
      std::string text;
      std::string canonical;
    };
    const Row rows[] = {
        {"", "all()"},
        {" (all() )", "all()"},
        {"((a=='b'))", R"(a == "b")"},
        {"a in {'c','b','c'}", R"(a in {"b", "c"})"},
        {"a in {'b'}", R"(a == "b")"},
        {"a not in {'b'}", R"(a != "b")"},
        {"!(a == 'b')", R"(a != "b")"},
        {"!(a in {'b','c'})", R"(a not in {"b", "c"})"},
        {"!!has(a)", "has(a)"},
        {"a startswith 'x'", R"(a starts with "x")"},
        {"!a ends with 'x'", R"(!a ends with "x")"},
        {"has(b) && has(a)", "has(a) && has(b)"},
        {"has(a) && (has(b) && has(c))", "has(a) && has(b) && has(c)"},
        {"(has(b) || has(c)) && has(a)", "has(a) && (has(b) || has(c))"},
        {"has(a) || has(b) && has(c)", "has(a) || has(b) && has(c)"},
        {"!(has(a) && has(b))", "!has(a) || !has(b)"},
        {"!has(a) || !has(b)", "!has(a) || !has(b)"},
        {"has(a) && has(a)", "has(a)"},
        {"has(a) && all()", "has(a)"},
        {"has(a) || all()", "all()"},
        {"a in {}", "!all()"},
        {"a in {} || has(b)", "has(b)"},
        {"a not in {}", "all()"},
        {"global()", "global()"},
    };
    for (const Row& row : rows) {
      CAPTURE(row.text);
      CHECK(parsed(row.text).text() == row.canonical);
      CHECK(parsed(row.canonical).text() == row.canonical);
    }
  }

  TEST_CASE("errors give the column and what was expected") {
    struct Row {
      std::string text;
      std::string error;
    };
    const Row rows[] = {
        {"a",
         "column 2: expected an operator (==, !=, in, not in, contains, starts with, ends with), "
         "found end of text"},
        {"a = 'b'",
         "column 3: expected an operator (==, !=, in, not in, contains, starts with, ends with), "
         "found \"=\""},
        {"a == b", "column 6: expected a text in quotes, found \"b\""},
        {"'b' == a",
         "column 1: expected a label, has(...), all(), global(), \"!\" or \"(\", found a quoted "
         "text"},
        {"a == 'b",
         "column 6: expected a text in quotes, found a quoted text without its closing quote"},
        {"a == 'b' & has(c)", "column 10: expected \"&&\", \"||\" or the end, found \"&\""},
        {"a == 'b' | has(c)", "column 10: expected \"&&\", \"||\" or the end, found \"|\""},
        {"a == 'b' has(c)", "column 10: expected \"&&\", \"||\" or the end, found \"has\""},
        {"(a == 'b'", "column 10: expected \"&&\", \"||\" or \")\", found end of text"},
        {"a == 'b')", "column 9: expected \"&&\", \"||\" or the end, found \")\""},
        {"a in {'b'", "column 10: expected a text in quotes, \",\" or \"}\", found end of text"},
        {"a in {'b' 'c'}",
         "column 11: expected a text in quotes, \",\" or \"}\", found a quoted text"},
        {"a in 'b'", "column 6: expected \"{\", found a quoted text"},
        {"a not 'b'",
         "column 3: expected an operator (==, !=, in, not in, contains, starts with, ends with), "
         "found \"not\""},
        {"a starts 'b'", "column 10: expected \"with\", found a quoted text"},
        {"has()", "column 5: expected a label, found \")\""},
        {"has(a", "column 6: expected \")\", found end of text"},
        {"any()", "column 1: unknown function \"any\": expected has(label), all() or global()"},
        {"&& has(a)",
         "column 1: expected a label, has(...), all(), global(), \"!\" or \"(\", found \"&&\""},
        {"has(a) &&",
         "column 10: expected a label, has(...), all(), global(), \"!\" or \"(\", found end of "
         "text"},
        {"()",
         "column 2: expected a label, has(...), all(), global(), \"!\" or \"(\", found \")\""},
        {"a == 'b' \x01", "column 10: expected \"&&\", \"||\" or the end, found byte 0x01"},
    };
    for (const Row& row : rows) {
      CAPTURE(row.text);
      CHECK(error_of(row.text) == row.error);
    }
  }

  TEST_CASE("bounds are exact") {
    const auto nested = [](std::size_t depth) {
      return std::string(depth, '(') + "has(a)" + std::string(depth, ')');
    };
    CHECK(error_of(nested(64)) == "accepted");
    CHECK(error_of(nested(65)) == "column 65: parentheses nested deeper than 64");

    CHECK(error_of("has(" + std::string(512, 'a') + ")") == "accepted");
    CHECK(error_of("has(" + std::string(513, 'a') + ")") ==
          "column 5: label of 513 bytes: at most 512 are allowed");

    const auto alternatives = [](std::size_t count) {
      std::string text = "has(a)";
      for (std::size_t i = 1; i < count; ++i) {
        text += "||has(a)";
      }
      return text;
    };
    CHECK(error_of(alternatives(4096)) == "accepted");
    CHECK(error_of(alternatives(4097)) == "column 32769: more than 4096 operands");

    CHECK(error_of("a == '" + std::string(65'536 - 7, 'x') + "'") == "accepted");
    CHECK(error_of("a == '" + std::string(65'536, 'x') + "'") ==
          "65543 bytes long: at most 65536 are allowed");
    CHECK(error_of("a=='" + std::string(65'530, 'x') + "'") ==
          "65537 bytes long in canonical form: at most 65536 are allowed");
    CHECK(error_of(std::string(60'000, '!') + "has(a)") == "accepted");
  }

  TEST_CASE("inherited labels count, own labels win") {
    const Labels own{{"app", "web"}};
    const Labels parent{{"app", "other"}, {"pcns.team", "red"}};
    const Labels* const inherited[] = {&parent};
    const LabelView view(own, inherited);

    CHECK(parsed("pcns.team == 'red'").matches(view));
    CHECK(parsed("app == 'web'").matches(view));
    CHECK_FALSE(parsed("app == 'other'").matches(view));
  }

  TEST_CASE("restrictions say what every match must have") {
    const auto of = [](const char* text) { return parsed(text).restrictions(); };

    CHECK(of("a == 'x'").at("a") == LabelRestriction{true, false, {{"x"}}});
    CHECK(of("has(a)").at("a") == LabelRestriction{true, false, {}});
    CHECK(of("!has(a)").at("a") == LabelRestriction{false, true, {}});
    CHECK(of("a contains 'x'").at("a") == LabelRestriction{true, false, {}});
    CHECK(of("a != 'x'").empty());
    CHECK(of("all()").empty());
    CHECK(of("a in {'x','y'} && a in {'y','z'}").at("a") == LabelRestriction{true, false, {{"y"}}});
    CHECK(of("a == 'x' || a == 'y'").at("a") == LabelRestriction{true, false, {{"x", "y"}}});
    CHECK(of("a == 'x' || has(a)").at("a") == LabelRestriction{true, false, {}});
    CHECK(of("a == 'x' || b == 'y'").empty());
    CHECK(of("a == 'x' || !has(a)").empty());
    CHECK(of("a == 'x' && b != 'y'").size() == 1);
    CHECK(of("!global()").at("projectcalico.org/namespace").present);
  }

  TEST_CASE("selectors compose") {
    const Selector terms[] = {parsed("has(a) || has(b)"), parsed("has(c)")};

    CHECK(Selector::conjunction(terms).text() == "(has(a) || has(b)) && has(c)");
    CHECK(Selector::disjunction(terms).text() == "has(a) || has(b) || has(c)");
    CHECK(Selector::conjunction(terms).negation().text() == "!has(a) && !has(b) || !has(c)");
    CHECK(Selector::conjunction(terms).with_key_prefix("pcns.").text() ==
          "(has(pcns.a) || has(pcns.b)) && has(pcns.c)");
    CHECK(Selector::conjunction({}).is_all());
    CHECK(Selector::disjunction({}).text() == "!all()");
    CHECK(parsed("a == 'all()'").with_key_prefix("p.").text() == "p.a == \"all()\"");
  }
}
