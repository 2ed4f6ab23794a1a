#pragma once
// LabelIndex: which selectors match which labelled items, kept while both change.
//
// Items have labels of their own and inherit those of their parents (an endpoint and its
// namespace). A change costs what it can affect: selectors are found by a label and value that they
// require, items by the labels they have, and a changed label re-evaluates only selectors that
// mention it. Parents may be named before they exist. Identifiers are the caller's small numbers.
//
// Only net changes since the last take_changes() are reported, ordered by selector, then item.

#include "base/strong.h"
#include "policy/selector.h"

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

namespace margay::policy {

using ItemId = Strong<struct ItemIdTag, std::uint32_t>;
using SelectorId = Strong<struct SelectorIdTag, std::uint32_t>;

struct MatchChange {
  SelectorId selector;
  ItemId item;
  bool matches = false;  // started, or stopped
  bool operator==(const MatchChange&) const = default;
};

class LabelIndex {
 public:
  // Each set_ creates or replaces; each remove_ of something unknown does nothing.
  void set_item(ItemId item, api::Labels own, std::vector<std::string> parents);
  void remove_item(ItemId item);
  void set_parent(const std::string& parent, api::Labels labels);
  void remove_parent(const std::string& parent);
  void set_selector(SelectorId id, const Selector& selector);
  void remove_selector(SelectorId id);

  [[nodiscard]] std::vector<MatchChange> take_changes();

  // The current matches, sorted; empty for the unknown.
  [[nodiscard]] const std::set<ItemId>& items_of(SelectorId selector) const;
  [[nodiscard]] const std::set<SelectorId>& selectors_of(ItemId item) const;

  // Selector evaluations so far: what the cost tests bound.
  [[nodiscard]] std::uint64_t evaluations() const { return evaluations_; }

 private:
  struct Parent {
    api::Labels labels;
    std::set<ItemId> children;
    bool exists = false;
  };
  struct Item {
    api::Labels own;
    std::vector<std::string> parent_names;
    std::vector<const api::Labels*> inherited;  // of parents_, whose nodes are stable
    std::set<SelectorId> matches;
  };
  struct Entry {
    Selector selector;
    std::string indexed_key;                      // empty: no label is required
    std::optional<std::set<std::string>> values;  // of indexed_key; absent: presence only
    std::set<ItemId> matches;
  };
  struct Bucket {
    std::map<std::string, std::set<SelectorId>> by_value;
    std::set<SelectorId> by_presence;
  };
  using KeySet = std::set<std::string>;

  void index_selector(SelectorId id, Entry& entry);
  [[nodiscard]] std::size_t crowd(const std::string& key,
                                  const std::set<std::string>& values) const;
  void unindex_selector(SelectorId id, const Entry& entry);
  [[nodiscard]] std::set<ItemId> candidates(const Entry& entry) const;
  void add_holders(const std::string& key, const std::string* value, std::set<ItemId>& found) const;
  void index_own(ItemId id, const Item& item, bool add);
  void index_parent(const std::string& name, const Parent& parent, bool add);
  void attach(ItemId id, Item& item);
  void detach(ItemId id, Item& item);
  // Evaluates the selectors that may match the item and mention one of `changed` (null: any).
  void rescan(ItemId id, Item& item, const KeySet* changed);
  void collect(const api::Labels& labels, std::set<SelectorId>& found) const;
  void evaluate(SelectorId selector, Entry& entry, ItemId id, Item& item);
  void record(SelectorId selector, ItemId item, bool matches);
  void drop_matches_of(ItemId id, Item& item);

  std::unordered_map<ItemId, Item> items_;
  std::map<std::string, Parent> parents_;
  std::unordered_map<SelectorId, Entry> selectors_;
  std::unordered_map<std::string, Bucket> selectors_by_label_;
  std::map<std::string, std::set<SelectorId>> unindexed_by_key_;
  std::set<SelectorId> unindexed_;
  std::unordered_map<std::string, std::map<std::string, std::set<ItemId>>> items_by_label_;
  std::unordered_map<std::string, std::map<std::string, std::set<std::string>>> parents_by_label_;
  std::map<std::pair<SelectorId, ItemId>, bool> changes_;
  std::uint64_t evaluations_ = 0;
};

}  // namespace margay::policy
