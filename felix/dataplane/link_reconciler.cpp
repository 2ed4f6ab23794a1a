#include "felix/dataplane/link_reconciler.h"

#include <algorithm>
#include <vector>

namespace margay::felix {

ApplyReport LinkReconciler::apply(TimePoint now) {
  ApplyReport report;
  if (!in_sync_) {
    return report;
  }
  const auto links = links_.links();
  if (!links) {
    report.failures.push_back({"list links", links.error()});
    report.retry_after = backoff_.next();
    return report;
  }
  std::map<std::string, TimePoint> orphans;
  std::vector<IfIndex> overdue;
  for (const LinkState& link : *links) {
    if (link.kind != "veth" || !link.name.starts_with(prefix_) || desired_.contains(link.name)) {
      continue;
    }
    const auto seen = orphan_since_.find(link.name);
    const TimePoint since = seen == orphan_since_.end() ? now : seen->second;
    if (now - since >= kGrace) {
      overdue.push_back(link.index);
    } else {
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(since + kGrace - now);
      report.retry_after = std::min(report.retry_after.value_or(left), left);
    }
    orphans.emplace(link.name, since);
  }
  orphan_since_ = std::move(orphans);
  if (overdue.empty()) {
    backoff_.reset();
    return report;
  }
  if (auto removed = links_.remove(overdue); removed) {
    report.changes = overdue.size();
    backoff_.reset();
  } else {
    report.failures.push_back({"remove links without an endpoint", removed.error()});
    report.retry_after = backoff_.next();
  }
  return report;
}

}  // namespace margay::felix
