#pragma once
// Durations as Go prints them, "1h2m3s". Internal to api/.

#include "api/codec.h"

#include <optional>
#include <string_view>

namespace margay::api {

// Whole seconds; nothing if it is no duration in h, m and s.
[[nodiscard]] std::optional<std::uint32_t> parse_duration(std::string_view text);

template <typename Visitor>
void describe_duration(Visitor& visit, const char* name, std::optional<std::uint32_t>& seconds) {
  visit.custom(
      name,
      [&seconds](ReadState& state, const std::string& path, const json::value& in) {
        seconds = in.is_string() ? parse_duration(in.get_string()) : std::nullopt;
        if (!seconds) {
          state.fail_at(path, shown(in) + ": expected a duration such as 90s or 2m");
        }
      },
      [&seconds] {
        return seconds ? json::value(std::to_string(*seconds) + "s") : json::value(nullptr);
      });
}

}  // namespace margay::api
