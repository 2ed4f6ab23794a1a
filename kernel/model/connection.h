#pragma once
// A tracked connection as a plain value.

#include "base/ip_addr.h"
#include "base/strong.h"

#include <compare>
#include <cstdint>

namespace margay {

// One direction: who sent what to whom. Ports are 0 where the protocol has none.
struct ConnectionTuple {
  IpAddr source;
  IpAddr destination;
  std::uint8_t protocol = 0;
  std::uint16_t source_port = 0;
  std::uint16_t destination_port = 0;
  std::uint16_t icmp_id = 0;
  std::uint8_t icmp_type = 0;
  std::uint8_t icmp_code = 0;
  auto operator<=>(const ConnectionTuple&) const = default;
  bool operator==(const ConnectionTuple&) const = default;
};

struct Connection {
  ConnectionTuple original;  // of the first packet
  ConnectionTuple reply;     // as answers look: shows translated addresses
  std::uint16_t zone = 0;
  Mark mark;
  auto operator<=>(const Connection&) const = default;
  bool operator==(const Connection&) const = default;
};

}  // namespace margay
