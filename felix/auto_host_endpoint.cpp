#include "felix/auto_host_endpoint.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace margay::felix {

namespace {

constexpr const char* kCreatedBy = "projectcalico.org/created-by";
constexpr const char* kCreator = "calico-kube-controllers";
constexpr const char* kConfiguration = "default";

bool is_automatic(const api::Resource& endpoint) {
  const auto label = endpoint.metadata.labels.find(kCreatedBy);
  return label != endpoint.metadata.labels.end() && label->second == kCreator;
}

void add_address(std::vector<IpAddr>& addresses, const IpAddr& addr) {
  if (std::ranges::find(addresses, addr) == addresses.end()) {
    addresses.push_back(addr);
  }
}

std::vector<IpAddr> addresses_of(const api::Node& node) {
  std::vector<IpAddr> out;
  if (node.bgp && node.bgp->ipv4_address) {
    add_address(out, node.bgp->ipv4_address->addr);
  }
  if (node.bgp && node.bgp->ipv6_address) {
    add_address(out, node.bgp->ipv6_address->addr);
  }
  for (const api::NodeAddress& address : node.addresses) {
    if (const auto addr = IpAddr::parse(address.address)) {
      add_address(out, *addr);
    } else if (const auto on_link = InterfaceAddr::parse(address.address)) {
      add_address(out, on_link->addr);
    }
  }
  return out;
}

// Blocking. Makes the store's object as wanted, or away with it.
Result<bool> write(datastore::Store& store,
                   const api::ResourceKey& key,
                   std::optional<api::Resource> want) {
  const auto stored = store.get(key);
  if (!stored && stored.error().code != Errc::kNotFound) {
    return fail(stored.error());
  }
  if (stored && (!stored->resource || !is_automatic(*stored->resource))) {
    return false;  // somebody else's
  }
  if (!want) {
    const auto removed = stored ? store.remove(key, stored->revision) : stored;
    return removed || removed.error().code == Errc::kNotFound ? Result<bool>(true)
                                                              : fail(removed.error());
  }
  if (!stored) {
    const auto created = store.create(*want);
    return created ? Result<bool>(true) : fail(created.error());
  }
  if (api::same_content(*stored->resource, *want)) {
    return true;
  }
  want->metadata.resource_version = std::to_string(stored->revision.value());
  const auto updated = store.update(*want);
  return updated ? Result<bool>(true) : fail(updated.error());
}

}  // namespace

api::Resource auto_host_endpoint(const api::Resource& node) {
  api::Resource endpoint;
  endpoint.metadata.name = node.metadata.name + "-auto-hep";
  endpoint.metadata.labels = node.metadata.labels;
  endpoint.metadata.labels[kCreatedBy] = kCreator;
  api::HostEndpoint spec;
  spec.node = *NodeName::parse(node.metadata.name);
  spec.interface_name = *IfName::parse(api::kEveryInterface);
  spec.expected_ips = addresses_of(std::get<api::Node>(node.spec));
  spec.profiles = {"projectcalico-default-allow"};
  endpoint.spec = std::move(spec);
  return endpoint;
}

api::ResourceKey AutoHostEndpoint::key() const {
  return {api::Kind::kHostEndpoint, {}, environment_.node.str() + "-auto-hep"};
}

void AutoHostEndpoint::on_object(const std::shared_ptr<const api::Resource>& resource) {
  const api::ResourceKey of = resource->key();
  if (of.kind == api::Kind::kNode && of.name == environment_.node.str()) {
    node_ = resource;
  } else if (of == key()) {
    stored_ = resource;
  } else if (of.kind == api::Kind::kKubeControllersConfiguration && of.name == kConfiguration) {
    const auto& config = std::get<api::KubeControllersConfiguration>(resource->spec);
    asked_ = config.auto_host_endpoints == api::Switch::kEnabled &&
             config.default_host_endpoint == api::Switch::kEnabled;
  }
}

void AutoHostEndpoint::on_deleted(const api::ResourceKey& gone) {
  if (gone.kind == api::Kind::kNode && gone.name == environment_.node.str()) {
    node_.reset();
  } else if (gone == key()) {
    stored_.reset();
  } else if (gone.kind == api::Kind::kKubeControllersConfiguration && gone.name == kConfiguration) {
    asked_ = false;
  }
}

std::optional<api::Resource> AutoHostEndpoint::wanted() const {
  return asked_ && node_ ? std::optional(auto_host_endpoint(*node_)) : std::nullopt;
}

bool AutoHostEndpoint::as_wanted(const std::optional<api::Resource>& want) const {
  if (stored_ && !is_automatic(*stored_)) {
    return true;  // somebody else's
  }
  return want ? stored_ && api::same_content(*stored_, *want) : !stored_;
}

void AutoHostEndpoint::reconcile() {
  auto want = wanted();
  if (busy_ || as_wanted(want)) {
    return;
  }
  busy_ = true;
  environment_.on_worker([this, want = std::move(want)] {
    const auto written = write(environment_.store, key(), want);
    environment_.on_loop([this, written] {
      if (!written) {
        environment_.log(fmt::format(
            "{} not written, will retry err=\"{}\"", key().str(), written.error().text));
      }
      // The watch brings what was written; until then a second write would be in vain.
      environment_.after(kRetry, [this] {
        busy_ = false;
        reconcile();
      });
    });
  });
}

}  // namespace margay::felix
