#include "policy/diff.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <utility>

namespace margay::policy {

namespace {

using api::PolicyType;

constexpr std::uint32_t kPortsEnd = 65536;
constexpr std::uint16_t kUnknownType = 256;  // stands for every type or code that no rule names

// ---- what tells endpoints and addresses apart

// Everything of one world that a verdict may ask about an end.
struct Atoms {
  std::map<std::string, Selector> selectors;  // by canonical text
  std::set<Prefix> nets;
  std::set<std::string> domains;  // patterns

  explicit Atoms(const World& world) {
    for (const Policy& policy : world.policies) {
      selectors.emplace(policy.subject.text(), policy.subject);
      add(policy);
    }
    for (const auto& [name, profile] : world.profiles) {
      add(profile);
    }
    for (const NetworkSet& set : world.network_sets) {
      nets.insert(set.nets.begin(), set.nets.end());
    }
    for (const auto* ports : {&world.failsafe_inbound, &world.failsafe_outbound}) {
      for (const api::FailsafePort& port : *ports) {
        if (port.net) {
          nets.insert(*port.net);
        }
      }
    }
    for (const auto& [name, endpoints] : world.services) {
      for (const ServiceEndpoint& endpoint : endpoints) {
        nets.insert(Prefix::host(endpoint.address));
      }
    }
  }

