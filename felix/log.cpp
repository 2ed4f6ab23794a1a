#include "felix/log.h"

#include <boost/json/serialize.hpp>
#include <boost/json/string_view.hpp>
#include <fmt/chrono.h>
#include <spdlog/formatter.h>
#include <spdlog/logger.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_sinks.h>

#include <algorithm>
#include <cctype>
#include <chrono>
#include <string_view>

namespace margay::felix {

namespace {

std::string quoted(spdlog::string_view_t text) {
  return boost::json::serialize(boost::json::string_view(text.data(), text.size()));
}

// {"time":"2026-01-02T03:04:05.678Z","level":"info","component":"felix","message":"..."}
class JsonFormatter final : public spdlog::formatter {
 public:
  void format(const spdlog::details::log_msg& msg, spdlog::memory_buf_t& dest) override {
    const auto millis =
        std::chrono::duration_cast<std::chrono::milliseconds>(msg.time.time_since_epoch()).count();
    fmt::format_to(
        fmt::appender(dest),
        R"({{"time":"{:%Y-%m-%dT%H:%M:%S}.{:03}Z","level":"{}","component":{},"message":{}}})"
        "\n",
        fmt::gmtime(std::chrono::system_clock::to_time_t(msg.time)),
        millis % 1000,
        std::string_view(spdlog::level::to_string_view(msg.level).data()),
        quoted(msg.logger_name),
        quoted(msg.payload));
  }
  [[nodiscard]] std::unique_ptr<spdlog::formatter> clone() const override {
    return std::make_unique<JsonFormatter>();
  }
};

}  // namespace

std::string log_level_of(std::string_view severity) {
  std::string level(severity);
  std::ranges::transform(
      level, level.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  // Ours are two fewer: nothing is said before an end that an error does not say.
  return level == "warning" ? "warn" : level == "fatal" ? "error" : level;
}

Log::Log(const std::string& level, LogFormat format)
    : sink_(std::make_shared<spdlog::sinks::stderr_sink_mt>()) {
  set_format(format);
  set_level(level);
}

Log::~Log() = default;

std::shared_ptr<spdlog::logger> Log::make(const std::string& component) {
  auto logger = std::make_shared<spdlog::logger>(component, sink_);
  logger->set_level(spdlog::level::trace);  // the sink's level decides
  logger->flush_on(spdlog::level::trace);
  return logger;
}

void Log::set_level(const std::string& level) {
  sink_->set_level(spdlog::level::from_str(level));
}

void Log::set_format(LogFormat format) {
  if (format == LogFormat::kJson) {
    sink_->set_formatter(std::make_unique<JsonFormatter>());
  } else {
    sink_->set_formatter(std::make_unique<spdlog::pattern_formatter>(
        "%Y-%m-%dT%H:%M:%S.%eZ %l %n: %v", spdlog::pattern_time_type::utc));
  }
}

}  // namespace margay::felix
