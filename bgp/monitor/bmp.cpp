#include "bgp/monitor/bmp.h"

#include "bgp/wire/header.h"
#include "bgp/wire/message.h"

#include <algorithm>

namespace margay::bgp::bmp {

namespace {

constexpr std::uint8_t kVersion = 3;
constexpr std::size_t kCommonHeader = 6;
constexpr std::size_t kPeerHeader = 42;
constexpr std::size_t kTlvHeader = 4;
constexpr std::size_t kMaxText = 65535;

enum class Type : std::uint8_t {
  kRouteMonitoring = 0,
  kStatisticsReport = 1,
  kPeerDown = 2,
  kPeerUp = 3,
  kInitiation = 4,
  kTermination = 5,
};

void common_header(ByteWriter& out, Type type, std::size_t body) {
  out.u8(kVersion);
  out.u32(static_cast<std::uint32_t>(kCommonHeader + body));
  out.u8(static_cast<std::uint8_t>(type));
}

// Sixteen octets; an IPv4 address in the last four.
void write_address(ByteWriter& out, const IpAddr& address) {
  if (address.is_v4()) {
    out.u64(0);
    out.u32(0);
  }
  out.bytes(address.bytes());
}

void peer_header(ByteWriter& out, const PeerHeader& peer) {
  constexpr unsigned kIpv6 = 0x80;
  constexpr unsigned kPostPolicy = 0x40;
  constexpr unsigned kLegacyAsPath = 0x20;
  constexpr std::int64_t kMicros = 1'000'000;
  out.u8(0);
  out.u8(static_cast<std::uint8_t>((peer.address.is_v6() ? kIpv6 : 0U) |
                                   (peer.post_policy ? kPostPolicy : 0U) |
                                   (peer.two_octet_as ? kLegacyAsPath : 0U)));
  out.u64(0);
  write_address(out, peer.address);
  out.u32(peer.asn.value());
  out.u32(peer.router_id.value());
  out.u32(static_cast<std::uint32_t>(peer.time.count() / kMicros));
  out.u32(static_cast<std::uint32_t>(peer.time.count() % kMicros));
}

void write_tlv(ByteWriter& out, std::uint16_t type, std::string_view text) {
  out.u16(type);
  out.u16(static_cast<std::uint16_t>(text.size()));
  for (const char letter : text) {
    out.u8(static_cast<std::uint8_t>(letter));
  }
}

}  // namespace

void write_initiation(ByteWriter& out, std::string_view description, std::string_view name) {
  constexpr std::uint16_t kSysDescr = 1;
  constexpr std::uint16_t kSysName = 2;
  description = description.substr(0, kMaxText);
  name = name.substr(0, kMaxText);
  common_header(out, Type::kInitiation, 2 * kTlvHeader + description.size() + name.size());
  write_tlv(out, kSysDescr, description);
  write_tlv(out, kSysName, name);
}

void write_termination(ByteWriter& out, TerminationReason reason, std::string_view text) {
  constexpr std::uint16_t kString = 0;
  constexpr std::uint16_t kReason = 1;
  text = text.substr(0, kMaxText);
  const std::size_t of_text = text.empty() ? 0 : kTlvHeader + text.size();
  common_header(out, Type::kTermination, kTlvHeader + sizeof(reason) + of_text);
  out.u16(kReason);
  out.u16(sizeof(reason));
  out.u16(static_cast<std::uint16_t>(reason));
  if (!text.empty()) {
    write_tlv(out, kString, text);
  }
}

void write_peer_up(ByteWriter& out, const PeerHeader& peer, const PeerUp& up) {
  constexpr std::size_t kFixed = 20;
  common_header(
      out, Type::kPeerUp, kPeerHeader + kFixed + up.sent_open.size() + up.received_open.size());
  peer_header(out, peer);
  write_address(out, up.local);
  out.u16(up.local_port);
  out.u16(up.remote_port);
  out.bytes(up.sent_open);
  out.bytes(up.received_open);
}

void write_peer_down(ByteWriter& out, const PeerHeader& peer, const PeerDownReason& reason) {
  ByteWriter body;
  if (const auto* local = std::get_if<LocalNotification>(&reason)) {
    body.u8(1);
    body.bytes(encode_notification(local->sent));
  } else if (const auto* event = std::get_if<LocalEvent>(&reason)) {
    body.u8(2);
    body.u16(event->fsm_event);
  } else if (const auto* remote = std::get_if<RemoteNotification>(&reason)) {
    body.u8(3);
    body.bytes(encode_notification(remote->received));
  } else {
    body.u8(std::holds_alternative<RemoteClosed>(reason) ? 4 : 5);
  }
  common_header(out, Type::kPeerDown, kPeerHeader + body.size());
  peer_header(out, peer);
  out.bytes(body.data());
}

void write_route_monitoring(ByteWriter& out, const PeerHeader& peer, Bytes update_body) {
  common_header(out, Type::kRouteMonitoring, kPeerHeader + kHeaderSize + update_body.size());
  peer_header(out, peer);
  const std::size_t start = begin_message(out, MessageType::kUpdate);
  out.bytes(update_body);
  end_message(out, start);
}

void write_statistics(ByteWriter& out, const PeerHeader& peer, const Statistics& statistics) {
  ByteWriter body;
  constexpr std::uint32_t kCount = 4;
  body.u32(kCount);
  const auto gauge = [&body](std::uint16_t type, std::uint64_t value) {
    body.u16(type);
    body.u16(sizeof(value));
    body.u64(value);
  };
  const auto counter = [&body](std::uint16_t type, std::uint32_t value) {
    body.u16(type);
    body.u16(sizeof(value));
    body.u32(value);
  };
  gauge(7, statistics.adj_rib_in);
  gauge(8, statistics.loc_rib);
  counter(11, statistics.updates_as_withdraw);
  counter(12, statistics.prefixes_as_withdraw);
  common_header(out, Type::kStatisticsReport, kPeerHeader + body.size());
  peer_header(out, peer);
  out.bytes(body.data());
}

}  // namespace margay::bgp::bmp
