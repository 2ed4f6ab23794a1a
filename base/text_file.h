#pragma once
// A file as one text.

#include "base/result.h"

#include <string>

namespace margay {

// "PATH: cannot be read: Is a directory".
[[nodiscard]] Result<std::string> read_text_file(const std::string& path);

}  // namespace margay
