// margayctl: the command line for people.

#include "cli/commands.h"

#include <cstdio>
#include <exception>
#include <iostream>
#include <string>
#include <vector>

int main(int argc, char** argv) {
  try {
    margay::cli::Context context(std::cin, std::cout, std::cerr);
    return margay::cli::run(context, std::vector<std::string>(argv + 1, argv + argc));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "margayctl: cannot start: %s\n", error.what());
    return 1;
  }
}
