#include "policy/evaluator.h"

#include <algorithm>
#include <set>
#include <utility>

namespace margay::policy {

// A flow with what is known about its ends.
struct Evaluator::Packet {
  const Flow* flow = nullptr;
  std::vector<const Endpoint*> sources;
  std::vector<const Endpoint*> destinations;
  bool explained = true;  // somebody will read the paths

  // Writing a path costs more than the verdict.
  template <typename... Parts>
  void note(std::vector<Step>& path, Parts&&... parts) const {
    if (explained) {
      path.push_back(Step{std::forward<Parts>(parts)...});
    }
  }
  // Outside tiers; `parts` together say why.
  template <typename... Parts>
  void note_outside(std::vector<Step>& path,
                    std::optional<api::Action> action,
                    const Parts&... parts) const {
    if (explained) {
      path.push_back(
          Step{{}, std::nullopt, std::nullopt, action, (std::string() + ... + std::string(parts))});
    }
  }
  [[nodiscard]] SideVerdict decided(bool allowed, const char* why) const {
    SideVerdict verdict{allowed, {}};
    note_outside(verdict.path, allowed ? api::Action::kAllow : api::Action::kDeny, why);
    return verdict;
  }
};

// Where a packet comes from or goes to.
struct Evaluator::Place {
  const IpAddr& address;
  const Endpoint* workload = nullptr;
  const NodeName* node = nullptr;  // the workload's, or the host itself
  [[nodiscard]] bool is_host() const { return workload == nullptr && node != nullptr; }
};

// What is known about one end of a packet, for the matches of a rule.
struct Evaluator::End {
  const IpAddr& address;
  std::uint16_t port;
  const std::string& name;
  const std::vector<const Endpoint*>& owners;
};

namespace {

using api::Action;
using api::PolicyType;

bool contains(const std::vector<Prefix>& nets, const IpAddr& address) {
  return std::ranges::any_of(nets, [&](const Prefix& net) { return net.contains(address); });
}

bool contains(const std::vector<api::PortRange>& ranges, std::uint16_t port) {
  return std::ranges::any_of(ranges, [port](const api::PortRange& range) {
    return range.first <= port && port <= range.last;
  });
}

bool icmp_matches(const api::IcmpMatch& match, const Flow& flow) {
  return (!match.type || *match.type == flow.icmp_type) &&
         (!match.code || *match.code == flow.icmp_code);
}

bool protocol_matches(const Rule& rule, const Flow& flow) {
  if (rule.protocol && *rule.protocol != flow.protocol) {
    return false;
  }
  if (rule.not_protocol && *rule.not_protocol == flow.protocol) {
    return false;
  }
  if (rule.icmp && !(is_icmp(flow.protocol) && icmp_matches(*rule.icmp, flow))) {
    return false;
  }
  return !rule.not_icmp || (is_icmp(flow.protocol) && !icmp_matches(*rule.not_icmp, flow));
}

bool named_by(const std::vector<std::string>& patterns, const std::string& name) {
  return !name.empty() && std::ranges::any_of(patterns, [&name](const std::string& pattern) {
    return domain_matches(pattern, name);
  });
}

bool is_host(const Endpoint& endpoint) {
  return endpoint.ns.empty();
}

}  // namespace

Endpoint make_endpoint(const api::Resource& resource) {
  Endpoint endpoint;
  if (const auto* host = std::get_if<api::HostEndpoint>(&resource.spec)) {
    endpoint.name = resource.metadata.name;
    endpoint.node = host->node;
    endpoint.labels = host_endpoint_labels(resource);
    endpoint.profiles = host->profiles;
    endpoint.ports = host->ports;
    endpoint.host_interface = host->interface_name.str();
    for (const IpAddr& addr : host->expected_ips) {
      endpoint.addresses.push_back(Prefix::host(addr));
    }
    return endpoint;
  }
  const auto* spec = std::get_if<api::WorkloadEndpoint>(&resource.spec);
  MARGAY_ASSERT(spec != nullptr);
  const std::string& name = spec->pod.empty() ? resource.metadata.name : spec->pod;
  endpoint.name = resource.metadata.ns + "/" + name;
  endpoint.ns = resource.metadata.ns;
  endpoint.node = spec->node;
  endpoint.service_account = spec->service_account;
  endpoint.labels = endpoint_labels(resource);
  endpoint.profiles = spec->profiles;
  endpoint.addresses = spec->ip_networks;
  endpoint.ports = spec->ports;
  return endpoint;
}

Evaluator::Evaluator(World world) : world_(std::move(world)) {
  std::set<std::string> known;
  for (const Tier& tier : world_.tiers) {
    known.insert(tier.name);
  }
  made_tiers_ = known;
  for (const Policy& policy : world_.policies) {
    if (known.insert(policy.tier).second) {
      const auto builtin = builtin_tier(policy.tier);
      world_.tiers.push_back(builtin ? *builtin : missing_tier(policy.tier));
    }
  }
  std::ranges::sort(world_.tiers, [](const Tier& a, const Tier& b) { return before(a, b); });
  std::ranges::sort(world_.policies, [](const Policy& a, const Policy& b) { return before(a, b); });
  for (const Endpoint& endpoint : world_.endpoints) {
    index(endpoint);
    inherit_from(endpoint.ns);
  }
  std::ranges::sort(world_.host_endpoints, {}, &Endpoint::name);
  for (const Endpoint& host : world_.host_endpoints) {
    index(host);
    hosts_[host.node].push_back(&host);
  }
  for (const NetworkSet& set : world_.network_sets) {
    if (!set.ns.empty()) {
      inherit_from(set.ns);
    }
  }
  for (const auto& [account, labels] : world_.service_accounts) {
    inherited_accounts_[account] =
        service_account_labels(account.substr(account.find('/') + 1), labels);
  }
}

void Evaluator::index(const Endpoint& endpoint) {
  for (const Prefix& address : endpoint.addresses) {
    by_address_.insert({address.addr(), &endpoint});
  }
}

void Evaluator::inherit_from(const std::string& ns) {
  if (inherited_.contains(ns)) {
    return;
  }
  const auto found = world_.namespaces.find(ns);
  inherited_[ns] =
      namespace_labels(ns, found == world_.namespaces.end() ? api::Labels() : found->second);
}

std::vector<const Endpoint*> Evaluator::owners(const IpAddr& address) const {
  std::vector<const Endpoint*> found;
  const auto [first, last] = by_address_.equal_range(address);
  for (auto owner = first; owner != last; ++owner) {
    found.push_back(owner->second);
  }
  return found;
}

bool Evaluator::matches(const Selector& selector, const Endpoint& endpoint) const {
  std::vector<const api::Labels*> inherited;
  if (const auto ns = inherited_.find(endpoint.ns); ns != inherited_.end()) {
    inherited.push_back(&ns->second);  // hosts have none
  }
  const auto account = inherited_accounts_.find(endpoint.ns + "/" + endpoint.service_account);
  if (account != inherited_accounts_.end()) {
    inherited.push_back(&account->second);
  }
  for (const std::string& name : endpoint.profiles) {
    if (const auto labels = world_.profile_labels.find(name);
        labels != world_.profile_labels.end()) {
      inherited.push_back(&labels->second);
    }
  }
  return selector.matches(LabelView(endpoint.labels, inherited));
}

bool Evaluator::matches(const Selector& selector, const NetworkSet& set) const {
  const auto inherited = inherited_.find(set.ns);
  if (set.ns.empty() || inherited == inherited_.end()) {
    return selector.matches(LabelView(set.labels, {}));
  }
  const api::Labels* const parents[] = {&inherited->second};
  return selector.matches(LabelView(set.labels, parents));
}

Verdict Evaluator::verdict(const Flow& flow) const {
  return verdict(Packet{&flow, owners(flow.source), owners(flow.destination)});
}

bool Evaluator::allows(const Flow& flow) const {
  return verdict(Packet{&flow, owners(flow.source), owners(flow.destination), false}).allowed;
}

Verdict Evaluator::verdict(const Packet& packet) const {
  const Flow& flow = *packet.flow;
  const auto place_of = [this](const IpAddr& address, const std::vector<const Endpoint*>& owners) {
    Place place{address};
    if (!owners.empty() && !is_host(*owners.front())) {
      place.workload = owners.front();
      place.node = &place.workload->node;
    } else {
      place.node = node_at(address);
    }
    return place;
  };
  const Place from = place_of(flow.source, packet.sources);
  const Place to = place_of(flow.destination, packet.destinations);
  Verdict verdict;
  if (from.workload != nullptr && from.workload == to.workload) {
    verdict.egress = packet.decided(true, "a workload may always reach itself");
    verdict.ingress = verdict.egress;
    return verdict;
  }
  verdict.egress = egress(packet, from, to);
  verdict.ingress = ingress(packet, from, to);
  verdict.allowed = verdict.egress.allowed && verdict.ingress.allowed;
  return verdict;
}

bool Evaluator::reevaluated(const Flow& flow) const {
  if (world_.established == api::EstablishedConnections::kReevaluate) {
    return true;
  }
  for (const IpAddr& address : {flow.source, flow.destination}) {
    for (const Endpoint* owner : owners(address)) {
      for (const PolicyType direction : {PolicyType::kIngress, PolicyType::kEgress}) {
        for (const AppliedTier& tier : applied(*owner, direction)) {
          if (std::ranges::any_of(tier.policies, &Policy::reevaluate)) {
            return true;
          }
        }
      }
    }
  }
  return false;
}

SideVerdict Evaluator::egress(const Packet& packet, const Place& from, const Place& to) const {
  if (from.node == nullptr) {
    return packet.decided(true, "the source is outside");
  }
  const bool stays = to.node != nullptr && *to.node == *from.node;
  SideVerdict verdict;
  if (from.workload == nullptr) {
    if (stays) {
      return packet.decided(true, "a host may always reach itself and its own workloads");
    }
    const Endpoint* host = host_endpoint_at(*from.node, from.address);
    if (host == nullptr) {
      return packet.decided(true, "the source is a host without host endpoint");
    }
    host_decides(packet, *host, PolicyType::kEgress, false, verdict);
    return verdict;
  }
  endpoint_decides(packet, *from.workload, PolicyType::kEgress, verdict);
  if (!verdict.allowed) {
    return verdict;
  }
  if (stays && to.is_host()) {
    verdict.allowed = world_.endpoint_to_host != api::EndpointToHostAction::kDrop;
    packet.note_outside(verdict.path,
                        verdict.allowed ? Action::kAllow : Action::kDeny,
                        "workload to its own host: defaultEndpointToHostAction");
  } else if (const Endpoint* host = uplink(*from.node, from.address.family());
             !stays && host != nullptr) {
    host_decides(packet, *host, PolicyType::kEgress, true, verdict);
  }
  return verdict;
}

SideVerdict Evaluator::ingress(const Packet& packet, const Place& from, const Place& to) const {
  if (to.node == nullptr) {
    return packet.decided(true, "the destination is outside");
  }
  const bool stays = from.node != nullptr && *to.node == *from.node;
  SideVerdict verdict;
  if (to.workload == nullptr) {
    if (stays) {
      return packet.decided(true, "within one host");
    }
    const Endpoint* host = host_endpoint_at(*to.node, to.address);
    if (host == nullptr) {
      return packet.decided(true, "the destination is a host without host endpoint");
    }
    host_decides(packet, *host, PolicyType::kIngress, false, verdict);
    return verdict;
  }
  if (stays && from.is_host()) {
    return packet.decided(true, "a host may always reach its own workloads");
  }
  if (const Endpoint* host = uplink(*to.node, to.address.family()); !stays && host != nullptr) {
    host_decides(packet, *host, PolicyType::kIngress, true, verdict);
    if (!verdict.allowed) {
      return verdict;
    }
  }
  endpoint_decides(packet, *to.workload, PolicyType::kIngress, verdict);
  return verdict;
}

void Evaluator::endpoint_decides(const Packet& packet,
                                 const Endpoint& endpoint,
                                 PolicyType direction,
                                 SideVerdict& verdict) const {
  for (const AppliedTier& tier : applied(endpoint, direction)) {
    if (const auto ended =
            tier_verdict(packet, *tier.tier, tier.policies, direction, verdict.path)) {
      verdict.allowed = *ended;
      return;
    }
  }
  profiles_decide(packet, endpoint, direction, verdict);
}

// In the order of the kernel's hooks: raw, mangle, filter. Failsafe ports come first in each of
// them, but not for what the host only passes on.
void Evaluator::host_decides(const Packet& packet,
                             const Endpoint& host,
                             PolicyType direction,
                             bool forwarded,
                             SideVerdict& verdict) const {
  packet.note_outside(
      verdict.path, std::nullopt, "host endpoint ", host.name, forwarded ? ", passed on" : "");
  const bool always_open = failsafe(packet, direction, false);
  // What a host sends for others does not pass its output hook.
  const bool arrives = direction == PolicyType::kIngress;
  for (const Hook hook : {Hook::kUntracked, Hook::kPreDnat}) {
    const bool untracked = hook == Hook::kUntracked;
    if (always_open || (untracked ? !arrives && forwarded : !arrives) ||
        (untracked &&
         (host.host_interface == api::kEveryInterface || failsafe(packet, direction, true)))) {
      continue;
    }
    const auto allowed = hook_verdict(packet, host, direction, hook, verdict.path);
    if (allowed == false || (allowed && untracked)) {
      verdict.allowed = *allowed;
      return;
    }
  }
  if (forwarded) {
    const auto allowed = hook_verdict(packet, host, direction, Hook::kForward, verdict.path);
    verdict.allowed = allowed.value_or(true);
    if (!allowed) {
      packet.note_outside(verdict.path, Action::kAllow, "no policy for forwarded packets");
    }
    return;
  }
  if (always_open) {
    verdict.allowed = true;
    packet.note_outside(verdict.path, Action::kAllow, "a failsafe port");
    return;
  }
  endpoint_decides(packet, host, direction, verdict);
}

std::optional<bool> Evaluator::hook_verdict(const Packet& packet,
                                            const Endpoint& host,
                                            PolicyType direction,
                                            Hook hook,
                                            std::vector<Step>& path) const {
  for (const AppliedTier& applied_tier : applied(host, direction, hook)) {
    Tier tier = *applied_tier.tier;
    if (hook != Hook::kForward) {
      tier.default_action = Action::kPass;  // these hooks only add: their tiers have no end
    }
    if (const auto ended = tier_verdict(packet, tier, applied_tier.policies, direction, path)) {
      return ended;
    }
  }
  return std::nullopt;
}

bool Evaluator::failsafe(const Packet& packet, PolicyType direction, bool reply) const {
  const bool arrives = direction == PolicyType::kIngress;
  const Flow& flow = *packet.flow;
  const IpAddr& peer = arrives ? flow.source : flow.destination;
  const std::uint16_t asked = reply ? flow.source_port : flow.destination_port;
  return std::ranges::any_of(arrives == reply ? world_.failsafe_outbound : world_.failsafe_inbound,
                             [&](const api::FailsafePort& port) {
                               return port.protocol == flow.protocol && port.port == asked &&
                                      (!port.net || port.net->contains(peer));
                             });
}

const NodeName* Evaluator::node_at(const IpAddr& address) const {
  if (const auto node = world_.nodes.find(address); node != world_.nodes.end()) {
    return &node->second;
  }
  const auto [first, last] = by_address_.equal_range(address);
  for (auto owner = first; owner != last; ++owner) {
    if (is_host(*owner->second)) {
      return &owner->second->node;
    }
  }
  return nullptr;
}

const Endpoint* Evaluator::host_endpoint_at(const NodeName& node, const IpAddr& address) const {
  const auto hosts = hosts_.find(node);
  if (hosts == hosts_.end()) {
    return nullptr;
  }
  const Endpoint* found = nullptr;
  const auto rank = [&](const Endpoint& host) {
    const bool named = !host.host_interface.empty();
    if (host.host_interface == api::kEveryInterface) {
      return 1;
    }
    if (std::ranges::find(host.addresses, Prefix::host(address)) != host.addresses.end()) {
      return named ? 4 : 3;
    }
    return named && host.addresses.empty() ? 2 : 0;
  };
  for (const Endpoint* host : hosts->second) {
    if (rank(*host) > (found == nullptr ? 0 : rank(*found))) {
      found = host;
    }
  }
  return found;
}

// Packets between nodes are taken to leave and arrive through the interface with the node's
// address.
const Endpoint* Evaluator::uplink(const NodeName& node, Family family) const {
  if (!hosts_.contains(node)) {
    return nullptr;
  }
  const auto known = world_.node_uplinks.find(node);
  if (known == world_.node_uplinks.end() || known->second.empty()) {
    return host_endpoint_at(node, IpAddr());
  }
  const std::vector<IpAddr>& addresses = known->second;
  const auto of_family = std::ranges::find(addresses, family, &IpAddr::family);
  return host_endpoint_at(node, of_family == addresses.end() ? addresses.front() : *of_family);
}

const AppliedTiers& Evaluator::applied(const Endpoint& endpoint,
                                       PolicyType direction,
                                       Hook hook) const {
  const auto [place, fresh] = applied_.try_emplace({&endpoint, direction, hook});
  if (!fresh) {
    return place->second;
  }
  std::map<std::string_view, std::vector<const Policy*>> by_tier;
  for (const Policy& policy : world_.policies) {
    if (policy.applies(direction) && policy.asked_at(hook) && matches(policy.subject, endpoint)) {
      by_tier[policy.tier].push_back(&policy);
    }
  }
  for (const Tier& tier : world_.tiers) {
    if (const auto policies = by_tier.find(tier.name); policies != by_tier.end()) {
      place->second.push_back({&tier, std::move(policies->second)});
    }
  }
  return place->second;
}

// The verdict if the tier gives one; absent when the next tier is to decide.
std::optional<bool> Evaluator::tier_verdict(const Packet& packet,
                                            const Tier& tier,
                                            const std::vector<const Policy*>& applied,
                                            PolicyType direction,
                                            std::vector<Step>& path) const {
  for (const Policy* policy : applied) {
    if (const Rule* rule = deciding_rule(packet, *policy, tier.name, direction, path)) {
      return rule->action == Action::kPass ? std::nullopt
                                           : std::optional(rule->action == Action::kAllow);
    }
  }
  packet.note(path,
              tier.name,
              std::nullopt,
              std::nullopt,
              tier.default_action,
              "end of tier, default action");
  return tier.default_action == Action::kPass ? std::nullopt : std::optional(false);
}

const Rule* Evaluator::deciding_rule(const Packet& packet,
                                     const Policy& policy,
                                     const std::string& tier,
                                     PolicyType direction,
                                     std::vector<Step>& path) const {
  bool matched = false;
  for (const Rule& rule : policy.rules(direction)) {
    if (!rule_matches(packet, rule)) {
      continue;
    }
    matched = true;
    packet.note(path, tier, policy.key, rule.written_index, rule.action, "the rule matches");
    if (rule.action != Action::kLog) {
      return &rule;
    }
  }
  if (!matched) {
    packet.note(path, tier, policy.key, std::nullopt, std::nullopt, "applies, no rule matches");
  }
  return nullptr;
}

void Evaluator::profiles_decide(const Packet& packet,
                                const Endpoint& endpoint,
                                PolicyType direction,
                                SideVerdict& verdict) const {
  for (const std::string& name : endpoint.profiles) {
    const auto profile = world_.profiles.find(name);
    if (profile != world_.profiles.end()) {
      if (const Rule* rule = deciding_rule(packet, profile->second, {}, direction, verdict.path)) {
        verdict.allowed = rule->action == Action::kAllow;
        return;
      }
    } else if (allows_by_name(name)) {
      verdict.allowed = true;
      packet.note_outside(verdict.path, Action::kAllow, "no policy decided: profile ", name);
      return;
    }
  }
  verdict.allowed = false;
  packet.note_outside(verdict.path, Action::kDeny, "no policy decided and no profile allows it");
}

bool Evaluator::rule_matches(const Packet& packet, const Rule& rule) const {
  const Flow& flow = *packet.flow;
  if (!rule.unsupported.empty() && rule.action != Action::kDeny) {
    return false;
  }
  if (!rule.applies_to(flow.destination.family()) || !protocol_matches(rule, flow)) {
    return false;
  }
  static const std::string none;
  return end_matches(rule.source,
                     {flow.source, flow.source_port, none, packet.sources},
                     flow.protocol,
                     false) &&
         end_matches(
             rule.destination,
             {flow.destination, flow.destination_port, flow.destination_name, packet.destinations},
             flow.protocol,
             true);
}

bool Evaluator::end_matches(const EntityMatch& match,
                            const End& end,
                            api::Protocol protocol,
                            bool destination) const {
  return (match.nets.empty() || contains(match.nets, end.address)) &&
         !contains(match.not_nets, end.address) &&
         (!match.selector || owned_by(*match.selector, end)) &&
         (!match.not_selector || !owned_by(*match.not_selector, end)) &&
         (!match.nodes || of_node(*match.nodes, end.address)) &&
         (!match.has_domains() || named_by(match.domains, end.name)) &&
         (!match.service || in_service(*match.service, end, protocol, destination)) &&
         ports_match(match, end, protocol);
}

bool Evaluator::owned_by(const Selector& selector, const End& end) const {
  return std::ranges::any_of(end.owners,
                             [&](const Endpoint* owner) { return matches(selector, *owner); }) ||
         std::ranges::any_of(world_.network_sets, [&](const NetworkSet& set) {
           return contains(set.nets, end.address) && matches(selector, set);
         });
}

bool Evaluator::of_node(const Selector& selector, const IpAddr& address) const {
  const auto node = world_.nodes.find(address);
  if (node == world_.nodes.end()) {
    return false;
  }
  const auto labels = world_.node_labels.find(node->second);
  return labels != world_.node_labels.end() && selector.matches(LabelView(labels->second, {}));
}

// A name stands for the ports that the address's own endpoints give it, with the same protocol; of
// those that the side's selector matches, where it has one.
bool Evaluator::names_port(const std::vector<std::string>& names,
                           const EntityMatch& match,
                           const End& end,
                           api::Protocol protocol) const {
  return std::ranges::any_of(end.owners, [&](const Endpoint* owner) {
    return (!match.selector || matches(*match.selector, *owner)) &&
           std::ranges::any_of(owner->ports, [&](const api::EndpointPort& port) {
             return port.port == end.port && port.protocol == protocol &&
                    std::ranges::find(names, port.name) != names.end();
           });
  });
}

bool Evaluator::in_service(const std::string& service,
                           const End& end,
                           api::Protocol protocol,
                           bool with_port) const {
  const auto found = world_.services.find(service);
  return found != world_.services.end() &&
         std::ranges::any_of(found->second, [&](const ServiceEndpoint& endpoint) {
           return endpoint.address == end.address &&
                  (!with_port || (endpoint.protocol == protocol && endpoint.port == end.port));
         });
}

bool Evaluator::ports_match(const EntityMatch& match,
                            const End& end,
                            api::Protocol protocol) const {
  if (match.has_ports()) {
    const bool listed =
        has_ports(protocol) && end.port != 0 &&
        (contains(match.ports, end.port) || names_port(match.named_ports, match, end, protocol));
    if (!listed) {
      return false;
    }
  }
  if (match.has_not_ports()) {
    return has_ports(protocol) && !contains(match.not_ports, end.port) &&
           !names_port(match.not_named_ports, match, end, protocol);
  }
  return true;
}

}  // namespace margay::policy
