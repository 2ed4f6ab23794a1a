#include "bgp/net/socket_options.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
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

Result<void> set_free_bind(int fd, Family family) {
  constexpr int kIpv6FreeBind = 78;  // linux/in6.h IPV6_FREEBIND, absent from netinet/in.h
  return family == Family::kIpv4 ? set_int(fd, IPPROTO_IP, IP_FREEBIND, 1, "free bind")
                                 : set_int(fd, IPPROTO_IPV6, kIpv6FreeBind, 1, "free bind");
}

// Linux keeps with a TCP socket where its SYN came in, and tells it as "sticky" packet information.
Result<IfIndex> arrival_link(int fd, Family family) {
  const bool v4 = family == Family::kIpv4;
  constexpr int kIpv6PacketOptions = 6;  // linux/in6.h IPV6_2292PKTOPTIONS
  const int level = v4 ? int{IPPROTO_IP} : int{IPPROTO_IPV6};
  if (auto asked = set_int(fd, level, v4 ? IP_PKTINFO : IPV6_RECVPKTINFO, 1, "packet information");
      !asked) {
    return fail(asked.error());
  }
  alignas(cmsghdr) std::array<char, 512> buffer{};
  socklen_t size = buffer.size();
  if (::getsockopt(fd, level, v4 ? IP_PKTOPTIONS : kIpv6PacketOptions, buffer.data(), &size) != 0) {
    return fail_errno(errno, "where a connection came in");
  }
  msghdr message{};
  message.msg_control = buffer.data();
  message.msg_controllen = size;
  for (const cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr;
       part = CMSG_NXTHDR(&message, const_cast<cmsghdr*>(part))) {
    if (v4 && part->cmsg_level == IPPROTO_IP && part->cmsg_type == IP_PKTINFO) {
      in_pktinfo info{};
      std::memcpy(&info, CMSG_DATA(part), sizeof info);
      return IfIndex(static_cast<std::uint32_t>(info.ipi_ifindex));
    }
    if (!v4 && part->cmsg_level == IPPROTO_IPV6 && part->cmsg_type == IPV6_PKTINFO) {
      in6_pktinfo info{};
      std::memcpy(&info, CMSG_DATA(part), sizeof info);
      return IfIndex(info.ipi6_ifindex);
    }
  }
  return fail(Errc::kNotFound, "where a connection came in");
}

Result<void> set_md5_key(int fd, const Prefix& peers, const std::string& password) {
  tcp_md5sig key{};
  if (password.size() > sizeof key.tcpm_key) {
    return fail(Errc::kInvalid,
                "password of peer {}: {} bytes, at most {} are possible",
                peers.str(),
                password.size(),
                sizeof key.tcpm_key);
  }
  const auto bytes = peers.addr().bytes();
  if (peers.family() == Family::kIpv4) {
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
  if (!peers.is_host()) {
    key.tcpm_flags = TCP_MD5SIG_FLAG_PREFIX;
    key.tcpm_prefixlen = static_cast<std::uint8_t>(peers.length());
  }
  const int option = peers.is_host() ? TCP_MD5SIG : TCP_MD5SIG_EXT;
  if (::setsockopt(fd, IPPROTO_TCP, option, &key, sizeof key) != 0) {
    if (password.empty() && errno == ENOENT) {
      return {};  // there was none
    }
    return fail_errno(errno, "set the password of peer {}", peers.str());
  }
  return {};
}

}  // namespace margay::bgp
