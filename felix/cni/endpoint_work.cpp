#include "felix/cni/endpoint_work.h"

#include "cni/annotations.h"
#include "cni/chain.h"
#include "felix/cni/add_result.h"
#include "felix/cni/cni_error.h"
#include "ipam/audit.h"

#include <algorithm>
#include <memory>
#include <set>
#include <utility>

namespace margay::felix {

namespace {

using cni::Code;
using datastore::Change;

const api::WorkloadEndpoint& endpoint_in(const datastore::Object& object) {
  return std::get<api::WorkloadEndpoint>(object.resource->spec);
}

PublishedPorts published(const api::Resource& endpoint) {
  return published_ports(std::get<api::WorkloadEndpoint>(endpoint.spec));
}

bool is_of(const datastore::Object& object, const Identity& identity) {
  return endpoint_in(object).container_id == identity.container_id &&
         endpoint_in(object).endpoint == identity.ifname;
}

std::vector<IpAddr> addresses_of(const api::WorkloadEndpoint& endpoint) {
  std::vector<IpAddr> addresses;
  for (const Prefix& network : endpoint.ip_networks) {
    addresses.push_back(network.addr());
  }
  return addresses;
}

// Packets to 127.0.0.0/8 of the node may be for it.
bool reaches_loopback(const api::EndpointPort& port) {
  return !port.host_ip ||
         (port.host_ip->is_v4() && (port.host_ip->is_unspecified() || port.host_ip->is_loopback()));
}

PendingRelease journal_entry(const Identity& identity) {
  return {identity.container_id, identity.ifname, identity.handle, identity.ns, identity.endpoint};
}

}  // namespace

EndpointWork::EndpointWork(datastore::Store& store,
                           ipam::Allocator::Environment ipam,
                           const std::string& state_dir,
                           Wiring wiring,
                           AtStep at_step,
                           std::function<void(const std::string&)> log)
    : store_(store),
      node_(ipam.node),
      unix_now_(ipam.unix_now),
      allocator_(store, std::move(ipam)),
      journal_(state_dir),
      calls_(state_dir),
      host_ports_(store, node_),
      wiring_(std::move(wiring)),
      at_step_(std::move(at_step)),
      log_(std::move(log)) {}

Result<std::optional<datastore::Object>, cni::CniError> EndpointWork::find(
    const api::ResourceKey& key) {
  auto object = store_.get(key);
  if (object && object->resource) {
    return std::optional(std::move(*object));
  }
  if (object || object.error().code == Errc::kNotFound) {
    return std::optional<datastore::Object>();
  }
  return fail(cni_error(object.error(), "read " + key.str()));
}

Result<ipam::AssignRequest, cni::CniError> EndpointWork::assign_request(const CniRequest& request,
                                                                        const NetworkConfig& config,
                                                                        const Identity& identity) {
  ipam::AssignRequest assign;
  assign.holder.handle_id = identity.handle;
  assign.holder.secondary = {{"node", node_.str()},
                             {"namespace", identity.ns},
                             {"pod", identity.workload},
                             {"interface", identity.ifname},
                             {"network", identity.network},
                             {"type", ipam::kWorkload},
                             {"timestamp", std::to_string(unix_now_())}};
  assign.addresses = config.addresses;
  const auto wanted = request.args.find("IP");
  if (assign.addresses.empty() && wanted != request.args.end()) {
    const auto addr = IpAddr::parse(wanted->second.substr(0, wanted->second.find('/')));
    if (!addr) {
      return fail(cni_error(addr.error(), "CNI_ARGS IP"));
    }
    assign.addresses.push_back(*addr);
  }
  if (assign.addresses.empty()) {
    assign.ipv4 = config.ipam.assign_ipv4 ? 1 : 0;
    assign.ipv6 = config.ipam.assign_ipv6 ? 1 : 0;
    if (assign.ipv4 + assign.ipv6 == 0) {
      return fail(plain_error(Code::kBadConfig,
                              "ipam: neither assign_ipv4 nor assign_ipv6",
                              "set at least one of them to true"));
    }
  }
  assign.ipv4_pools = config.ipam.ipv4_pools;
  assign.ipv6_pools = config.ipam.ipv6_pools;
  auto ns = find({api::Kind::kNamespace, {}, identity.ns});
  if (!ns) {
    return fail(ns.error());
  }
  if (*ns) {
    assign.namespace_labels = (*ns)->resource->metadata.labels;
    // The pod's own annotations are in the configuration already, and win.
    const auto of_pod = cni::read_annotations(config.annotations);
    const auto of_ns = cni::read_annotations((*ns)->resource->metadata.annotations);
    if (!of_ns) {
      return fail(of_ns.error());
    }
    if (of_ns->ipv4_pools && !(of_pod && of_pod->ipv4_pools)) {
      assign.ipv4_pools = *of_ns->ipv4_pools;
    }
    if (of_ns->ipv6_pools && !(of_pod && of_pod->ipv6_pools)) {
      assign.ipv6_pools = *of_ns->ipv6_pools;
    }
  }
  return assign;
}

WiringRequest EndpointWork::wiring_request(const CniRequest& request,
                                           const NetworkConfig& config,
                                           const Identity& identity) const {
  WiringRequest wiring;
  wiring.netns_path = request.netns;
  wiring.container_name = IfName::parse(identity.ifname) ? *IfName::parse(identity.ifname)
                                                         : IfName();  // the plugin has checked it
  wiring.host_name = identity.host_name;
  wiring.container_mac = config.mac.value_or(derived_mac(identity.host_name));
  wiring.route_localnet = std::ranges::any_of(
      config.ports, [](const api::EndpointPort& port) { return reaches_loopback(port); });
  wiring.bandwidth = config.bandwidth;
  if (config.mtu != 0) {
    wiring.mtu = config.mtu;
  }
  return wiring;
}

void EndpointWork::add_all(std::vector<AddTask> tasks) {
  replay_journal();
  std::vector<std::unique_ptr<NewEndpoint>> endpoints;  // what the callbacks refer to stays put
  std::vector<ipam::Allocator::Wanted> wanted;
  for (AddTask& task : tasks) {
    pass(at_step_, Step::kAddBegun);
    auto endpoint = std::make_unique<NewEndpoint>();
    if (auto request = begin_add(task, *endpoint)) {
      wanted.push_back({std::move(*request), companions_of(*endpoint)});
      endpoints.push_back(std::move(endpoint));
    }
  }
  allocator_.assign_all(wanted);
  for (std::size_t i = 0; i < endpoints.size(); ++i) {
    endpoints[i]->task->done(wire_new(*endpoints[i], *wanted[i].outcome));
  }
}

// Whatever would not be read back by the agents is refused while nothing has been made.
Result<void, cni::CniError> EndpointWork::can_begin(const AddTask& task) const {
  if (auto wrong = check_names(task.identity)) {
    return fail(std::move(*wrong));
  }
  if (wiring_.is_own(task.request.netns)) {
    return fail(plain_error(Code::kBadNamespace,
                            "CNI_NETNS " + task.request.netns + " is the namespace of the node",
                            "a container needs a network namespace of its own"));
  }
  const api::Resource endpoint = endpoint_resource(task.identity, node_, task.config, {});
  if (const auto read = api::decode_json(api::encode_json(endpoint)); !read) {
    return fail(plain_error(Code::kBadConfig,
                            "the endpoint of the container: " + read.error().text,
                            "mend the configuration that it is made of"));
  }
  return nothing_owed(task.identity);
}

std::optional<ipam::AssignRequest> EndpointWork::begin_add(AddTask& task, NewEndpoint& endpoint) {
  const Identity& identity = task.identity;
  const auto refuse = [&task](const CniError& error) {
    task.done(fail(error));
    return std::nullopt;
  };
  if (auto fit = can_begin(task); !fit) {
    return refuse(fit.error());
  }
  endpoint.task = &task;
  endpoint.wiring = wiring_request(task.request, task.config, identity);
  endpoint.wiring.fabric = task.fabric;
  const auto stored = find(identity.key());
  if (!stored) {
    return refuse(stored.error());
  }
  if (*stored && is_of(**stored, identity)) {
    task.done(add_again(**stored, endpoint.wiring, task.request.netns));
    return std::nullopt;
  }
  if (task.config.ipam.delegated() && task.request.delegated.empty()) {
    task.done(Added{.result = {}, .revision = {}, .existed = false, .wants_addresses = true});
    return std::nullopt;
  }
  if (*stored) {
    if (auto free = make_way(**stored, task.config, identity); !free) {
      return refuse(free.error());
    }
  }
  if (task.config.ipam.delegated()) {
    task.done(add_delegated(endpoint));
    return std::nullopt;
  }
  auto assign = assign_request(task.request, task.config, identity);
  if (!assign) {
    return refuse(assign.error());
  }
  if (auto noted = note_add(identity); !noted) {
    return refuse(noted.error());
  }
  remember_request(*assign);
  return std::move(*assign);
}

// An earlier container of the same pod whose DEL never came.
Result<void, cni::CniError> EndpointWork::make_way(const datastore::Object& stored,
                                                   const NetworkConfig& config,
                                                   const Identity& identity) {
  Identity earlier = identity;
  earlier.container_id = endpoint_in(stored).container_id;
  const auto network = stored.resource->metadata.annotations.find(kNetworkAnnotation);
  const bool says = network != stored.resource->metadata.annotations.end();
  earlier.handle = handle_name(says ? network->second : config.name, earlier.container_id);
  earlier.host_name = endpoint_in(stored).interface_name;
  if (auto released = release_stored(earlier); !released) {
    return fail(cni_error(released.error(), "replace the endpoint of an earlier container"));
  }
  unwire(earlier);
  return {};
}

// The same ADD once more: the same answer, the wiring made good if something broke it.
Result<EndpointWork::Added, cni::CniError> EndpointWork::add_again(const datastore::Object& stored,
                                                                   const WiringRequest& wiring,
                                                                   const std::string& netns) const {
  WiringRequest wanted = wiring;
  wanted.addresses = addresses_of(endpoint_in(stored));
  WiringResult state;
  if (!wiring_.check(wanted)) {
    const auto wired = wiring_.wire(wanted);
    if (!wired) {
      return fail(cni_error(wired.error(), "wire the container again"));
    }
    state = *wired;
  } else if (const auto seen = wiring_.look(wanted)) {
    state = *seen;
  }
  cni::AddResult result = make_result(endpoint_in(stored), state, netns);
  const auto dns = stored.resource->metadata.annotations.find(kDnsAnnotation);
  if (dns != stored.resource->metadata.annotations.end()) {
    result.dns = cni::parse_dns(dns->second);
  }
  return Added{.result = std::move(result),
               .revision = stored.revision,
               .existed = true,
               .wants_addresses = false};
}

// The endpoint goes into the commit that gives its addresses. Its host ports are claimed at once,
// so that no other ADD of the same commit gets them.
ipam::Allocator::Companions EndpointWork::companions_of(NewEndpoint& endpoint) {
  return [this, &endpoint](const std::vector<IpAddr>& addresses) -> Result<std::vector<Change>> {
    const Identity& identity = endpoint.task->identity;
    if (store_.get(identity.key())) {
      return fail(Errc::kExists, "{} was created meanwhile", identity.key().str());
    }
    endpoint.endpoint = endpoint_resource(identity, node_, endpoint.task->config, addresses);
    endpoint.ports_free = host_ports_.check(identity.key(), published(endpoint.endpoint));
    if (!endpoint.ports_free) {
      return fail(endpoint.ports_free.error());
    }
    host_ports_.claim(identity.key(), published(endpoint.endpoint));
    return std::vector<Change>{datastore::Create{endpoint.endpoint}};
  };
}

Result<EndpointWork::Added, cni::CniError> EndpointWork::wire_new(
    NewEndpoint& endpoint, const Result<ipam::Allocator::Assigned>& assigned) {
  const Identity& identity = endpoint.task->identity;
  if (!assigned) {
    host_ports_.release(identity.key());
    forget_call(identity);
    return fail(endpoint.ports_free ? cni_error(assigned.error(), "assign an address")
                                    : cni_error(endpoint.ports_free.error(), "publish the ports"));
  }
  return wire_stored(endpoint, assigned->addresses, assigned->revision);
}

Result<EndpointWork::Added, cni::CniError> EndpointWork::wire_stored(
    NewEndpoint& endpoint, const std::vector<IpAddr>& addresses, datastore::Revision revision) {
  const Identity& identity = endpoint.task->identity;
  host_ports_.stored(identity.key());
  pass(at_step_, Step::kAssignCommitted);
  endpoint.wiring.addresses = addresses;
  const auto wired = wiring_.wire(endpoint.wiring);
  if (!wired) {
    undo(identity);
    cni::CniError error = cni_error(wired.error(), "wire the container");
    if (wired.error().code == Errc::kNotFound) {
      error.code = Code::kBadEnvironment;
      error.details = "CNI_NETNS must name the network namespace of the container";
    }
    return fail(std::move(error));
  }
  const auto& spec = std::get<api::WorkloadEndpoint>(endpoint.endpoint.spec);
  return Added{.result = make_result(spec, *wired, endpoint.wiring.netns_path),
               .revision = revision,
               .existed = false,
               .wants_addresses = false};
}

Result<void, cni::CniError> EndpointWork::note_add(const Identity& identity) {
  if (auto noted = calls_.begin(identity.host_name, journal_entry(identity)); !noted) {
    return fail(cni_error(noted.error(), "note the ADD in the state directory"));
  }
  pass(at_step_, Step::kAddNoted);
  return {};
}

// Nothing of it is left, so the next agent may as well undo it again.
void EndpointWork::forget_call(const Identity& identity) {
  if (const auto ended = calls_.end(identity.host_name); !ended) {
    log_(ended.error().text);
  }
}

void EndpointWork::note_del(const Identity& identity) {
  pass(at_step_, Step::kDelBegun);
  if (const auto noted = calls_.begin(identity.host_name, journal_entry(identity)); !noted) {
    log_("note a DEL in the state directory: " + noted.error().text);
  }
  pass(at_step_, Step::kDelNoted);
}

Result<void> EndpointWork::release_stored(const Identity& identity) {
  bool removed = false;
  const auto released = allocator_.release(
      identity.handle,
      of_attachment(identity),
      [&](const std::vector<IpAddr>&) -> Result<std::vector<Change>> {
        const auto object = store_.get(identity.key());
        if (!object) {
          return object.error().code == Errc::kNotFound
                     ? Result<std::vector<Change>>(std::vector<Change>{})
                     : fail(object.error());
        }
        // The endpoint may be that of a later container of the same pod: then it stays.
        if (object->resource && !is_of(*object, identity)) {
          return std::vector<Change>{};
        }
        removed = true;
        return std::vector<Change>{datastore::Remove{identity.key(), object->revision}};
      });
  if (!released) {
    return fail(released.error());
  }
  pass(at_step_, Step::kReleaseCommitted);
  if (removed) {
    host_ports_.release(identity.key());
  }
  return {};
}

void EndpointWork::undo(const Identity& identity) {
  const auto released = release(identity);
  if (!released) {
    log_("undo of a failed ADD: " + released.error().msg);
  }
  unwire(identity);
  if (released) {
    forget_call(identity);
  }
}

Result<bool, cni::CniError> EndpointWork::release(const Identity& identity) {
  const auto released = release_stored(identity);
  if (released) {
    return true;
  }
  // The store is away: nothing may reach the address any more, so the link goes at once, and what
  // is owed to the store is written down before the answer.
  unwire(identity);
  if (auto written = journal_.add(journal_entry(identity)); !written) {
    return fail(cni_error(written.error(), "remember the release"));
  }
  pass(at_step_, Step::kReleaseOwed);
  log_("release of " + identity.handle + " waits for the store: " + released.error().text);
  return false;
}

void EndpointWork::unwire(const Identity& identity) {
  if (const auto done = wiring_.unwire(identity.host_name); !done) {
    log_("remove interface " + identity.host_name.str() + ": " + done.error().text);
  }
  pass(at_step_, Step::kLinkRemoved);
}

Result<datastore::Revision, cni::CniError> EndpointWork::check(const CniRequest& request,
                                                               const NetworkConfig& config,
                                                               const Identity& identity) {
  if (!config.previous) {
    return fail(plain_error(Code::kBadConfig, "CHECK without prevResult"));
  }
  const auto stored = find(identity.key());
  if (!stored) {
    return fail(stored.error());
  }
  if (!*stored || !is_of(**stored, identity)) {
    return fail(plain_error(Code::kUnknownContainer,
                            "no endpoint of container " + identity.container_id + " interface " +
                                identity.ifname + " is stored"));
  }
  WiringRequest wiring = wiring_request(request, config, identity);
  wiring.addresses = addresses_of(endpoint_in(**stored));
  const auto held = allocator_.held_by(identity.handle, of_attachment(identity));
  if (!held) {
    return fail(cni_error(held.error(), "read the addresses"));
  }
  for (const IpAddr& addr : wiring.addresses) {
    if (std::ranges::find(config.previous->addresses, addr) == config.previous->addresses.end()) {
      return fail(plain_error(Code::kFailed, "address " + addr.str() + " is not in prevResult"));
    }
    if (!config.ipam.delegated() && std::ranges::find(*held, addr) == held->end()) {
      return fail(plain_error(Code::kFailed, "address " + addr.str() + " is not allocated"));
    }
  }
  const auto& interfaces = config.previous->interfaces;
  if (!interfaces.empty() &&
      std::ranges::find(interfaces, identity.ifname, &cni::PreviousResult::Interface::name) ==
          interfaces.end()) {
    return fail(
        plain_error(Code::kFailed, "interface " + identity.ifname + " is not in prevResult"));
  }
  if (const auto wired = wiring_.check(wiring); !wired) {
    return fail(plain_error(Code::kFailed, "container differs: " + wired.error().text));
  }
  return (*stored)->revision;
}

Result<void, cni::CniError> EndpointWork::collect(const NetworkConfig& config) {
  const auto listing = store_.list({.kind = api::Kind::kWorkloadEndpoint, .ns = {}});
  if (!listing) {
    return fail(cni_error(listing.error(), "list endpoints"));
  }
  std::optional<cni::CniError> first;
  for (const datastore::Object& object : listing->objects) {
    if (!object.resource || endpoint_in(object).node != node_) {
      continue;
    }
    const api::WorkloadEndpoint& endpoint = endpoint_in(object);
    const cni::Attachment attachment{endpoint.container_id, endpoint.endpoint};
    const auto& valid = *config.attachments;
    if (std::ranges::find(valid, attachment) != valid.end()) {
      continue;
    }
    Identity identity;
    identity.container_id = endpoint.container_id;
    identity.ifname = endpoint.endpoint;
    identity.network = config.name;
    identity.handle = handle_name(config.name, endpoint.container_id);
    identity.ns = object.key.ns;
    identity.endpoint = object.key.name;
    identity.host_name = endpoint.interface_name;
    const auto ours = is_of_network(*object.resource, identity);
    if (!ours && !first) {
      first = ours.error();
    }
    if (!ours || !*ours) {
      continue;
    }
    if (auto released = release(identity); !released && !first) {
      first = released.error();
    }
    unwire(identity);
  }
  return first ? Result<void, cni::CniError>(fail(std::move(*first)))
               : Result<void, cni::CniError>();
}

void EndpointWork::remember_request(const ipam::AssignRequest& request) {
  if (request.ipv4 > 0) {
    ahead_[Family::kIpv4] = request;
  }
  if (request.ipv6 > 0) {
    ahead_[Family::kIpv6] = request;
  }
}

// For each family that was asked for, from where it was asked last. Before the first ADD, for IPv4.
void EndpointWork::claim_ahead() {
  if (ahead_.empty()) {
    ahead_[Family::kIpv4] = {};
  }
  for (auto& [family, request] : ahead_) {
    request.ipv4 = family == Family::kIpv4 ? 1 : 0;
    request.ipv6 = family == Family::kIpv6 ? 1 : 0;
    const auto done = allocator_.claim_ahead(request);
    // No pool for this node: the ADD that asks for one is told.
    if (!done && done.error().code != Errc::kExhausted) {
      log_("claim a block ahead: " + done.error().text);
    }
  }
}

}  // namespace margay::felix
