#include "felix/render/nat_layout.h"

#include <utility>

namespace margay::felix {

namespace {

using nft::Field;

constexpr std::int32_t kDestinationNat = -100;
constexpr std::int32_t kSourceNat = 100;

nft::Chain nat_chain(nft::HookPoint point, std::int32_t priority) {
  return {nft::Hook{nft::ChainType::kNat, point, priority, nft::Policy::kAccept}, {}};
}

Field source_field(Family family) {
  return family == Family::kIpv4 ? Field::kIpSaddr : Field::kIp6Saddr;
}
Field destination_field(Family family) {
  return family == Family::kIpv4 ? Field::kIpDaddr : Field::kIp6Daddr;
}

nft::Statement workload(const LayoutOptions& options, Field interface, bool negate) {
  return nft::Match{interface, nft::Key().append_name_prefix(options.interface_prefix), negate};
}

const Prefix& loopback4() {
  static const Prefix net = *Prefix::parse("127.0.0.0/8");
  return net;
}

nft::Set nat_set(const std::vector<Prefix>& nets, Family family) {
  nft::Set set;
  set.spec.key = {nft::address_type(family)};
  set.spec.interval = true;
  for (const Prefix& net : nets) {
    if (net.family() == family) {
      set.elements.emplace(nft::element(net), std::monostate{});
    }
  }
  return set;
}

void append_published(nft::Chain& chain, Family family) {
  const PublishedSets& names = published_sets(family);
  chain.rules.push_back(
      {{nft::DestinationNatFromMap{
           family, {destination_field(family), Field::kL4Proto, Field::kThDport}, names.at}},
       "published at one address"});
  chain.rules.push_back(
      {{nft::Match{Field::kFibDaddrType, nft::key(nft::kFibLocal), false},
        nft::DestinationNatFromMap{family, {Field::kL4Proto, Field::kThDport}, names.any}},
       "published at every address of this node"});
}

void append_hairpin(const LayoutOptions& options, nft::Chain& chain, Family family) {
  if (family == Family::kIpv4) {
    chain.rules.push_back({{workload(options, Field::kOifName, false),
                            nft::match_addr(true, loopback4()),
                            nft::Masquerade{}},
                           "this node by way of its loopback"});
  }
  chain.rules.push_back({{nft::Lookup{{source_field(family), destination_field(family)},
                                      published_sets(family).hairpin,
                                      false},
                          nft::Masquerade{}},
                         "a workload to its own published port"});
}

void append_outgoing(const LayoutOptions& options,
                     const NatRules& rules,
                     Family family,
                     nft::Table& table,
                     nft::Chain& chain) {
  const bool v4 = family == Family::kIpv4;
  nft::Set sources = nat_set(rules.sources, family);
  if (sources.elements.empty()) {
    return;
  }
  const std::string source_name = kNatSets.at(v4 ? 0 : 2);
  const std::string exempt_name = kNatSets.at(v4 ? 1 : 3);
  table.sets.emplace(source_name, std::move(sources));
  table.sets.emplace(exempt_name, nat_set(rules.exempt, family));
  nft::Masquerade masquerade;
  if (options.nat_ports) {
    masquerade.port_min = nft::Port(options.nat_ports->first);
    masquerade.port_max = nft::Port(options.nat_ports->last);
  }
  chain.rules.push_back({{workload(options, Field::kOifName, true),
                          nft::Lookup{{source_field(family)}, source_name, false},
                          nft::Lookup{{destination_field(family)}, exempt_name, true},
                          nft::Counter{},
                          masquerade},
                         "natOutgoing"});
}

}  // namespace

const PublishedSets& published_sets(Family family) {
  static const PublishedSets v4{"publish-at4", "publish4", "hairpin4"};
  static const PublishedSets v6{"publish-at6", "publish6", "hairpin6"};
  return family == Family::kIpv4 ? v4 : v6;
}

nft::Table empty_published_sets(Family family) {
  using enum nft::DataType;
  const PublishedSets& names = published_sets(family);
  const nft::DataType address = nft::address_type(family);
  const nft::DataTypes target{address, kInetService};
  nft::Table table;
  table.sets[names.at].spec = {{address, kInetProto, kInetService}, target, false, false};
  table.sets[names.any].spec = {{kInetProto, kInetService}, target, false, false};
  table.sets[names.hairpin].spec.key = {address, address};
  return table;
}

PublishedElement published_element(const HostPort& port, const HostPortTarget& target) {
  const PublishedSets& names = published_sets(port.family);
  nft::Key data = nft::key(target.addr, nft::Port(target.port));
  const nft::Proto protocol(port.protocol);
  if (port.addr) {
    return {names.at,
            nft::single(nft::key(*port.addr, protocol, nft::Port(port.port))),
            std::move(data)};
  }
  return {names.any, nft::single(nft::key(protocol, nft::Port(port.port))), std::move(data)};
}

nft::ElementKey hairpin_element(const IpAddr& workload) {
  return nft::single(nft::key(workload, workload));
}

nft::Table nat_table(const LayoutOptions& options,
                     const NatRules& rules,
                     const std::set<Family>& published) {
  nft::Table table;
  nft::Chain prerouting = nat_chain(nft::HookPoint::kPrerouting, kDestinationNat);
  nft::Chain output = nat_chain(nft::HookPoint::kOutput, kDestinationNat);
  nft::Chain postrouting = nat_chain(nft::HookPoint::kPostrouting, kSourceNat);
  if (published.contains(Family::kIpv4)) {
    prerouting.rules.push_back({{workload(options, Field::kIifName, false),
                                 nft::match_addr(false, loopback4()),
                                 nft::Counter{},
                                 nft::Verdict::drop()},
                                "a workload to the loopback of this node"});
  }
  for (const Family family : published) {
    append_published(prerouting, family);
    append_published(output, family);
    append_hairpin(options, postrouting, family);
  }
  for (const Family family : {Family::kIpv4, Family::kIpv6}) {
    append_outgoing(options, rules, family, table, postrouting);
  }
  for (auto& [name, chain] : {std::pair{kNatChains[0], &prerouting},
                              std::pair{kNatChains[1], &output},
                              std::pair{kNatChains[2], &postrouting}}) {
    if (!chain->rules.empty()) {
      table.chains.emplace(name, std::move(*chain));
    }
  }
  return table;
}

}  // namespace margay::felix
