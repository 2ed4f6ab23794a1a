#pragma once
// Rules that differ only in a matched value become one: the cost of a packet then does not grow
// with their number. Pure.
//
// Between two rules of one action the order does not matter, so within such a run all rules that
// are equal but for their destination ports, their source networks or their destination networks
// are taken together, and one set holds the values of all. They share a counter then, which is why
// a few such rules are left alone.

#include "policy/model.h"

#include <string>
#include <vector>

namespace margay::felix {

struct MergedRule {
  policy::Rule rule;
  std::vector<unsigned> written;  // indexes as written, ascending
};

// Groups of at least `merge_from` rules are merged, in the place of their first one. The result
// matches what the rules matched, with the same verdicts.
[[nodiscard]] std::vector<MergedRule> merge_rules(const std::vector<policy::Rule>& rules,
                                                  std::size_t merge_from);
// "rule 3", "rules 1, 4 to 9": counted from one, as people do.
[[nodiscard]] std::string rule_numbers(const std::vector<unsigned>& written);

}  // namespace margay::felix
