#pragma once
// Framing: the 19-byte header (RFC 4271 section 4.1) and the checks of section 6.1, then any
// message as one variant. A driver calls next_frame on its receive buffer until it returns nothing,
// handing each frame on and skipping `size` bytes; no allocation happens in between.

#include "bgp/wire/context.h"
#include "bgp/wire/notification.h"
#include "bgp/wire/open.h"
#include "bgp/wire/route_refresh.h"
#include "bgp/wire/types.h"
#include "bgp/wire/update.h"

#include <optional>
#include <variant>
#include <vector>

namespace margay::bgp {

inline constexpr std::size_t kHeaderSize = 19;
inline constexpr std::size_t kMaxMessageSize = 4096;
inline constexpr std::size_t kMaxExtendedMessageSize = 65535;  // RFC 8654, not for OPEN, KEEPALIVE

struct Frame {
  MessageType type = MessageType::kKeepalive;
  Bytes body;            // after the header; points into the buffer
  std::size_t size = 0;  // of the whole message
};

// The first message of the buffer; nothing when more bytes are needed. A bad header is reported as
// soon as its 19 bytes are there. extended: messages above 4,096 bytes are allowed.
[[nodiscard]] Result<std::optional<Frame>, Notification> next_frame(Bytes buffer, bool extended);

struct Keepalive {
  bool operator==(const Keepalive&) const = default;
};
using Message = std::variant<Open, Update, Notification, Keepalive, RouteRefresh>;

// Any message. The session machine needs this one; the hot path calls split_update itself.
[[nodiscard]] Result<Message, Notification> decode_message(const Frame& frame,
                                                           const CodecContext& context);

[[nodiscard]] std::vector<std::uint8_t> encode_keepalive();

}  // namespace margay::bgp