 private:
  void add(const Policy& policy) {
    for (const auto* rules : {&policy.ingress, &policy.egress}) {
      for (const Rule& rule : *rules) {
        for (const EntityMatch* side : {&rule.source, &rule.destination}) {
          for (const auto* selector : {&side->selector, &side->not_selector}) {
            if (*selector) {
              selectors.emplace((*selector)->text(), **selector);
            }
          }
          domains.insert(side->domains.begin(), side->domains.end());
          nets.insert(side->nets.begin(), side->nets.end());
          nets.insert(side->not_nets.begin(), side->not_nets.end());
        }
      }
    }
  }
};

// Equal texts: no rule can tell the two apart.
std::string net_bits(const Atoms& atoms, const IpAddr& address) {
  std::string bits;
  for (const Prefix& net : atoms.nets) {
    bits += net.contains(address) ? '1' : '0';
  }
  return bits;
}

// The host endpoints that packets between the endpoint and other nodes pass, one for each family.
std::vector<const Endpoint*> uplinks(const Evaluator& evaluator, const Endpoint& endpoint) {
  std::vector<const Endpoint*> out;
  for (const Family family : {Family::kIpv4, Family::kIpv6}) {
    const Endpoint* host = evaluator.uplink(endpoint.node, family);
    if (host != nullptr && std::ranges::find(out, host) == out.end()) {
      out.push_back(host);
    }
  }
  return out;
}

std::string signature(const Evaluator& evaluator, const Atoms& atoms, const Endpoint& endpoint) {
  std::string text;
  for (const auto& [canonical, selector] : atoms.selectors) {
    text += evaluator.matches(selector, endpoint) ? '1' : '0';
  }
  for (const Prefix& address : endpoint.addresses) {
    text += fmt::format("|{}{}", address.addr().is_v4() ? 4 : 6, net_bits(atoms, address.addr()));
  }
  for (const std::string& profile : endpoint.profiles) {
    text += "|" + profile;
  }
  if (!uplinks(evaluator, endpoint).empty()) {
    text += "|" + endpoint.node.str();
  }
  for (const api::EndpointPort& port : endpoint.ports) {
    text +=
        fmt::format("|{}/{}/{}", port.name, static_cast<unsigned>(port.protocol.number), port.port);
  }
  return text;
}

// One end of the pairs: a class with the endpoints that stand for it in both worlds.
struct ClassEnd {
  FlowClass flow_class;
  const Endpoint* before = nullptr;  // null: outside
  const Endpoint* after = nullptr;
  const Endpoint* second = nullptr;  // another member, for flows inside the class
  std::vector<IpAddr> addresses;
  std::string domain_name;  // outside: that led to the addresses
};

std::vector<IpAddr> addresses_of(const Endpoint& endpoint) {
  std::vector<IpAddr> out;
  for (const Prefix& prefix : endpoint.addresses) {
    out.push_back(prefix.addr());
  }
  return out;
}

std::vector<ClassEnd> endpoint_classes(const Evaluator& before,
                                       const Evaluator& after,
                                       const Atoms& atoms_before,
                                       const Atoms& atoms_after) {
  std::map<std::string, const Endpoint*> still_there;
  for (const Endpoint& endpoint : after.world().endpoints) {
    still_there.emplace(endpoint.name, &endpoint);
  }
  std::map<std::string, ClassEnd> classes;
  for (const Endpoint& endpoint : before.world().endpoints) {
    const auto later = still_there.find(endpoint.name);
    if (later == still_there.end() || endpoint.addresses.empty() ||
        later->second->addresses != endpoint.addresses) {
      continue;
    }
    ClassEnd& end = classes[signature(before, atoms_before, endpoint) + "#" +
                            signature(after, atoms_after, *later->second)];
    if (end.before == nullptr) {
      end.before = &endpoint;
      end.after = later->second;
      end.addresses = addresses_of(endpoint);
      end.flow_class.example = endpoint.name;
    } else if (end.second == nullptr) {
      end.second = &endpoint;
    }
    end.flow_class.members.push_back(endpoint.name);
  }
  std::vector<ClassEnd> out;
  out.reserve(classes.size());
  for (auto& [text, end] : classes) {
    out.push_back(std::move(end));
  }
  return out;
}

// The first address behind a prefix; nothing behind the last one.
std::optional<IpAddr> after(const IpAddr& last) {
  auto bytes = last.bytes();
  std::vector<std::uint8_t> next(bytes.begin(), bytes.end());
  for (auto byte = next.rbegin(); byte != next.rend(); ++byte) {
    if (++*byte != 0) {
      return *IpAddr::from_bytes(next);
    }
  }
  return std::nullopt;
}

// The address before one that is not the first.
IpAddr before(const IpAddr& addr) {
  const auto bytes = addr.bytes();
  std::vector<std::uint8_t> previous(bytes.begin(), bytes.end());
  for (auto byte = previous.rbegin(); byte != previous.rend(); ++byte) {
    if ((*byte)-- != 0) {
      break;
    }
  }
  return *IpAddr::from_bytes(previous);
}

// Addresses that are no outside: of endpoints and hosts.
void add_owned(const World& world, std::set<IpAddr>& owned) {
  for (const Endpoint& endpoint : world.endpoints) {
    for (const Prefix& prefix : endpoint.addresses) {
      owned.insert(prefix.addr());
    }
  }
  for (const auto& [address, node] : world.nodes) {
    owned.insert(address);
  }
}

// Where some network begins or has ended: between two of these no rule tells addresses apart.
std::set<IpAddr> interval_starts(const Atoms& atoms_before, const Atoms& atoms_after) {
  std::set<IpAddr> starts{IpAddr::v4(0), *IpAddr::parse("::")};
  for (const Atoms* atoms : {&atoms_before, &atoms_after}) {
    for (const Prefix& net : atoms->nets) {
      starts.insert(net.addr());
      if (const auto behind = after(net.last())) {
        starts.insert(*behind);
      }
    }
  }
  return starts;
}

// The first address from here to the last one that nobody owns.
std::optional<IpAddr> first_free(const IpAddr& from,
                                 const IpAddr& last,
                                 const std::set<IpAddr>& owned) {
  std::optional<IpAddr> address = from;
  while (address && owned.contains(*address)) {
    address = *address == last ? std::nullopt : after(*address);
  }
  return address;
}

std::vector<ClassEnd> outside_classes(const Atoms& atoms_before,
                                      const Atoms& atoms_after,
                                      const World& world_before,
                                      const World& world_after) {
  std::set<IpAddr> owned;
  add_owned(world_before, owned);
  add_owned(world_after, owned);
  const std::set<IpAddr> starts = interval_starts(atoms_before, atoms_after);
  std::map<std::string, ClassEnd> classes;
  for (auto start = starts.begin(); start != starts.end(); ++start) {
    const auto next = std::next(start);
    const bool highest = next == starts.end() || next->family() != start->family();
    const IpAddr last = highest ? Prefix::masked(*start, 0).last() : before(*next);
    const auto address = first_free(*start, last, owned);
    if (!address) {
      continue;  // every address of it is an endpoint's or a host's
    }
    ClassEnd& end = classes[fmt::format("{}{}#{}",
                                        start->is_v4() ? 4 : 6,
                                        net_bits(atoms_before, *address),
                                        net_bits(atoms_after, *address))];
    if (end.addresses.empty()) {
      end.addresses = {*address};
      end.flow_class.example = address->str();
    }
    auto& ranges = end.flow_class.ranges;
    if (!ranges.empty() && after(ranges.back().second) == *start) {
      ranges.back().second = last;
    } else {
      ranges.emplace_back(*start, last);
    }
  }
  std::vector<ClassEnd> out;
  out.reserve(classes.size());
  for (auto& [text, end] : classes) {
    out.push_back(std::move(end));
  }
  return out;
}

// One end for each pattern of names, at outside addresses that as few networks as possible know.
std::vector<ClassEnd> domain_ends(const Atoms& atoms_before,
                                  const Atoms& atoms_after,
                                  const std::vector<ClassEnd>& outside) {
  std::vector<IpAddr> addresses;
  for (const bool v4 : {true, false}) {
    const ClassEnd* plainest = nullptr;
    std::size_t fewest = 0;
    for (const ClassEnd& end : outside) {
      const IpAddr& address = end.addresses.front();
      const std::string bits = net_bits(atoms_before, address) + net_bits(atoms_after, address);
      const auto known = static_cast<std::size_t>(std::ranges::count(bits, '1'));
      if (address.is_v4() == v4 && (plainest == nullptr || known < fewest)) {
        plainest = &end;
        fewest = known;
      }
    }
    if (plainest != nullptr) {
      addresses.push_back(plainest->addresses.front());
    }
  }
  std::set<std::string> patterns = atoms_before.domains;
  patterns.insert(atoms_after.domains.begin(), atoms_after.domains.end());
  std::vector<ClassEnd> out;
  for (const std::string& pattern : patterns) {
    ClassEnd& end = out.emplace_back();
    end.flow_class.example = pattern;
    end.addresses = addresses;
    end.domain_name = pattern.starts_with("*.") ? "any" + pattern.substr(1) : pattern;
  }
  return out;
}

// ---- cells of protocols and ports

struct Boundaries {
  std::set<api::Protocol> protocols;
  std::set<std::uint32_t> ports{1, kPortsEnd};
  std::set<std::uint32_t> source_ports{1, kPortsEnd};
  std::set<std::uint16_t> icmp_types{kUnknownType};
  std::set<std::uint16_t> icmp_codes{kUnknownType};
};

void add_ports(const EntityMatch& side, const Endpoint* owner, std::set<std::uint32_t>& ports) {
  for (const auto* ranges : {&side.ports, &side.not_ports}) {
    for (const api::PortRange& range : *ranges) {
      ports.insert(range.first);
      ports.insert(range.last + 1U);
    }
  }
  if (owner != nullptr && !(side.named_ports.empty() && side.not_named_ports.empty())) {
    for (const api::EndpointPort& port : owner->ports) {
      ports.insert(port.port);
      ports.insert(port.port + 1U);
    }
  }
}

void add_rule(const Rule& rule,
              const World& world,
              const Endpoint* source,
              const Endpoint* destination,
              Boundaries& out) {
  for (const auto* protocol : {&rule.protocol, &rule.not_protocol}) {
    if (*protocol) {
      out.protocols.insert(**protocol);
    }
  }
  const bool any_ports = rule.destination.has_ports() || rule.destination.has_not_ports() ||
                         rule.source.has_ports() || rule.source.has_not_ports();
  if (any_ports && !rule.protocol) {
    out.protocols.insert({api::kTcp, api::kUdp, api::kSctp});
  }
  add_ports(rule.destination, destination, out.ports);
  add_ports(rule.source, source, out.source_ports);
  if (rule.destination.service) {
    if (const auto service = world.services.find(*rule.destination.service);
        service != world.services.end()) {
      for (const ServiceEndpoint& endpoint : service->second) {
        out.protocols.insert(endpoint.protocol);
        out.ports.insert(endpoint.port);
        out.ports.insert(endpoint.port + 1U);
      }
    }
  }
  for (const auto* icmp : {&rule.icmp, &rule.not_icmp}) {
    if (*icmp && (*icmp)->type) {
      out.icmp_types.insert(*(*icmp)->type);
    }
    if (*icmp && (*icmp)->code) {
      out.icmp_codes.insert(*(*icmp)->code);
    }
  }
}

// Policies before connection tracking spare answers from these ports, too.
void add_failsafe(const World& world, bool answers, Boundaries& out) {
  for (const auto* list : {&world.failsafe_inbound, &world.failsafe_outbound}) {
    for (const api::FailsafePort& port : *list) {
      out.protocols.insert(port.protocol);
      out.ports.insert({port.port, port.port + 1U});
      if (answers) {
        out.source_ports.insert({port.port, port.port + 1U});
      }
    }
  }
}

void add_side(const Evaluator& evaluator,
              const Endpoint* endpoint,
              PolicyType direction,
              const Endpoint* source,
              const Endpoint* destination,
              Boundaries& out) {
  if (endpoint == nullptr) {
    return;
  }
  const World& world = evaluator.world();
  const auto add = [&](const Policy& policy) {
    for (const Rule& rule : policy.rules(direction)) {
      add_rule(rule, world, source, destination, out);
    }
  };
  const auto add_hook = [&](const Endpoint& asked, Hook hook) {
    for (const AppliedTier& tier : evaluator.applied(asked, direction, hook)) {
      for (const Policy* policy : tier.policies) {
        add(*policy);
      }
    }
  };
  add_hook(*endpoint, Hook::kNormal);
  for (const Endpoint* host : uplinks(evaluator, *endpoint)) {
    for (const Hook hook : {Hook::kForward, Hook::kPreDnat, Hook::kUntracked}) {
      add_hook(*host, hook);
    }
    const bool untracked = !evaluator.applied(*host, direction, Hook::kUntracked).empty();
    const bool before = !evaluator.applied(*host, direction, Hook::kPreDnat).empty();
    if (untracked || before) {
      add_failsafe(world, untracked, out);
    }
  }
  for (const std::string& name : endpoint->profiles) {
    if (const auto profile = world.profiles.find(name); profile != world.profiles.end()) {
      add(profile->second);
    }
  }
}

// A protocol that no rule names, for all those that no rule names.
api::Protocol unnamed(const std::set<api::Protocol>& protocols) {
  std::uint8_t number = 253;  // RFC 3692: for experiments
  while (protocols.contains(api::Protocol{number})) {
    --number;
  }
  return api::Protocol{number};
}

// ---- pairs

bool same_policies(const Evaluator& a,
                   const Endpoint* at_a,
                   const Evaluator& b,
                   const Endpoint* at_b,
                   PolicyType direction) {
  if (at_a == nullptr) {
    return true;
  }
  if (!uplinks(a, *at_a).empty() || !uplinks(b, *at_b).empty()) {
    return false;  // theirs may differ, too
  }
  const auto same = [](const AppliedTier& x, const AppliedTier& y) {
    return *x.tier == *y.tier &&
           std::ranges::equal(
               x.policies, y.policies, [](const Policy* p, const Policy* q) { return *p == *q; });
  };
  return at_a->profiles == at_b->profiles && a.world().profiles == b.world().profiles &&
         std::ranges::equal(a.applied(*at_a, direction), b.applied(*at_b, direction), same);
}

// Selectors may match other peers although the policies are the same.
bool same_peers(const Evaluator& a, const Evaluator& b) {
  return a.world().endpoints == b.world().endpoints &&
         a.world().namespaces == b.world().namespaces &&
         a.world().network_sets == b.world().network_sets &&
         a.world().services == b.world().services &&
         a.world().service_accounts == b.world().service_accounts &&
         a.world().profile_labels == b.world().profile_labels;
}

// The step that a verdict ends with, on the side that decides.
std::optional<Step> deciding_step(const Verdict& verdict) {
  const SideVerdict& side = verdict.egress.allowed ? verdict.ingress : verdict.egress;
  return side.path.empty() ? std::nullopt : std::optional(side.path.back());
}

// Flows that every rule which applies to a pair of classes treats alike.
struct Cell {
  std::optional<api::Protocol> protocol;
  api::PortRange ports{1, static_cast<std::uint16_t>(kPortsEnd - 1)};
  api::PortRange source_ports = ports;
  std::optional<api::IcmpMatch> icmp;
};

class PairDiff {
 public:
  PairDiff(const Evaluator& before, const Evaluator& after, std::vector<Change>& out)
      : before_(before), after_(after), peers_differ_(!same_peers(before, after)), out_(out) {}

