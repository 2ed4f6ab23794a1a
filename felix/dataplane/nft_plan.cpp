#include "felix/dataplane/nft_plan.h"

#include <algorithm>
#include <utility>

namespace margay::felix {

namespace {

using nft::Chain;
using nft::Rule;
using nft::RuleHandle;
using nft::Set;
using nft::Table;
using nft::Transaction;

template <typename Map>
const typename Map::mapped_type* find(const Map& map, const typename Map::key_type& key) {
  const auto found = map.find(key);
  return found == map.end() ? nullptr : &found->second;
}

bool refers_to(const Rule& rule, const std::set<std::string>& sets) {
  return std::ranges::any_of(rule.statements, [&sets](const nft::Statement& statement) {
    const std::string* set = nft::set_of(statement);
    return set != nullptr && sets.contains(*set);
  });
}

// A hook differs in what only a new chain can change; the policy alone can be set in place.
bool same_place(const Chain& a, const Chain& b) {
  if (!a.hook || !b.hook) {
    return !a.hook && !b.hook;
  }
  return a.hook->type == b.hook->type && a.hook->point == b.hook->point &&
         a.hook->priority == b.hook->priority;
}

class Planner {
 public:
  Planner(const Table& observed,
          const Table& desired,
          const NftDirty& dirty,
          const RuleHandles& handles)
      : observed_(observed), desired_(desired), dirty_(dirty), handles_(handles) {}

  Result<Transaction> plan(bool table_exists) {
    classify();
    reserve();
    if (!table_exists) {
      out_.emplace_back(nft::AddTable{});
    }
    add_counters_and_chains();
    clear_what_is_remade();
    add_sets();
    change_elements();
    if (auto rules = change_rules(); !rules) {
      return fail(rules.error());
    }
    remove_leftovers();
    return std::move(out_);
  }

 private:
  // For what is new, which is most of it where there is much.
  void reserve() {
    std::size_t commands = dirty_.chains.size() + 2 * dirty_.sets.size() + dirty_.elements.size();
    for (const std::string& name : dirty_.chains) {
      const Chain* want = find(desired_.chains, name);
      commands += want == nullptr ? 0 : want->rules.size();
    }
    out_.reserve(commands);
  }
  // Sets that must be made anew, chains that lose all their rules first, chains that go.
  void classify() {
    for (const std::string& name : dirty_.sets) {
      const Set* have = find(observed_.sets, name);
      const Set* want = find(desired_.sets, name);
      if (have != nullptr && want != nullptr &&
          (have->spec != want->spec || (want->spec.constant && have->elements != want->elements))) {
        remade_sets_.insert(name);
      }
    }
    for (const std::string& name : dirty_.chains) {
      const Chain* have = find(observed_.chains, name);
      const Chain* want = find(desired_.chains, name);
      if (have != nullptr && want != nullptr && !same_place(*have, *want)) {
        remade_chains_.insert(name);
      }
      if (have != nullptr && want == nullptr) {
        removed_chains_.insert(name);
      }
    }
    if (remade_sets_.empty()) {
      return;
    }
    for (const auto& [name, chain] : observed_.chains) {
      const bool refers = std::ranges::any_of(
          chain.rules, [this](const Rule& rule) { return refers_to(rule, remade_sets_); });
      if (refers && !removed_chains_.contains(name)) {
        flushed_chains_.insert(name);
      }
    }
  }

  void add_counters_and_chains() {
    for (const std::string& name : dirty_.counters) {
      if (desired_.counters.contains(name) && !observed_.counters.contains(name)) {
        out_.emplace_back(nft::AddCounter{name});
      }
    }
    for (const std::string& name : dirty_.chains) {
      const Chain* have = find(observed_.chains, name);
      const Chain* want = find(desired_.chains, name);
      if (want == nullptr || remade_chains_.contains(name)) {
        continue;
      }
      const bool policy_changed =
          have != nullptr && have->hook && want->hook && have->hook->policy != want->hook->policy;
      if (have == nullptr || policy_changed) {
        out_.emplace_back(nft::AddChain{name, want->hook});
      }
    }
  }

  void clear_what_is_remade() {
    for (const std::string& name : removed_chains_) {
      out_.emplace_back(nft::FlushChain{name});
    }
    for (const std::string& name : flushed_chains_) {
      out_.emplace_back(nft::FlushChain{name});
    }
    for (const std::string& name : remade_sets_) {
      out_.emplace_back(nft::DeleteSet{name});
    }
    for (const std::string& name : remade_chains_) {
      out_.emplace_back(nft::FlushChain{name});
      out_.emplace_back(nft::DeleteChain{name});
      out_.emplace_back(nft::AddChain{name, desired_.chains.at(name).hook});
    }
  }

