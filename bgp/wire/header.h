#pragma once
// Writing the message header: begin_message writes marker, a length to be patched, and the type;
// end_message patches the length of the message that began at `start`.

#include "base/byte_io.h"
#include "bgp/wire/types.h"

namespace margay::bgp {

inline std::size_t begin_message(ByteWriter& out, MessageType type) {
  const std::size_t start = out.size();
  out.u64(~std::uint64_t{0});
  out.u64(~std::uint64_t{0});
  out.u16(0);
  out.u8(static_cast<std::uint8_t>(type));
  return start;
}
inline void end_message(ByteWriter& out, std::size_t start) {
  out.patch_u16(start + 16, static_cast<std::uint16_t>(out.size() - start));
}

}  // namespace margay::bgp
