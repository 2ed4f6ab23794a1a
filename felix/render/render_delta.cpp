#include "felix/render/render_delta.h"

namespace margay::felix {

nft::Delta render_delta(const CalcChanges& changes, Renderer& renderer) {
  renderer.apply(changes);
  return renderer.take_delta();
}

}  // namespace margay::felix
