#pragma once
// MRT (RFC 6396): what came from peers, and the table, as records of a file that bgpdump and others
// read. Values to bytes; each function appends one whole record. Path identifiers are written as
// RFC 8050 has them. The files are bgp/mrt_dumper.h's.

#include "base/byte_io.h"
#include "bgp/fsm/session.h"
#include "bgp/wire/attributes.h"

#include <cstdint>
#include <span>
#include <string_view>

namespace margay::bgp::mrt {

using UnixTime = std::uint32_t;  // seconds since 1970

// The two ends of a session (section 4.4). Both addresses are of the peer's family.
struct Ends {
  Asn peer_asn;
  Asn local_asn;
  IpAddr peer;
  IpAddr local;
  bool four_octet_as = true;  // of AS_PATH in its messages
  bool add_path = false;      // the message's prefixes carry path identifiers
};

// BGP4MP_MESSAGE_AS4, or BGP4MP_MESSAGE of a session without 4-octet AS numbers.
void write_message(ByteWriter& out, UnixTime time, const Ends& ends, MessageType type, Bytes body);
// BGP4MP_STATE_CHANGE_AS4.
void write_state_change(
    ByteWriter& out, UnixTime time, const Ends& ends, SessionState from, SessionState to);

// TABLE_DUMP_V2 (section 4.3): the peers first, then a record for each prefix.
struct IndexedPeer {
  IpAddr address;
  Asn asn;
  RouterId router_id;
};
void write_peer_index(ByteWriter& out,
                      UnixTime time,
                      RouterId collector,
                      std::string_view view,
                      std::span<const IndexedPeer> peers);

struct RibEntry {
  std::uint16_t peer = 0;  // place in the index
  UnixTime originated = 0;
  std::uint32_t path_id = 0;
  const AttributeSet* attributes = nullptr;
};
// RIB_IPV4_UNICAST or RIB_IPV6_UNICAST; with path identifiers when an entry has one.
void write_rib(ByteWriter& out,
               UnixTime time,
               std::uint32_t sequence,
               const Prefix& prefix,
               std::span<const RibEntry> entries);

}  // namespace margay::bgp::mrt
