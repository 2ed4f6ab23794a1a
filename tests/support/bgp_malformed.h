#pragma once
// The table of malformed and unusual BGP messages with what the RFCs ask for. One table, used
// twice: the unit test decodes every row, the interop test sends every row to a live speaker and
// watches what another peer gets.
//
// Every UPDATE row speaks about kTestPrefix4 or kTestPrefix6 and comes from kSenderAsn (external
// rows) or kSpeakerAsn (internal rows) at 10.0.0.2 and 2001:db8::2.

#include "base/ip_addr.h"
#include "base/strong.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace margay::bgp::test {

inline constexpr Asn kSpeakerAsn{65000};
inline constexpr Asn kSenderAsn{65001};
inline constexpr Asn kMarkerAsn{64998};  // second in the AS_PATH of every row
inline constexpr std::string_view kSpeaker4 = "10.0.0.1";
inline constexpr std::string_view kSender4 = "10.0.0.2";
inline constexpr std::string_view kSender6 = "2001:db8::2";
inline constexpr std::string_view kTestPrefix4 = "198.51.100.0/24";
inline constexpr std::string_view kTestPrefix6 = "2001:db8:99::/48";

enum class PeerKind : std::uint8_t { kExternal, kInternal, kExternalTwoOctet };
enum class Expected : std::uint8_t {
  kAccept,    // the route is announced, nothing to remark
  kDiscard,   // the route is announced without the attribute
  kWithdraw,  // the route is withdrawn, the session stays
  kIgnore,    // neither announced nor withdrawn, the session stays
  kReset,     // NOTIFICATION code/subcode
};

struct MalformedRow {
  std::string why;
  PeerKind peer = PeerKind::kExternal;
  Family family = Family::kIpv4;
  std::vector<std::uint8_t> message;  // whole, with header
  Expected expected = Expected::kAccept;
  std::uint8_t code = 0;
  std::uint8_t subcode = 0;
};

// Builds UPDATE messages byte by byte, right or wrong.
class RawUpdate {
 public:
  // ORIGIN, AS_PATH and NEXT_HOP (or LOCAL_PREF) as the peer of that kind would send them for IPv4.
  static RawUpdate valid(PeerKind peer = PeerKind::kExternal);

  RawUpdate& withdrawn(std::vector<std::uint8_t> bytes);
  RawUpdate& nlri(std::vector<std::uint8_t> bytes);
  RawUpdate& attribute(std::uint8_t flags, std::uint8_t type, std::vector<std::uint8_t> value);
  RawUpdate& in_front(std::uint8_t flags, std::uint8_t type, std::vector<std::uint8_t> value);
  RawUpdate& replace(std::uint8_t flags, std::uint8_t type, std::vector<std::uint8_t> value);
  RawUpdate& remove(std::uint8_t type);
  RawUpdate& raw_attribute(std::vector<std::uint8_t> bytes);  // anything, at the end
  RawUpdate& withdrawn_length(std::uint16_t length);          // instead of the true ones
  RawUpdate& attributes_length(std::uint16_t length);
  [[nodiscard]] std::vector<std::uint8_t> message() const;

 private:
  struct Attribute {
    std::uint8_t type = 0;
    std::vector<std::uint8_t> bytes;
  };
  std::vector<Attribute> attributes_;
  std::vector<std::uint8_t> withdrawn_;
  std::vector<std::uint8_t> nlri_;
  std::optional<std::uint16_t> withdrawn_length_;
  std::optional<std::uint16_t> attributes_length_;
};

// The NLRI bytes of the test prefixes, and the value of an MP_REACH_NLRI for the IPv6 one.
[[nodiscard]] std::vector<std::uint8_t> test_nlri4();
[[nodiscard]] std::vector<std::uint8_t> test_nlri6();
[[nodiscard]] std::vector<std::uint8_t> test_mp_reach(std::vector<std::uint8_t> next_hop,
                                                      std::vector<std::uint8_t> nlri);
[[nodiscard]] std::vector<std::uint8_t> sender6_bytes();

// The first message of a session, from AS 65001 with hold time 90; each ends with 2/subcode.
struct MalformedOpen {
  std::string why;
  std::vector<std::uint8_t> message;  // whole, with header
  std::uint8_t subcode = 0;
};
[[nodiscard]] std::vector<MalformedOpen> malformed_opens();

[[nodiscard]] std::vector<MalformedRow> malformed_updates();
[[nodiscard]] std::vector<MalformedRow> malformed_messages();  // framing and other message types

}  // namespace margay::bgp::test
