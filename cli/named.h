#pragma once
// Objects as people name them on a command line: KIND NAME..., or KIND/NAME....

#include "api/metadata.h"
#include "base/result.h"

#include <string>
#include <string_view>
#include <vector>

namespace margay::cli {

struct NamedObjects {
  api::Kind kind{};
  std::vector<std::string> names;  // empty: none was said
};

[[nodiscard]] Result<NamedObjects> parse_named(std::string_view kind,
                                               const std::vector<std::string>& names);

}  // namespace margay::cli
