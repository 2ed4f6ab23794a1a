#pragma once
// NOTIFICATION (RFC 4271 section 4.5) as a value. It is also the error type of every decoder here:
// Result<Open, Notification> either has the message or what to send before closing. Its data is
// only ever cut from bytes that were received or built from our own text.

#include "bgp/wire/types.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace margay::bgp {

enum class ErrorCode : std::uint8_t {
  kMessageHeader = 1,
  kOpen = 2,
  kUpdate = 3,
  kHoldTimerExpired = 4,
  kFsm = 5,
  kCease = 6,
  kRouteRefresh = 7,   // RFC 7313
  kSendHoldTimer = 8,  // RFC 9687
};
enum class HeaderError : std::uint8_t { kNotSynchronized = 1, kBadLength = 2, kBadType = 3 };
enum class OpenError : std::uint8_t {
  kUnspecific = 0,
  kUnsupportedVersion = 1,
  kBadPeerAs = 2,
  kBadIdentifier = 3,
  kUnsupportedParameter = 4,
  kUnacceptableHoldTime = 6,
  kUnsupportedCapability = 7,  // RFC 5492
  kRoleMismatch = 11,          // RFC 9234
};
enum class UpdateError : std::uint8_t {
  kUnspecific = 0,
  kMalformedAttributeList = 1,
  kUnrecognizedWellKnown = 2,
  kMissingWellKnown = 3,
  kAttributeFlags = 4,
  kAttributeLength = 5,
  kInvalidOrigin = 6,
  kInvalidNextHop = 8,
  kOptionalAttribute = 9,
  kInvalidNetwork = 10,
  kMalformedAsPath = 11,
};
enum class FsmError : std::uint8_t {  // RFC 6608
  kUnspecific = 0,
  kInOpenSent = 1,
  kInOpenConfirm = 2,
  kInEstablished = 3,
};
enum class CeaseError : std::uint8_t {  // RFC 4486, 8538, 9384
  kMaximumPrefixes = 1,
  kAdministrativeShutdown = 2,
  kPeerDeconfigured = 3,
  kAdministrativeReset = 4,
  kConnectionRejected = 5,
  kOtherConfigurationChange = 6,
  kCollisionResolution = 7,
  kOutOfResources = 8,
  kHardReset = 9,
  kBfdDown = 10,
};
enum class RefreshError : std::uint8_t { kInvalidLength = 1 };  // RFC 7313

struct Notification {
  ErrorCode code = ErrorCode::kCease;
  std::uint8_t subcode = 0;
  std::vector<std::uint8_t> data;

  static Notification header(HeaderError subcode, Bytes data = {});
  static Notification open(OpenError subcode, Bytes data = {});
  static Notification update(UpdateError subcode, Bytes data = {});
  static Notification fsm(FsmError subcode);
  static Notification refresh(RefreshError subcode, Bytes data = {});
  static Notification hold_timer_expired();
  static Notification send_hold_timer_expired();
  // text: the shutdown communication of RFC 9003, cut to 255 bytes at a character; only shutdown
  // and reset carry it.
  static Notification cease(CeaseError subcode, std::string_view text = {});
  static Notification unsupported_capability(Bytes capabilities);
  // RFC 8538 section 3: with the one that is meant inside.
  static Notification hard_reset(const Notification& reason);

  bool operator==(const Notification&) const = default;
};

// "update message error: malformed AS_PATH (3/11)", with the shutdown communication when there is
// one.
[[nodiscard]] std::string to_string(const Notification& notification);

// Where graceful restart covers NOTIFICATIONs (RFC 8538): routes of the session's two ends shall
// not outlive this one.
[[nodiscard]] bool ends_for_good(const Notification& notification);

// The text of an administrative shutdown or reset: invalid UTF-8 and control characters are
// replaced, as it ends in logs. Empty when there is none or its length field is wrong.
[[nodiscard]] std::string shutdown_communication(const Notification& notification);

// body: the message without its header, at least 2 bytes (checked by next_frame).
[[nodiscard]] Notification decode_notification(Bytes body);
// A whole message with header. Data that does not fit a message of 4,096 bytes is cut.
[[nodiscard]] std::vector<std::uint8_t> encode_notification(const Notification& notification);

}  // namespace margay::bgp
