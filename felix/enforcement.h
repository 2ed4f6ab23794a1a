#pragma once
// EnforcementTracker: when is an endpoint, as of a revision, in force in the kernel? Pure but for
// the callbacks it keeps.
//
// The agent says which endpoint revisions each generation of kernel changes carries, and what each
// kernel report says. An endpoint is enforced when a generation that carries its revision was
// applied with its policy and none of its routes is missing. Single-threaded.

#include "felix/cni/endpoint_service.h"
#include "felix/kernel_thread.h"

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <vector>

namespace margay::felix {

class EnforcementTracker final : public EnforcementWaiter {
 public:
  // The next generation carries this endpoint as of this revision.
  void on_endpoint(const api::ResourceKey& endpoint,
                   datastore::Revision revision,
                   std::uint64_t generation,
                   std::vector<IpAddr> addresses);
  void on_removed(const api::ResourceKey& endpoint);
  void on_report(const KernelReport& report);
  // An endpoint that takes over the address is not in force before it is released.
  void hold(const IpAddr& addr) { held_.insert(addr); }
  void release(const std::vector<IpAddr>& addresses);

  void when_enforced(const api::ResourceKey& endpoint,
                     datastore::Revision revision,
                     std::function<void()> done) override;
  void cancel(const api::ResourceKey& endpoint) override;

 private:
  struct Seen {
    datastore::Revision revision;
    std::uint64_t generation = 0;
    std::vector<IpAddr> addresses;
  };
  struct Waiting {
    datastore::Revision revision;
    std::vector<std::function<void()>> done;
  };

  void answer();
  [[nodiscard]] bool enforced(const api::ResourceKey& endpoint, datastore::Revision revision) const;

  std::map<api::ResourceKey, Seen> seen_;
  std::map<api::ResourceKey, Waiting> waiting_;
  std::uint64_t applied_generation_ = 0;
  std::set<IpAddr> missing_;                                   // addresses without their route
  std::shared_ptr<const std::vector<RouteKey>> last_missing_;  // what missing_ is of
  std::set<IpAddr> held_;  // addresses with connections of an earlier owner
};

}  // namespace margay::felix
