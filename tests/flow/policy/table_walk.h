#pragma once
// Walks a packet through an nftables table as the kernel would, for the statements that policy
// uses. The table is the value that the renderer makes, so tests can ask for verdicts without a
// kernel.

#include "kernel/model/nft.h"

#include <cstdint>

namespace margay::test {

struct WalkPacket {
  IfName input;   // of prerouting, input and forward
  IfName output;  // of forward
  IpAddr source;
  IpAddr destination;
  nft::Proto protocol;
  std::uint16_t source_port = 0;
  std::uint16_t destination_port = 0;
  std::uint8_t icmp_type = 0;
  std::uint8_t icmp_code = 0;
  Mark ct_state = nft::kStateNew;
  Mark mark;
};

// Whether all base chains of prerouting and then of the hook let the packet pass.
[[nodiscard]] bool passes(const nft::Table& table, nft::HookPoint hook, WalkPacket packet);

}  // namespace margay::test
