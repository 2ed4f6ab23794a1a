#include "tests/lab/demo/report.h"

#include <cstdio>
#include <cstdlib>
#include <sstream>
#include <unistd.h>

namespace margay::lab {

namespace {

constexpr std::size_t kWidth = 100;

bool colour() {
  static const bool wanted = ::isatty(STDOUT_FILENO) != 0 && std::getenv("NO_COLOR") == nullptr;
  return wanted;
}

}  // namespace

void Report::title(const std::string& text) {
  std::printf(colour() ? "\n\033[1m== %s\033[0m\n" : "\n== %s\n", text.c_str());
  std::fflush(stdout);
}

void Report::text(const std::string& text) {
  std::printf("%s\n", text.c_str());
  std::fflush(stdout);
}

void Report::block(const std::string& text) {
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    std::printf("  %s\n", line.substr(0, kWidth - 2).c_str());
  }
  std::fflush(stdout);
}

bool Report::check(bool holds, const std::string& claim, const std::string& instead) {
  const std::string suffix = holds || instead.empty() ? std::string() : ": " + instead;
  const char* format =
      colour() ? (holds ? "  \033[32mok\033[0m   %s%s\n" : "  \033[31mWRONG\033[0m %s%s\n")
               : (holds ? "  ok   %s%s\n" : "  WRONG %s%s\n");
  std::printf(format, claim.c_str(), suffix.c_str());
  std::fflush(stdout);
  if (!holds) {
    failures_.push_back(claim + suffix);
  }
  return holds;
}

}  // namespace margay::lab
