#include "bgp/wire/types.h"

#include <charconv>
#include <limits>

namespace margay::bgp {

namespace {

// "1:2:3" with decimal numbers of at most `limit` each, exactly out.size() of them.
template <std::size_t N>
bool parse_numbers(std::string_view text, std::uint32_t limit, std::array<std::uint32_t, N>& out) {
  const char* at = text.data();
  const char* end = at + text.size();
  for (std::size_t i = 0; i < out.size(); ++i) {
    if (i > 0) {
      if (at == end || *at != ':') {
        return false;
      }
      ++at;
    }
    const auto [next, errc] = std::from_chars(at, end, out.at(i));
    if (errc != std::errc{} || out.at(i) > limit) {
      return false;
    }
    at = next;
  }
  return at == end;
}

}  // namespace

std::string to_string(AfiSafi id) {
  if (id == kIpv4Unicast) {
    return "ipv4-unicast";
  }
  if (id == kIpv6Unicast) {
    return "ipv6-unicast";
  }
  return fmt::format("afi {} safi {}", id.afi, id.safi);
}

std::string_view to_string(MessageType type) {
  switch (type) {
    case MessageType::kOpen:
      return "open";
    case MessageType::kUpdate:
      return "update";
    case MessageType::kNotification:
      return "notification";
    case MessageType::kKeepalive:
      return "keepalive";
    case MessageType::kRouteRefresh:
      return "route-refresh";
  }
  return "unknown";
}

std::string_view to_string(Origin origin) {
  switch (origin) {
    case Origin::kIgp:
      return "igp";
    case Origin::kEgp:
      return "egp";
    case Origin::kIncomplete:
      return "incomplete";
  }
  return "unknown";
}

std::string_view to_string(Outcome outcome) {
  switch (outcome) {
    case Outcome::kDiscard:
      return "discard";
    case Outcome::kWithdraw:
      return "withdraw";
    case Outcome::kReset:
      return "reset";
  }
  return "unknown";
}

std::string to_string(Community community) {
  return fmt::format("{}:{}", community.value() >> 16U, community.value() & 0xFFFFU);
}

Result<Community> parse_community(std::string_view text) {
  std::array<std::uint32_t, 2> numbers{};
  if (!parse_numbers(text, std::numeric_limits<std::uint16_t>::max(), numbers)) {
    return fail(Errc::kInvalid, "community \"{}\": expected ASN:VALUE, both 0 to 65535", text);
  }
  return Community{(numbers[0] << 16U) | numbers[1]};
}

std::string to_string(ExtendedCommunity community) {
  return fmt::format("0x{:016x}", community.value());
}

std::string to_string(const LargeCommunity& community) {
  return fmt::format("{}:{}:{}", community.global, community.local_1, community.local_2);
}

Result<LargeCommunity> parse_large_community(std::string_view text) {
  std::array<std::uint32_t, 3> numbers{};
  if (!parse_numbers(text, std::numeric_limits<std::uint32_t>::max(), numbers)) {
    return fail(Errc::kInvalid,
                "large community \"{}\": expected ASN:VALUE:VALUE, each 0 to 4294967295",
                text);
  }
  return LargeCommunity{numbers[0], numbers[1], numbers[2]};
}

Role counterpart(Role role) {
  switch (role) {
    case Role::kProvider:
      return Role::kCustomer;
    case Role::kCustomer:
      return Role::kProvider;
    case Role::kRouteServer:
      return Role::kRouteServerClient;
    case Role::kRouteServerClient:
      return Role::kRouteServer;
    case Role::kPeer:
      return Role::kPeer;
  }
  return role;
}

std::string to_string(Role role) {
  switch (role) {
    case Role::kProvider:
      return "provider";
    case Role::kCustomer:
      return "customer";
    case Role::kRouteServer:
      return "route server";
    case Role::kRouteServerClient:
      return "route server client";
    case Role::kPeer:
      return "peer";
  }
  return fmt::format("role {}", static_cast<unsigned>(role));
}

std::string to_string(RouterId id) {
  return IpAddr::v4(id.value()).str();
}

}  // namespace margay::bgp
