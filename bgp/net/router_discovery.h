#pragma once
// Messages of router discovery (RFC 4861 section 4.1, 4.2), as far as the peer on a link is found
// by them. Pure; the checksum is the kernel's work.

#include "bgp/wire/types.h"

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

namespace margay::bgp {

using MacAddress = std::array<std::uint8_t, 6>;

enum class Discovery : std::uint8_t { kSolicitation = 133, kAdvertisement = 134 };

// An advertisement says that a router is here, and nothing for hosts: a lifetime of 0, no prefixes.
[[nodiscard]] std::vector<std::uint8_t> encode_discovery(Discovery type,
                                                         const std::optional<MacAddress>& mac);
// Nothing for other messages and for malformed ones (sections 6.1.1, 6.1.2).
[[nodiscard]] std::optional<Discovery> decode_discovery(Bytes message);

}  // namespace margay::bgp
