#pragma once
// The canonical tree behind a selector, internal to policy/. Negations exist only at leaves; a join
// holds at least two children of the other kind or leaves, sorted by text without duplicates.

#include "base/result.h"
#include "policy/selector.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace margay::policy {

enum class LabelTest : std::uint8_t {
  kAll,
  kGlobal,
  kHas,
  kIn,  // values; == is a set of one
  kContains,
  kStartsWith,
  kEndsWith,
};

struct Leaf {
  LabelTest test = LabelTest::kAll;
  bool negated = false;
  std::string key;
  std::vector<std::string> values;  // kIn: sorted, unique; the text tests: one
};

enum class Join : std::uint8_t { kLeaf, kAnd, kOr };

struct SelectorNode {
  Join join = Join::kLeaf;
  Leaf leaf;
  std::vector<SelectorNode> children;
  std::size_t leaves = 1;
  std::string text;
  LabelRestrictions restrictions;
};

[[nodiscard]] SelectorNode make_leaf(Leaf leaf);
// Flattens, sorts and simplifies; no children give the neutral element.
[[nodiscard]] SelectorNode make_join(Join join, std::vector<SelectorNode> children);

struct ParseOptions {
  std::string_view key_prefix;  // put before every key
  bool negated = false;         // parse the negation
  bool limited = true;          // false for text that was composed of accepted selectors
};
[[nodiscard]] Result<SelectorNode> parse_selector_tree(std::string_view text,
                                                       const ParseOptions& options);

}  // namespace margay::policy
