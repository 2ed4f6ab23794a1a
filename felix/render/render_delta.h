#pragma once
// The one step from changes of the calculation to changes of the kernel's table. By itself, in a
// library of its own, so that a test can lay out the table in another way (margayd-next).

#include "felix/calc/calc_graph.h"
#include "felix/render/renderer.h"
#include "kernel/model/nft.h"

namespace margay::felix {

[[nodiscard]] nft::Delta render_delta(const CalcChanges& changes, Renderer& renderer);

}  // namespace margay::felix
