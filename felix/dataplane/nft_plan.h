#pragma once
// Turns the difference between two tables into one transaction, in an order that the kernel
// accepts: what is referred to comes before what refers to it, and leaves after it. Pure.

#include "kernel/nft/transaction.h"

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace margay::felix {

// The names to look at; everything else is taken to be equal on both sides.
struct NftDirty {
  std::set<std::string> sets;
  std::set<std::string> chains;
  std::set<std::string> counters;
  // Sets whose elements alone changed, with the keys concerned.
  std::map<std::string, std::set<nft::ElementKey>> elements;

  void clear();
  [[nodiscard]] bool empty() const;
};

// Every name that differs between the two.
[[nodiscard]] NftDirty differences(const nft::Table& observed, const nft::Table& desired);

// Handles of the rules of a chain, in order; asked only for chains that lose or gain some of their
// rules.
using RuleHandles = std::function<Result<std::vector<nft::RuleHandle>>(const std::string& chain)>;

// table_exists: whether the kernel has the table at all. Empty when there is nothing to do.
[[nodiscard]] Result<nft::Transaction> plan_transaction(const nft::Table& observed,
                                                        const nft::Table& desired,
                                                        const NftDirty& dirty,
                                                        bool table_exists,
                                                        const RuleHandles& handles);

// The table to go through first when base chains with rules leave or move, as with another layout:
// the desired one, with what leaves still there and its base chains empty. The kernel unhooks a
// removed base chain only some time after the new generation began, and its rules would meet maps
// that are empty by then: permitted packets would be dropped. Nothing when one step will do.
[[nodiscard]] std::optional<nft::Table> table_between(const nft::Table& observed,
                                                      const nft::Table& desired,
                                                      const NftDirty& dirty);

// The whole table in place of whatever the kernel has.
[[nodiscard]] nft::Transaction plan_rebuild(const nft::Table& desired, bool table_exists);

}  // namespace margay::felix
