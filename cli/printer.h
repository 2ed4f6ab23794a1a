#pragma once
// Prints resources: table, wide, yaml, json or name. Text and JSON forms are stable: scripts read
// them.

#include "api/resource.h"
#include "datastore/store.h"

#include <chrono>
#include <span>
#include <string>
#include <string_view>

namespace margay::cli {

enum class Format : std::uint8_t { kTable, kWide, kYaml, kJson, kName };
[[nodiscard]] Result<Format> parse_format(std::string_view text);

struct PrintOptions {
  Format format = Format::kTable;
  bool single = false;          // one object was asked for by name: no list around it in JSON
  bool show_namespace = false;  // a column NAMESPACE in tables
  std::chrono::system_clock::time_point now;  // for ages
};

// All objects are of one kind. Objects that do not decode are shown with what is wrong.
[[nodiscard]] std::string print(api::Kind kind,
                                std::span<const datastore::Object> objects,
                                const PrintOptions& options);

}  // namespace margay::cli
