#pragma once
// SysctlReconciler: the few global settings that forwarding needs, written only where they differ.

#include "felix/dataplane/backoff.h"
#include "felix/dataplane/report.h"

#include <map>
#include <string>

namespace margay::felix {

// What every node needs: forwarding of both families (IPv6 where the kernel has it).
[[nodiscard]] std::map<std::string, std::string> forwarding_sysctls(bool ipv6);

class SysctlReconciler {
 public:
  void set_desired(std::map<std::string, std::string> desired) { desired_ = std::move(desired); }
  [[nodiscard]] ApplyReport apply();

 private:
  std::map<std::string, std::string> desired_;  // path below /proc/sys -> value
  Backoff backoff_;
};

}  // namespace margay::felix
