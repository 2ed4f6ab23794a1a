#pragma once
// TableWalk: what a table as rendered would say to a packet, found without the kernel.
//
// It knows the statements that policy uses, and walks them as nf_tables does. The agent asks it
// which established connections would be refused as new ones; tests hold it against the evaluator.

#include "kernel/model/nft.h"

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace margay::felix {

struct WalkPacket {
  IfName input;   // of prerouting, input and forward
  IfName output;  // of forward and output
  IpAddr source;
  IpAddr destination;
  nft::Proto protocol;
  std::uint16_t source_port = 0;
  std::uint16_t destination_port = 0;
  std::uint8_t icmp_type = 0;
  std::uint8_t icmp_code = 0;
  Mark ct_state = nft::kStateNew;
  Mark mark;
  Mark ct_mark;
};

class TableWalk {
 public:
  // The table must outlive the walk.
  explicit TableWalk(const nft::Table& table);

  // Whether all base chains of prerouting (not for output) and then of the hook let it pass.
  [[nodiscard]] bool passes(nft::HookPoint hook, WalkPacket packet) const;

 private:
  [[nodiscard]] bool passes_hook(nft::HookPoint hook, WalkPacket& packet) const;

  const nft::Table& table_;
  std::map<nft::HookPoint, std::vector<std::string>> base_chains_;  // in order of priority
};

}  // namespace margay::felix
