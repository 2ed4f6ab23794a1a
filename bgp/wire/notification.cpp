#include "bgp/wire/notification.h"

#include "base/byte_io.h"
#include "bgp/wire/header.h"
#include "bgp/wire/message.h"

#include <algorithm>
#include <span>

namespace margay::bgp {

namespace {

struct Name {
  std::uint8_t code;
  std::uint8_t subcode;
  std::string_view text;
};

// Subcode 0 is the name of the code and of every subcode without a row.
constexpr auto kNames = std::to_array<Name>({
    {1, 0, "message header error"},
    {1, 1, "connection not synchronized"},
    {1, 2, "bad message length"},
    {1, 3, "bad message type"},
    {2, 0, "open message error"},
    {2, 1, "unsupported version number"},
    {2, 2, "bad peer AS"},
    {2, 3, "bad BGP identifier"},
    {2, 4, "unsupported optional parameter"},
    {2, 6, "unacceptable hold time"},
    {2, 7, "unsupported capability"},
    {2, 11, "role mismatch"},
    {3, 0, "update message error"},
    {3, 1, "malformed attribute list"},
    {3, 2, "unrecognized well-known attribute"},
    {3, 3, "missing well-known attribute"},
    {3, 4, "attribute flags error"},
    {3, 5, "attribute length error"},
    {3, 6, "invalid ORIGIN"},
    {3, 8, "invalid NEXT_HOP"},
    {3, 9, "optional attribute error"},
    {3, 10, "invalid network field"},
    {3, 11, "malformed AS_PATH"},
    {4, 0, "hold timer expired"},
    {5, 0, "finite state machine error"},
    {5, 1, "unexpected message in OpenSent"},
    {5, 2, "unexpected message in OpenConfirm"},
    {5, 3, "unexpected message in Established"},
    {6, 0, "cease"},
    {6, 1, "maximum number of prefixes reached"},
    {6, 2, "administrative shutdown"},
    {6, 3, "peer de-configured"},
    {6, 4, "administrative reset"},
    {6, 5, "connection rejected"},
    {6, 6, "other configuration change"},
    {6, 7, "connection collision resolution"},
    {6, 8, "out of resources"},
    {6, 9, "hard reset"},
    {6, 10, "BFD down"},
    {7, 0, "route refresh message error"},
    {7, 1, "invalid message length"},
    {8, 0, "send hold timer expired"},
});

std::string_view name_of(unsigned code, unsigned subcode) {
  const auto found = std::ranges::find_if(
      kNames, [&](const Name& name) { return name.code == code && name.subcode == subcode; });
  return found == kNames.end() ? std::string_view{} : found->text;
}

template <typename Subcode>
Notification make(ErrorCode code, Subcode subcode, Bytes data = {}) {
  return Notification{code, static_cast<std::uint8_t>(subcode), {data.begin(), data.end()}};
}

bool carries_text(const Notification& notification) {
  return notification.code == ErrorCode::kCease &&
         (notification.subcode == static_cast<std::uint8_t>(CeaseError::kAdministrativeShutdown) ||
          notification.subcode == static_cast<std::uint8_t>(CeaseError::kAdministrativeReset));
}

// The number of bytes of the UTF-8 character at the start of text, 0 when there is none: overlong
// forms, surrogates and values above U+10FFFF are none.
std::size_t utf8_length(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned lead = byte(0);
  if (lead < 0x80) {
    return 1;
  }
  if (lead < 0xC2 || lead > 0xF4) {
    return 0;
  }
  const std::size_t length = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  if (text.size() < length) {
    return 0;
  }
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0U) != 0x80U) {
      return 0;
    }
  }
  const unsigned second = byte(1);
  const bool bad = (lead == 0xE0 && second < 0xA0) || (lead == 0xED && second > 0x9F) ||
                   (lead == 0xF0 && second < 0x90) || (lead == 0xF4 && second > 0x8F);
  return bad ? 0 : length;
}

// Harmless in a log: one '?' for each invalid byte or control character (C1 controls are the two
// bytes C2 80 to C2 9F).
std::string printable(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const std::size_t length = utf8_length(text);
    const auto lead = static_cast<unsigned char>(text.front());
    const bool control =
        (length == 1 && (lead < 0x20 || lead == 0x7F)) ||
        (length == 2 && lead == 0xC2 && static_cast<unsigned char>(text[1]) < 0xA0);
    if (length == 0 || control) {
      out.push_back('?');
    } else {
      out.append(text.substr(0, length));
    }
    text.remove_prefix(std::max<std::size_t>(length, 1));
  }
  return out;
}

}  // namespace

