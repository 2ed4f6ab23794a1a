#pragma once
// What decoding cannot check because api may not know selectors: every selector of a resource
// parses, and stands where Calico allows it. Call before every write.

#include "api/resource.h"
#include "base/result.h"

namespace margay::policy {

// Errors name the field: `spec.selector: "a = 'b'": column 3: expected ...`.
[[nodiscard]] Result<void> validate(const api::Resource& resource);

}  // namespace margay::policy
