#pragma once
// DeltaTracker<Key, Value>: what should be there, what is there, and the difference.
//
// It knows no kernel. A reconciler sets desired values, reports what a dump or a successful write
// showed, and asks for the pending changes; a failed write is simply not reported, so it stays
// pending. Costs follow the number of changes: setting a value equal to the observed one leaves
// nothing pending. Iteration is in key order.

#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

namespace margay {

template <typename Key, typename Value>
class DeltaTracker {
 public:
  void set_desired(const Key& key, Value value) {
    const auto set = desired_.insert_or_assign(key, std::move(value)).first;
    refresh(key, &set->second, find_observed(key));
  }
  void remove_desired(const Key& key) {
    desired_.erase(key);
    refresh(key);
  }

  // The kernel holds this value now (event, dump or acknowledged write).
  void set_observed(const Key& key, Value value) {
    const auto set = observed_.insert_or_assign(key, std::move(value)).first;
    refresh(key, find_desired(key), &set->second);
  }
  void remove_observed(const Key& key) {
    observed_.erase(key);
    refresh(key);
  }
  // Replaces all observed values by the result of a full dump.
  void replace_observed(std::map<Key, Value> observed) {
    observed_ = std::move(observed);
    pending_.clear();
    for (const auto& [key, value] : desired_) {
      refresh(key);
    }
    for (const auto& [key, value] : observed_) {
      refresh(key);
    }
  }

  [[nodiscard]] bool in_sync() const { return pending_.empty(); }
  [[nodiscard]] std::size_t pending_count() const { return pending_.size(); }
  [[nodiscard]] const std::set<Key>& pending() const { return pending_; }
  [[nodiscard]] const std::map<Key, Value>& desired() const { return desired_; }
  [[nodiscard]] const std::map<Key, Value>& observed() const { return observed_; }
  [[nodiscard]] const Value* find_desired(const Key& key) const { return find(desired_, key); }
  [[nodiscard]] const Value* find_observed(const Key& key) const { return find(observed_, key); }

  // Keys to write, with their values: desired but absent or different. Copies of the keys, so the
  // caller may report results while walking.
  [[nodiscard]] std::vector<std::pair<Key, Value>> to_set() const {
    std::vector<std::pair<Key, Value>> out;
    for (const Key& key : pending_) {
      if (const Value* value = find_desired(key)) {
        out.emplace_back(key, *value);
      }
    }
    return out;
  }
  // Keys to delete: observed but not desired.
  [[nodiscard]] std::vector<Key> to_delete() const {
    std::vector<Key> out;
    for (const Key& key : pending_) {
      if (find_desired(key) == nullptr) {
        out.push_back(key);
      }
    }
    return out;
  }

 private:
  static const Value* find(const std::map<Key, Value>& values, const Key& key) {
    const auto found = values.find(key);
    return found == values.end() ? nullptr : &found->second;
  }
  void refresh(const Key& key) { refresh(key, find_desired(key), find_observed(key)); }
  void refresh(const Key& key, const Value* want, const Value* have) {
    const bool same = want == nullptr ? have == nullptr : have != nullptr && *want == *have;
    if (same) {
      pending_.erase(key);
    } else {
      pending_.insert(key);
    }
  }

  std::map<Key, Value> desired_;
  std::map<Key, Value> observed_;
  std::set<Key> pending_;
};

}  // namespace margay
