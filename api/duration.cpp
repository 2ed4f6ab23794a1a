#include "api/duration.h"

#include <charconv>

namespace margay::api {

std::optional<std::uint32_t> parse_duration(std::string_view text) {
  constexpr std::uint64_t kMinute = 60;
  constexpr std::uint64_t kHour = 3600;
  constexpr std::uint64_t kLongest = 0xffffffff;
  std::uint64_t total = 0;
  if (text.empty()) {
    return std::nullopt;
  }
  while (!text.empty()) {
    std::uint64_t number = 0;
    const auto [end, errc] = std::from_chars(text.data(), text.data() + text.size(), number);
    const auto digits = static_cast<std::size_t>(end - text.data());
    if (errc != std::errc{} || digits == text.size() || number > kLongest) {
      return std::nullopt;
    }
    const char unit = text[digits];
    const std::uint64_t factor = unit == 's' ? 1 : unit == 'm' ? kMinute : unit == 'h' ? kHour : 0;
    total += number * factor;
    if (factor == 0 || total > kLongest) {
      return std::nullopt;
    }
    text.remove_prefix(digits + 1);
  }
  return static_cast<std::uint32_t>(total);
}

}  // namespace margay::api
