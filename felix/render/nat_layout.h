#pragma once
// Translation of addresses: ports of the node that lead to workloads, and masquerading of what
// leaves the cluster.
//
//   prerouting dstnat    of workloads to 127.0.0.0/8: drop
//   and output dstnat    (address . protocol . port) in @publish-at, else to an address of this
//   node
//                        and (protocol . port) in @publish: to the workload that the map names
//   postrouting srcnat   to a workload, from 127.0.0.0/8, or from itself by way of its port
//                        (@hairpin): masquerade
//                        not to a workload, source in @nat-source, destination not in @nat-exempt:
//                        masquerade to the address of the interface
//
// Sources of connections to published ports stay as they are but for these two. What comes from
// 127.0.0.0/8 is routed to a workload only because of route_localnet on its interface (set by
// wiring), which would also let the workload speak to services that the node binds to its loopback:
// hence the drop. Chains of type nat see the first packet of a connection alone.

#include "felix/calc/calc_graph.h"
#include "felix/render/layout.h"
#include "kernel/model/nft.h"

#include <array>
#include <set>
#include <string>

namespace margay::felix {

inline constexpr std::array kNatChains{"prerouting-nat", "output-nat", "postrouting-nat"};
inline constexpr std::array kNatSets{"nat-source4", "nat-exempt4", "nat-source6", "nat-exempt6"};

// The maps and the set of one family's published ports, which the renderer keeps element by
// element.
struct PublishedSets {
  std::string at;       // address . protocol . port : address . port
  std::string any;      // protocol . port : address . port
  std::string hairpin;  // address . the same address, of workloads that publish
};
[[nodiscard]] const PublishedSets& published_sets(Family family);
// Their specs, without elements.
[[nodiscard]] nft::Table empty_published_sets(Family family);

struct PublishedElement {
  std::string map;
  nft::ElementKey key;
  nft::ElementData data;
};
[[nodiscard]] PublishedElement published_element(const HostPort& port,
                                                 const HostPortTarget& target);
[[nodiscard]] nft::ElementKey hairpin_element(const IpAddr& workload);

// Chains, and the sets of masquerading; empty where nothing is translated. `published`: families of
// which some port is; their sets exist.
[[nodiscard]] nft::Table nat_table(const LayoutOptions& options,
                                   const NatRules& rules,
                                   const std::set<Family>& published);

}  // namespace margay::felix
