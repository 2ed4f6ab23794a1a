#include "bgp/wire/message.h"

#include "base/byte_io.h"
#include "bgp/wire/header.h"

#include <algorithm>

namespace margay::bgp {

namespace {

struct LengthRule {
  std::size_t min = kHeaderSize;
  std::size_t max = kMaxMessageSize;
};

// RFC 4271 section 6.1. ROUTE-REFRESH has an error code of its own for its length (RFC 7313).
std::optional<LengthRule> length_rule(MessageType type, bool extended) {
  const std::size_t max = extended ? kMaxExtendedMessageSize : kMaxMessageSize;
  switch (type) {
    case MessageType::kOpen:
      return LengthRule{29, kMaxMessageSize};
    case MessageType::kUpdate:
      return LengthRule{23, max};
    case MessageType::kNotification:
      return LengthRule{21, max};
    case MessageType::kKeepalive:
      return LengthRule{kHeaderSize, kHeaderSize};
    case MessageType::kRouteRefresh:
      return LengthRule{kHeaderSize, max};
  }
  return std::nullopt;
}

}  // namespace

Result<std::optional<Frame>, Notification> next_frame(Bytes buffer, bool extended) {
  if (buffer.size() < kHeaderSize) {
    return std::optional<Frame>{};
  }
  constexpr std::size_t kMarkerSize = 16;
  ByteReader reader(buffer);
  const Bytes marker = reader.bytes(kMarkerSize);
  if (!std::ranges::all_of(marker, [](std::uint8_t byte) { return byte == 0xFF; })) {
    return fail(Notification::header(HeaderError::kNotSynchronized));
  }
  const std::size_t length = reader.u16();
  const auto type = static_cast<MessageType>(reader.u8());
  const Bytes length_field = buffer.subspan(kMarkerSize, 2);
  const std::size_t limit = extended ? kMaxExtendedMessageSize : kMaxMessageSize;
  if (length < kHeaderSize || length > limit) {
    return fail(Notification::header(HeaderError::kBadLength, length_field));
  }
  const std::optional<LengthRule> rule = length_rule(type, extended);
  if (!rule) {
    return fail(Notification::header(HeaderError::kBadType, buffer.subspan(kMarkerSize + 2, 1)));
  }
  if (length < rule->min || length > rule->max) {
    return fail(Notification::header(HeaderError::kBadLength, length_field));
  }
  if (buffer.size() < length) {
    return std::optional<Frame>{};
  }
  return std::optional(Frame{type, buffer.subspan(kHeaderSize, length - kHeaderSize), length});
}

Result<Message, Notification> decode_message(const Frame& frame, const CodecContext& context) {
  const auto wrap = [](auto result) -> Result<Message, Notification> {
    if (!result) {
      return fail(result.error());
    }
    return Message{std::move(*result)};
  };
  switch (frame.type) {
    case MessageType::kOpen:
      return wrap(decode_open(frame.body));
    case MessageType::kUpdate:
      return wrap(decode_update(frame.body, context));
    case MessageType::kNotification:
      return Message{decode_notification(frame.body)};
    case MessageType::kKeepalive:
      return Message{Keepalive{}};
    case MessageType::kRouteRefresh:
      return wrap(decode_route_refresh(frame.body));
  }
  return fail(Notification::header(HeaderError::kBadType));
}

std::vector<std::uint8_t> encode_keepalive() {
  ByteWriter out;
  end_message(out, begin_message(out, MessageType::kKeepalive));
  return out.take();
}

}  // namespace margay::bgp