  void compare(const ClassEnd& from, const ClassEnd& to) {
    const bool inside = &from == &to;
    if (inside && from.second == nullptr) {
      return;  // only itself, which is always allowed
    }
    const bool same =
        !peers_differ_ &&
        same_policies(before_, from.before, after_, from.after, PolicyType::kEgress) &&
        same_policies(before_, to.before, after_, to.after, PolicyType::kIngress);
    if (same) {
      return;
    }
    Boundaries cells;
    add_side(before_, from.before, PolicyType::kEgress, from.before, to.before, cells);
    add_side(after_, from.after, PolicyType::kEgress, from.after, to.after, cells);
    add_side(before_, to.before, PolicyType::kIngress, from.before, to.before, cells);
    add_side(after_, to.after, PolicyType::kIngress, from.after, to.after, cells);
    const std::vector<IpAddr> targets = inside ? addresses_of(*from.second) : to.addresses;
    for (const IpAddr& source : from.addresses) {
      for (const IpAddr& target : targets) {
        if (source.family() == target.family()) {
          Flow flow{.source = source, .destination = target};
          flow.destination_name = to.domain_name;
          compare_cells(from, to, flow, cells);
        }
      }
    }
  }

 private:
  void compare_cells(const ClassEnd& from, const ClassEnd& to, Flow flow, const Boundaries& cells) {
    std::set<api::Protocol> protocols = cells.protocols;
    const api::Protocol other = unnamed(protocols);
    protocols.insert(other);
    for (const api::Protocol protocol : protocols) {
      flow.protocol = protocol;
      Cell cell;
      cell.protocol = protocol == other ? std::nullopt : std::optional(protocol);
      if (has_ports(protocol)) {
        compare_ports(from, to, flow, cells, cell);
      } else if (is_icmp(protocol)) {
        compare_icmp(from, to, flow, cells, cell);
      } else {
        ask(from, to, flow, cell);
      }
    }
  }

