#include "kernel/model/link.h"

#include <algorithm>
#include <charconv>

namespace margay {

Result<MacAddr> MacAddr::parse(std::string_view text) {
  constexpr std::size_t kTextLength = 17;  // six pairs, five colons
  std::array<std::uint8_t, 6> bytes{};
  if (text.size() != kTextLength) {
    return fail(Errc::kInvalid, "mac address \"{}\": expected six pairs of digits", text);
  }
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    const std::string_view pair = text.substr(i * 3, 2);
    const auto parsed = std::from_chars(pair.data(), pair.data() + pair.size(), bytes.at(i), 16);
    const bool separated = i + 1 == bytes.size() || text[i * 3 + 2] == ':';
    if (parsed.ec != std::errc{} || parsed.ptr != pair.data() + pair.size() || !separated) {
      return fail(Errc::kInvalid, "mac address \"{}\": expected six pairs of digits", text);
    }
  }
  return MacAddr(bytes);
}

std::string MacAddr::str() const {
  return fmt::format("{:02x}:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}",
                     bytes_[0],
                     bytes_[1],
                     bytes_[2],
                     bytes_[3],
                     bytes_[4],
                     bytes_[5]);
}

}  // namespace margay
