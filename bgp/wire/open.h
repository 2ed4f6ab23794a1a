#pragma once
// OPEN (RFC 4271 section 4.2) with optional parameters in the short and in the extended form
// (RFC 9072), capabilities in one or several parameters (RFC 5492).

#include "bgp/wire/capability.h"
#include "bgp/wire/notification.h"
#include "bgp/wire/types.h"

#include <vector>

namespace margay::bgp {

struct Open {
  // From the 4-octet AS capability when there is one, else the 2-octet field. The encoder writes
  // AS_TRANS into the field when the number does not fit; it adds no capability by itself.
  Asn asn;
  std::uint16_t hold_time_s = 90;
  RouterId id;
  std::vector<Capability> capabilities;
  bool operator==(const Open&) const = default;
};

// Checks what needs no configuration: version, AS 0, identifier 0, hold time 1 and 2, lengths
// (RFC 4271 section 6.2). Whether the AS and the identifier are the expected ones is the session's
// question.
[[nodiscard]] Result<Open, Notification> decode_open(Bytes body);
[[nodiscard]] std::vector<std::uint8_t> encode_open(const Open& open);

}  // namespace margay::bgp
