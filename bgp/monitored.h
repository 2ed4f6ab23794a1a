#pragma once
// What exporters (BMP, MRT) see of the speaker: its table and its established sessions. Internal to
// bgp/.

#include "bgp/fsm/session.h"
#include "bgp/rib/rib.h"

#include <chrono>
#include <cstdint>
#include <map>
#include <string>

namespace margay::bgp {

struct MonitoredSession {
  PeerId id;
  std::string name;
  IpAddr address;
  IpAddr local_address;
  std::uint16_t local_port = 0;
  std::uint16_t remote_port = 0;
  Asn asn;
  Asn local_asn;
  Negotiated facts;
  std::chrono::system_clock::time_point since;
  std::uint32_t updates_as_withdraw = 0;  // malformed, RFC 7606
  std::uint32_t prefixes_as_withdraw = 0;
};

struct Monitored {
  const Rib* rib = nullptr;
  Asn asn;
  RouterId router_id;
  std::map<PeerId, MonitoredSession> sessions;
};

}  // namespace margay::bgp
