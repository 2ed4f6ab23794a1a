#include "base/wall_time.h"

#include <fmt/chrono.h>

#include <ctime>

namespace margay {

std::string format_rfc3339(WallSeconds time) {
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}",
                     fmt::gmtime(std::chrono::system_clock::to_time_t(time)));
}

std::optional<WallSeconds> parse_rfc3339(std::string_view text) {
  const std::string copy(text);
  std::tm parts{};
  const char* end = ::strptime(copy.c_str(), "%Y-%m-%dT%H:%M:%SZ", &parts);
  if (end == nullptr || end != copy.c_str() + copy.size()) {
    return std::nullopt;
  }
  return WallSeconds(std::chrono::seconds(::timegm(&parts)));
}

WallSeconds wall_now() {
  return std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
}

}  // namespace margay
