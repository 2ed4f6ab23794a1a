#include "bgp/wire/capability.h"

#include <algorithm>
#include <optional>

namespace margay::bgp {

namespace {

AfiSafi read_family(ByteReader& in) {
  const std::uint16_t afi = in.u16();
  return AfiSafi{afi, in.u8()};
}

// The decoders below get the value only. Nothing means: keep it as an unknown capability.
using Decoded = std::optional<Capability>;

Decoded decode_extended_next_hop(ByteReader in) {
  ExtendedNextHopCapability out;
  while (!in.empty()) {
    // RFC 8950 section 4: AFI, SAFI in two octets, next hop AFI
    const std::uint16_t afi = in.u16();
    const std::uint16_t safi = in.u16();
    const std::uint16_t next_hop_afi = in.u16();
    if (!in.ok()) {
      return std::nullopt;
    }
    if (safi <= 0xFF) {
      out.entries.push_back({AfiSafi{afi, static_cast<std::uint8_t>(safi)}, next_hop_afi});
    }
  }
  return out;
}

Decoded decode_graceful_restart(ByteReader in) {
  constexpr std::uint16_t kRestarting = 0x8000;
  constexpr std::uint16_t kNotification = 0x4000;
  constexpr std::uint8_t kForwarding = 0x80;
  GracefulRestartCapability out;
  const std::uint16_t head = in.u16();
  out.restarting = (head & kRestarting) != 0;
  out.notification = (head & kNotification) != 0;
  out.restart_time_s = head & 0x0FFFU;
  while (in.ok() && !in.empty()) {
    const AfiSafi family = read_family(in);
    out.entries.push_back({family, (in.u8() & kForwarding) != 0});
  }
  return in.ok() ? Decoded(out) : std::nullopt;
}

Decoded decode_long_lived(ByteReader in) {
  constexpr std::uint8_t kForwarding = 0x80;
  LongLivedGracefulRestartCapability out;
  while (in.ok() && !in.empty()) {
    const AfiSafi family = read_family(in);
    const bool forwarding = (in.u8() & kForwarding) != 0;
    const std::uint32_t high = in.u8();
    out.entries.push_back({family, forwarding, (high << 16U) | in.u16()});
  }
  return in.ok() ? Decoded(out) : std::nullopt;
}

Decoded decode_add_path(ByteReader in) {
  AddPathCapability out;
  while (in.ok() && !in.empty()) {
    const AfiSafi family = read_family(in);
    const std::uint8_t mode = in.u8();
    if (mode < 1 || mode > 3) {
      return std::nullopt;  // RFC 7911 section 4: ignored
    }
    out.entries.push_back({family, static_cast<AddPathCapability::Mode>(mode)});
  }
  return in.ok() ? Decoded(out) : std::nullopt;
}

Decoded decode_fqdn(ByteReader in) {
  const auto text = [&in] {
    const Bytes bytes = in.bytes(in.u8());
    return std::string(bytes.begin(), bytes.end());
  };
  FqdnCapability out;
  out.host = text();
  out.domain = text();
  return in.ok() ? Decoded(out) : std::nullopt;
}

Decoded decode_role(ByteReader in) {
  const auto role = static_cast<Role>(in.u8());
  return in.ok() && in.empty() ? Decoded(RoleCapability{role}) : std::nullopt;
}

// The size of a capability whose size is fixed: any other is an error of the OPEN.
std::optional<std::size_t> fixed_size(CapabilityCode code) {
  switch (code) {
    case CapabilityCode::kMultiprotocol:
    case CapabilityCode::kFourOctetAs:
      return 4;
    case CapabilityCode::kRouteRefresh:
    case CapabilityCode::kExtendedMessage:
    case CapabilityCode::kEnhancedRefresh:
      return 0;
    case CapabilityCode::kExtendedNextHop:
    case CapabilityCode::kRole:
    case CapabilityCode::kGracefulRestart:
    case CapabilityCode::kAddPath:
    case CapabilityCode::kLongLivedGracefulRestart:
    case CapabilityCode::kFqdn:
      return std::nullopt;
  }
  return std::nullopt;
}

Decoded decode_value(CapabilityCode code, ByteReader in) {
  switch (code) {
    case CapabilityCode::kMultiprotocol: {
      const std::uint16_t afi = in.u16();
      in.u8();  // reserved
      return MultiprotocolCapability{AfiSafi{afi, in.u8()}};
    }
    case CapabilityCode::kRouteRefresh:
      return RouteRefreshCapability{};
    case CapabilityCode::kEnhancedRefresh:
      return EnhancedRefreshCapability{};
    case CapabilityCode::kExtendedMessage:
      return ExtendedMessageCapability{};
    case CapabilityCode::kFourOctetAs:
      return FourOctetAsCapability{Asn{in.u32()}};
    case CapabilityCode::kExtendedNextHop:
      return decode_extended_next_hop(in);
    case CapabilityCode::kRole:
      return decode_role(in);
    case CapabilityCode::kGracefulRestart:
      return decode_graceful_restart(in);
    case CapabilityCode::kAddPath:
      return decode_add_path(in);
    case CapabilityCode::kLongLivedGracefulRestart:
      return decode_long_lived(in);
    case CapabilityCode::kFqdn:
      return decode_fqdn(in);
  }
  return std::nullopt;
}

// Writes the value of each capability and names it; one overload per type.
struct Encoder {
  ByteWriter& out;

