#include "felix/render/nat_layout.h"

#include <string>

namespace margay::felix {

namespace {

nft::Set nat_set(const std::vector<Prefix>& nets, Family family) {
  nft::Set set;
  set.spec.key = {family == Family::kIpv4 ? nft::DataType::kIpv4Addr : nft::DataType::kIpv6Addr};
  set.spec.interval = true;
  for (const Prefix& net : nets) {
    if (net.family() == family) {
      set.elements.emplace(nft::element(net), std::monostate{});
    }
  }
  return set;
}

}  // namespace

nft::Table nat_table(const LayoutOptions& options, const NatRules& rules) {
  constexpr std::int32_t kSourceNat = 100;
  nft::Table table;
  nft::Chain chain{
      nft::Hook{
          nft::ChainType::kNat, nft::HookPoint::kPostrouting, kSourceNat, nft::Policy::kAccept},
      {}};
  for (const Family family : {Family::kIpv4, Family::kIpv6}) {
    const bool v4 = family == Family::kIpv4;
    nft::Set sources = nat_set(rules.sources, family);
    if (sources.elements.empty()) {
      continue;
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
    chain.rules.push_back(
        {{nft::Match{
              nft::Field::kOifName, nft::Key().append_name_prefix(options.interface_prefix), true},
          nft::Lookup{{v4 ? nft::Field::kIpSaddr : nft::Field::kIp6Saddr}, source_name, false},
          nft::Lookup{{v4 ? nft::Field::kIpDaddr : nft::Field::kIp6Daddr}, exempt_name, true},
          nft::Counter{},
          masquerade},
         "natOutgoing"});
  }
  if (!chain.rules.empty()) {
    table.chains.emplace(kNatChains.front(), std::move(chain));
  }
  return table;
}

}  // namespace margay::felix
