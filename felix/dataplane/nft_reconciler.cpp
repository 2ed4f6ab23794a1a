#include "felix/dataplane/nft_reconciler.h"

#include <utility>

namespace margay::felix {

namespace {

// The observed side after a transaction went in: what was dirty now is as desired.
void take_over(const nft::Table& desired, const NftDirty& dirty, nft::Table& observed) {
  if (observed.chains.empty() && observed.sets.empty()) {
    observed = desired;
    return;
  }
  const auto copy = [](const auto& from, auto& to, const std::string& name) {
    if (const auto found = from.find(name); found != from.end()) {
      to.insert_or_assign(name, found->second);
    } else {
      to.erase(name);
    }
  };
  for (const std::string& name : dirty.sets) {
    copy(desired.sets, observed.sets, name);
  }
  for (const std::string& name : dirty.chains) {
    copy(desired.chains, observed.chains, name);
  }
  for (const std::string& name : dirty.counters) {
    if (desired.counters.contains(name)) {
      observed.counters.insert(name);
    } else {
      observed.counters.erase(name);
    }
  }
  for (const auto& [name, keys] : dirty.elements) {
    const auto want = desired.sets.find(name);
    const auto have = observed.sets.find(name);
    if (want == desired.sets.end() || have == observed.sets.end() || dirty.sets.contains(name)) {
      continue;
    }
    for (const nft::ElementKey& key : keys) {
      if (const auto element = want->second.elements.find(key);
          element != want->second.elements.end()) {
        have->second.elements.insert_or_assign(key, element->second);
      } else {
        have->second.elements.erase(key);
      }
    }
  }
}

}  // namespace

void NftReconciler::set_desired(nft::Delta delta) {
  for (const auto& [name, set] : delta.upsert_sets) {
    dirty_.sets.insert(name);
  }
  for (const auto& [name, elements] : delta.elements) {
    auto& keys = dirty_.elements[name];
    for (const auto& [key, data] : elements.add) {
      keys.insert(key);
    }
    keys.insert(elements.remove.begin(), elements.remove.end());
  }
  for (auto& [name, chain] : delta.upsert_chains) {
    dirty_.chains.insert(name);
    chain.rules = nft::canonical(std::move(chain.rules));  // the form of dumps
  }
  dirty_.sets.insert(delta.remove_sets.begin(), delta.remove_sets.end());
  dirty_.chains.insert(delta.remove_chains.begin(), delta.remove_chains.end());
  dirty_.counters.insert(delta.add_counters.begin(), delta.add_counters.end());
  dirty_.counters.insert(delta.remove_counters.begin(), delta.remove_counters.end());
  nft::apply(std::move(delta), desired_);
}

void NftReconciler::set_desired(nft::Table table) {
  desired_ = nft::canonical(std::move(table));
  dirty_ = differences(observed_, desired_);
}

Result<void> NftReconciler::read_back() {
  auto table = kernel_.dump();
  if (!table) {
    return fail(table.error(), "read the nftables table");
  }
  table_exists_ = table->has_value();
  observed_ = table_exists_ ? std::move(**table) : nft::Table();
  observed_valid_ = true;
  dirty_ = differences(observed_, desired_);
  return {};
}

ApplyReport NftReconciler::failed(std::string what, Error error) {
  observed_valid_ = false;
  ApplyReport report;
  report.failures.push_back({std::move(what), std::move(error)});
  report.retry_after = backoff_.next();
  return report;
}

Result<nft::Transaction> NftReconciler::plan(const nft::Table& target) {
  if (rebuild_) {
    return plan_rebuild(target, table_exists_);
  }
  return plan_transaction(
      observed_, target, dirty_, table_exists_, [this](const std::string& chain) {
        return kernel_.rule_handles(chain);
      });
}

ApplyReport NftReconciler::move_to(const nft::Table& target, bool fresh) {
  auto transaction = plan(target);
  if (!transaction) {
    return failed("nftables", transaction.error());
  }
  if (transaction->empty()) {
    return {};
  }
  if (auto done = kernel_.commit(*transaction); !done) {
    const std::size_t index = done.error().command;
    std::string what = index < transaction->size() ? nft::describe((*transaction)[index])
                                                   : std::string("nftables transaction");
    // Refused twice although the table had just been read: our picture of it is not good enough, so
    // write it whole.
    rebuild_ = fresh && std::exchange(refused_, fresh);
    return failed(std::move(what), done.error().error);
  }
  ApplyReport report;
  report.changes = transaction->size();
  take_over(target, dirty_, observed_);
  table_exists_ = true;
  rebuild_ = false;
  refused_ = false;
  backoff_.reset();
  return report;
}

ApplyReport NftReconciler::apply() {
  if (!in_sync_) {
    return {};
  }
  const bool fresh = !observed_valid_;
  if (fresh) {
    if (auto read = read_back(); !read) {
      return failed("nftables", read.error());
    }
  }
  if (dirty_.empty() && (table_exists_ || desired_ == nft::Table())) {
    rebuild_ = false;
    return {};
  }
  std::size_t changes = 0;
  if (const auto between = rebuild_ ? std::nullopt : table_between(observed_, desired_, dirty_)) {
    ApplyReport report = move_to(*between, fresh);
    if (!report.clean()) {
      return report;
    }
    changes = report.changes;
  }
  ApplyReport report = move_to(desired_, fresh);
  if (report.clean()) {
    report.changes += changes;
    dirty_.clear();
  }
  return report;
}

bool NftReconciler::on_event() {
  const nft::Changes changes = kernel_.take_changes();
  if (!changes.foreign && !changes.overrun) {
    return false;
  }
  observed_valid_ = false;
  return true;
}

}  // namespace margay::felix
