#pragma once
// The command table of margayctl: name, arguments, one-line help and function of every command.

#include "cli/context.h"

namespace margay::cli {

// Parses and runs one command line (without the program's name). Returns 0 done, 1 failed, 2 usage;
// everything is printed on the context's streams.
int run(Context& context, const std::vector<std::string>& arguments);

}  // namespace margay::cli
