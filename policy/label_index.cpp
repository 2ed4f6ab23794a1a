#include "policy/label_index.h"

#include <algorithm>
#include <utility>

namespace margay::policy {

namespace {

// Keys whose value differs between the two.
std::set<std::string> changed_keys(const api::Labels& before, const api::Labels& after) {
  std::set<std::string> changed;
  for (const auto& [key, value] : before) {
    const auto found = after.find(key);
    if (found == after.end() || found->second != value) {
      changed.insert(key);
    }
  }
  for (const auto& [key, value] : after) {
    if (!before.contains(key)) {
      changed.insert(key);
    }
  }
  return changed;
}

template <typename Map, typename Id>
void add_to(Map& map, const std::string& key, const std::string& value, const Id& id) {
  auto& ids = map[key][value];
  ids.insert(ids.end(), id);  // a new item has the greatest number: no search
}

template <typename Map, typename Id>
void remove_from(Map& map, const std::string& key, const std::string& value, const Id& id) {
  const auto by_value = map.find(key);
  if (by_value == map.end()) {
    return;
  }
  const auto ids = by_value->second.find(value);
  if (ids == by_value->second.end()) {
    return;
  }
  ids->second.erase(id);
  if (ids->second.empty()) {
    by_value->second.erase(ids);
  }
  if (by_value->second.empty()) {
    map.erase(by_value);
  }
}

bool mentions(const Selector& selector, const std::set<std::string>& keys) {
  return std::ranges::any_of(selector.keys(),
                             [&keys](const std::string& key) { return keys.contains(key); });
}

}  // namespace

void LabelIndex::set_item(ItemId id, api::Labels own, std::vector<std::string> parents) {
  const auto found = items_.find(id);
  if (found == items_.end()) {
    Item& item = items_[id];
    item.own = std::move(own);
    item.parent_names = std::move(parents);
    attach(id, item);
    index_own(id, item, true);
    rescan(id, item, nullptr);
    return;
  }
  Item& item = found->second;
  KeySet changed = changed_keys(item.own, own);
  const bool same_parents = item.parent_names == parents;
  if (changed.empty() && same_parents) {
    return;
  }
  index_own(id, item, false);
  item.own = std::move(own);
  index_own(id, item, true);
  if (!same_parents) {
    detach(id, item);
    item.parent_names = std::move(parents);
    attach(id, item);
  }
  rescan(id, item, same_parents ? &changed : nullptr);
}

void LabelIndex::remove_item(ItemId id) {
  const auto found = items_.find(id);
  if (found == items_.end()) {
    return;
  }
  drop_matches_of(id, found->second);
  index_own(id, found->second, false);
  detach(id, found->second);
  items_.erase(found);
}

void LabelIndex::set_parent(const std::string& name, api::Labels labels) {
  Parent& parent = parents_[name];
  const KeySet changed = changed_keys(parent.labels, labels);
  index_parent(name, parent, false);
  parent.labels = std::move(labels);
  parent.exists = true;
  index_parent(name, parent, true);
  if (changed.empty()) {
    return;
  }
  for (const ItemId child : parent.children) {
    rescan(child, items_.at(child), &changed);
  }
}

void LabelIndex::remove_parent(const std::string& name) {
  const auto found = parents_.find(name);
  if (found == parents_.end()) {
    return;
  }
  set_parent(name, {});
  found->second.exists = false;
  if (found->second.children.empty()) {
    parents_.erase(found);
  }
}

void LabelIndex::set_selector(SelectorId id, const Selector& selector) {
  const auto found = selectors_.find(id);
  if (found != selectors_.end()) {
    if (found->second.selector == selector) {
      return;
    }
    unindex_selector(id, found->second);
    // Items that may match no longer are evaluated once more, so that only net changes show.
    const std::set<ItemId> matched = found->second.matches;
    found->second.selector = selector;
    index_selector(id, found->second);
    for (const ItemId item : matched) {
      evaluate(id, found->second, item, items_.at(item));
    }
  } else {
    index_selector(id, selectors_.insert({id, Entry{selector, {}, {}, {}}}).first->second);
  }
  Entry& entry = selectors_.at(id);
  for (const ItemId item : candidates(entry)) {
    if (!entry.matches.contains(item)) {
      evaluate(id, entry, item, items_.at(item));
    }
  }
}

void LabelIndex::remove_selector(SelectorId id) {
  const auto found = selectors_.find(id);
  if (found == selectors_.end()) {
    return;
  }
  for (const ItemId item : found->second.matches) {
    items_.at(item).matches.erase(id);
    record(id, item, false);
  }
  unindex_selector(id, found->second);
  selectors_.erase(found);
}

std::vector<MatchChange> LabelIndex::take_changes() {
  std::vector<MatchChange> changes;
  changes.reserve(changes_.size());
  for (const auto& [ids, matches] : changes_) {
    changes.push_back(MatchChange{ids.first, ids.second, matches});
  }
  changes_.clear();
  return changes;
}

const std::set<ItemId>& LabelIndex::items_of(SelectorId selector) const {
  static const std::set<ItemId> none;
  const auto found = selectors_.find(selector);
  return found == selectors_.end() ? none : found->second.matches;
}

const std::set<SelectorId>& LabelIndex::selectors_of(ItemId item) const {
  static const std::set<SelectorId> none;
  const auto found = items_.find(item);
  return found == items_.end() ? none : found->second.matches;
}

// How many selectors an item with one of these values would have to be tried against.
std::size_t LabelIndex::crowd(const std::string& key, const std::set<std::string>& values) const {
  const auto bucket = selectors_by_label_.find(key);
  std::size_t count = values.size();
  for (const std::string& value : values) {
    if (bucket == selectors_by_label_.end()) {
      break;
    }
    const auto ids = bucket->second.by_value.find(value);
    count += ids == bucket->second.by_value.end() ? 0 : ids->second.size();
  }
  return count;
}

// Indexed by the required label whose values few other selectors require; by mere presence if no
// values are known; by nothing if no label is required.
void LabelIndex::index_selector(SelectorId id, Entry& entry) {
  entry.indexed_key.clear();
  entry.values.reset();
  std::size_t best_cost = SIZE_MAX;
  for (const auto& [key, restriction] : entry.selector.restrictions()) {
    if (!restriction.present && !restriction.values) {
      continue;
    }
    const std::size_t cost = restriction.values ? crowd(key, *restriction.values) : SIZE_MAX - 1;
    if (cost < best_cost) {
      best_cost = cost;
      entry.indexed_key = key;
      entry.values = restriction.values;
    }
  }
  if (entry.indexed_key.empty()) {
    unindexed_.insert(id);
    for (const std::string& key : entry.selector.keys()) {
      unindexed_by_key_[key].insert(id);
    }
    return;
  }
  if (!entry.values) {
    selectors_by_label_[entry.indexed_key].by_presence.insert(id);
    return;
  }
  for (const std::string& value : *entry.values) {
    selectors_by_label_[entry.indexed_key].by_value[value].insert(id);
  }
}

void LabelIndex::unindex_selector(SelectorId id, const Entry& entry) {
  if (entry.indexed_key.empty()) {
    unindexed_.erase(id);
    for (const std::string& key : entry.selector.keys()) {
      const auto found = unindexed_by_key_.find(key);
      found->second.erase(id);
      if (found->second.empty()) {
        unindexed_by_key_.erase(found);
      }
    }
    return;
  }
  const auto found = selectors_by_label_.find(entry.indexed_key);
  if (found == selectors_by_label_.end()) {
    return;  // it asks for contradicting values, so it stands nowhere
  }
  Bucket& bucket = found->second;
  bucket.by_presence.erase(id);
  if (entry.values) {
    for (const std::string& value : *entry.values) {
      const auto ids = bucket.by_value.find(value);
      ids->second.erase(id);
      if (ids->second.empty()) {
        bucket.by_value.erase(ids);
      }
    }
  }
  if (bucket.by_value.empty() && bucket.by_presence.empty()) {
    selectors_by_label_.erase(found);
  }
}

std::set<ItemId> LabelIndex::candidates(const Entry& entry) const {
  std::set<ItemId> found;
  if (entry.indexed_key.empty()) {
    for (const auto& [id, item] : items_) {
      found.insert(id);
    }
    return found;
  }
  if (!entry.values) {
    add_holders(entry.indexed_key, nullptr, found);
    return found;
  }
  for (const std::string& value : *entry.values) {
    add_holders(entry.indexed_key, &value, found);
  }
  return found;
}

// Items with the label (and value, if given), their own or inherited.
void LabelIndex::add_holders(const std::string& key,
                             const std::string* value,
                             std::set<ItemId>& found) const {
  if (const auto own = items_by_label_.find(key); own != items_by_label_.end()) {
    for (const auto& [held, ids] : own->second) {
      if (value == nullptr || held == *value) {
        found.insert(ids.begin(), ids.end());
      }
    }
  }
  if (const auto above = parents_by_label_.find(key); above != parents_by_label_.end()) {
    for (const auto& [held, names] : above->second) {
      if (value != nullptr && held != *value) {
        continue;
      }
      for (const std::string& name : names) {
        const std::set<ItemId>& children = parents_.at(name).children;
        found.insert(children.begin(), children.end());
      }
    }
  }
}

void LabelIndex::index_own(ItemId id, const Item& item, bool add) {
  for (const auto& [key, value] : item.own) {
    add ? add_to(items_by_label_, key, value, id) : remove_from(items_by_label_, key, value, id);
  }
}

void LabelIndex::index_parent(const std::string& name, const Parent& parent, bool add) {
  for (const auto& [key, value] : parent.labels) {
    add ? add_to(parents_by_label_, key, value, name)
        : remove_from(parents_by_label_, key, value, name);
  }
}

void LabelIndex::attach(ItemId id, Item& item) {
  for (const std::string& name : item.parent_names) {
    Parent& parent = parents_[name];
    parent.children.insert(parent.children.end(), id);
    item.inherited.push_back(&parent.labels);
  }
}

void LabelIndex::detach(ItemId id, Item& item) {
  item.inherited.clear();
  for (const std::string& name : item.parent_names) {
    const auto found = parents_.find(name);
    if (found == parents_.end()) {
      continue;  // named twice
    }
    found->second.children.erase(id);
    if (found->second.children.empty() && !found->second.exists) {
      parents_.erase(found);
    }
  }
}

void LabelIndex::rescan(ItemId id, Item& item, const KeySet* changed) {
  std::set<SelectorId> affected = item.matches;
  collect(item.own, affected);
  for (const api::Labels* labels : item.inherited) {
    collect(*labels, affected);
  }
  if (changed == nullptr) {
    affected.insert(unindexed_.begin(), unindexed_.end());
  } else {
    for (const std::string& key : *changed) {
      if (const auto found = unindexed_by_key_.find(key); found != unindexed_by_key_.end()) {
        affected.insert(found->second.begin(), found->second.end());
      }
    }
  }
  for (const SelectorId selector : affected) {
    Entry& entry = selectors_.at(selector);
    if (changed == nullptr || mentions(entry.selector, *changed)) {
      evaluate(selector, entry, id, item);
    }
  }
}

void LabelIndex::collect(const api::Labels& labels, std::set<SelectorId>& found) const {
  for (const auto& [key, value] : labels) {
    const auto bucket = selectors_by_label_.find(key);
    if (bucket == selectors_by_label_.end()) {
      continue;
    }
    found.insert(bucket->second.by_presence.begin(), bucket->second.by_presence.end());
    if (const auto ids = bucket->second.by_value.find(value);
        ids != bucket->second.by_value.end()) {
      found.insert(ids->second.begin(), ids->second.end());
    }
  }
}

void LabelIndex::evaluate(SelectorId selector, Entry& entry, ItemId id, Item& item) {
  ++evaluations_;
  const bool matches = entry.selector.matches(LabelView(item.own, item.inherited));
  if (matches == entry.matches.contains(id)) {
    return;
  }
  if (matches) {
    entry.matches.insert(entry.matches.end(), id);
    item.matches.insert(selector);
  } else {
    entry.matches.erase(id);
    item.matches.erase(selector);
  }
  record(selector, id, matches);
}

// A change and its opposite cancel out.
void LabelIndex::record(SelectorId selector, ItemId item, bool matches) {
  const auto [place, inserted] = changes_.insert({{selector, item}, matches});
  if (!inserted) {
    MARGAY_ASSERT(place->second != matches);
    changes_.erase(place);
  }
}

void LabelIndex::drop_matches_of(ItemId id, Item& item) {
  for (const SelectorId selector : item.matches) {
    selectors_.at(selector).matches.erase(id);
    record(selector, id, false);
  }
  item.matches.clear();
}

}  // namespace margay::policy
