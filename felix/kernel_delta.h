#pragma once
// KernelDelta: changes of what this node wants of its kernel, as values for the kernel's threads.

#include "felix/calc/calc_graph.h"
#include "felix/render/renderer.h"
#include "kernel/model/nft.h"
#include "kernel/model/route.h"

#include <cstdint>
#include <string>
#include <vector>

namespace margay::felix {

// `generation` grows; a report that names it covers everything up to it.
struct KernelDelta {
  std::uint64_t generation = 0;
  bool in_sync = false;  // stays true once given: from then on leftovers are removed
  nft::Delta nft;
  std::vector<RouteSpec> set_routes;
  std::vector<RouteKey> remove_routes;
  std::vector<std::string> add_links;  // host ends of endpoints
  std::vector<std::string> remove_links;
  bool report_interfaces = false;  // from now on, as long as deltas say so
};

// Renders the changes: policy, routes and links of the delta.
[[nodiscard]] KernelDelta kernel_delta(const CalcChanges& changes, Renderer& renderer);

}  // namespace margay::felix