  void operator()(const MultiprotocolCapability& c) const {
    out.u16(c.family.afi);
    out.u8(0);
    out.u8(c.family.safi);
  }
  void operator()(const RouteRefreshCapability&) const {}
  void operator()(const EnhancedRefreshCapability&) const {}
  void operator()(const ExtendedMessageCapability&) const {}
  void operator()(const FourOctetAsCapability& c) const { out.u32(c.asn.value()); }
  void operator()(const ExtendedNextHopCapability& c) const {
    for (const auto& entry : c.entries) {
      out.u16(entry.family.afi);
      out.u16(entry.family.safi);
      out.u16(entry.next_hop_afi);
    }
  }
  void operator()(const RoleCapability& c) const { out.u8(static_cast<std::uint8_t>(c.role)); }
  void operator()(const GracefulRestartCapability& c) const {
    const unsigned bits = (c.restarting ? 0x8000U : 0U) | (c.notification ? 0x4000U : 0U);
    out.u16(static_cast<std::uint16_t>(bits | (c.restart_time_s & 0x0FFFU)));
    for (const auto& entry : c.entries) {
      write_family(out, entry.family);
      out.u8(entry.forwarding_kept ? 0x80 : 0);
    }
  }
  void operator()(const LongLivedGracefulRestartCapability& c) const {
    for (const auto& entry : c.entries) {
      write_family(out, entry.family);
      out.u8(entry.forwarding_kept ? 0x80 : 0);
      out.u8(static_cast<std::uint8_t>(entry.stale_time_s >> 16U));
      out.u16(static_cast<std::uint16_t>(entry.stale_time_s));
    }
  }
  void operator()(const AddPathCapability& c) const {
    for (const auto& entry : c.entries) {
      write_family(out, entry.family);
      out.u8(static_cast<std::uint8_t>(entry.mode));
    }
  }
  void operator()(const FqdnCapability& c) const {
    text(c.host);
    text(c.domain);
  }
  void operator()(const UnknownCapability& c) const { out.bytes(c.value); }

