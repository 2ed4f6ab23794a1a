#pragma once
// What containers leave on a node, looked for where it would be, by the tools that people have: ip,
// nft, tc, the rows of the store, files. Nothing of Margay is asked, so that it cannot hide what it
// forgot.

#include "tests/lab/lab.h"

#include <map>
#include <string>

namespace margay::lab {

// By place; what blocks of addresses are claimed is not there, as a node keeps them.
using Traces = std::map<std::string, std::string>;

[[nodiscard]] Traces traces_of(const Node& node);
// Where the second one has other things than the first: empty when it has not.
[[nodiscard]] std::string difference(const Traces& before, const Traces& after);

}  // namespace margay::lab
