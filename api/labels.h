#pragma once
// What Kubernetes takes as labels and annotations. Internal to api/.

#include "api/codec.h"

namespace margay::api {

// A qualified name: [prefix/]name.
[[nodiscard]] bool is_label_key(std::string_view key);
[[nodiscard]] bool is_label_value(std::string_view value);

// Keys and values of the field `name`, which has been read.
void check_labels(Reader& visit, const std::string& name, const Labels& labels);
inline void check_labels(Writer& /*visit*/, const std::string& /*name*/, const Labels&) {}
// Keys (in any case) and the size of all together.
void check_annotations(Reader& visit, const std::string& name, const Labels& annotations);
inline void check_annotations(Writer& /*visit*/, const std::string& /*name*/, const Labels&) {}

}  // namespace margay::api
