#pragma once
// SysctlReconciler: the few global settings that forwarding needs, written only where they differ.
//
// What a setting was before the first change since the machine started is recorded in a file, so
// that `margayd cleanup` can put it back.

#include "felix/dataplane/backoff.h"
#include "felix/dataplane/report.h"

#include <map>
#include <string>
#include <utility>

namespace margay::felix {

// What every node needs: forwarding of both families (IPv6 where the kernel has it).
[[nodiscard]] std::map<std::string, std::string> forwarding_sysctls(bool ipv6);

// Puts back what is recorded, where nobody has changed it since, and removes the record.
[[nodiscard]] Result<void> restore_sysctls(const std::string& record);

class SysctlReconciler {
 public:
  // The record's path; empty: none is kept.
  explicit SysctlReconciler(std::string record = {}) : record_(std::move(record)) {}
  void set_desired(std::map<std::string, std::string> desired) { desired_ = std::move(desired); }
  [[nodiscard]] ApplyReport apply();

 private:
  std::string record_;
  std::map<std::string, std::string> desired_;  // path below /proc/sys -> value
  Backoff backoff_;
};

}  // namespace margay::felix
