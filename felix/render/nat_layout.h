#pragma once
// Masquerading of what leaves the cluster: one base chain, two sets for each family.
//
//   postrouting srcnat   not to a workload, source in @nat-source, destination not in @nat-exempt:
//                        masquerade to the address of the interface

#include "felix/calc/calc_graph.h"
#include "felix/render/layout.h"
#include "kernel/model/nft.h"

#include <array>

namespace margay::felix {

inline constexpr std::array kNatChains{"postrouting-nat"};
inline constexpr std::array kNatSets{"nat-source4", "nat-exempt4", "nat-source6", "nat-exempt6"};

// Chains and sets; empty where nothing is masqueraded.
[[nodiscard]] nft::Table nat_table(const LayoutOptions& options, const NatRules& rules);

}  // namespace margay::felix
