// margay-probe: connects, serves and streams inside pods, with the command line of the upstream
// suites' agnhost where both have a command.

#include "tests/lab/probe/commands.h"

#include <array>
#include <cstdio>
#include <string_view>

namespace margay::probe {
namespace {

struct Verb {
  std::string_view name;
  int (*run)(Words words);
};
constexpr auto kVerbs = std::to_array<Verb>(
    {{"connect", connect_one}, {"reach", reach_many}, {"serve", serve}, {"stream", stream}});

constexpr auto kHelp =
    "margay-probe connect HOST:PORT [--timeout=2s] [--protocol=tcp|udp] [--source=ADDRESS[:PORT]]\n"
    "margay-probe reach HOST:PORT... [--timeout=2s] [--protocol=tcp|udp] "
    "[--source=ADDRESS[:PORT]]\n"
    "margay-probe serve [--tcp 80,81] [--udp 80,81] [--bind ADDRESS]\n"
    "margay-probe stream HOST:PORT [--rate=1000] [--duration=10s] [--protocol=udp|tcp] "
    "[--new-flows]\n";

int run_program(Words words) {
  const std::string_view name = words.empty() ? "" : words[0];
  for (const Verb& verb : kVerbs) {
    if (verb.name == name) {
      const int code = verb.run(words.subspan(1));
      if (code == kUsage) {
        std::fputs(kHelp, stderr);
      }
      return code;
    }
  }
  if (name == "--version") {
    std::puts("margay-probe " MARGAY_VERSION);
    return kDone;
  }
  std::fputs(kHelp, name == "--help" ? stdout : stderr);
  return name == "--help" ? kDone : kUsage;
}

}  // namespace
}  // namespace margay::probe

int main(int argc, char** argv) {
  return margay::probe::run_program(
      margay::probe::Words(argv + 1, static_cast<std::size_t>(argc - 1)));
}
