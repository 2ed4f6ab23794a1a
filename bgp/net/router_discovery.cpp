#include "bgp/net/router_discovery.h"

#include "base/byte_io.h"

namespace margay::bgp {
namespace {

constexpr std::size_t kOptionUnit = 8;
constexpr std::size_t kSolicitationFixed = 8;
constexpr std::size_t kAdvertisementFixed = 16;

}  // namespace

std::vector<std::uint8_t> encode_discovery(Discovery type, const std::optional<MacAddress>& mac) {
  constexpr std::uint8_t kSourceLinkAddress = 1;
  constexpr std::uint8_t kHopLimitUnspecified = 0;
  ByteWriter out;
  out.u8(static_cast<std::uint8_t>(type));
  out.u8(0);   // code
  out.u16(0);  // checksum
  if (type == Discovery::kSolicitation) {
    out.u32(0);  // reserved
  } else {
    out.u8(kHopLimitUnspecified);
    out.u8(0);   // flags
    out.u16(0);  // lifetime: no default router
    out.u32(0);  // reachable time
    out.u32(0);  // retransmission timer
  }
  if (mac) {
    out.u8(kSourceLinkAddress);
    out.u8(1);  // of eight bytes
    out.bytes(*mac);
  }
  return out.take();
}

std::optional<Discovery> decode_discovery(Bytes message) {
  ByteReader in(message);
  const std::uint8_t type = in.u8();
  const std::uint8_t code = in.u8();
  const bool advertises = type == static_cast<std::uint8_t>(Discovery::kAdvertisement);
  const bool solicits = type == static_cast<std::uint8_t>(Discovery::kSolicitation);
  const std::size_t fixed = advertises ? kAdvertisementFixed : kSolicitationFixed;
  if (!in.ok() || code != 0 || (!advertises && !solicits) || message.size() < fixed) {
    return std::nullopt;
  }
  for (Bytes options = message.subspan(fixed); !options.empty();) {
    const std::size_t size = options.size() < 2 ? 0 : options[1] * kOptionUnit;
    if (size == 0 || size > options.size()) {
      return std::nullopt;
    }
    options = options.subspan(size);
  }
  return static_cast<Discovery>(type);
}

}  // namespace margay::bgp
