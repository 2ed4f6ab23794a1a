#include "bgp/wire/open.h"

#include "base/byte_io.h"
#include "bgp/wire/header.h"

#include <array>
#include <limits>

namespace margay::bgp {

namespace {

constexpr std::uint8_t kVersion = 4;
constexpr std::uint8_t kParameterCapabilities = 2;
constexpr std::uint8_t kExtendedForm = 255;  // RFC 9072 section 2

Failure<Notification> unspecific() {
  return fail(Notification::open(OpenError::kUnspecific));
}

// The parameters after their total length, each with a length of one octet or of two.
Result<std::vector<Capability>, Notification> decode_parameters(ByteReader in, bool extended) {
  std::vector<Capability> out;
  while (!in.empty()) {
    const std::uint8_t type = in.u8();
    const Bytes value = in.bytes(extended ? in.u16() : in.u8());
    if (!in.ok()) {
      return unspecific();
    }
    if (type != kParameterCapabilities) {
      return fail(Notification::open(OpenError::kUnsupportedParameter));
    }
    auto capabilities = decode_capabilities(value);
    if (!capabilities) {
      return fail(capabilities.error());
    }
    out.insert(out.end(), capabilities->begin(), capabilities->end());
  }
  return out;
}

// Everything after the identifier: the length of the parameters in its short or extended form must
// be exactly what is left.
Result<std::vector<Capability>, Notification> decode_optional(ByteReader in) {
  std::size_t length = in.u8();
  ByteReader peek = in;
  const bool extended = length != 0 && peek.u8() == kExtendedForm && peek.ok();
  if (extended) {
    length = peek.u16();
    in = peek;
  }
  if (!in.ok() || length != in.remaining()) {
    return unspecific();
  }
  return decode_parameters(in, extended);
}

// RFC 4271 section 6.2, in its order.
Result<void, Notification> check(std::uint8_t version, const Open& open) {
  if (version != kVersion) {
    const std::array<std::uint8_t, 2> supported{0, kVersion};
    return fail(Notification::open(OpenError::kUnsupportedVersion, supported));
  }
  if (open.asn == Asn{}) {
    return fail(Notification::open(OpenError::kBadPeerAs));  // RFC 7607
  }
  if (open.id == RouterId{}) {
    return fail(Notification::open(OpenError::kBadIdentifier));
  }
  if (open.hold_time_s == 1 || open.hold_time_s == 2) {
    return fail(Notification::open(OpenError::kUnacceptableHoldTime));
  }
  return {};
}

}  // namespace

Result<Open, Notification> decode_open(Bytes body) {
  ByteReader in(body);
  Open open;
  const std::uint8_t version = in.u8();
  open.asn = Asn{in.u16()};
  open.hold_time_s = in.u16();
  open.id = RouterId{in.u32()};
  if (!in.ok()) {
    return unspecific();
  }
  if (auto checked = check(version, open); !checked) {
    return fail(checked.error());
  }
  auto capabilities = decode_optional(in);
  if (!capabilities) {
    return fail(capabilities.error());
  }
  open.capabilities = std::move(*capabilities);
  if (const auto* wide = find_capability<FourOctetAsCapability>(open.capabilities)) {
    open.asn = wide->asn;
    if (auto checked = check(version, open); !checked) {
      return fail(checked.error());
    }
  }
  return open;
}

std::vector<std::uint8_t> encode_open(const Open& open) {
  constexpr std::size_t kParameterHeader = 2;
  constexpr std::size_t kMaxShort = 255;
  ByteWriter capabilities;
  for (const Capability& capability : open.capabilities) {
    encode_capability(capabilities, capability);
  }

  ByteWriter out;
  const std::size_t start = begin_message(out, MessageType::kOpen);
  const bool fits = open.asn.value() <= std::numeric_limits<std::uint16_t>::max();
  out.u8(kVersion);
  out.u16(static_cast<std::uint16_t>(fits ? open.asn.value() : kAsTrans.value()));
  out.u16(open.hold_time_s);
  out.u32(open.id.value());
  if (capabilities.size() == 0) {
    out.u8(0);
  } else if (capabilities.size() + kParameterHeader <= kMaxShort) {
    out.u8(static_cast<std::uint8_t>(capabilities.size() + kParameterHeader));
    out.u8(kParameterCapabilities);
    out.u8(static_cast<std::uint8_t>(capabilities.size()));
  } else {
    out.u8(kExtendedForm);
    out.u8(kExtendedForm);
    out.u16(static_cast<std::uint16_t>(capabilities.size() + kParameterHeader + 1));
    out.u8(kParameterCapabilities);
    out.u16(static_cast<std::uint16_t>(capabilities.size()));
  }
  out.bytes(capabilities.data());
  end_message(out, start);
  return out.take();
}

}  // namespace margay::bgp
