#pragma once
// BMP, version 3 (RFC 7854): what a router tells a monitoring station about its sessions. Values to
// bytes; each function appends one whole message. The order in which they are sent is
// bgp/bmp_exporter.h's.
//
// UPDATEs and NOTIFICATIONs are given without their header: it follows from type and length, so
// that writing it anew gives the bytes that came.

#include "base/byte_io.h"
#include "bgp/wire/notification.h"
#include "bgp/wire/types.h"

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace margay::bgp::bmp {

// Section 4.2. A peer of the global instance: type and distinguisher are 0.
struct PeerHeader {
  IpAddr address;
  Asn asn;
  RouterId router_id;
  bool post_policy = false;           // L: after the import filters
  bool two_octet_as = false;          // A: AS_PATH of the legacy format
  std::chrono::microseconds time{0};  // since 1970; 0: not known
};

// Section 4.10.
struct PeerUp {
  IpAddr local;
  std::uint16_t local_port = 0;
  std::uint16_t remote_port = 0;
  Bytes sent_open;  // whole messages
  Bytes received_open;
};

// Section 4.9: how a session ended.
struct LocalNotification {
  Notification sent;
};
struct LocalEvent {
  std::uint16_t fsm_event = 0;  // RFC 4271 section 8.1; 0: none is fitting
};
struct RemoteNotification {
  Notification received;
};
struct RemoteClosed {};
struct NoLongerMonitored {};
using PeerDownReason = std::
    variant<LocalNotification, LocalEvent, RemoteNotification, RemoteClosed, NoLongerMonitored>;

// Section 4.8.
struct Statistics {
  std::uint64_t adj_rib_in = 0;            // type 7
  std::uint64_t loc_rib = 0;               // type 8
  std::uint32_t updates_as_withdraw = 0;   // type 11
  std::uint32_t prefixes_as_withdraw = 0;  // type 12
};

enum class TerminationReason : std::uint16_t {
  kAdministrativelyClosed = 0,
  kUnspecified = 1,
  kOutOfResources = 2,
};

// Each text is cut to 65,535 bytes.
void write_initiation(ByteWriter& out, std::string_view description, std::string_view name);
void write_termination(ByteWriter& out, TerminationReason reason, std::string_view text);
void write_peer_up(ByteWriter& out, const PeerHeader& peer, const PeerUp& up);
void write_peer_down(ByteWriter& out, const PeerHeader& peer, const PeerDownReason& reason);
void write_route_monitoring(ByteWriter& out, const PeerHeader& peer, Bytes update_body);
void write_statistics(ByteWriter& out, const PeerHeader& peer, const Statistics& statistics);

}  // namespace margay::bgp::bmp
