#pragma once
// What the kernel holds for workloads, in the names of policies, for the control socket. Pure.

#include "felix/calc/calc_graph.h"
#include "kernel/model/nft.h"

#include <string>

namespace margay::control::v1 {
class Dataplane;
}

namespace margay::felix {

// Workloads of this node; of one when `asked` is its NAMESPACE/POD, the NAMESPACE/NAME of its
// object, its interface or one of its addresses.
void fill(const CalcGraph& calc, const std::string& asked, control::v1::Dataplane& out);

// Adds the chains of each endpoint: as they should be (`wanted`), with the counters of the kernel's
// own.
void add_chains(const nft::Table& wanted, const nft::Table& kernel, control::v1::Dataplane& out);

}  // namespace margay::felix
