#pragma once
// A hash of text that is the same on every machine, in every version and for every run, unlike
// std::hash: for names and for orders that must be found again. Not for untrusted input into
// tables.

#include <cstdint>
#include <string_view>

namespace margay {

// XXH3, 64 bits (its output is fixed since xxHash 0.8.0).
[[nodiscard]] std::uint64_t stable_hash(std::string_view text);

}  // namespace margay
