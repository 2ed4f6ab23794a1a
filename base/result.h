#pragma once
// Result<T, E>: the value of a function that can fail for reasons outside the program, or its
// error.
//
// A subset of std::expected with one addition: the class itself is [[nodiscard]] and a wrong access
// aborts instead of being undefined. Error is a closed code for callers that decide, plus text for
// people. Add context once per layer, where a name becomes known: `return fail(blocks.error(),
// "claim block in pool {}", pool);`.

#include "base/assert.h"

#include <fmt/format.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>

namespace margay {

enum class Errc : std::uint8_t {
  kInvalid,      // input that breaks a rule: syntax, range, unknown field
  kNotFound,     // the named thing does not exist
  kExists,       // create: it exists already
  kConflict,     // compare-and-swap lost: someone else changed it first
  kExhausted,    // a bound was reached: addresses, queue, size
  kUnavailable,  // store, socket or kernel cannot be reached now; try again
  kTimeout,      // no answer in time; the outcome is unknown
  kPermission,   // the operating system refused
  kCompacted,    // watch: the asked revision is no longer kept; list again
  kInternal,     // anything else the system reported
};

std::string_view to_string(Errc code);

struct Error {
  Errc code = Errc::kInternal;
  std::string text;   // lower case, no full stop: what failed, why, exact values
  int sys_errno = 0;  // errno or netlink error, 0 when there is none

  bool operator==(const Error&) const = default;
};

template <typename E>
struct Failure {
  E error;
};

template <typename T, typename E = Error>
class [[nodiscard]] Result {
 public:
  using Value = std::conditional_t<std::is_void_v<T>, std::monostate, T>;

  Result() requires std::is_void_v<T> : state_(std::in_place_index<0>) {}
  // NOLINTNEXTLINE(google-explicit-constructor): `return value;` is the point of the class
  Result(Value value) requires(!std::is_void_v<T>)
      : state_(std::in_place_index<0>, std::move(value)) {}
  template <typename F>
  // NOLINTNEXTLINE(google-explicit-constructor): `return fail(...);` is the point of the class
  Result(Failure<F> failure) : state_(std::in_place_index<1>, std::move(failure.error)) {}

  [[nodiscard]] bool has_value() const { return state_.index() == 0; }
  explicit operator bool() const { return has_value(); }

  [[nodiscard]] const Value& operator*() const& {
    MARGAY_ASSERT(has_value());
    return *std::get_if<0>(&state_);
  }
  [[nodiscard]] Value& operator*() & {
    MARGAY_ASSERT(has_value());
    return *std::get_if<0>(&state_);
  }
  // By value, so that a loop over `*f()` does not outlive its range.
  [[nodiscard]] Value operator*() && {
    MARGAY_ASSERT(has_value());
    return std::move(*std::get_if<0>(&state_));
  }
  [[nodiscard]] const Value* operator->() const { return &**this; }
  [[nodiscard]] Value* operator->() { return &**this; }

  [[nodiscard]] const E& error() const {
    MARGAY_ASSERT(!has_value());
    return *std::get_if<1>(&state_);
  }

 private:
  std::variant<Value, E> state_;
};

template <typename E>
requires(!std::is_convertible_v<E, std::string_view> && !std::is_same_v<std::decay_t<E>, Errc> &&
         !std::is_same_v<std::decay_t<E>, Error>)
    [[nodiscard]] Failure<std::decay_t<E>> fail(E&& error) {
  return {std::forward<E>(error)};
}

// A new error: fail(Errc::kInvalid, "port {}: above 65535", port).
template <typename... Args>
[[nodiscard]] Failure<Error> fail(Errc code, fmt::format_string<Args...> format, Args&&... args) {
  return {Error{code, fmt::format(format, std::forward<Args>(args)...), 0}};
}

// Passes an error up unchanged.
[[nodiscard]] inline Failure<Error> fail(Error error) {
  return {std::move(error)};
}

// Passes an error up with context in front: "claim block in pool blue: <cause>". Code and errno are
// kept.
template <typename... Args>
[[nodiscard]] Failure<Error> fail(const Error& cause,
                                  fmt::format_string<Args...> format,
                                  Args&&... args) {
  return {Error{cause.code,
                fmt::format(format, std::forward<Args>(args)...) + ": " + cause.text,
                cause.sys_errno}};
}

// An error of the operating system: fail_errno(errno, "open {}", path). Maps errno to the closest
// code.
[[nodiscard]] Failure<Error> fail_errno_text(int sys_errno, std::string text);
template <typename... Args>
[[nodiscard]] Failure<Error> fail_errno(int sys_errno,
                                        fmt::format_string<Args...> format,
                                        Args&&... args) {
  return fail_errno_text(sys_errno, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace margay
