#pragma once
// A connection to BIRD's control socket. Calls block, at most as long as kSilence without a byte
// from BIRD: for a thread of its own.

#include "base/result.h"
#include "bgp/bird/reply.h"

#include <sys/types.h>

#include <chrono>
#include <memory>
#include <string>
#include <string_view>

namespace margay::bgp::bird {

inline constexpr std::chrono::seconds kSilence{5};

class Control {
 public:
  // Takes BIRD's greeting, too.
  static Result<std::unique_ptr<Control>> open(const std::string& path);
  ~Control();
  Control(const Control&) = delete;
  Control& operator=(const Control&) = delete;

  // Who listens there.
  [[nodiscard]] pid_t listener() const { return listener_; }
  // One command. An answer that says it failed is no error of the call.
  [[nodiscard]] Result<Reply> ask(std::string_view command);

 private:
  explicit Control(int descriptor) : descriptor_(descriptor) {}
  [[nodiscard]] Result<Reply> read_reply() const;

  int descriptor_;
  pid_t listener_ = 0;
};

}  // namespace margay::bgp::bird
