#pragma once
// Capabilities (RFC 5492) as typed values, one struct each. What we do not know, or what is known
// but ill-formed in a way its RFC says to ignore, stays as UnknownCapability with its bytes, so
// that status output can show it.

#include "base/byte_io.h"
#include "bgp/wire/notification.h"
#include "bgp/wire/types.h"

#include <string>
#include <variant>
#include <vector>

namespace margay::bgp {

enum class CapabilityCode : std::uint8_t {
  kMultiprotocol = 1,
  kRouteRefresh = 2,
  kExtendedNextHop = 5,
  kExtendedMessage = 6,
  kRole = 9,
  kGracefulRestart = 64,
  kFourOctetAs = 65,
  kAddPath = 69,
  kEnhancedRefresh = 70,
  kLongLivedGracefulRestart = 71,
  kFqdn = 73,
};

struct MultiprotocolCapability {  // RFC 4760
  AfiSafi family;
  bool operator==(const MultiprotocolCapability&) const = default;
};
struct RouteRefreshCapability {  // RFC 2918
  bool operator==(const RouteRefreshCapability&) const = default;
};
struct EnhancedRefreshCapability {  // RFC 7313
  bool operator==(const EnhancedRefreshCapability&) const = default;
};
struct ExtendedMessageCapability {  // RFC 8654
  bool operator==(const ExtendedMessageCapability&) const = default;
};
struct FourOctetAsCapability {  // RFC 6793
  Asn asn;
  bool operator==(const FourOctetAsCapability&) const = default;
};
struct ExtendedNextHopCapability {  // RFC 8950
  struct Entry {
    AfiSafi family;
    std::uint16_t next_hop_afi = 0;
    bool operator==(const Entry&) const = default;
  };
  std::vector<Entry> entries;
  bool operator==(const ExtendedNextHopCapability&) const = default;
};
struct RoleCapability {  // RFC 9234; values 5 to 255 are kept as their number
  Role role = Role::kPeer;
  bool operator==(const RoleCapability&) const = default;
};
struct GracefulRestartCapability {  // RFC 4724, RFC 8538
  struct Entry {
    AfiSafi family;
    bool forwarding_kept = false;
    bool operator==(const Entry&) const = default;
  };
  bool restarting = false;           // R bit
  bool notification = false;         // N bit: also for NOTIFICATION and hold timer expiry
  std::uint16_t restart_time_s = 0;  // 12 bits
  std::vector<Entry> entries;
  bool operator==(const GracefulRestartCapability&) const = default;
};
struct LongLivedGracefulRestartCapability {  // RFC 9494
  struct Entry {
    AfiSafi family;
    bool forwarding_kept = false;
    std::uint32_t stale_time_s = 0;  // 24 bits
    bool operator==(const Entry&) const = default;
  };
  std::vector<Entry> entries;
  bool operator==(const LongLivedGracefulRestartCapability&) const = default;
};
struct AddPathCapability {  // RFC 7911; the sender's view: kReceive = "I can receive"
  enum class Mode : std::uint8_t { kReceive = 1, kSend = 2, kBoth = 3 };
  struct Entry {
    AfiSafi family;
    Mode mode = Mode::kReceive;
    bool operator==(const Entry&) const = default;
  };
  std::vector<Entry> entries;
  bool operator==(const AddPathCapability&) const = default;
};
struct FqdnCapability {  // draft-walton-bgp-hostname-capability, as FRR and GoBGP send it
  std::string host;
  std::string domain;
  bool operator==(const FqdnCapability&) const = default;
};
struct UnknownCapability {
  std::uint8_t code = 0;
  std::vector<std::uint8_t> value;
  bool operator==(const UnknownCapability&) const = default;
};

using Capability = std::variant<MultiprotocolCapability,
                                RouteRefreshCapability,
                                EnhancedRefreshCapability,
                                ExtendedMessageCapability,
                                FourOctetAsCapability,
                                ExtendedNextHopCapability,
                                RoleCapability,
                                GracefulRestartCapability,
                                LongLivedGracefulRestartCapability,
                                AddPathCapability,
                                FqdnCapability,
                                UnknownCapability>;

// The value of one capabilities parameter: any number of capabilities. A length that runs past the
// end, and a wrong size of one whose size is fixed, is 2/0.
[[nodiscard]] Result<std::vector<Capability>, Notification> decode_capabilities(Bytes value);
// One capability with code and length.
void encode_capability(ByteWriter& out, const Capability& capability);
[[nodiscard]] std::uint8_t capability_code(const Capability& capability);
// "multiprotocol ipv6-unicast", "graceful-restart 120 s ipv4-unicast", for status output.
[[nodiscard]] std::string to_string(const Capability& capability);

// The last capability of a type (RFC 4724: the last instance counts), or null.
template <typename T>
[[nodiscard]] const T* find_capability(const std::vector<Capability>& capabilities) {
  const T* found = nullptr;
  for (const Capability& capability : capabilities) {
    if (const T* typed = std::get_if<T>(&capability)) {
      found = typed;
    }
  }
  return found;
}
[[nodiscard]] bool has_multiprotocol(const std::vector<Capability>& capabilities, AfiSafi family);

}  // namespace margay::bgp
