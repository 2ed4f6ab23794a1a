#include "policy/selector.h"

#include "policy/selector_lexer.h"
#include "policy/selector_tree.h"

#include <algorithm>
#include <iterator>
#include <utility>
#include <vector>

namespace margay::policy {

namespace {

// A test and where to go from it: short-circuit evaluation without a stack.
struct Instruction {
  Leaf leaf;
  std::size_t if_true = 0;
  std::size_t if_false = 0;
};

constexpr std::size_t kMatch = SIZE_MAX;
constexpr std::size_t kNoMatch = SIZE_MAX - 1;

// A part of the tree still to be laid out, the place of its first test, and its two exits.
struct Pending {
  const SelectorNode* node = nullptr;
  std::size_t start = 0;
  std::size_t if_true = kMatch;
  std::size_t if_false = kNoMatch;
};

std::vector<Instruction> lay_out(const SelectorNode& root) {
  std::vector<Instruction> code(root.leaves);
  std::vector<Pending> pending{Pending{&root, 0, kMatch, kNoMatch}};
  while (!pending.empty()) {
    const Pending part = pending.back();
    pending.pop_back();
    if (part.node->join == Join::kLeaf) {
      code[part.start] = Instruction{part.node->leaf, part.if_true, part.if_false};
      continue;
    }
    std::size_t start = part.start;
    for (const SelectorNode& child : part.node->children) {
      const std::size_t next = start + child.leaves;
      const bool last = &child == &part.node->children.back();
      Pending inner{&child, start, part.if_true, part.if_false};
      if (!last) {
        (part.node->join == Join::kAnd ? inner.if_true : inner.if_false) = next;
      }
      pending.push_back(inner);
      start = next;
    }
  }
  return code;
}

bool holds(const Leaf& leaf, const std::string* value) {
  switch (leaf.test) {
    case LabelTest::kAll:
      return true;
    case LabelTest::kGlobal:
      return value == nullptr;
    case LabelTest::kHas:
      return value != nullptr;
    case LabelTest::kIn:
      return value != nullptr && std::ranges::binary_search(leaf.values, *value);
    case LabelTest::kContains:
      return value != nullptr && value->find(leaf.values[0]) != std::string::npos;
    case LabelTest::kStartsWith:
      return value != nullptr && value->starts_with(leaf.values[0]);
    case LabelTest::kEndsWith:
      return value != nullptr && value->ends_with(leaf.values[0]);
  }
  return false;
}

std::vector<std::string> keys_of(const std::vector<Instruction>& code) {
  std::vector<std::string> keys;
  for (const Instruction& instruction : code) {
    if (!instruction.leaf.key.empty()) {
      keys.push_back(instruction.leaf.key);
    }
  }
  std::ranges::sort(keys);
  keys.erase(std::unique(keys.begin(), keys.end()), keys.end());
  return keys;
}

}  // namespace

struct Selector::Compiled {
  std::string text;
  std::vector<Instruction> code;
  std::vector<std::string> keys;
  LabelRestrictions restrictions;
  bool uses_global = false;
};

// The only maker of compiled forms.
class SelectorBuilder {
 public:
  static Selector build(SelectorNode root) {
    auto compiled = std::make_shared<Selector::Compiled>();
    compiled->code = lay_out(root);
    for (Instruction& instruction : compiled->code) {
      if (instruction.leaf.test == LabelTest::kGlobal) {
        compiled->uses_global = true;
        instruction.leaf.key = kNamespaceLabel;
      }
    }
    compiled->keys = keys_of(compiled->code);
    compiled->text = std::move(root.text);
    compiled->restrictions = std::move(root.restrictions);
    return Selector(std::move(compiled));
  }

  // Text that is known to parse.
  static Selector compose(const std::string& text, ParseOptions options = {}) {
    options.limited = false;
    auto tree = parse_selector_tree(text, options);
    MARGAY_ASSERT(tree);
    return build(std::move(*tree));
  }

  static Selector join(std::span<const Selector> terms, std::string_view operation) {
    std::string text;
    for (const Selector& term : terms) {
      text += (text.empty() ? "" : std::string(operation)) + "(" + term.text() + ")";
    }
    return compose(text);
  }
};

const std::string* LabelView::find(const std::string& key) const {
  if (const auto found = own_->find(key); found != own_->end()) {
    return &found->second;
  }
  for (const api::Labels* labels : inherited_) {
    if (const auto found = labels->find(key); found != labels->end()) {
      return &found->second;
    }
  }
  return nullptr;
}

Selector::Selector() : Selector(SelectorBuilder::compose("all()")) {}

Result<Selector> Selector::parse(std::string_view text) {
  auto tree = parse_selector_tree(text, {});
  if (!tree) {
    return fail(tree.error());
  }
  return SelectorBuilder::build(std::move(*tree));
}

Selector Selector::has(std::string_view key) {
  MARGAY_ASSERT(is_label(key));
  return SelectorBuilder::build(make_leaf({LabelTest::kHas, false, std::string(key), {}}));
}

Selector Selector::in(std::string_view key, std::span<const std::string> values) {
  MARGAY_ASSERT(is_label(key));
  return SelectorBuilder::build(
      make_leaf({LabelTest::kIn,
                 false,
                 std::string(key),
                 std::vector<std::string>(values.begin(), values.end())}));
}

Selector Selector::equals(std::string_view key, std::string_view value) {
  const std::string values[] = {std::string(value)};
  return in(key, values);
}

Selector Selector::conjunction(std::span<const Selector> terms) {
  return terms.empty() ? Selector() : SelectorBuilder::join(terms, " && ");
}

Selector Selector::disjunction(std::span<const Selector> terms) {
  return terms.empty() ? Selector().negation() : SelectorBuilder::join(terms, " || ");
}

Selector Selector::negation() const {
  return SelectorBuilder::compose(text(), {.negated = true});
}

Selector Selector::with_key_prefix(std::string_view prefix) const {
  return SelectorBuilder::compose(text(), {.key_prefix = prefix});
}

bool Selector::matches(const LabelView& labels) const {
  std::size_t at = 0;
  while (at < compiled_->code.size()) {
    const Instruction& instruction = compiled_->code[at];
    const Leaf& leaf = instruction.leaf;
    const std::string* value = leaf.key.empty() ? nullptr : labels.find(leaf.key);
    at = holds(leaf, value) != leaf.negated ? instruction.if_true : instruction.if_false;
  }
  return at == kMatch;
}

const std::string& Selector::text() const {
  return compiled_->text;
}

bool Selector::is_all() const {
  return compiled_->text == "all()";
}

bool Selector::uses_global() const {
  return compiled_->uses_global;
}

bool Selector::is_global() const {
  return compiled_->text == "global()";
}

const LabelRestrictions& Selector::restrictions() const {
  return compiled_->restrictions;
}

std::span<const std::string> Selector::keys() const {
  return compiled_->keys;
}

bool selects(std::string_view selector, const LabelView& labels) {
  const auto parsed = Selector::parse(selector);
  return parsed && parsed->matches(labels);
}

bool is_label(std::string_view text) {
  return !text.empty() && text.size() <= kMaxLabelBytes && std::ranges::all_of(text, is_label_char);
}

}  // namespace margay::policy
