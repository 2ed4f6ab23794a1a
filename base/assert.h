#pragma once
// MARGAY_ASSERT states what only a bug could break. It stays on in release builds, prints the place
// and aborts. Never used on input from peers, kernel, datastore or users: those are errors
// (base/result.h).

namespace margay {
[[noreturn]] void assertion_failed(const char* condition, const char* file, int line) noexcept;
}  // namespace margay

#define MARGAY_ASSERT(condition)         \
  (static_cast<bool>(condition) ? void() \
                                : ::margay::assertion_failed(#condition, __FILE__, __LINE__))
