#pragma once
// YAML text to and from the neutral tree that decoding works on. Internal to api/.
//
// Plain scalars are what YAML 1.2's core schema says (null, true, 12, 1.5), quoted ones strings.
// Repeated keys, depth above 64, more than a million nodes (aliases count where they are used) are
// errors with the line.

#include "base/result.h"

#include <boost/json/value.hpp>

#include <string>
#include <string_view>
#include <vector>

namespace margay::api {

// One text between "---" lines; line_offset is added to the lines in errors. An empty document is
// null.
[[nodiscard]] Result<boost::json::value> parse_yaml(std::string_view text, unsigned line_offset);
[[nodiscard]] std::string print_yaml(const boost::json::value& value);

struct YamlPart {
  std::string_view text;
  unsigned line_offset = 0;
};
[[nodiscard]] std::vector<YamlPart> split_yaml(std::string_view text);

}  // namespace margay::api
