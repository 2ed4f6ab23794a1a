#include "bgp/bfd/packet.h"

namespace margay::bfd {

namespace {

constexpr std::uint8_t kVersion = 1;
constexpr unsigned kVersionShift = 5;
constexpr unsigned kStateShift = 6;
constexpr std::uint8_t kDiagnosticMask = 0x1f;
constexpr std::uint8_t kPoll = 0x20;
constexpr std::uint8_t kFinal = 0x10;
constexpr std::uint8_t kAuthentication = 0x04;
constexpr std::uint8_t kDemand = 0x02;
constexpr std::uint8_t kMultipoint = 0x01;

constexpr std::size_t kMyDiscriminatorAt = 4;
constexpr std::size_t kYourDiscriminatorAt = 8;
constexpr std::size_t kDesiredMinTxAt = 12;
constexpr std::size_t kRequiredMinRxAt = 16;

void put(std::array<std::uint8_t, kPacketBytes>& out, std::size_t at, std::uint32_t value) {
  for (const unsigned shift : {24U, 16U, 8U, 0U}) {
    out.at(at++) = static_cast<std::uint8_t>(value >> shift);
  }
}
std::uint32_t get(std::span<const std::uint8_t> bytes, std::size_t at) {
  std::uint32_t value = 0;
  for (const std::uint8_t byte : bytes.subspan(at, sizeof value)) {
    value = (value << 8U) | byte;
  }
  return value;
}

Result<void> check(std::span<const std::uint8_t> bytes) {
  if (bytes.size() < kPacketBytes) {
    return fail(Errc::kInvalid, "{} bytes: a control packet has {}", bytes.size(), kPacketBytes);
  }
  if (bytes[0] >> kVersionShift != kVersion) {
    return fail(Errc::kInvalid, "version {}: expected 1", bytes[0] >> kVersionShift);
  }
  if (bytes[3] < kPacketBytes || bytes[3] > bytes.size()) {
    return fail(Errc::kInvalid, "length {} of a packet of {} bytes", bytes[3], bytes.size());
  }
  if (bytes[2] == 0) {
    return fail(Errc::kInvalid, "detection multiplier 0");
  }
  if ((bytes[1] & kMultipoint) != 0) {
    return fail(Errc::kInvalid, "multipoint bit set");
  }
  if ((bytes[1] & kAuthentication) != 0) {
    return fail(Errc::kInvalid, "authentication is not in use");
  }
  return {};
}

}  // namespace

std::string_view to_string(State state) {
  switch (state) {
    case State::kAdminDown:
      return "AdminDown";
    case State::kDown:
      return "Down";
    case State::kInit:
      return "Init";
    case State::kUp:
      return "Up";
  }
  return {};
}

std::string_view to_string(Diagnostic diagnostic) {
  switch (diagnostic) {
    case Diagnostic::kNone:
      return "no diagnostic";
    case Diagnostic::kDetectionTimeExpired:
      return "control detection time expired";
    case Diagnostic::kEchoFailed:
      return "echo function failed";
    case Diagnostic::kNeighborSignaledDown:
      return "neighbor signaled session down";
    case Diagnostic::kForwardingPlaneReset:
      return "forwarding plane reset";
    case Diagnostic::kPathDown:
      return "path down";
    case Diagnostic::kConcatenatedPathDown:
      return "concatenated path down";
    case Diagnostic::kAdministrativelyDown:
      return "administratively down";
    case Diagnostic::kReverseConcatenatedPathDown:
      return "reverse concatenated path down";
  }
  return "unknown diagnostic";
}

std::array<std::uint8_t, kPacketBytes> encode(const ControlPacket& packet) {
  std::array<std::uint8_t, kPacketBytes> out{};
  out[0] = static_cast<std::uint8_t>((unsigned{kVersion} << kVersionShift) |
                                     static_cast<unsigned>(packet.diagnostic));
  out[1] = static_cast<std::uint8_t>((static_cast<unsigned>(packet.state) << kStateShift) |
                                     (packet.poll ? kPoll : 0U) | (packet.final ? kFinal : 0U) |
                                     (packet.demand ? kDemand : 0U));
  out[2] = packet.detect_multiplier;
  out[3] = kPacketBytes;
  put(out, kMyDiscriminatorAt, packet.my_discriminator);
  put(out, kYourDiscriminatorAt, packet.your_discriminator);
  put(out, kDesiredMinTxAt, static_cast<std::uint32_t>(packet.desired_min_tx.count()));
  put(out, kRequiredMinRxAt, static_cast<std::uint32_t>(packet.required_min_rx.count()));
  return out;
}

Result<ControlPacket> decode(std::span<const std::uint8_t> bytes) {
  if (auto checked = check(bytes); !checked) {
    return fail(checked.error());
  }
  ControlPacket packet;
  packet.diagnostic = static_cast<Diagnostic>(bytes[0] & kDiagnosticMask);
  packet.state = static_cast<State>(bytes[1] >> kStateShift);
  packet.poll = (bytes[1] & kPoll) != 0;
  packet.final = (bytes[1] & kFinal) != 0;
  packet.demand = (bytes[1] & kDemand) != 0;
  packet.detect_multiplier = bytes[2];
  packet.my_discriminator = get(bytes, kMyDiscriminatorAt);
  packet.your_discriminator = get(bytes, kYourDiscriminatorAt);
  packet.desired_min_tx = std::chrono::microseconds(get(bytes, kDesiredMinTxAt));
  packet.required_min_rx = std::chrono::microseconds(get(bytes, kRequiredMinRxAt));
  if (packet.my_discriminator == 0) {
    return fail(Errc::kInvalid, "my discriminator 0");
  }
  if (packet.your_discriminator == 0 && packet.state != State::kDown &&
      packet.state != State::kAdminDown) {
    return fail(Errc::kInvalid, "your discriminator 0 in state {}", to_string(packet.state));
  }
  return packet;
}

}  // namespace margay::bfd
