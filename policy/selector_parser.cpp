// The selector parser. It keeps its own stack of open parentheses, so that no input can exhaust the
// program's; negations are pushed to the leaves while reading, by swapping && and || in a negated
// group.

#include "policy/selector_lexer.h"
#include "policy/selector_tree.h"

#include <algorithm>
#include <utility>

namespace margay::policy {

namespace {

constexpr std::string_view kOperators =
    "an operator (==, !=, in, not in, contains, starts with, ends with)";
constexpr std::string_view kOperand = "a label, has(...), all(), global(), \"!\" or \"(\"";

class SelectorParser {
 public:
  SelectorParser(std::string_view text, const ParseOptions& options)
      : lexer_(text), options_(options), token_(lexer_.next()) {}

  Result<SelectorNode> parse() {
    groups_.push_back(Group{options_.negated, {}, {}});
    if (token_.type == TokenType::kEnd) {
      return make_leaf({LabelTest::kAll, options_.negated, {}, {}});
    }
    while (true) {
      if (auto read = operand(); !read) {
        return fail(read.error());
      }
      if (opened_) {
        continue;
      }
      while (token_.type == TokenType::kCloseParen && groups_.size() > 1) {
        close_group();
      }
      if (token_.type == TokenType::kOr) {
        end_term(groups_.back());
      } else if (token_.type == TokenType::kEnd && groups_.size() == 1) {
        return finish(groups_.back());
      } else if (token_.type != TokenType::kAnd) {
        return expected(groups_.size() > 1 ? "\"&&\", \"||\" or \")\""
                                           : "\"&&\", \"||\" or the end");
      }
      advance();
    }
  }

 private:
  // One open parenthesis: alternatives read so far, and the terms of the current one.
  struct Group {
    bool negated = false;
    std::vector<SelectorNode> alternatives;
    std::vector<SelectorNode> terms;
  };

  void advance() { token_ = lexer_.next(); }

  [[nodiscard]] Failure<Error> expected(std::string_view what) const {
    return fail(
        Errc::kInvalid, "column {}: expected {}, found {}", token_.column, what, describe(token_));
  }

  static void end_term(Group& group) {
    group.alternatives.push_back(
        make_join(group.negated ? Join::kOr : Join::kAnd, std::exchange(group.terms, {})));
  }

  static SelectorNode finish(Group& group) {
    end_term(group);
    return make_join(group.negated ? Join::kAnd : Join::kOr, std::move(group.alternatives));
  }

  void close_group() {
    SelectorNode node = finish(groups_.back());
    groups_.pop_back();
    groups_.back().terms.push_back(std::move(node));
    advance();
  }

  // Reads one test, or opens a group and sets opened_.
  Result<void> operand() {
    bool negated = groups_.back().negated;
    opened_ = false;
    while (token_.type == TokenType::kNot) {
      negated = !negated;
      advance();
    }
    if (token_.type == TokenType::kOpenParen) {
      if (options_.limited && groups_.size() > kMaxSelectorDepth) {
        return fail(Errc::kInvalid,
                    "column {}: parentheses nested deeper than {}",
                    token_.column,
                    kMaxSelectorDepth);
      }
      groups_.push_back(Group{negated, {}, {}});
      opened_ = true;
      advance();
      return {};
    }
    if (token_.type != TokenType::kWord) {
      return expected(kOperand);
    }
    auto leaf = test();
    if (!leaf) {
      return fail(leaf.error());
    }
    leaf->negated = leaf->negated != negated;
    groups_.back().terms.push_back(make_leaf(std::move(*leaf)));
    return {};
  }

  Result<void> count_operand() {
    if (++operands_ > kMaxSelectorOperands && options_.limited) {
      return fail(
          Errc::kInvalid, "column {}: more than {} operands", token_.column, kMaxSelectorOperands);
    }
    return {};
  }

  Result<Leaf> test() {
    if (auto counted = count_operand(); !counted) {
      return fail(counted.error());
    }
    const Token word = token_;
    advance();
    if (token_.type == TokenType::kOpenParen) {
      return function(word);
    }
    auto key = label(word);
    if (!key) {
      return fail(key.error());
    }
    return comparison(std::move(*key));
  }

  [[nodiscard]] Result<std::string> label(const Token& word) const {
    if (word.text.size() > kMaxLabelBytes && options_.limited) {
      return fail(Errc::kInvalid,
                  "column {}: label of {} bytes: at most {} are allowed",
                  word.column,
                  word.text.size(),
                  kMaxLabelBytes);
    }
    return std::string(options_.key_prefix) + word.text;
  }

