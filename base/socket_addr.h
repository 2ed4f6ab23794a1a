#pragma once
// SocketAddr: an address and a port, written as RFC 3986 section 3.2 has host and port.

#include "base/ip_addr.h"

#include <cstdint>
#include <string>
#include <string_view>

namespace margay {

struct SocketAddr {
  IpAddr addr;
  std::uint16_t port = 0;

  // "192.0.2.1:179" or "[2001:db8::1]:179"; the port is 0 to 65535. Names are errors.
  static Result<SocketAddr> parse(std::string_view text);
  [[nodiscard]] std::string str() const;
  auto operator<=>(const SocketAddr&) const = default;
  bool operator==(const SocketAddr&) const = default;
};

}  // namespace margay