  void add_sets() {
    for (const std::string& name : dirty_.sets) {
      const Set* want = find(desired_.sets, name);
      if (want == nullptr || (observed_.sets.contains(name) && !remade_sets_.contains(name))) {
        continue;
      }
      out_.emplace_back(nft::AddSet{name, want->spec});
    }
    // Elements after all chains: verdicts refer to them.
    for (const std::string& name : dirty_.sets) {
      const Set* want = find(desired_.sets, name);
      const bool fresh = !observed_.sets.contains(name) || remade_sets_.contains(name);
      if (want != nullptr && fresh && !want->elements.empty()) {
        out_.emplace_back(nft::AddElements{name, want->spec, want->elements});
      }
    }
  }

  void change_elements() {
    for (const std::string& name : dirty_.sets) {
      const Set* have = find(observed_.sets, name);
      const Set* want = find(desired_.sets, name);
      if (have == nullptr || want == nullptr || remade_sets_.contains(name)) {
        continue;
      }
      std::set<nft::ElementKey> keys;
      for (const Set* side : {have, want}) {
        for (const auto& [key, data] : side->elements) {
          keys.insert(key);
        }
      }
      change_elements_of(name, *have, *want, keys);
    }
    for (const auto& [name, keys] : dirty_.elements) {
      const Set* have = find(observed_.sets, name);
      const Set* want = find(desired_.sets, name);
      if (have != nullptr && want != nullptr && !dirty_.sets.contains(name)) {
        change_elements_of(name, *have, *want, keys);
      }
    }
  }

  // An element with other data is removed and added: the kernel takes no second one with its key.
  void change_elements_of(const std::string& name,
                          const Set& have,
                          const Set& want,
                          const std::set<nft::ElementKey>& keys) {
    nft::DeleteElements remove{name, have.spec, {}};
    nft::AddElements add{name, want.spec, {}};
    for (const nft::ElementKey& key : keys) {
      const nft::ElementData* old_data = find(have.elements, key);
      const nft::ElementData* new_data = find(want.elements, key);
      if (old_data != nullptr && new_data != nullptr && *old_data == *new_data) {
        continue;
      }
      if (old_data != nullptr) {
        remove.elements.push_back(key);
      }
      if (new_data != nullptr) {
        add.elements.emplace(key, *new_data);
      }
    }
    if (!remove.elements.empty()) {
      out_.emplace_back(std::move(remove));
    }
    if (!add.elements.empty()) {
      out_.emplace_back(std::move(add));
    }
  }

  Result<void> change_rules() {
    std::set<std::string> chains = flushed_chains_;
    chains.insert(dirty_.chains.begin(), dirty_.chains.end());
    for (const std::string& name : chains) {
      const Chain* want = find(desired_.chains, name);
      if (want == nullptr) {
        continue;
      }
      const Chain* have = find(observed_.chains, name);
      const bool empty_now =
          have == nullptr || flushed_chains_.contains(name) || remade_chains_.contains(name);
      if (auto done = change_rules_of(name, empty_now ? nft::Rules() : have->rules, want->rules);
          !done) {
        return done;
      }
    }
    return {};
  }

  // Keeps the rules that both sides share at the front and at the end, with their counters, and
  // replaces the middle.
  Result<void> change_rules_of(const std::string& chain,
                               const nft::Rules& have,
                               const nft::Rules& want) {
    const auto [front_have, front_want] = std::ranges::mismatch(have, want);
    const auto kept = static_cast<std::size_t>(front_have - have.begin());
    std::size_t tail = 0;
    while (tail < std::min(have.size(), want.size()) - kept &&
           have[have.size() - 1 - tail] == want[want.size() - 1 - tail]) {
      ++tail;
    }
    if (kept + tail == have.size() && kept + tail == want.size()) {
      return {};
    }
    if (want.empty()) {
      out_.emplace_back(nft::FlushChain{chain});
      return {};
    }
    std::vector<RuleHandle> handles;
    if (!have.empty()) {
      auto known = handles_(chain);
      if (!known) {
        return fail(known.error(), "read rules of chain {}", chain);
      }
      if (known->size() != have.size()) {
        return fail(Errc::kConflict,
                    "chain {} has {} rules, {} were expected",
                    chain,
                    known->size(),
                    have.size());
      }
      handles = std::move(*known);
    }
    for (std::size_t i = kept; i < have.size() - tail; ++i) {
      out_.emplace_back(nft::DeleteRule{chain, handles[i]});
    }
    const std::optional<RuleHandle> before =
        tail == 0 ? std::nullopt : std::optional<RuleHandle>(handles[have.size() - tail]);
    for (std::size_t i = kept; i < want.size() - tail; ++i) {
      out_.emplace_back(nft::AddRule{chain, want.share(i), before});
    }
    return {};
  }

