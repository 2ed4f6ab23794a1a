#include "felix/enforcement.h"

#include <algorithm>
#include <utility>

namespace margay::felix {

void EnforcementTracker::on_endpoint(const api::ResourceKey& endpoint,
                                     datastore::Revision revision,
                                     std::uint64_t generation,
                                     std::vector<IpAddr> addresses) {
  seen_.insert_or_assign(endpoint, Seen{revision, generation, std::move(addresses)});
}

void EnforcementTracker::on_removed(const api::ResourceKey& endpoint) {
  seen_.erase(endpoint);
}

bool EnforcementTracker::enforced(const api::ResourceKey& endpoint,
                                  datastore::Revision revision) const {
  const auto seen = seen_.find(endpoint);
  return seen != seen_.end() && seen->second.revision >= revision &&
         seen->second.generation <= applied_generation_ &&
         std::ranges::none_of(seen->second.addresses, [this](const IpAddr& addr) {
           return missing_.contains(addr) || held_.contains(addr);
         });
}

void EnforcementTracker::on_report(const KernelReport& report) {
  if (report.policy_applied) {
    applied_generation_ = std::max(applied_generation_, report.generation);
  }
  if (report.missing_routes != last_missing_) {
    last_missing_ = report.missing_routes;
    missing_.clear();
    for (const RouteKey& key : *last_missing_) {
      missing_.insert(key.prefix.addr());
    }
  }
  answer();
}

void EnforcementTracker::release(const std::vector<IpAddr>& addresses) {
  for (const IpAddr& addr : addresses) {
    held_.erase(addr);
  }
  answer();
}

void EnforcementTracker::answer() {
  // Callbacks may come back with new waits, so they run on a list of their own.
  std::vector<std::function<void()>> done;
  for (auto entry = waiting_.begin(); entry != waiting_.end();) {
    if (enforced(entry->first, entry->second.revision)) {
      std::ranges::move(entry->second.done, std::back_inserter(done));
      entry = waiting_.erase(entry);
    } else {
      ++entry;
    }
  }
  for (const auto& callback : done) {
    callback();
  }
}

void EnforcementTracker::when_enforced(const api::ResourceKey& endpoint,
                                       datastore::Revision revision,
                                       std::function<void()> done) {
  if (enforced(endpoint, revision)) {
    done();
    return;
  }
  Waiting& waiting = waiting_[endpoint];
  waiting.revision = std::max(waiting.revision, revision);
  waiting.done.push_back(std::move(done));
}

void EnforcementTracker::cancel(const api::ResourceKey& endpoint) {
  waiting_.erase(endpoint);
}

}  // namespace margay::felix
