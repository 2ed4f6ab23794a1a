#pragma once
// label and patch: a part of one object. export: the whole store as documents that import (apply)
// takes back.

#include "cli/context.h"

#include <string>
#include <vector>

namespace margay::cli {

struct EditOptions {
  std::string kind;
  std::string name;
  std::string ns = "default";
  bool dry_run = false;
};

struct LabelOptions : EditOptions {
  std::vector<std::string> changes;  // "key=value", or "key-" to remove it
  bool overwrite = false;            // otherwise a label that has another value is an error
};
[[nodiscard]] int label(Context& context, const LabelOptions& options);

struct PatchOptions : EditOptions {
  std::string patch;  // JSON or YAML, RFC 7386
};
[[nodiscard]] int patch(Context& context, const PatchOptions& options);

// Withdraws the routes of a node from its peers, after a notice; or tells them again.
[[nodiscard]] int drain_bgp(Context& context, const std::string& node, bool drained);

// Everything but what agents write of themselves and a change on trial, without what the store set.
[[nodiscard]] int export_all(Context& context);

}  // namespace margay::cli
