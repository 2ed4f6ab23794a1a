#pragma once
// AutoHostEndpoint: gives this node a host endpoint for all its interfaces, with the node's labels
// and addresses, where KubeControllersConfiguration "default" asks for it (Calico's automatic host
// endpoints; agents do it here). It allows by its profile whatever no policy selects.
//
// One that somebody else made under the name is left alone. Single-threaded; the store is used on
// the worker.

#include "base/strong.h"
#include "datastore/store.h"

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>

namespace margay::felix {

// "NODE-auto-hep", as Calico names them.
[[nodiscard]] api::Resource auto_host_endpoint(const api::Resource& node);

class AutoHostEndpoint {
 public:
  static constexpr std::chrono::milliseconds kRetry{1000};

  struct Environment {
    datastore::Store& store;
    NodeName node;
    std::function<void(std::function<void()>)> on_worker;
    std::function<void(std::function<void()>)> on_loop;
    std::function<void(std::chrono::milliseconds, std::function<void()>)> after;
    std::function<void(const std::string&)> log;
  };
  explicit AutoHostEndpoint(Environment environment) : environment_(std::move(environment)) {}

  // Whatever comes from the store; what does not concern it is ignored.
  void on_object(const std::shared_ptr<const api::Resource>& resource);
  void on_deleted(const api::ResourceKey& key);
  // All of them are known, and writes what differs.
  void reconcile();

 private:
  [[nodiscard]] api::ResourceKey key() const;
  [[nodiscard]] std::optional<api::Resource> wanted() const;
  [[nodiscard]] bool as_wanted(const std::optional<api::Resource>& want) const;

  Environment environment_;
  bool asked_ = false;  // by KubeControllersConfiguration
  std::shared_ptr<const api::Resource> node_;
  std::shared_ptr<const api::Resource> stored_;
  bool busy_ = false;
};

}  // namespace margay::felix
