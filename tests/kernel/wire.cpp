#include "tests/kernel/wire.h"

#include "kernel/link_kernel.h"

#include <doctest/doctest.h>

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netpacket/packet.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <poll.h>
#include <span>
#include <unistd.h>

namespace margay::test {

namespace {

using Bytes = std::vector<std::uint8_t>;
constexpr std::uint16_t kEtherIpv4 = 0x0800;
constexpr std::uint16_t kEtherIpv6 = 0x86dd;
constexpr std::uint16_t kEtherAll = 3;
constexpr std::size_t kIpv4Bytes = 20;
constexpr std::size_t kIpv6Bytes = 40;
constexpr std::size_t kEthernetBytes = 14;
constexpr std::uint8_t kEcho4 = 8;
constexpr std::uint8_t kEcho6 = 128;

void put16(Bytes& out, unsigned value) {
  out.push_back(static_cast<std::uint8_t>(value >> 8U));
  out.push_back(static_cast<std::uint8_t>(value));
}
void put32(Bytes& out, std::uint32_t value) {
  put16(out, value >> 16U);
  put16(out, value & 0xffffU);
}
void append(Bytes& out, std::span<const std::uint8_t> bytes) {
  out.insert(out.end(), bytes.begin(), bytes.end());
}

// RFC 1071.
std::uint16_t checksum(const Bytes& bytes) {
  std::uint32_t sum = 0;
  for (std::size_t i = 0; i < bytes.size(); i += 2) {
    sum += static_cast<std::uint32_t>(bytes[i] << 8U);
    sum += i + 1 < bytes.size() ? bytes[i + 1] : 0U;
  }
  while (sum > 0xffffU) {
    sum = (sum & 0xffffU) + (sum >> 16U);
  }
  return static_cast<std::uint16_t>(~sum);
}
void set16(Bytes& out, std::size_t at, std::uint16_t value) {
  out[at] = static_cast<std::uint8_t>(value >> 8U);
  out[at + 1] = static_cast<std::uint8_t>(value);
}

Bytes segment(const policy::Flow& flow, std::uint16_t id) {
  Bytes out;
  if (flow.protocol == api::kTcp) {
    put16(out, flow.source_port);
    put16(out, flow.destination_port);
    put32(out, id);  // sequence number
    put32(out, 0);
    put16(out, 0x5002);  // five words, SYN
    put16(out, 0xffff);
    put32(out, 0);
  } else if (flow.protocol == api::kUdp) {
    put16(out, flow.source_port);
    put16(out, flow.destination_port);
    put16(out, 10);
    put16(out, 0);
    put16(out, id);
  } else {
    out.push_back(flow.icmp_type);
    out.push_back(flow.icmp_code);
    put16(out, 0);
    put16(out, id);
    put16(out, 1);
  }
  return out;
}

std::size_t checksum_at(api::Protocol protocol) {
  constexpr std::size_t kTcpAt = 16;
  constexpr std::size_t kUdpAt = 6;
  constexpr std::size_t kIcmpAt = 2;
  return protocol == api::kTcp ? kTcpAt : protocol == api::kUdp ? kUdpAt : kIcmpAt;
}

}  // namespace

std::vector<std::uint8_t> encode_packet(const policy::Flow& flow, std::uint16_t id) {
  Bytes inner = segment(flow, id);
  Bytes summed;
  if (flow.protocol !=
      api::kIcmp) {  // with the addresses (RFC 9293 section 3.1, RFC 8200 section 8.1)
    append(summed, flow.source.bytes());
    append(summed, flow.destination.bytes());
    put32(summed, static_cast<std::uint32_t>(inner.size()));
    put32(summed, flow.protocol.number);
  }
  append(summed, inner);
  set16(inner, checksum_at(flow.protocol), checksum(summed));
  Bytes out;
  if (flow.source.is_v4()) {
    put16(out, 0x4500);
    put16(out, static_cast<unsigned>(kIpv4Bytes + inner.size()));
    put32(out, 0x00004000);  // do not fragment
    out.push_back(64);
    out.push_back(flow.protocol.number);
    put16(out, 0);
    append(out, flow.source.bytes());
    append(out, flow.destination.bytes());
    set16(out, 10, checksum(out));
  } else {
    put32(out, 0x60000000);
    put16(out, static_cast<unsigned>(inner.size()));
    out.push_back(flow.protocol.number);
    out.push_back(64);
    append(out, flow.source.bytes());
    append(out, flow.destination.bytes());
  }
  append(out, inner);
  return out;
}

std::uint16_t id_of(const std::vector<std::uint8_t>& packet) {
  const bool v4 = !packet.empty() && packet[0] >> 4U == 4;
  const std::size_t header = v4 ? kIpv4Bytes : kIpv6Bytes;
  if (packet.size() < header + 8) {
    return 0;
  }
  const std::uint8_t protocol = packet[v4 ? 9 : 6];
  std::size_t at = header;
  if (protocol == api::kTcp.number) {
    at += 6;
  } else if (protocol == api::kUdp.number) {
    at += 8;
  } else if ((protocol == api::kIcmp.number && packet[header] == kEcho4) ||
             (protocol == api::kIcmpv6.number && packet[header] == kEcho6)) {
    at += 4;
  } else {
    return 0;
  }
  return at + 2 <= packet.size() ? static_cast<std::uint16_t>((packet[at] << 8U) | packet[at + 1])
                                 : std::uint16_t{0};
}

Wire::Wire(const IpAddr& own, const std::vector<Interface>& interfaces)
    : wires_(std::move(*NetNs::create())) {
  auto links = open_link_kernel();
  REQUIRE(links);
  std::string setup =
      "sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 "
      "net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0 "
      "net.ipv4.conf.all.send_redirects=0 net.ipv6.conf.default.accept_dad=0";
  unsigned number = 0;
  for (const Interface& interface : interfaces) {
    ++number;
    VethSpec veth;
    veth.host_name = *IfName::parse(interface.name);
    veth.peer_name = *IfName::parse("w" + std::to_string(number));
    veth.host_mac = MacAddr({2, 0, 0, 0, 0, static_cast<std::uint8_t>(number)});
    veth.peer_mac = MacAddr({2, 0, 0, 0, 1, static_cast<std::uint8_t>(number)});
    veth.peer_netns_fd = wires_.fd();
    REQUIRE((*links)->create_veth(veth));
    Bytes head(veth.host_mac.bytes().begin(), veth.host_mac.bytes().end());
    append(head, veth.peer_mac.bytes());
    head_[interface.name] = head;
    setup += fmt::format(" && ip link set {} up && sysctl -qw net.ipv4.conf.{}.rp_filter=0",
                         interface.name,
                         interface.name);
    for (const IpAddr& addr : interface.addresses) {
      setup += fmt::format(" && ip route add {} dev {} && ip neigh add {} lladdr {} dev {}",
                           addr.str(),
                           interface.name,
                           addr.str(),
                           veth.peer_mac.str(),
                           interface.name);
    }
  }
  const std::string& uplink = interfaces.front().name;
  const MacAddr gateway({2, 0, 0, 0, 1, 1});
  setup += fmt::format(
      " && ip addr add {}/24 dev {} && ip -6 addr add 2001:db8:ffff::1/64 dev {} nodad"
      " && ip neigh add 192.0.2.254 lladdr {} dev {}"
      " && ip neigh add 2001:db8:ffff::2 lladdr {} dev {}"
      " && ip route add default via 192.0.2.254 && ip route add default via 2001:db8:ffff::2",
      own.str(),
      uplink,
      uplink,
      gateway.str(),
      uplink,
      gateway.str(),
      uplink);
  REQUIRE(wires_.run([&]() -> Result<void> {
    const std::string done = shell("for n in $(seq " + std::to_string(number) +
                                   "); do sysctl -qw net.ipv6.conf.w$n.disable_ipv6=1 && ip link "
                                   "set w$n up arp off; done");
    return done.empty() ? Result<void>() : Result<void>(fail(Errc::kInternal, "{}", done));
  }));
  REQUIRE(shell(setup) == "");
  open_sockets();
  unsigned peer = 0;
  for (const Interface& interface : interfaces) {
    ++peer;
    REQUIRE(wires_.run([&]() -> Result<void> {
      peers_[interface.name] =
          static_cast<int>(::if_nametoindex(("w" + std::to_string(peer)).c_str()));
      return {};
    }));
  }
}

void Wire::open_sockets() {
  REQUIRE(wires_.run([this]() -> Result<void> {
    wire_socket_ = ::socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, htons(kEtherAll));
    return {};
  }));
  REQUIRE(wire_socket_ >= 0);
  for (const int protocol : {IPPROTO_TCP, IPPROTO_UDP, IPPROTO_ICMP}) {
    router_sockets_.push_back(::socket(AF_INET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol));
    REQUIRE(router_sockets_.back() >= 0);
  }
  send_socket_ = ::socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
  REQUIRE(send_socket_ >= 0);
}

