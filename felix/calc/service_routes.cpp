#include "felix/calc/service_routes.h"

#include <algorithm>
#include <iterator>

namespace margay::felix {

namespace {

std::string name_of(const std::string& ns, const std::string& name) {
  return ns + "/" + name;
}

bool inside(const std::vector<Prefix>& ranges, const IpAddr& addr) {
  return std::ranges::any_of(ranges, [&addr](const Prefix& range) { return range.contains(addr); });
}
bool alone(const std::vector<Prefix>& ranges, const IpAddr& addr) {
  return std::ranges::find(ranges, Prefix::host(addr)) != ranges.end();
}

void add_ranges(const std::vector<Prefix>& ranges, std::set<Prefix>& out) {
  std::ranges::copy_if(
      ranges, std::inserter(out, out.end()), [](const Prefix& range) { return !range.is_host(); });
}

// Kubernetes gives ClusterIP services no external traffic policy.
bool is_local(const api::Service& service) {
  return service.external_traffic_policy == api::TrafficPolicy::kLocal &&
         (service.type == "LoadBalancer" || service.type == "NodePort");
}

}  // namespace

bool ServiceRoutes::concerns(api::Kind kind) {
  return kind == api::Kind::kService || kind == api::Kind::kEndpointSlice;
}

void ServiceRoutes::set(const api::Resource& resource) {
  const api::Metadata& metadata = resource.metadata;
  if (const auto* service = std::get_if<api::Service>(&resource.spec)) {
    services_.insert_or_assign(name_of(metadata.ns, metadata.name), *service);
  } else if (const auto* slice = std::get_if<api::EndpointSlice>(&resource.spec)) {
    const auto label = metadata.labels.find(std::string(api::kServiceNameLabel));
    if (label == metadata.labels.end()) {
      slices_.erase(resource.key());
    } else {
      slices_.insert_or_assign(resource.key(),
                               Slice{name_of(metadata.ns, label->second), slice->endpoints});
    }
  }
}

void ServiceRoutes::remove(const api::ResourceKey& key) {
  if (key.kind == api::Kind::kService) {
    services_.erase(name_of(key.ns, key.name));
  } else if (key.kind == api::Kind::kEndpointSlice) {
    slices_.erase(key);
  }
}

std::map<std::string, ServiceRoutes::Ready> ServiceRoutes::ready(
    const NodeName& node, const std::map<IpAddr, IfName>& local) const {
  std::map<std::string, Ready> out;
  for (const auto& [key, slice] : slices_) {
    for (const api::SliceEndpoint& endpoint : slice.endpoints) {
      if (!endpoint.ready.value_or(true)) {
        continue;
      }
      Ready& of_service = out[slice.service];
      of_service.anywhere = true;
      const bool here =
          endpoint.node.empty()
              ? std::ranges::any_of(endpoint.addresses,
                                    [&local](const IpAddr& addr) { return local.contains(addr); })
              : endpoint.node == node.str();
      of_service.here = of_service.here || here;
    }
  }
  return out;
}

std::set<Prefix> ServiceRoutes::routes(const ServiceRanges& ranges,
                                       const NodeName& node,
                                       const std::map<IpAddr, IfName>& local) const {
  std::set<Prefix> out;
  if (ranges.empty()) {
    return out;
  }
  add_ranges(ranges.cluster_ips, out);
  add_ranges(ranges.external_ips, out);
  if (ranges.aggregate_load_balancers) {
    add_ranges(ranges.load_balancer_ips, out);
  }
  const auto ready_endpoints = ready(node, local);
  for (const auto& entry : services_) {
    const api::Service& service = entry.second;
    const auto found = ready_endpoints.find(entry.first);
    const Ready endpoints = found == ready_endpoints.end() ? Ready{} : found->second;
    const auto add = [&](const std::vector<IpAddr>& addresses,
                         const std::vector<Prefix>& of_kind,
                         bool aggregated) {
      for (const IpAddr& addr : addresses) {
        const bool by_local = is_local(service) && endpoints.here;
        const bool by_all =
            !is_local(service) && endpoints.anywhere && (alone(of_kind, addr) || !aggregated);
        if (inside(of_kind, addr) && (by_local || by_all)) {
          out.insert(Prefix::host(addr));
        }
      }
    };
    add(service.cluster_ips, ranges.cluster_ips, true);
    add(service.external_ips, ranges.external_ips, true);
    add(service.load_balancer_ips, ranges.load_balancer_ips, ranges.aggregate_load_balancers);
  }
  return out;
}

}  // namespace margay::felix
