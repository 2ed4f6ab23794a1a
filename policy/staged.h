#pragma once
// Staged policies have no effect of their own. What they would do is asked of their plain form.

#include "api/resource.h"

#include <optional>

namespace margay::policy {

struct Unstaged {
  api::Resource policy;  // the plain kind, of the same name and namespace
  bool removes = false;  // stagedAction Delete: the plain policy of this name would go
};
// Nothing for other kinds, and for stagedAction Learn and Ignore.
[[nodiscard]] std::optional<Unstaged> unstaged(const api::Resource& staged);

}  // namespace margay::policy