Wire::~Wire() {
  for (const int fd : router_sockets_) {
    ::close(fd);
  }
  ::close(wire_socket_);
  ::close(send_socket_);
}

void Wire::send_in(const std::string& interface, const std::vector<std::uint8_t>& packet) {
  Bytes frame = head_.at(interface);
  put16(frame, packet[0] >> 4U == 4 ? kEtherIpv4 : kEtherIpv6);
  append(frame, packet);
  sockaddr_ll to{};
  to.sll_family = AF_PACKET;
  to.sll_ifindex = peers_.at(interface);
  to.sll_halen = 6;
  REQUIRE(::sendto(wire_socket_,
                   frame.data(),
                   frame.size(),
                   0,
                   reinterpret_cast<const sockaddr*>(&to),
                   sizeof(to)) == static_cast<ssize_t>(frame.size()));
}

void Wire::send_from_router(const IpAddr& destination,
                            const std::vector<std::uint8_t>& packet) const {
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_addr.s_addr = htonl(destination.v4_value());
  // Policy's verdict is an error of the call: the packet does not arrive, which is what is asked.
  [[maybe_unused]] const auto sent = ::sendto(send_socket_,
                                              packet.data(),
                                              packet.size(),
                                              0,
                                              reinterpret_cast<const sockaddr*>(&to),
                                              sizeof(to));
}