  // 64 bytes each, as FRR bounds them, keep the capability below its 255
  void text(std::string_view value) const {
    const std::string_view cut = value.substr(0, 64);
    out.u8(static_cast<std::uint8_t>(cut.size()));
    for (const char c : cut) {
      out.u8(static_cast<std::uint8_t>(c));
    }
  }
};

template <typename Entries>
std::string families(const Entries& entries) {
  std::string out;
  for (const auto& entry : entries) {
    out += " " + to_string(entry.family);
  }
  return out;
}

struct Namer {
  std::string operator()(const MultiprotocolCapability& c) const {
    return "multiprotocol " + to_string(c.family);
  }
  std::string operator()(const RouteRefreshCapability&) const { return "route-refresh"; }
  std::string operator()(const EnhancedRefreshCapability&) const { return "enhanced-refresh"; }
  std::string operator()(const ExtendedMessageCapability&) const { return "extended-message"; }
  std::string operator()(const FourOctetAsCapability& c) const {
    return fmt::format("4-octet-as {}", c.asn.value());
  }
  std::string operator()(const ExtendedNextHopCapability& c) const {
    return "extended-next-hop" + families(c.entries);
  }
  std::string operator()(const RoleCapability& c) const {
    return c.role <= Role::kPeer ? "role " + to_string(c.role) : to_string(c.role);
  }
  std::string operator()(const GracefulRestartCapability& c) const {
    return fmt::format("graceful-restart {} s{}{}{}",
                       c.restart_time_s,
                       c.restarting ? " restarting" : "",
                       c.notification ? " notification" : "",
                       families(c.entries));
  }
  std::string operator()(const LongLivedGracefulRestartCapability& c) const {
    return "long-lived-graceful-restart" + families(c.entries);
  }
  std::string operator()(const AddPathCapability& c) const {
    std::string out = "add-path";
    for (const auto& entry : c.entries) {
      const auto mode = static_cast<unsigned>(entry.mode);
      out += fmt::format(" {} {}",
                         to_string(entry.family),
                         mode == 1   ? "receive"
                         : mode == 2 ? "send"
                                     : "both");
    }
    return out;
  }
  std::string operator()(const FqdnCapability& c) const {
    return c.domain.empty() ? "fqdn " + c.host : fmt::format("fqdn {}.{}", c.host, c.domain);
  }
  std::string operator()(const UnknownCapability& c) const {
    return fmt::format("capability {}, {} bytes", c.code, c.value.size());
  }
};

struct CodeOf {
  using Code = CapabilityCode;
  Code operator()(const MultiprotocolCapability&) const { return Code::kMultiprotocol; }
  Code operator()(const RouteRefreshCapability&) const { return Code::kRouteRefresh; }
  Code operator()(const EnhancedRefreshCapability&) const { return Code::kEnhancedRefresh; }
  Code operator()(const ExtendedMessageCapability&) const { return Code::kExtendedMessage; }
  Code operator()(const FourOctetAsCapability&) const { return Code::kFourOctetAs; }
  Code operator()(const ExtendedNextHopCapability&) const { return Code::kExtendedNextHop; }
  Code operator()(const RoleCapability&) const { return Code::kRole; }
  Code operator()(const GracefulRestartCapability&) const { return Code::kGracefulRestart; }
  Code operator()(const LongLivedGracefulRestartCapability&) const {
    return Code::kLongLivedGracefulRestart;
  }
  Code operator()(const AddPathCapability&) const { return Code::kAddPath; }
  Code operator()(const FqdnCapability&) const { return Code::kFqdn; }
  Code operator()(const UnknownCapability& c) const { return static_cast<Code>(c.code); }
};

}  // namespace

Result<std::vector<Capability>, Notification> decode_capabilities(Bytes value) {
  std::vector<Capability> out;
  ByteReader in(value);
  while (!in.empty()) {
    const std::uint8_t code = in.u8();
    const Bytes bytes = in.bytes(in.u8());
    const auto known = static_cast<CapabilityCode>(code);
    const std::optional<std::size_t> size = fixed_size(known);
    if (!in.ok() || (size && *size != bytes.size())) {
      return fail(Notification::open(OpenError::kUnspecific));
    }
    Decoded decoded = decode_value(known, ByteReader(bytes));
    if (decoded) {
      out.push_back(std::move(*decoded));
    } else {
      out.emplace_back(UnknownCapability{code, {bytes.begin(), bytes.end()}});
    }
  }
  return out;
}

std::uint8_t capability_code(const Capability& capability) {
  return static_cast<std::uint8_t>(std::visit(CodeOf{}, capability));
}

void encode_capability(ByteWriter& out, const Capability& capability) {
  constexpr std::size_t kMaxValue = 255;
  out.u8(capability_code(capability));
  const std::size_t length_at = out.size();
  out.u8(0);
  std::visit(Encoder{out}, capability);
  const std::size_t size = out.size() - length_at - 1;
  MARGAY_ASSERT(size <= kMaxValue);  // 36 and more families: no configuration can ask for that
  out.patch_u8(length_at, static_cast<std::uint8_t>(size));
}

std::string to_string(const Capability& capability) {
  return std::visit(Namer{}, capability);
}

bool has_multiprotocol(const std::vector<Capability>& capabilities, AfiSafi family) {
  return std::ranges::find(capabilities, Capability{MultiprotocolCapability{family}}) !=
         capabilities.end();
}

}  // namespace margay::bgp
