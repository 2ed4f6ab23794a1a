#include "felix/dataplane/sysctl_reconciler.h"

#include "kernel/sysctl.h"

namespace margay::felix {

std::map<std::string, std::string> forwarding_sysctls(bool ipv6) {
  std::map<std::string, std::string> wanted{{"net/ipv4/ip_forward", "1"}};
  if (ipv6) {
    wanted.emplace("net/ipv6/conf/all/forwarding", "1");
  }
  return wanted;
}

ApplyReport SysctlReconciler::apply() {
  ApplyReport report;
  for (const auto& [key, value] : desired_) {
    const auto current = read_sysctl(key);
    if (current && *current == value) {
      continue;
    }
    if (auto written = write_sysctl(key, value); written) {
      ++report.changes;
    } else {
      report.failures.push_back({"sysctl " + key, written.error()});
    }
  }
  if (report.failures.empty()) {
    backoff_.reset();
  } else {
    report.retry_after = backoff_.next();
  }
  return report;
}

}  // namespace margay::felix
