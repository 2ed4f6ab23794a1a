#include "base/socket_addr.h"

#include <charconv>

namespace margay {

Result<SocketAddr> SocketAddr::parse(std::string_view text) {
  const auto wrong = [text] {
    return fail(Errc::kInvalid, "\"{}\": expected ADDRESS:PORT, IPv6 as [ADDRESS]:PORT", text);
  };
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) {
    return wrong();
  }
  std::string_view host = text.substr(0, colon);
  const bool bracketed = host.starts_with('[') && host.ends_with(']');
  if (bracketed) {
    host = host.substr(1, host.size() - 2);
  }
  const auto addr = IpAddr::parse(host);
  const std::string_view digits = text.substr(colon + 1);
  std::uint16_t port = 0;
  const auto [rest, errc] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  if (!addr || addr->is_v6() != bracketed || errc != std::errc{} ||
      rest != digits.data() + digits.size()) {
    return wrong();
  }
  return SocketAddr{*addr, port};
}

std::string SocketAddr::str() const {
  return addr.is_v6() ? fmt::format("[{}]:{}", addr.str(), port)
                      : fmt::format("{}:{}", addr.str(), port);
}

}  // namespace margay
