#include "bgp/net/socket_options.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace margay::bgp {
namespace {

Result<void> set_int(int fd, int level, int option, int value, const char* what) {
  if (::setsockopt(fd, level, option, &value, sizeof value) != 0) {
    return fail_errno(errno, "set {} to {}", what, value);
  }
  return {};
}

}  // namespace

Result<void> set_ttl(int fd, Family family, std::uint8_t ttl) {
  return family == Family::kIpv4 ? set_int(fd, IPPROTO_IP, IP_TTL, ttl, "ttl")
                                 : set_int(fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS, ttl, "hop limit");
}

Result<void> set_ttl_security(int fd, Family family, std::uint8_t hops) {
  constexpr int kMaxTtl = 255;
  constexpr int kIpv6MinHopCount = 73;  // linux/in6.h IPV6_MINHOPCOUNT, absent from netinet/in.h
  if (auto sent = set_ttl(fd, family, kMaxTtl); !sent) {
    return sent;
  }
  const int lowest = kMaxTtl + 1 - std::max<int>(hops, 1);
  return family == Family::kIpv4
             ? set_int(fd, IPPROTO_IP, IP_MINTTL, lowest, "lowest ttl")
             : set_int(fd, IPPROTO_IPV6, kIpv6MinHopCount, lowest, "lowest hop limit");
}

Result<void> set_md5_key(int fd, const IpAddr& peer, const std::string& password) {
  tcp_md5sig key{};
  if (password.size() > sizeof key.tcpm_key) {
    return fail(Errc::kInvalid,
                "password of peer {}: {} bytes, at most {} are possible",
                peer.str(),
                password.size(),
                sizeof key.tcpm_key);
  }
  const auto bytes = peer.bytes();
  if (peer.is_v4()) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    std::memcpy(&address.sin_addr, bytes.data(), bytes.size());
    std::memcpy(&key.tcpm_addr, &address, sizeof address);
  } else {
    sockaddr_in6 address{};
    address.sin6_family = AF_INET6;
    std::memcpy(&address.sin6_addr, bytes.data(), bytes.size());
    std::memcpy(&key.tcpm_addr, &address, sizeof address);
  }
  key.tcpm_keylen = static_cast<std::uint16_t>(password.size());
  std::memcpy(key.tcpm_key, password.data(), password.size());
  if (::setsockopt(fd, IPPROTO_TCP, TCP_MD5SIG, &key, sizeof key) != 0) {
    if (password.empty() && errno == ENOENT) {
      return {};  // there was none
    }
    return fail_errno(errno, "set the password of peer {}", peer.str());
  }
  return {};
}

}  // namespace margay::bgp
