#pragma once
// LinkReconciler: removes host ends of containers that no longer exist.
//
// Ownership: veth links whose name begins with our prefix, and the ifb devices that limit them. A
// link is an orphan when no endpoint wants it and it was so on two applies at least kGrace apart,
// because wiring makes the link before the endpoint's record arrives. Removals are batched: the
// kernel takes about as long for fifteen as for one.

#include "base/timer_set.h"
#include "felix/dataplane/backoff.h"
#include "felix/dataplane/report.h"
#include "kernel/link_kernel.h"

#include <map>
#include <set>
#include <string>

namespace margay::felix {

class LinkReconciler {
 public:
  static constexpr std::chrono::seconds kGrace{60};

  LinkReconciler(LinkKernel& links, std::string prefix)
      : links_(links), prefix_(std::move(prefix)) {}

  void set_desired(std::set<std::string> names) { desired_ = std::move(names); }
  void add_desired(const std::string& name) { desired_.insert(name); }
  void remove_desired(const std::string& name) { desired_.erase(name); }
  void set_in_sync(bool in_sync) { in_sync_ = in_sync; }

  [[nodiscard]] ApplyReport apply(TimePoint now);

 private:
  LinkKernel& links_;
  std::string prefix_;
  std::set<std::string> desired_;
  std::map<std::string, TimePoint> orphan_since_;
  bool in_sync_ = false;
  Backoff backoff_;
};

}  // namespace margay::felix
