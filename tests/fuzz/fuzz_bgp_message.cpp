// One byte of session context, then a stream of BGP messages as they would come from a socket.
// Whatever decodes must encode, and decode again to the same value.
#include "bgp/wire/message.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>

namespace {

using namespace margay;
using namespace margay::bgp;

CodecContext context_of(std::uint8_t bits) {
  CodecContext context;
  context.internal = (bits & 1U) != 0;
  context.four_octet_as = (bits & 2U) == 0;
  context.ipv6.enabled = (bits & 4U) == 0;
  context.ipv4.add_path_receive = context.ipv4.add_path_send = (bits & 8U) != 0;
  context.ipv6.add_path_receive = context.ipv6.add_path_send = (bits & 8U) != 0;
  context.extended_receive = (bits & 16U) != 0;
  context.ipv4.extended_next_hop = (bits & 32U) != 0;
  context.enforce_first_as = (bits & 64U) != 0;
  context.extended_send = true;  // so that what fitted once fits again
  context.local_asn = Asn{65000};
  context.peer_asn = context.internal ? context.local_asn : Asn{65001};
  context.local_ipv4 = IpAddr::v4(0x0A000001);
  return context;
}

void require(bool condition) {
  if (!condition) {
    std::abort();
  }
}

// Decoding what the encoder wrote for `routes` gives the same routes.
void check_announcement(const Announcement& routes, CodecContext context) {
  UpdatePacker packer(context);
  if (!packer.announce(routes.attributes, routes.prefixes)) {
    return;
  }
  context.extended_receive = true;
  const std::vector<std::uint8_t> bytes = packer.take();
  std::vector<Nlri> prefixes;
  for (Bytes left(bytes); !left.empty();) {
    const auto frame = next_frame(left, true);
    require(frame && frame->has_value());
    const auto update = decode_update((*frame)->body, context);
    require(update && update->notes.empty() && update->announced.size() == 1);
    require(update->announced.front().attributes == routes.attributes);
    const auto& got = update->announced.front().prefixes;
    prefixes.insert(prefixes.end(), got.begin(), got.end());
    left = left.subspan((*frame)->size);
  }
  require(prefixes == routes.prefixes);
}

void check(const Message& message, const CodecContext& context) {
  if (const auto* open = std::get_if<Open>(&message)) {
    const auto again = decode_open(Bytes(encode_open(*open)).subspan(kHeaderSize));
    require(again && encode_open(*again) == encode_open(*open));
  } else if (const auto* update = std::get_if<Update>(&message)) {
    for (const Announcement& routes : update->announced) {
      check_announcement(routes, context);
    }
  } else if (const auto* notification = std::get_if<Notification>(&message)) {
    (void)to_string(*notification);
    (void)encode_notification(*notification);
  } else if (const auto* refresh = std::get_if<RouteRefresh>(&message)) {
    const auto bytes = encode_route_refresh(*refresh);
    const auto again = decode_route_refresh(Bytes(bytes).subspan(kHeaderSize));
    require(again && *again == *refresh);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) {
    return 0;
  }
  const CodecContext context = context_of(data[0]);
  Bytes left(data + 1, size - 1);
  while (true) {
    const auto frame = next_frame(left, context.extended_receive);
    if (!frame || !frame->has_value()) {
      return 0;
    }
    if (const auto message = decode_message(**frame, context)) {
      check(*message, context);
    }
    left = left.subspan((*frame)->size);
  }
}
