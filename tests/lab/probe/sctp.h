#pragma once
// SCTP (RFC 9260) as far as a probe needs it: an INIT out, an INIT ACK back, by raw sockets, so
// that no kernel module is needed.

#include "tests/lab/probe/net.h"

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace margay::probe {

enum class SctpChunk : std::uint8_t { kInit = 1, kInitAck = 2 };

struct SctpPacket {
  std::uint16_t source_port = 0;
  std::uint16_t destination_port = 0;
  std::uint32_t tag = 0;  // of the common header: 0 in an INIT, else what the peer chose
  SctpChunk chunk = SctpChunk::kInit;
  std::uint32_t initiate_tag = 0;  // what the sender chose, not 0
};

// With its checksum (RFC 9260 section 6.8).
std::vector<std::uint8_t> encode(const SctpPacket& packet);
// INIT and INIT ACK; nothing for anything else. IPv4 raw sockets hand over the IP header, too.
std::optional<SctpPacket> decode(std::span<const std::uint8_t> bytes, int family);

// A raw non-blocking socket of protocol 132; -1 with errno.
int open_sctp(int family);
// The port of an address, set and read in host order.
std::uint16_t port_of(const Address& address);
// Raw sockets take addresses without a port.
Address without_port(const Address& address);
bool same_host(const Address& a, const Address& b);

}  // namespace margay::probe
