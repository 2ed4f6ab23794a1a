#pragma once
// Socket options of BGP sessions, as plain functions over a descriptor.

#include "base/ip_addr.h"
#include "base/result.h"

#include <cstdint>
#include <string>

namespace margay::bgp {

[[nodiscard]] Result<void> set_ttl(int fd, Family family, std::uint8_t ttl);
// RFC 5082: packets are sent with 255 and taken only if they came over at most `hops` hops.
[[nodiscard]] Result<void> set_ttl_security(int fd, Family family, std::uint8_t hops);
// RFC 2385. family: that of the socket; a listener on :: also serves IPv4 peers only if it is made
// so, and ours is not.
[[nodiscard]] Result<void> set_md5_key(int fd, const IpAddr& peer, const std::string& password);

}  // namespace margay::bgp
