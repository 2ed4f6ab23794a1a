#include "felix/bgp_log.h"

#include <spdlog/logger.h>

#include <variant>

namespace margay::felix {

namespace {

struct EventLevel {
  using Level = spdlog::level::level_enum;
  Level operator()(const bgp::PeerUp& /*event*/) const { return spdlog::level::info; }
  Level operator()(const bgp::MonitoringChanged& /*event*/) const { return spdlog::level::info; }
  Level operator()(const bgp::PeerDown& /*event*/) const { return spdlog::level::warn; }
  Level operator()(const bgp::BadUpdate& /*event*/) const { return spdlog::level::warn; }
  Level operator()(const bgp::TooManyPrefixes& /*event*/) const { return spdlog::level::warn; }
  Level operator()(const bgp::DynamicPeersFull& /*event*/) const { return spdlog::level::warn; }
  Level operator()(const bgp::ListenFailed& /*event*/) const { return spdlog::level::err; }
  Level operator()(const bgp::DriverFailed& /*event*/) const { return spdlog::level::err; }
};

}  // namespace

void log_event(spdlog::logger& log, const bgp::SpeakerEvent& event) {
  log.log(std::visit(EventLevel(), event), "{}", bgp::to_string(event));
}

}  // namespace margay::felix
