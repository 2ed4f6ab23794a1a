#include "bgp/wire/route_refresh.h"

#include "base/byte_io.h"
#include "bgp/wire/header.h"

#include <algorithm>

namespace margay::bgp {

Result<RouteRefresh, Notification> decode_route_refresh(Bytes body) {
  constexpr std::size_t kSize = 4;
  constexpr std::size_t kMaxEcho = 1024;  // RFC 7313 section 5: the message as data, bounded
  if (body.size() != kSize) {
    return fail(Notification::refresh(RefreshError::kInvalidLength,
                                      body.first(std::min(body.size(), kMaxEcho))));
  }
  ByteReader reader(body);
  RouteRefresh refresh;
  refresh.family.afi = reader.u16();
  refresh.subtype = static_cast<RouteRefresh::Subtype>(reader.u8());
  refresh.family.safi = reader.u8();
  return refresh;
}

std::vector<std::uint8_t> encode_route_refresh(const RouteRefresh& refresh) {
  ByteWriter out;
  const std::size_t start = begin_message(out, MessageType::kRouteRefresh);
  out.u16(refresh.family.afi);
  out.u8(static_cast<std::uint8_t>(refresh.subtype));
  out.u8(refresh.family.safi);
  end_message(out, start);
  return out.take();
}

}  // namespace margay::bgp