  void remove_leftovers() {
    for (const std::string& name : dirty_.sets) {
      if (observed_.sets.contains(name) && !desired_.sets.contains(name)) {
        out_.emplace_back(nft::DeleteSet{name});
      }
    }
    for (const std::string& name : removed_chains_) {
      out_.emplace_back(nft::DeleteChain{name});
    }
    for (const std::string& name : dirty_.counters) {
      if (observed_.counters.contains(name) && !desired_.counters.contains(name)) {
        out_.emplace_back(nft::DeleteCounter{name});
      }
    }
  }

  const Table& observed_;
  const Table& desired_;
  const NftDirty& dirty_;
  const RuleHandles& handles_;
  std::set<std::string> remade_sets_;
  std::set<std::string> remade_chains_;
  std::set<std::string> flushed_chains_;
  std::set<std::string> removed_chains_;
  Transaction out_;
};

template <typename Map>
void add_differing(const Map& a, const Map& b, std::set<std::string>& names) {
  for (const auto& [name, value] : a) {
    const auto* other = find(b, name);
    if (other == nullptr || !(*other == value)) {
      names.insert(name);
    }
  }
}

}  // namespace

void NftDirty::clear() {
  *this = {};
}

bool NftDirty::empty() const {
  return sets.empty() && chains.empty() && counters.empty() && elements.empty();
}

NftDirty differences(const Table& observed, const Table& desired) {
  NftDirty dirty;
  add_differing(observed.sets, desired.sets, dirty.sets);
  add_differing(desired.sets, observed.sets, dirty.sets);
  add_differing(observed.chains, desired.chains, dirty.chains);
  add_differing(desired.chains, observed.chains, dirty.chains);
  std::ranges::set_symmetric_difference(
      observed.counters, desired.counters, std::inserter(dirty.counters, dirty.counters.end()));
  return dirty;
}

Result<Transaction> plan_transaction(const Table& observed,
                                     const Table& desired,
                                     const NftDirty& dirty,
                                     bool table_exists,
                                     const RuleHandles& handles) {
  return Planner(observed, desired, dirty, handles).plan(table_exists);
}

std::optional<Table> table_between(const Table& observed,
                                   const Table& desired,
                                   const NftDirty& dirty) {
  const bool needed = std::ranges::any_of(dirty.chains, [&](const std::string& name) {
    const Chain* have = find(observed.chains, name);
    const Chain* want = find(desired.chains, name);
    return have != nullptr && have->hook && !have->rules.empty() &&
           (want == nullptr || !same_place(*have, *want));
  });
  if (!needed) {
    return std::nullopt;
  }
  Table between = desired;
  between.sets.insert(observed.sets.begin(), observed.sets.end());
  between.counters.insert(observed.counters.begin(), observed.counters.end());
  for (const auto& [name, chain] : observed.chains) {
    // Nothing leads to the chains that leave any more. Their rules could ask a set that comes back
    // with other types under its name.
    Chain emptied{chain.hook, {}};
    if (emptied.hook) {
      emptied.hook->policy = nft::Policy::kAccept;
    }
    between.chains.emplace(name, emptied);
  }
  return between;
}

Transaction plan_rebuild(const Table& desired, bool table_exists) {
  const Table nothing;
  const NftDirty all = differences(nothing, desired);
  const RuleHandles none = [](const std::string&) {
    return Result<std::vector<RuleHandle>>(std::vector<RuleHandle>());
  };
  auto fresh = Planner(nothing, desired, all, none).plan(false);
  MARGAY_ASSERT(fresh.has_value());  // no handle is asked for an empty table
  Transaction transaction;
  if (table_exists) {
    transaction.emplace_back(nft::DeleteTable{});
  }
  transaction.insert(transaction.end(), fresh->begin(), fresh->end());
  return transaction;
}

}  // namespace margay::felix
