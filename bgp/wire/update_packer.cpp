#include "bgp/wire/attribute_table.h"
#include "bgp/wire/header.h"
#include "bgp/wire/message.h"
#include "bgp/wire/update.h"

#include <algorithm>

namespace margay::bgp {

namespace {

constexpr std::size_t kFieldLengths = 4;     // of Withdrawn Routes and of the attributes
constexpr std::size_t kAttributeHeader = 4;  // flags, type, extended length
constexpr std::size_t kMpReachFixed = 5;     // family, next hop length, reserved
constexpr std::size_t kMpUnreachFixed = 3;   // family

std::uint8_t flags_of(const AttributeSpec& spec, const AttributeSet& set) {
  const bool partial = (set.partial & spec.partial_bit) != 0;
  return static_cast<std::uint8_t>(spec.flags | (partial ? kFlagPartial : 0U));
}

// The header of an attribute whose value follows.
void attribute_header(ByteWriter& out, std::uint8_t flags, AttrType type, std::size_t size) {
  constexpr std::size_t kMaxShort = 255;
  const bool extended = size > kMaxShort;
  out.u8(extended ? static_cast<std::uint8_t>(flags | kFlagExtended) : flags);
  out.u8(static_cast<std::uint8_t>(type));
  if (extended) {
    out.u16(static_cast<std::uint16_t>(size));
  } else {
    out.u8(static_cast<std::uint8_t>(size));
  }
}

struct Run {
  std::size_t count = 0;
  std::size_t bytes = 0;
};

// As many prefixes as fit into `room` bytes.
Run fitting(std::span<const Nlri> prefixes, std::size_t room, bool add_path) {
  Run run;
  for (const Nlri& nlri : prefixes) {
    const std::size_t size = encoded_size(nlri, add_path);
    if (run.bytes + size > room) {
      break;
    }
    ++run.count;
    run.bytes += size;
  }
  return run;
}

void write_nlri(ByteWriter& out, std::span<const Nlri> prefixes, bool add_path) {
  for (const Nlri& nlri : prefixes) {
    encode_nlri(out, nlri, add_path);
  }
}

// One message with the prefixes of one run.
void write_announcement(ByteWriter& out,
                        const EncodedAttributes& attributes,
                        std::span<const Nlri> prefixes,
                        std::size_t nlri_bytes,
                        bool add_path) {
  const std::size_t start = begin_message(out, MessageType::kUpdate);
  out.u16(0);
  const std::size_t length_at = out.size();
  out.u16(0);
  if (attributes.multiprotocol) {
    const std::size_t size = kMpReachFixed + attributes.next_hop.size() + nlri_bytes;
    attribute_header(out, kFlagOptional, AttrType::kMpReach, size);
    write_family(out, unicast(attributes.family));
    out.u8(static_cast<std::uint8_t>(attributes.next_hop.size()));
    out.bytes(attributes.next_hop);
    out.u8(0);
    write_nlri(out, prefixes, add_path);
  }
  out.bytes(attributes.block);
  out.patch_u16(length_at, static_cast<std::uint16_t>(out.size() - length_at - 2));
  if (!attributes.multiprotocol) {
    write_nlri(out, prefixes, add_path);
  }
  end_message(out, start);
}

}  // namespace

EncodedAttributes encode_attributes(const AttributeSet& attributes,
                                    Family family,
                                    const CodecContext& context) {
  EncodedAttributes encoded;
  encoded.family = family;
  encoded.multiprotocol = family == Family::kIpv6 || attributes.next_hop.address.is_v6();
  if (encoded.multiprotocol) {
    const auto bytes = attributes.next_hop.address.bytes();
    encoded.next_hop.assign(bytes.begin(), bytes.end());
    if (attributes.next_hop.link_local) {
      const auto second = attributes.next_hop.link_local->bytes();
      encoded.next_hop.insert(encoded.next_hop.end(), second.begin(), second.end());
    }
  }

  ByteWriter out;
  auto unknown = attributes.unknown.begin();
  const auto write_unknown_below = [&](unsigned type) {
    for (; unknown != attributes.unknown.end() && unknown->type < type; ++unknown) {
      write_attribute(out, unknown->flags, unknown->type, unknown->value);
    }
  };
  for (const AttributeSpec& spec : attribute_table()) {
    write_unknown_below(static_cast<unsigned>(spec.type));
    const bool skipped =
        spec.encode == nullptr || (spec.type == AttrType::kNextHop && encoded.multiprotocol);
    ByteWriter value;
    if (!skipped && spec.encode(attributes, context, value)) {
      const auto type = static_cast<std::uint8_t>(spec.type);
      write_attribute(out, flags_of(spec, attributes), type, value.data());
    }
  }
  constexpr unsigned kAboveAll = 256;
  write_unknown_below(kAboveAll);
  encoded.block = out.take();
  return encoded;
}

std::size_t UpdatePacker::max_size() const {
  return context_.extended_send ? kMaxExtendedMessageSize : kMaxMessageSize;
}

bool UpdatePacker::announce(const EncodedAttributes& attributes, std::span<const Nlri> prefixes) {
  std::size_t fixed = kHeaderSize + kFieldLengths + attributes.block.size();
  if (attributes.multiprotocol) {
    fixed += kAttributeHeader + kMpReachFixed + attributes.next_hop.size();
  }
  const std::size_t longest = 4 + 1 + address_bytes(attributes.family);
  if (fixed + longest > max_size()) {
    return prefixes.empty();
  }
  const bool add_path = context_.of(attributes.family).add_path_send;
  while (!prefixes.empty()) {
    const Run run = fitting(prefixes, max_size() - fixed, add_path);
    write_announcement(out_, attributes, prefixes.first(run.count), run.bytes, add_path);
    ++messages_;
    prefixes = prefixes.subspan(run.count);
  }
  return true;
}

bool UpdatePacker::announce(const AttributeSet& attributes, std::span<const Nlri> prefixes) {
  if (prefixes.empty()) {
    return true;
  }
  const Family family = prefixes.front().prefix.family();
  return announce(encode_attributes(attributes, family, context_), prefixes);
}

void UpdatePacker::withdraw(std::span<const Nlri> prefixes) {
  for (const Family family : {Family::kIpv4, Family::kIpv6}) {
    std::vector<Nlri> of_family;
    std::ranges::copy_if(prefixes, std::back_inserter(of_family), [&](const Nlri& nlri) {
      return nlri.prefix.family() == family;
    });
    withdraw_family(family, of_family);
  }
}

void UpdatePacker::withdraw_family(Family family, std::span<const Nlri> prefixes) {
  const bool field = family == Family::kIpv4;
  const bool add_path = context_.of(family).add_path_send;
  const std::size_t fixed =
      kHeaderSize + kFieldLengths + (field ? 0 : kAttributeHeader + kMpUnreachFixed);
  while (!prefixes.empty()) {
    const Run run = fitting(prefixes, max_size() - fixed, add_path);
    const std::size_t start = begin_message(out_, MessageType::kUpdate);
    out_.u16(static_cast<std::uint16_t>(field ? run.bytes : 0));
    if (field) {
      write_nlri(out_, prefixes.first(run.count), add_path);
      out_.u16(0);
    } else {
      const std::size_t length_at = out_.size();
      out_.u16(0);
      attribute_header(out_, kFlagOptional, AttrType::kMpUnreach, kMpUnreachFixed + run.bytes);
      write_family(out_, unicast(family));
      write_nlri(out_, prefixes.first(run.count), add_path);
      out_.patch_u16(length_at, static_cast<std::uint16_t>(out_.size() - length_at - 2));
    }
    end_message(out_, start);
    ++messages_;
    prefixes = prefixes.subspan(run.count);
  }
}

void UpdatePacker::end_of_rib(AfiSafi family) {
  const std::size_t start = begin_message(out_, MessageType::kUpdate);
  out_.u16(0);
  const std::size_t length_at = out_.size();
  out_.u16(0);
  if (family != kIpv4Unicast) {
    attribute_header(out_, kFlagOptional, AttrType::kMpUnreach, kMpUnreachFixed);
    write_family(out_, family);
    out_.patch_u16(length_at, static_cast<std::uint16_t>(out_.size() - length_at - 2));
  }
  end_message(out_, start);
  ++messages_;
}

}  // namespace margay::bgp
