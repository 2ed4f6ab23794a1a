#pragma once
// The agent's loggers: one per component, all to standard error, text or JSON lines. No registry:
// they are passed.

#include "felix/config.h"

#include <memory>
#include <string>
#include <string_view>

namespace spdlog {
class logger;
namespace sinks {
class sink;
}
}  // namespace spdlog

namespace margay::felix {

// The level for a word of Calico's (logSeverityScreen), in any case; empty for an empty one.
[[nodiscard]] std::string log_level_of(std::string_view severity);

class Log {
 public:
  Log(const std::string& level, LogFormat format);
  ~Log();
  Log(const Log&) = delete;
  Log& operator=(const Log&) = delete;

  // A logger whose lines start with "component: ". Level changes reach it.
  std::shared_ptr<spdlog::logger> make(const std::string& component);
  // error, warn, info, debug or trace.
  void set_level(const std::string& level);
  void set_format(LogFormat format);

 private:
  std::shared_ptr<spdlog::sinks::sink> sink_;
};

}  // namespace margay::felix
