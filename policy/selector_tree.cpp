#include "policy/selector_tree.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <utility>

namespace margay::policy {

namespace {

std::string quote(std::string_view value) {
  std::string text = "\"";
  for (const char character : value) {
    if (character == '\\' || character == '"') {
      text += '\\';
    }
    text += character;
  }
  return text + '"';
}

std::string set_text(const std::vector<std::string>& values) {
  std::string text = "{";
  for (const std::string& value : values) {
    text += (text.size() > 1 ? ", " : "") + quote(value);
  }
  return text + "}";
}

std::string leaf_text(const Leaf& leaf) {
  const std::string_view bang = leaf.negated ? "!" : "";
  switch (leaf.test) {
    case LabelTest::kAll:
      return fmt::format("{}all()", bang);
    case LabelTest::kGlobal:
      return fmt::format("{}global()", bang);
    case LabelTest::kHas:
      return fmt::format("{}has({})", bang, leaf.key);
    case LabelTest::kIn:
      if (leaf.values.size() == 1) {
        return fmt::format("{} {} {}", leaf.key, leaf.negated ? "!=" : "==", quote(leaf.values[0]));
      }
      return fmt::format(
          "{} {} {}", leaf.key, leaf.negated ? "not in" : "in", set_text(leaf.values));
    case LabelTest::kContains:
      return fmt::format("{}{} contains {}", bang, leaf.key, quote(leaf.values[0]));
    case LabelTest::kStartsWith:
      return fmt::format("{}{} starts with {}", bang, leaf.key, quote(leaf.values[0]));
    case LabelTest::kEndsWith:
      return fmt::format("{}{} ends with {}", bang, leaf.key, quote(leaf.values[0]));
  }
  return {};
}

LabelRestrictions leaf_restrictions(const Leaf& leaf) {
  LabelRestrictions restrictions;
  const bool tests_label = leaf.test != LabelTest::kAll && leaf.test != LabelTest::kGlobal;
  if (leaf.test == LabelTest::kGlobal) {
    LabelRestriction& restriction = restrictions[std::string(kNamespaceLabel)];
    (leaf.negated ? restriction.present : restriction.absent) = true;
  } else if (leaf.test == LabelTest::kHas && leaf.negated) {
    restrictions[leaf.key].absent = true;
  } else if (tests_label && !leaf.negated) {
    LabelRestriction& restriction = restrictions[leaf.key];
    restriction.present = true;
    if (leaf.test == LabelTest::kIn) {
      restriction.values.emplace(leaf.values.begin(), leaf.values.end());
    }
  }
  return restrictions;
}

// Both hold: all that either asks for.
void intersect(LabelRestrictions& into, const LabelRestrictions& other) {
  for (const auto& [key, restriction] : other) {
    LabelRestriction& mine = into[key];
    mine.present = mine.present || restriction.present;
    mine.absent = mine.absent || restriction.absent;
    if (!restriction.values) {
      continue;
    }
    if (!mine.values) {
      mine.values = restriction.values;
      continue;
    }
    std::erase_if(*mine.values, [&r = restriction](const std::string& value) {
      return !r.values->contains(value);
    });
  }
}

// One of them holds: only what both ask for.
void unite(LabelRestrictions& into, const LabelRestrictions& other) {
  for (auto mine = into.begin(); mine != into.end();) {
    const auto theirs = other.find(mine->first);
    if (theirs == other.end()) {
      mine = into.erase(mine);
      continue;
    }
    LabelRestriction& restriction = mine->second;
    restriction.present = restriction.present && theirs->second.present;
    restriction.absent = restriction.absent && theirs->second.absent;
    if (restriction.values && theirs->second.values) {
      restriction.values->insert(theirs->second.values->begin(), theirs->second.values->end());
    } else {
      restriction.values.reset();
    }
    mine = restriction.present || restriction.absent ? std::next(mine) : into.erase(mine);
  }
}

bool is_constant(const SelectorNode& node, bool value) {
  return node.join == Join::kLeaf && node.leaf.test == LabelTest::kAll &&
         node.leaf.negated != value;
}

std::string join_text(Join join, const std::vector<SelectorNode>& children) {
  std::string text;
  for (const SelectorNode& child : children) {
    if (!text.empty()) {
      text += join == Join::kAnd ? " && " : " || ";
    }
    text += child.join == Join::kOr ? "(" + child.text + ")" : child.text;
  }
  return text;
}

std::vector<SelectorNode> flatten(Join join, std::vector<SelectorNode> children) {
  std::vector<SelectorNode> flat;
  flat.reserve(children.size());
  for (SelectorNode& child : children) {
    if (child.join == join) {
      std::ranges::move(child.children, std::back_inserter(flat));
    } else {
      flat.push_back(std::move(child));
    }
  }
  return flat;
}

}  // namespace

SelectorNode make_leaf(Leaf leaf) {
  if (leaf.test == LabelTest::kIn) {
    std::ranges::sort(leaf.values);
    leaf.values.erase(std::unique(leaf.values.begin(), leaf.values.end()), leaf.values.end());
    if (leaf.values.empty()) {
      leaf = Leaf{LabelTest::kAll, !leaf.negated, {}, {}};
    }
  }
  SelectorNode node;
  node.text = leaf_text(leaf);
  node.restrictions = leaf_restrictions(leaf);
  node.leaf = std::move(leaf);
  return node;
}

SelectorNode make_join(Join join, std::vector<SelectorNode> children) {
  const bool neutral = join == Join::kAnd;  // all() changes nothing in &&, !all() in ||
  children = flatten(join, std::move(children));
  if (std::ranges::any_of(children,
                          [&](const auto& child) { return is_constant(child, !neutral); })) {
    return make_leaf({LabelTest::kAll, neutral, {}, {}});
  }
  std::erase_if(children, [&](const auto& child) { return is_constant(child, neutral); });
  std::ranges::sort(children, {}, &SelectorNode::text);
  const auto same = [](const auto& a, const auto& b) { return a.text == b.text; };
  children.erase(std::unique(children.begin(), children.end(), same), children.end());
  if (children.empty()) {
    return make_leaf({LabelTest::kAll, !neutral, {}, {}});
  }
  if (children.size() == 1) {
    return std::move(children.front());
  }
  SelectorNode node;
  node.join = join;
  node.text = join_text(join, children);
  node.leaves = 0;
  node.restrictions = children.front().restrictions;
  for (const SelectorNode& child : children) {
    node.leaves += child.leaves;
    join == Join::kAnd ? intersect(node.restrictions, child.restrictions)
                       : unite(node.restrictions, child.restrictions);
  }
  node.children = std::move(children);
  return node;
}

}  // namespace margay::policy
