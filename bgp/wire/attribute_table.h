#pragma once
// The table of path attributes: one row per attribute with its name, flags, what an error costs,
// and its functions. Rules that hold for every attribute (duplicate, flags, scope) are in
// update_decode.cpp and run before the row's function. Internal to bgp/wire.

#include "base/byte_io.h"
#include "bgp/wire/attributes.h"
#include "bgp/wire/context.h"
#include "bgp/wire/notification.h"

#include <optional>
#include <span>
#include <string_view>

namespace margay::bgp {

// Why a value is malformed, and the subcode should it end in a reset.
struct AttributeFault {
  UpdateError subcode = UpdateError::kAttributeLength;
  std::string_view why;
};

// What the rows' functions fill; merged into one AttributeSet at the end.
struct AttributeDecoding {
  const CodecContext& context;
  bool has_nlri_field = false;
  AttributeSet set;
  std::optional<AsPath> as4_path;
  std::optional<Aggregator> as4_aggregator;
};

using DecodeAttribute = std::optional<AttributeFault> (*)(Bytes value, AttributeDecoding& into);
// Appends the value; false when the set has no such attribute.
using EncodeAttribute = bool (*)(const AttributeSet& set,
                                 const CodecContext& context,
                                 ByteWriter& out);

enum class AttributeScope : std::uint8_t {
  kAnyPeer,
  kInternalOnly,  // from eBGP discarded unread: RFC 7606 sections 7.5, 7.9, 7.10
};

struct AttributeSpec {
  AttrType type;
  std::string_view name;
  std::uint8_t flags;  // optional, transitive
  Outcome on_error;
  AttributeScope scope;
  std::uint8_t partial_bit;  // AttributeSet::PartialBit
  DecodeAttribute decode;    // null: MP_REACH_NLRI and MP_UNREACH_NLRI, read by split_update
  EncodeAttribute encode;    // null: written by UpdatePacker
};

// In order of type.
[[nodiscard]] std::span<const AttributeSpec> attribute_table();
[[nodiscard]] const AttributeSpec* find_attribute(std::uint8_t type);

// Whether an address can be a next hop: no martian and not one of our own.
[[nodiscard]] std::optional<AttributeFault> check_next_hop(const IpAddr& address,
                                                           const CodecContext& context);

// flags, type, length in one or two octets, value.
void write_attribute(ByteWriter& out, std::uint8_t flags, std::uint8_t type, Bytes value);

}  // namespace margay::bgp
