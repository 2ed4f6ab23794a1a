#pragma once
// Daemon: the running BIRD, as the driver wants it: started when it is not there, on the
// configuration that is wanted, and asked. Not thread-safe; calls block for a moment.

#include "base/result.h"
#include "base/timer_set.h"
#include "bgp/bird/config.h"
#include "bgp/bird/control.h"
#include "bgp/bird/process.h"

#include <chrono>
#include <memory>
#include <string>
#include <string_view>

namespace margay::bgp::bird {

class Daemon {
 public:
  explicit Daemon(Files files) : files_(std::move(files)) {}

  // Makes BIRD run and have this configuration, as far as that can be done now. Once more after a
  // failure: as often as the caller likes, it keeps its own pauses. The configuration before stays
  // in force when BIRD would not take the new one.
  [[nodiscard]] Result<void> ensure(const Rendered& wanted, TimePoint now);
  // Reads the configuration once more as it is: sockets that could not be opened are tried again.
  [[nodiscard]] Result<void> reload();

  [[nodiscard]] bool running() const { return control_ != nullptr; }
  [[nodiscard]] bool starting() const { return starting_; }
  // Counts the starts of BIRD by this object.
  [[nodiscard]] unsigned starts() const { return starts_; }
  [[nodiscard]] const Files& files() const { return files_; }
  [[nodiscard]] Result<Reply> ask(std::string_view command);

 private:
  Result<void> connect(TimePoint now);
  Result<void> start(const Rendered& wanted, TimePoint now);
  Result<void> wait_for_start(TimePoint now);
  [[nodiscard]] Result<void> write_checked(const Rendered& wanted) const;
  Result<void> apply(const Rendered& wanted, TimePoint now);
  Result<void> load(const std::string& path);
  Result<std::string> digest();

  Files files_;
  std::unique_ptr<Control> control_;
  pid_t child_ = 0;  // started by us and not yet gone
  bool starting_ = false;
  unsigned starts_ = 0;
  TimePoint started_{};
  TimePoint next_start_{};
  std::chrono::milliseconds pause_{};
  std::string in_force_;  // digest; empty: not known
  std::string refused_;   // digest of what BIRD did not take
  std::string refusal_;
  TimePoint refused_at_{};
};

}  // namespace margay::bgp::bird
