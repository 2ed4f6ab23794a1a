#pragma once
// EndpointWork: the blocking part of CNI calls, for the store worker alone: addresses and endpoint
// in one commit, wiring, release, and the journal of releases that the store could not take.

#include "cni/result.h"
#include "felix/cni/call_journal.h"
#include "felix/cni/endpoint_service.h"
#include "felix/cni/identity.h"
#include "felix/cni/port_ledger.h"
#include "felix/cni/release_journal.h"
#include "ipam/allocator.h"

#include <map>
#include <optional>
#include <set>
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
               AtStep at_step,
               std::function<void(const std::string&)> log);

  // One ADD of a burst; no two are about one endpoint.
  struct AddTask {
    const CniRequest& request;
    const NetworkConfig& config;
    const Identity& identity;
    std::optional<IpAddr> fabric;
    std::function<void(Result<Added, CniError>)> done;  // called once
  };
  // Their addresses and endpoints are stored in as few commits as there are blocks; then one after
  // the other is wired and done.
  void add_all(std::vector<AddTask> tasks);
  // Of an ADD that failed. What the store does not take goes to the journal.
  void undo(const Identity& identity);
  // Store first, in one commit; with the store away the link, then the journal. True: the link is
  // still to be removed, with unwire().
  [[nodiscard]] Result<bool, CniError> release(const Identity& identity);
  void unwire(const Identity& identity);
  // A DEL that is killed from here on is finished by the next agent, if the state directory can be
  // written.
  void note_del(const Identity& identity);
  // An ADD that is about to be answered, or a DEL whose link is gone: the next agent leaves it
  // alone. From any thread.
  [[nodiscard]] Result<void> end_call(const IfName& host_name) const {
    return calls_.end(host_name);
  }
  // The revision of the endpoint, when everything is as the previous result says.
  [[nodiscard]] Result<datastore::Revision, CniError> check(const CniRequest& request,
                                                            const NetworkConfig& config,
                                                            const Identity& identity);
  // Releases every endpoint of this network and node that is not among the attachments.
  [[nodiscard]] Result<void, CniError> collect(const NetworkConfig& config);

  // For margay-ipam: addresses only.
  struct IpamAdded {
    cni::AddResult result;
    bool made = false;  // not by an earlier ADD
  };
  [[nodiscard]] Result<IpamAdded, CniError> ipam_add(const CniRequest& request,
                                                     const NetworkConfig& config,
                                                     const Identity& identity);
  [[nodiscard]] Result<void, CniError> ipam_check(const NetworkConfig& config,
                                                  const Identity& identity);
  [[nodiscard]] Result<void, CniError> ipam_collect(const NetworkConfig& config);

  // Frees what the journals hold; stops when the store takes nothing.
  void replay_journal();
  void claim_ahead();

 private:
  Result<ipam::AssignRequest, CniError> assign_request(const CniRequest& request,
                                                       const NetworkConfig& config,
                                                       const Identity& identity);
  Result<std::optional<datastore::Object>, CniError> find(const api::ResourceKey& key);
  [[nodiscard]] Result<Added, CniError> add_again(const datastore::Object& stored,
                                                  const WiringRequest& wiring,
                                                  const std::string& netns) const;
  // An ADD that needs addresses.
  struct NewEndpoint {
    AddTask* task = nullptr;
    WiringRequest wiring;
    api::Resource endpoint;   // of the last try
    Result<void> ports_free;  // whether its host ports were to be had
  };
  [[nodiscard]] Result<void, CniError> can_begin(const AddTask& task) const;
  // Nothing: it is done already, with or without success.
  std::optional<ipam::AssignRequest> begin_add(AddTask& task, NewEndpoint& endpoint);
  Result<void, CniError> make_way(const datastore::Object& stored,
                                  const NetworkConfig& config,
                                  const Identity& identity);
  ipam::Allocator::Companions companions_of(NewEndpoint& endpoint);
  Result<Added, CniError> wire_new(NewEndpoint& endpoint,
                                   const Result<ipam::Allocator::Assigned>& assigned);
  // With the addresses that another IPAM plugin gave: a commit of its own.
  Result<Added, CniError> add_delegated(NewEndpoint& endpoint);
  // The last step of an ADD; undoes what was stored when it fails.
  Result<Added, CniError> wire_stored(NewEndpoint& endpoint,
                                      const std::vector<IpAddr>& addresses,
                                      datastore::Revision revision);
  Result<bool, CniError> is_of_network(const api::Resource& endpoint, const Identity& identity);
  Result<void> release_stored(const Identity& identity);
  Result<void, CniError> note_add(const Identity& identity);
  void remember_request(const ipam::AssignRequest& request);
  void forget_call(const Identity& identity);
  // Refuses an ADD while an earlier DEL of the same interface is still owed to the store: done
  // later, that would take what the ADD gave.
  [[nodiscard]] Result<void, CniError> nothing_owed(const Identity& identity) const;
  void undo_cut_off();
  bool goes_on(const PendingRelease& entry, const Error& error);
  [[nodiscard]] WiringRequest wiring_request(const CniRequest& request,
                                             const NetworkConfig& config,
                                             const Identity& identity) const;

  datastore::Store& store_;
  NodeName node_;
  std::function<std::int64_t()> unix_now_;
  ipam::Allocator allocator_;
  ReleaseJournal journal_;
  CallJournal calls_;
  std::set<std::string> stuck_;  // entries of both whose failure is told
  PortLedger host_ports_;
  std::map<Family, ipam::AssignRequest> ahead_;  // the last request for each
  Wiring wiring_;
  AtStep at_step_;
  std::function<void(const std::string&)> log_;
};

}  // namespace margay::felix