  Result<Leaf> function(const Token& word) {
    Leaf leaf;
    if (word.text == "all") {
      leaf.test = LabelTest::kAll;
    } else if (word.text == "global") {
      leaf.test = LabelTest::kGlobal;
    } else if (word.text == "has") {
      leaf.test = LabelTest::kHas;
    } else {
      return fail(Errc::kInvalid,
                  "column {}: unknown function {}: expected has(label), all() or global()",
                  word.column,
                  describe(word));
    }
    advance();
    if (leaf.test == LabelTest::kHas) {
      if (token_.type != TokenType::kWord) {
        return expected("a label");
      }
      auto key = label(token_);
      if (!key) {
        return fail(key.error());
      }
      leaf.key = std::move(*key);
      advance();
    }
    if (token_.type != TokenType::kCloseParen) {
      return expected("\")\"");
    }
    advance();
    return leaf;
  }

  Result<Leaf> comparison(std::string key) {
    Leaf leaf{LabelTest::kIn, false, std::move(key), {}};
    const Token first = token_;
    switch (first.type) {
      case TokenType::kEqual:
      case TokenType::kNotEqual:
        leaf.negated = first.type == TokenType::kNotEqual;
        advance();
        return with_text(std::move(leaf));
      case TokenType::kWord:
        advance();
        return word_comparison(std::move(leaf), first);
      default:
        return expected(kOperators);
    }
  }

  Result<Leaf> word_comparison(Leaf leaf, const Token& first) {
    if (first.text == "in" || first.text == "notin") {
      leaf.negated = first.text == "notin";
      return with_set(std::move(leaf));
    }
    if (first.text == "not" && token_.type == TokenType::kWord && token_.text == "in") {
      leaf.negated = true;
      advance();
      return with_set(std::move(leaf));
    }
    if (first.text == "contains") {
      leaf.test = LabelTest::kContains;
      return with_text(std::move(leaf));
    }
    const bool starts = first.text == "starts" || first.text == "startswith";
    const bool ends = first.text == "ends" || first.text == "endswith";
    if (!starts && !ends) {
      return fail(Errc::kInvalid,
                  "column {}: expected {}, found {}",
                  first.column,
                  kOperators,
                  describe(first));
    }
    if (first.text == "starts" || first.text == "ends") {
      if (token_.type != TokenType::kWord || token_.text != "with") {
        return expected("\"with\"");
      }
      advance();
    }
    leaf.test = starts ? LabelTest::kStartsWith : LabelTest::kEndsWith;
    return with_text(std::move(leaf));
  }

  Result<Leaf> with_text(Leaf leaf) {
    if (token_.type != TokenType::kString) {
      return expected("a text in quotes");
    }
    leaf.values.push_back(std::move(token_.text));
    advance();
    return leaf;
  }

  // "{" [ text { "," text } [ "," ] "}"
  Result<Leaf> with_set(Leaf leaf) {
    if (token_.type != TokenType::kOpenBrace) {
      return expected("\"{\"");
    }
    advance();
    while (token_.type == TokenType::kString) {
      if (auto counted = count_operand(); !counted) {
        return fail(counted.error());
      }
      leaf.values.push_back(std::move(token_.text));
      advance();
      if (token_.type != TokenType::kComma) {
        break;
      }
      advance();
    }
    if (token_.type != TokenType::kCloseBrace) {
      return expected("a text in quotes, \",\" or \"}\"");
    }
    advance();
    return leaf;
  }

  SelectorLexer lexer_;
  ParseOptions options_;
  Token token_;
  std::vector<Group> groups_;
  std::size_t operands_ = 0;
  bool opened_ = false;
};

}  // namespace

Result<SelectorNode> parse_selector_tree(std::string_view text, const ParseOptions& options) {
  if (options.limited && text.size() > kMaxSelectorBytes) {
    return fail(
        Errc::kInvalid, "{} bytes long: at most {} are allowed", text.size(), kMaxSelectorBytes);
  }
  auto tree = SelectorParser(text, options).parse();
  if (tree && options.limited && tree->text.size() > kMaxSelectorBytes) {
    return fail(Errc::kInvalid,
                "{} bytes long in canonical form: at most {} are allowed",
                tree->text.size(),
                kMaxSelectorBytes);
  }
  return tree;
}

}  // namespace margay::policy
