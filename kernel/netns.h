#pragma once
// Network namespaces: open one by path, and run a function inside it.
//
// A thread that entered a namespace never comes back to work: each call runs on a thread of its
// own, which ends with it, so that no other code can find itself in the wrong namespace.

#include "base/result.h"

#include <functional>
#include <string>

namespace margay {

// An open descriptor of a namespace; keeps the namespace alive.
class NetNs {
 public:
  // "/var/run/netns/blue" or "/proc/42/ns/net"; kNotFound when it is not there.
  static Result<NetNs> open(const std::string& path);
  static Result<NetNs> current();
  // Whether the path names the namespace that the caller is in; not when it cannot be opened.
  [[nodiscard]] static bool is_current(const std::string& path);
  // A new one without a name, gone when the last descriptor is closed.
  static Result<NetNs> create();

  NetNs(NetNs&& other) noexcept;
  NetNs& operator=(NetNs&& other) noexcept;
  NetNs(const NetNs&) = delete;
  NetNs& operator=(const NetNs&) = delete;
  ~NetNs();

  [[nodiscard]] int fd() const { return fd_; }
  // Runs the function on a thread inside this namespace and waits for it.
  [[nodiscard]] Result<void> run(const std::function<Result<void>()>& function) const;

 private:
  explicit NetNs(int fd) : fd_(fd) {}

  int fd_ = -1;
};

}  // namespace margay
