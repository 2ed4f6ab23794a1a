#pragma once
// get: objects of a kind, once or as a stream of changes.

#include "cli/context.h"
#include "cli/printer.h"

#include <optional>
#include <string>
#include <vector>

namespace margay::cli {

struct GetOptions {
  std::string kind;
  std::vector<std::string> names;  // empty: all
  std::string ns = "default";
  bool all_namespaces = false;
  std::string selector;  // over labels; empty: all
  std::string output = "table";
  bool watch = false;
};

int get(Context& context, const GetOptions& options);

}  // namespace margay::cli
