#pragma once
// BFD control packets (RFC 5880 section 4.1), without authentication. Pure.

#include "base/result.h"

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace margay::bfd {

inline constexpr std::uint16_t kSingleHopPort = 3784;  // RFC 5881 section 4
inline constexpr std::uint16_t kMultihopPort = 4784;   // RFC 5883 section 5
inline constexpr std::size_t kPacketBytes = 24;

enum class State : std::uint8_t { kAdminDown = 0, kDown = 1, kInit = 2, kUp = 3 };
[[nodiscard]] std::string_view to_string(State state);

enum class Diagnostic : std::uint8_t {
  kNone = 0,
  kDetectionTimeExpired = 1,
  kEchoFailed = 2,
  kNeighborSignaledDown = 3,
  kForwardingPlaneReset = 4,
  kPathDown = 5,
  kConcatenatedPathDown = 6,
  kAdministrativelyDown = 7,
  kReverseConcatenatedPathDown = 8,
};
[[nodiscard]] std::string_view to_string(Diagnostic diagnostic);

struct ControlPacket {
  Diagnostic diagnostic = Diagnostic::kNone;
  State state = State::kDown;
  bool poll = false;
  bool final = false;
  bool demand = false;
  std::uint8_t detect_multiplier = 3;
  std::uint32_t my_discriminator = 0;
  std::uint32_t your_discriminator = 0;
  std::chrono::microseconds desired_min_tx{0};
  std::chrono::microseconds required_min_rx{0};  // 0: nothing is to be sent
  bool operator==(const ControlPacket&) const = default;
};

[[nodiscard]] std::array<std::uint8_t, kPacketBytes> encode(const ControlPacket& packet);
// kInvalid with the rule of RFC 5880 section 6.8.6 by which a packet is discarded before a session
// is looked for.
[[nodiscard]] Result<ControlPacket> decode(std::span<const std::uint8_t> bytes);

}  // namespace margay::bfd