  void compare_ports(
      const ClassEnd& from, const ClassEnd& to, Flow flow, const Boundaries& cells, Cell cell) {
    for (auto source = cells.source_ports.begin(); *source != kPortsEnd; ++source) {
      flow.source_port = static_cast<std::uint16_t>(*source);
      cell.source_ports = {flow.source_port, static_cast<std::uint16_t>(*std::next(source) - 1)};
      for (auto port = cells.ports.begin(); *port != kPortsEnd; ++port) {
        if (*port == 0) {
          continue;
        }
        flow.destination_port = static_cast<std::uint16_t>(*port);
        cell.ports = {flow.destination_port, static_cast<std::uint16_t>(*std::next(port) - 1)};
        ask(from, to, flow, cell);
      }
    }
  }

  // A value that the set does not name, for those that it does not.
  static std::uint8_t value_of(std::uint16_t value, const std::set<std::uint16_t>& named) {
    if (value != kUnknownType) {
      return static_cast<std::uint8_t>(value);
    }
    std::uint8_t other = 254;
    while (named.contains(other)) {
      --other;
    }
    return other;
  }

  void compare_icmp(
      const ClassEnd& from, const ClassEnd& to, Flow flow, const Boundaries& cells, Cell cell) {
    for (const std::uint16_t type : cells.icmp_types) {
      for (const std::uint16_t code : cells.icmp_codes) {
        flow.icmp_type = value_of(type, cells.icmp_types);
        flow.icmp_code = value_of(code, cells.icmp_codes);
        cell.icmp.reset();
        if (type != kUnknownType) {
          cell.icmp = api::IcmpMatch{flow.icmp_type, std::nullopt};
          if (code != kUnknownType) {
            cell.icmp->code = flow.icmp_code;
          }
        } else if (code != kUnknownType) {
          continue;  // a code without its type says nothing
        }
        ask(from, to, flow, cell);
      }
    }
  }

