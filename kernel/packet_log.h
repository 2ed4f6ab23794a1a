#pragma once
// PacketLog: the packets that rules hand to an nflog group (`log group N`) of one network
// namespace.

#include "base/result.h"

#include <cstdint>
#include <memory>
#include <vector>

namespace margay {

class PacketLog {
 public:
  struct Taken {
    std::vector<std::vector<std::uint8_t>> packets;  // from the IP header on
    bool lost = false;                               // the queue overflowed
  };

  virtual ~PacketLog() = default;

  // Readable when there is something to take.
  [[nodiscard]] virtual int descriptor() const = 0;
  // Never blocks; at most about a thousand packets, so that the descriptor may stay readable.
  [[nodiscard]] virtual Taken take() = 0;
};

// In the calling thread's network namespace. A group has one reader: EBUSY when there is another.
[[nodiscard]] Result<std::unique_ptr<PacketLog>> open_packet_log(std::uint16_t group);

}  // namespace margay
