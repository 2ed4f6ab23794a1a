#include "bgp/monitor/mrt.h"

#include "bgp/wire/header.h"
#include "bgp/wire/nlri.h"
#include "bgp/wire/update.h"

#include <algorithm>
#include <limits>
#include <vector>

namespace margay::bgp::mrt {

namespace {

enum class Type : std::uint16_t { kTableDumpV2 = 13, kBgp4mp = 16 };

// Section 4.3 and 4.4, RFC 8050.
constexpr std::uint16_t kPeerIndexTable = 1;
constexpr std::uint16_t kRibIpv4Unicast = 2;
constexpr std::uint16_t kRibIpv6Unicast = 4;
constexpr std::uint16_t kRibIpv4UnicastAddPath = 8;
constexpr std::uint16_t kRibIpv6UnicastAddPath = 10;
constexpr std::uint16_t kMessage = 1;
constexpr std::uint16_t kMessageAs4 = 4;
constexpr std::uint16_t kStateChangeAs4 = 5;
constexpr std::uint16_t kMessageAddPath = 8;
constexpr std::uint16_t kMessageAs4AddPath = 9;

void write_record(ByteWriter& out, UnixTime time, Type type, std::uint16_t subtype, Bytes body) {
  out.u32(time);
  out.u16(static_cast<std::uint16_t>(type));
  out.u16(subtype);
  out.u32(static_cast<std::uint32_t>(body.size()));
  out.bytes(body);
}

void write_asn(ByteWriter& out, Asn asn, bool four_octets) {
  if (four_octets) {
    out.u32(asn.value());
  } else {
    const bool fits = asn.value() <= std::numeric_limits<std::uint16_t>::max();
    out.u16(static_cast<std::uint16_t>(fits ? asn.value() : kAsTrans.value()));
  }
}

// AS numbers, interface, family, addresses.
void write_ends(ByteWriter& out, const Ends& ends, bool four_octets) {
  write_asn(out, ends.peer_asn, four_octets);
  write_asn(out, ends.local_asn, four_octets);
  out.u16(0);
  out.u16(ends.peer.is_v4() ? kAfiIpv4 : kAfiIpv6);
  out.bytes(ends.peer.bytes());
  if (ends.local.family() == ends.peer.family()) {
    out.bytes(ends.local.bytes());
  } else {  // no connection yet
    const std::vector<std::uint8_t> none(ends.peer.bytes().size());
    out.bytes(none);
  }
}

std::uint16_t message_subtype(const Ends& ends) {
  if (ends.add_path) {
    return ends.four_octet_as ? kMessageAs4AddPath : kMessageAddPath;
  }
  return ends.four_octet_as ? kMessageAs4 : kMessage;
}

// Section 4.3.4: AS numbers of four octets always, MP_REACH_NLRI cut down to its next hop.
std::vector<std::uint8_t> attributes_of(const AttributeSet& stored, Family family) {
  AttributeSet set = stored;
  if (family == Family::kIpv6 && set.next_hop.address.is_v4()) {
    set.next_hop.address = IpAddr::v6({});  // a network of our own
  }
  const EncodedAttributes encoded = encode_attributes(set, family, CodecContext());
  ByteWriter out;
  if (encoded.multiprotocol) {
    out.u8(kFlagOptional);
    out.u8(static_cast<std::uint8_t>(AttrType::kMpReach));
    out.u8(static_cast<std::uint8_t>(encoded.next_hop.size() + 1));
    out.u8(static_cast<std::uint8_t>(encoded.next_hop.size()));
    out.bytes(encoded.next_hop);
  }
  out.bytes(encoded.block);
  if (!encoded.multiprotocol && set.next_hop.address.is_unspecified()) {
    // A network of our own has none, but readers expect the attribute.
    out.u8(kFlagTransitive);
    out.u8(static_cast<std::uint8_t>(AttrType::kNextHop));
    out.u8(static_cast<std::uint8_t>(address_bytes(Family::kIpv4)));
    out.u32(0);
  }
  return out.take();
}

std::uint16_t rib_subtype(Family family, bool add_path) {
  if (family == Family::kIpv4) {
    return add_path ? kRibIpv4UnicastAddPath : kRibIpv4Unicast;
  }
  return add_path ? kRibIpv6UnicastAddPath : kRibIpv6Unicast;
}

}  // namespace

void write_message(ByteWriter& out, UnixTime time, const Ends& ends, MessageType type, Bytes body) {
  ByteWriter record;
  write_ends(record, ends, ends.four_octet_as);
  const std::size_t start = begin_message(record, type);
  record.bytes(body);
  end_message(record, start);
  write_record(out, time, Type::kBgp4mp, message_subtype(ends), record.data());
}

void write_state_change(
    ByteWriter& out, UnixTime time, const Ends& ends, SessionState from, SessionState to) {
  ByteWriter record;
  write_ends(record, ends, true);
  record.u16(static_cast<std::uint16_t>(static_cast<unsigned>(from) + 1));
  record.u16(static_cast<std::uint16_t>(static_cast<unsigned>(to) + 1));
  write_record(out, time, Type::kBgp4mp, kStateChangeAs4, record.data());
}

void write_peer_index(ByteWriter& out,
                      UnixTime time,
                      RouterId collector,
                      std::string_view view,
                      std::span<const IndexedPeer> peers) {
  constexpr std::uint8_t kIpv6Address = 1;
  constexpr std::uint8_t kFourOctetAs = 2;
  ByteWriter record;
  record.u32(collector.value());
  record.u16(static_cast<std::uint16_t>(view.size()));
  for (const char letter : view) {
    record.u8(static_cast<std::uint8_t>(letter));
  }
  record.u16(static_cast<std::uint16_t>(peers.size()));
  for (const IndexedPeer& peer : peers) {
    record.u8(peer.address.is_v6() ? kIpv6Address | kFourOctetAs : kFourOctetAs);
    record.u32(peer.router_id.value());
    record.bytes(peer.address.bytes());
    record.u32(peer.asn.value());
  }
  write_record(out, time, Type::kTableDumpV2, kPeerIndexTable, record.data());
}

void write_rib(ByteWriter& out,
               UnixTime time,
               std::uint32_t sequence,
               const Prefix& prefix,
               std::span<const RibEntry> entries) {
  const bool add_path =
      std::ranges::any_of(entries, [](const RibEntry& entry) { return entry.path_id != 0; });
  ByteWriter record;
  record.u32(sequence);
  encode_nlri(record, Nlri{prefix, 0}, false);
  record.u16(static_cast<std::uint16_t>(entries.size()));
  for (const RibEntry& entry : entries) {
    const std::vector<std::uint8_t> attributes = attributes_of(*entry.attributes, prefix.family());
    record.u16(entry.peer);
    record.u32(entry.originated);
    if (add_path) {
      record.u32(entry.path_id);
    }
    record.u16(static_cast<std::uint16_t>(attributes.size()));
    record.bytes(attributes);
  }
  write_record(
      out, time, Type::kTableDumpV2, rib_subtype(prefix.family(), add_path), record.data());
}

}  // namespace margay::bgp::mrt