Notification Notification::header(HeaderError subcode, Bytes data) {
  return make(ErrorCode::kMessageHeader, subcode, data);
}
Notification Notification::open(OpenError subcode, Bytes data) {
  return make(ErrorCode::kOpen, subcode, data);
}
Notification Notification::update(UpdateError subcode, Bytes data) {
  return make(ErrorCode::kUpdate, subcode, data);
}
Notification Notification::fsm(FsmError subcode) {
  return make(ErrorCode::kFsm, subcode);
}
Notification Notification::refresh(RefreshError subcode, Bytes data) {
  return make(ErrorCode::kRouteRefresh, subcode, data);
}
Notification Notification::hold_timer_expired() {
  return Notification{ErrorCode::kHoldTimerExpired, 0, {}};
}
Notification Notification::send_hold_timer_expired() {
  return Notification{ErrorCode::kSendHoldTimer, 0, {}};
}
Notification Notification::unsupported_capability(Bytes capabilities) {
  return make(ErrorCode::kOpen, OpenError::kUnsupportedCapability, capabilities);
}

Notification Notification::cease(CeaseError subcode, std::string_view text) {
  constexpr std::size_t kMaxText = 255;  // RFC 9003 section 2
  Notification notification = make(ErrorCode::kCease, subcode);
  if (!carries_text(notification) || text.empty()) {
    return notification;
  }
  std::size_t length = 0;
  while (length < text.size()) {
    const std::size_t next = std::max<std::size_t>(utf8_length(text.substr(length)), 1);
    if (length + next > kMaxText) {
      break;
    }
    length += next;
  }
  notification.data.push_back(static_cast<std::uint8_t>(length));
  notification.data.insert(
      notification.data.end(), text.begin(), text.begin() + static_cast<std::ptrdiff_t>(length));
  return notification;
}

Notification Notification::hard_reset(const Notification& reason) {
  Notification reset = make(ErrorCode::kCease, CeaseError::kHardReset);
  reset.data = {static_cast<std::uint8_t>(reason.code), reason.subcode};
  reset.data.insert(reset.data.end(), reason.data.begin(), reason.data.end());
  return reset;
}

bool ends_for_good(const Notification& notification) {
  if (notification.code != ErrorCode::kCease) {
    return false;
  }
  switch (static_cast<CeaseError>(notification.subcode)) {
    case CeaseError::kMaximumPrefixes:
    case CeaseError::kAdministrativeShutdown:
    case CeaseError::kPeerDeconfigured:
    case CeaseError::kOutOfResources:
    case CeaseError::kHardReset:
    case CeaseError::kBfdDown:
      return true;
    case CeaseError::kAdministrativeReset:
    case CeaseError::kConnectionRejected:
    case CeaseError::kOtherConfigurationChange:
    case CeaseError::kCollisionResolution:
      return false;
  }
  return false;
}

std::string shutdown_communication(const Notification& notification) {
  const std::vector<std::uint8_t>& data = notification.data;
  if (!carries_text(notification) || data.empty() || std::size_t{data.front()} + 1 > data.size()) {
    return {};
  }
  return printable(std::string(data.begin() + 1, data.begin() + 1 + data.front()));
}

namespace {

std::string words_of(const Notification& notification) {
  const unsigned code = static_cast<unsigned>(notification.code);
  const unsigned subcode = notification.subcode;
  std::string text(name_of(code, 0));
  if (text.empty()) {
    text = "unknown error";
  }
  if (const std::string_view detail = name_of(code, subcode); subcode != 0 && !detail.empty()) {
    text += fmt::format(": {}", detail);
  }
  text += fmt::format(" ({}/{})", code, subcode);
  if (const std::string reason = shutdown_communication(notification); !reason.empty()) {
    text += fmt::format(": \"{}\"", reason);
  }
  return text;
}

}  // namespace

std::string to_string(const Notification& notification) {
  const std::string text = words_of(notification);
  const bool reset = notification.code == ErrorCode::kCease &&
                     notification.subcode == static_cast<std::uint8_t>(CeaseError::kHardReset);
  return reset && notification.data.size() >= 2
             ? fmt::format("{}: {}", text, words_of(decode_notification(notification.data)))
             : text;
}

Notification decode_notification(Bytes body) {
  ByteReader reader(body);
  Notification notification;
  notification.code = static_cast<ErrorCode>(reader.u8());
  notification.subcode = reader.u8();
  const Bytes data = reader.rest();
  notification.data.assign(data.begin(), data.end());
  return notification;
}

std::vector<std::uint8_t> encode_notification(const Notification& notification) {
  ByteWriter out;
  const std::size_t start = begin_message(out, MessageType::kNotification);
  out.u8(static_cast<std::uint8_t>(notification.code));
  out.u8(notification.subcode);
  const std::size_t room = kMaxMessageSize - out.size();
  out.bytes(Bytes(notification.data).first(std::min(room, notification.data.size())));
  end_message(out, start);
  return out.take();
}

}  // namespace margay::bgp