  void ask(const ClassEnd& from, const ClassEnd& to, const Flow& flow, const Cell& cell) {
    const bool allowed_before = before_.allows(flow);
    const bool allowed_after = after_.allows(flow);
    if (allowed_before == allowed_after) {
      return;
    }
    Change change{.from = from.flow_class,
                  .to = to.flow_class,
                  .protocol = cell.protocol,
                  .ports = cell.ports,
                  .source_ports = cell.source_ports,
                  .icmp = cell.icmp,
                  .allowed_before = allowed_before,
                  .allowed_after = allowed_after,
                  .before = before_.verdict(flow),
                  .after = after_.verdict(flow)};
    if (!joined(change)) {
      out_.push_back(std::move(change));
    }
  }

  // Joins the change with the one before it, if they are neighbours with equal answers.
  bool joined(const Change& change) {
    if (out_.empty()) {
      return false;
    }
    Change& last = out_.back();
    const bool neighbours =
        last.from.example == change.from.example && last.to.example == change.to.example &&
        last.protocol == change.protocol && last.source_ports == change.source_ports &&
        last.icmp == change.icmp && last.allowed_after == change.allowed_after &&
        deciding_step(last.after) == deciding_step(change.after);
    if (!neighbours) {
      return false;
    }
    if (last.ports == change.ports) {
      return true;  // the other address family
    }
    if (last.ports.last + 1U != change.ports.first) {
      return false;
    }
    last.ports.last = change.ports.last;
    return true;
  }

  const Evaluator& before_;
  const Evaluator& after_;
  bool peers_differ_;
  std::vector<Change>& out_;
};

}  // namespace

std::vector<Change> diff(const Evaluator& before, const Evaluator& after) {
  const Atoms atoms_before(before.world());
  const Atoms atoms_after(after.world());
  std::vector<ClassEnd> inside = endpoint_classes(before, after, atoms_before, atoms_after);
  std::ranges::sort(inside, {}, [](const ClassEnd& end) { return end.flow_class.example; });
  const std::vector<ClassEnd> outside =
      outside_classes(atoms_before, atoms_after, before.world(), after.world());
  const std::vector<ClassEnd> domains = domain_ends(atoms_before, atoms_after, outside);
  std::vector<Change> changes;
  PairDiff pairs(before, after, changes);
  for (const ClassEnd& from : inside) {
    for (const ClassEnd& to : inside) {
      pairs.compare(from, to);
    }
    for (const ClassEnd& end : outside) {
      pairs.compare(from, end);
      pairs.compare(end, from);
    }
    for (const ClassEnd& end : domains) {
      pairs.compare(from, end);
    }
  }
  return changes;
}

}  // namespace margay::policy
