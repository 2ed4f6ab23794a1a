#pragma once
// Socket options of BGP sessions, as plain functions over a descriptor.

#include "base/ip_addr.h"
#include "base/result.h"
#include "base/strong.h"

#include <cstdint>
#include <string>

namespace margay::bgp {

[[nodiscard]] Result<void> set_ttl(int fd, Family family, std::uint8_t ttl);
// RFC 5082: packets are sent with 255 and taken only if they came over at most `hops` hops.
[[nodiscard]] Result<void> set_ttl_security(int fd, Family family, std::uint8_t hops);
// Binding succeeds before the address is there.
[[nodiscard]] Result<void> set_free_bind(int fd, Family family);
// The interface over which an accepted connection was opened.
[[nodiscard]] Result<IfIndex> arrival_link(int fd, Family family);
// RFC 2385, for one address or all of a network. The socket's family must be theirs: a listener on
// :: also serves IPv4 peers only if it is made so, and ours is not.
[[nodiscard]] Result<void> set_md5_key(int fd, const Prefix& peers, const std::string& password);

}  // namespace margay::bgp
