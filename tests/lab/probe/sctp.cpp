#include "tests/lab/probe/sctp.h"

#include <boost/crc.hpp>

#include <arpa/inet.h>

#include <cstring>

namespace margay::probe {
namespace {

constexpr std::size_t kHeaderBytes = 12;
constexpr std::size_t kInitBytes = 20;
constexpr std::size_t kChecksumAt = 8;
constexpr std::uint32_t kWindow = 65535;

void put16(std::vector<std::uint8_t>& out, std::uint32_t value) {
  out.push_back(static_cast<std::uint8_t>(value >> 8U));
  out.push_back(static_cast<std::uint8_t>(value));
}
void put32(std::vector<std::uint8_t>& out, std::uint32_t value) {
  put16(out, value >> 16U);
  put16(out, value & 0xffffU);
}
std::uint32_t get(std::span<const std::uint8_t> bytes) {
  std::uint32_t value = 0;
  for (const std::uint8_t byte : bytes) {
    value = (value << 8U) | byte;
  }
  return value;
}

}  // namespace

std::vector<std::uint8_t> encode(const SctpPacket& packet) {
  std::vector<std::uint8_t> out;
  put16(out, packet.source_port);
  put16(out, packet.destination_port);
  put32(out, packet.tag);
  put32(out, 0);
  out.push_back(static_cast<std::uint8_t>(packet.chunk));
  out.push_back(0);
  put16(out, kInitBytes);
  put32(out, packet.initiate_tag);
  put32(out, kWindow);
  put16(out, 1);  // streams out and in
  put16(out, 1);
  put32(out, packet.initiate_tag);  // initial TSN
  boost::crc_optimal<32, 0x1EDC6F41, 0xFFFFFFFF, 0xFFFFFFFF, true, true> checksum;
  checksum.process_bytes(out.data(), out.size());
  const std::uint32_t value = checksum.checksum();
  for (unsigned i = 0; i < 4; ++i) {  // least significant byte first
    out[kChecksumAt + i] = static_cast<std::uint8_t>(value >> (8U * i));
  }
  return out;
}

std::optional<SctpPacket> decode(std::span<const std::uint8_t> bytes, int family) {
  if (family == AF_INET) {
    const std::size_t header = bytes.empty() ? 0 : (bytes[0] & 0x0fU) * 4U;
    if (bytes.size() < header) {
      return std::nullopt;
    }
    bytes = bytes.subspan(header);
  }
  if (bytes.size() < kHeaderBytes + kInitBytes ||
      (bytes[kHeaderBytes] != static_cast<std::uint8_t>(SctpChunk::kInit) &&
       bytes[kHeaderBytes] != static_cast<std::uint8_t>(SctpChunk::kInitAck))) {
    return std::nullopt;
  }
  return SctpPacket{static_cast<std::uint16_t>(get(bytes.subspan(0, 2))),
                    static_cast<std::uint16_t>(get(bytes.subspan(2, 2))),
                    get(bytes.subspan(4, 4)),
                    static_cast<SctpChunk>(bytes[kHeaderBytes]),
                    get(bytes.subspan(kHeaderBytes + 4, 4))};
}

int open_sctp(int family) {
  return ::socket(family, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_SCTP);
}

std::uint16_t port_of(const Address& address) {
  return ntohs(address.family() == AF_INET6
                   ? reinterpret_cast<const sockaddr_in6*>(&address.storage)->sin6_port
                   : reinterpret_cast<const sockaddr_in*>(&address.storage)->sin_port);
}

Address without_port(const Address& address) {
  Address out = address;
  if (out.family() == AF_INET6) {
    reinterpret_cast<sockaddr_in6*>(&out.storage)->sin6_port = 0;
  } else {
    reinterpret_cast<sockaddr_in*>(&out.storage)->sin_port = 0;
  }
  return out;
}

bool same_host(const Address& a, const Address& b) {
  if (a.family() != b.family()) {
    return false;
  }
  if (a.family() == AF_INET6) {
    return std::memcmp(&reinterpret_cast<const sockaddr_in6*>(&a.storage)->sin6_addr,
                       &reinterpret_cast<const sockaddr_in6*>(&b.storage)->sin6_addr,
                       sizeof(in6_addr)) == 0;
  }
  return reinterpret_cast<const sockaddr_in*>(&a.storage)->sin_addr.s_addr ==
         reinterpret_cast<const sockaddr_in*>(&b.storage)->sin_addr.s_addr;
}

}  // namespace margay::probe
