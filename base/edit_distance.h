#pragma once
// How far two short names are apart, for "did you mean".

#include <algorithm>
#include <cstddef>
#include <string_view>

namespace margay {

[[nodiscard]] std::size_t edit_distance(std::string_view a, std::string_view b);

// Of the names the one that `name` may be a mistyping of; empty: none is near.
template <typename Names>
[[nodiscard]] std::string_view nearest_name(std::string_view name, const Names& names) {
  constexpr std::size_t kClose = 3;
  constexpr std::size_t kLongest = 80;
  std::string_view nearest;
  std::size_t least = kClose + 1;
  for (const std::string_view known : names) {
    const std::size_t distance = name.size() < kLongest ? edit_distance(known, name) : least;
    if (distance < least) {
      least = distance;
      nearest = known;
    }
  }
  return nearest;
}

}  // namespace margay
