#pragma once
// PortLedger: which endpoint of this node has which host port, so that an ADD is refused before a
// second container takes one. Kept beside the store by the only thread that stores endpoints.

#include "api/metadata.h"
#include "base/result.h"
#include "datastore/store.h"
#include "felix/calc/host_ports.h"

#include <map>
#include <optional>

namespace margay::felix {

class PortLedger {
 public:
  PortLedger(datastore::Store& store, NodeName node) : store_(store), node_(std::move(node)) {}

  // kExists with the owner's name when one of the ports, or one that overlaps it, belongs to
  // another endpoint. Reads the store the first time, and again before it refuses.
  [[nodiscard]] Result<void> check(const api::ResourceKey& endpoint, const PublishedPorts& ports);
  // The endpoint is about to be stored: the ports are its own until stored() or release() says how
  // that went.
  void claim(const api::ResourceKey& endpoint, const PublishedPorts& ports);
  void stored(const api::ResourceKey& endpoint) { claimed_.erase(endpoint); }
  void release(const api::ResourceKey& endpoint);

 private:
  struct Conflict {
    HostPort port;
    api::ResourceKey owner;
  };
  [[nodiscard]] std::optional<Conflict> conflict(const api::ResourceKey& endpoint,
                                                 const PublishedPorts& ports) const;
  Result<void> load();
  void own(const api::ResourceKey& endpoint, const PublishedPorts& ports);

  datastore::Store& store_;
  NodeName node_;
  bool loaded_ = false;
  std::map<HostPort, api::ResourceKey> owners_;
  std::map<api::ResourceKey, PublishedPorts> claimed_;  // not stored yet
};

}  // namespace margay::felix
