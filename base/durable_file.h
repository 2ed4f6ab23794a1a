#pragma once
// Files that survive a crash whole.

#include "base/result.h"

#include <string>
#include <string_view>

namespace margay {

// Written beside, synced, renamed, the directory synced: after a crash at any point the old or the
// new text stands there. Readable by the owner alone. The directory must exist.
[[nodiscard]] Result<void> replace_file(const std::string& path, std::string_view text);

}  // namespace margay
