#pragma once
// Times of the wall clock as documents write them: RFC 3339, UTC, whole seconds.

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace margay {

using WallSeconds = std::chrono::sys_seconds;

// "2026-11-21T12:04:31Z"
[[nodiscard]] std::string format_rfc3339(WallSeconds time);
// Nothing when the text is none; only the form that format_rfc3339 writes.
[[nodiscard]] std::optional<WallSeconds> parse_rfc3339(std::string_view text);
[[nodiscard]] WallSeconds wall_now();

}  // namespace margay
