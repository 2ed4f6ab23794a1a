#include "bgp/bird/networks.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <ifaddrs.h>
#include <optional>

namespace margay::bgp::bird {

namespace {

template <typename Address>
std::optional<IpAddr> address_in(const sockaddr* from) {
  Address address{};
  std::memcpy(&address, from, sizeof address);
  if constexpr (std::is_same_v<Address, sockaddr_in>) {
    return IpAddr::v4(ntohl(address.sin_addr.s_addr));
  } else {
    std::array<std::uint8_t, 16> bytes{};
    std::memcpy(bytes.data(), &address.sin6_addr, bytes.size());
    return IpAddr::v6(bytes);
  }
}
std::optional<IpAddr> socket_address(const sockaddr* from) {
  if (from != nullptr && from->sa_family == AF_INET) {
    return address_in<sockaddr_in>(from);
  }
  return from != nullptr && from->sa_family == AF_INET6 ? address_in<sockaddr_in6>(from)
                                                        : std::nullopt;
}

}  // namespace

std::vector<Prefix> connected_networks() {
  std::vector<Prefix> out;
  ifaddrs* all = nullptr;
  if (::getifaddrs(&all) != 0) {
    return out;
  }
  for (const ifaddrs* one = all; one != nullptr; one = one->ifa_next) {
    const auto address = socket_address(one->ifa_addr);
    const auto mask = socket_address(one->ifa_netmask);
    if (address && mask) {
      unsigned length = 0;
      for (const std::uint8_t byte : mask->bytes()) {
        length += static_cast<unsigned>(std::popcount(byte));
      }
      out.push_back(Prefix::masked(*address, length));
    }
  }
  ::freeifaddrs(all);
  std::ranges::sort(out);
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

}  // namespace margay::bgp::bird