void Wire::drain() {
  std::array<std::uint8_t, 2048> buffer{};
  for (;;) {
    sockaddr_ll from{};
    socklen_t length = sizeof(from);
    const auto got = ::recvfrom(
        wire_socket_, buffer.data(), buffer.size(), 0, reinterpret_cast<sockaddr*>(&from), &length);
    if (got < 0) {
      break;
    }
    if (from.sll_pkttype != PACKET_OUTGOING && static_cast<std::size_t>(got) > kEthernetBytes) {
      seen_.insert(id_of(Bytes(buffer.begin() + kEthernetBytes, buffer.begin() + got)));
    }
  }
  for (const int fd : router_sockets_) {
    for (auto got = ::recv(fd, buffer.data(), buffer.size(), 0); got > 0;
         got = ::recv(fd, buffer.data(), buffer.size(), 0)) {
      seen_.insert(id_of(Bytes(buffer.begin(), buffer.begin() + got)));
    }
  }
}

bool Wire::arrived(std::uint16_t id, std::chrono::milliseconds wait) {
  const auto deadline = std::chrono::steady_clock::now() + wait;
  for (;;) {
    drain();
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        deadline - std::chrono::steady_clock::now());
    if (seen_.contains(id) || left.count() <= 0) {
      return seen_.contains(id);
    }
    std::vector<pollfd> fds{{wire_socket_, POLLIN, 0}};
    for (const int fd : router_sockets_) {
      fds.push_back({fd, POLLIN, 0});
    }
    ::poll(fds.data(), fds.size(), static_cast<int>(left.count()));
  }
}

}  // namespace margay::test
