#include "felix/dataplane/link_reconciler.h"

#include "kernel/limits.h"

#include <algorithm>
#include <vector>

namespace margay::felix {

namespace {

// A host end, or the device that limits one.
bool is_ours(const LinkState& link, const std::string& prefix) {
  return (link.kind == "veth" || link.kind == "ifb") && link.name.starts_with(prefix);
}

bool is_wanted(const LinkState& link, const std::set<std::string>& host_ends) {
  return host_ends.contains(link.kind == "ifb" ? host_end_of_limiter(link.name) : link.name);
}

}  // namespace

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
    if (!is_ours(link, prefix_) || is_wanted(link, desired_)) {
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
