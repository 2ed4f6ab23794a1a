#pragma once
// Durations as Go prints them, "1h2m3s". Internal to api/.

#include "api/codec.h"

#include <limits>
#include <optional>
#include <string>
#include <string_view>

namespace margay::api {

// Whole seconds; nothing if it is no duration in h, m and s.
[[nodiscard]] std::optional<std::uint32_t> parse_duration(std::string_view text);

// In seconds; by default whatever fits.
struct DurationRange {
  std::uint32_t low = 0;
  std::uint32_t high = std::numeric_limits<std::uint32_t>::max();

  [[nodiscard]] std::string str() const {
    return high < std::numeric_limits<std::uint32_t>::max()
               ? std::to_string(low) + "s to " + std::to_string(high) + "s"
               : "at least " + std::to_string(low) + "s";
  }
};

template <typename Visitor>
void describe_duration(Visitor& visit,
                       const char* name,
                       std::optional<std::uint32_t>& seconds,
                       DurationRange range = {}) {
  visit.custom(
      name,
      [&seconds, range](ReadState& state, const std::string& path, const json::value& in) {
        seconds = in.is_string() ? parse_duration(in.get_string()) : std::nullopt;
        if (!seconds) {
          state.fail_at(path, shown(in) + ": expected a duration such as 90s or 2m");
        } else if (*seconds < range.low || *seconds > range.high) {
          state.fail_at(path, shown(in) + ": expected " + range.str());
        }
      },
      [&seconds] {
        return seconds ? json::value(std::to_string(*seconds) + "s") : json::value(nullptr);
      });
}

}  // namespace margay::api
