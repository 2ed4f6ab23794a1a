#pragma once
// EndpointWork: the blocking part of CNI calls, for the store worker alone: addresses and endpoint
// in one commit, wiring, release, and the journal of releases that the store could not take.

#include "cni/result.h"
#include "felix/cni/endpoint_service.h"
#include "felix/cni/identity.h"
#include "felix/cni/port_ledger.h"
#include "felix/cni/release_journal.h"
#include "ipam/allocator.h"

#include <optional>
#include <vector>

namespace margay::felix {

class EndpointWork {
 public:
  using CniError = cni::CniError;
  using NetworkConfig = cni::NetworkConfig;

  struct Added {
    cni::AddResult result;
    datastore::Revision revision;  // of the endpoint; what must be enforced
    bool existed = false;          // an earlier ADD made it; then a failure undoes nothing
    bool wants_addresses = false;  // nothing was done: the other IPAM plugin is to be asked first
  };

  EndpointWork(datastore::Store& store,
               ipam::Allocator::Environment ipam,
               const std::string& state_dir,
               Wiring wiring,
               std::function<void(const std::string&)> log);

  [[nodiscard]] Result<Added, CniError> add(const CniRequest& request,
                                            const NetworkConfig& config,
                                            const Identity& identity,
                                            std::optional<IpAddr> fabric);
  // Of an ADD that failed. What the store does not take goes to the journal.
  void undo(const Identity& identity);
  // Store first, in one commit; with the store away the link, then the journal. True: the link is
  // still to be removed, with unwire().
  [[nodiscard]] Result<bool, CniError> release(const Identity& identity);
  void unwire(const Identity& identity);
  // The revision of the endpoint, when everything is as the previous result says.
  [[nodiscard]] Result<datastore::Revision, CniError> check(const CniRequest& request,
                                                            const NetworkConfig& config,
                                                            const Identity& identity);
  // Releases every endpoint of this network and node that is not among the attachments.
  [[nodiscard]] Result<void, CniError> collect(const NetworkConfig& config);

  // For margay-ipam: addresses only.
  [[nodiscard]] Result<cni::AddResult, CniError> ipam_add(const CniRequest& request,
                                                          const NetworkConfig& config,
                                                          const Identity& identity);
  [[nodiscard]] Result<void, CniError> ipam_check(const NetworkConfig& config,
                                                  const Identity& identity);
  [[nodiscard]] Result<void, CniError> ipam_collect(const NetworkConfig& config);

  // Frees what the journal holds; stops at the first that the store does not take.
  void replay_journal();
  void claim_ahead();

 private:
  Result<ipam::AssignRequest, CniError> assign_request(const CniRequest& request,
                                                       const NetworkConfig& config,
                                                       const Identity& identity);
  Result<std::optional<datastore::Object>, CniError> find(const api::ResourceKey& key);
  Result<Added, CniError> add_again(const datastore::Object& stored,
                                    const WiringRequest& wiring,
                                    const std::string& netns) const;
  Result<Added, CniError> add_new(const ipam::AssignRequest& assign,
                                  const NetworkConfig& config,
                                  const Identity& identity,
                                  WiringRequest wiring);
  // With the addresses that another IPAM plugin gave.
  Result<Added, CniError> add_delegated(const CniRequest& request,
                                        const NetworkConfig& config,
                                        const Identity& identity,
                                        WiringRequest wiring);
  // The last step of an ADD; undoes what was stored when it fails.
  Result<Added, CniError> wire_stored(const api::Resource& endpoint,
                                      datastore::Revision revision,
                                      const Identity& identity,
                                      WiringRequest wiring);
  [[nodiscard]] bool is_of_network(const api::Resource& endpoint,
                                   const NetworkConfig& config,
                                   const std::string& handle);
  Result<void> release_stored(const Identity& identity);
  [[nodiscard]] WiringRequest wiring_request(const CniRequest& request,
                                             const NetworkConfig& config,
                                             const Identity& identity) const;

  datastore::Store& store_;
  NodeName node_;
  std::function<std::int64_t()> unix_now_;
  ipam::Allocator allocator_;
  ReleaseJournal journal_;
  PortLedger host_ports_;
  Wiring wiring_;
  std::function<void(const std::string&)> log_;
};

}  // namespace margay::felix
