#include "kernel/netlink/route_codec.h"

#include "kernel/netlink/attributes.h"

#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <algorithm>

namespace margay {
namespace {

std::uint8_t family_code(Family family) {
  return family == Family::kIpv4 ? AF_INET : AF_INET6;
}

std::uint8_t type_code(RouteType type) {
  switch (type) {
    case RouteType::kUnicast:
      return RTN_UNICAST;
    case RouteType::kLocal:
      return RTN_LOCAL;
    case RouteType::kBlackhole:
      return RTN_BLACKHOLE;
    case RouteType::kUnreachable:
      return RTN_UNREACHABLE;
    case RouteType::kProhibit:
      return RTN_PROHIBIT;
    case RouteType::kOther:
      return RTN_UNSPEC;
  }
  return RTN_UNSPEC;
}
RouteType type_of(std::uint8_t code) {
  switch (code) {
    case RTN_UNICAST:
      return RouteType::kUnicast;
    case RTN_LOCAL:
      return RouteType::kLocal;
    case RTN_BLACKHOLE:
      return RouteType::kBlackhole;
    case RTN_UNREACHABLE:
      return RouteType::kUnreachable;
    case RTN_PROHIBIT:
      return RouteType::kProhibit;
    default:
      return RouteType::kOther;
  }
}

std::uint8_t scope_code(RouteScope scope) {
  switch (scope) {
    case RouteScope::kGlobal:
      return RT_SCOPE_UNIVERSE;
    case RouteScope::kLink:
      return RT_SCOPE_LINK;
    case RouteScope::kHost:
      return RT_SCOPE_HOST;
  }
  return RT_SCOPE_UNIVERSE;
}
RouteScope scope_of(std::uint8_t code) {
  switch (code) {
    case RT_SCOPE_LINK:
      return RouteScope::kLink;
    case RT_SCOPE_HOST:
      return RouteScope::kHost;
    default:
      return RouteScope::kGlobal;
  }
}

void put_gateway(nlmsghdr* message, Family route_family, const IpAddr& gateway) {
  if (gateway.family() == route_family) {
    put_attr(message, RTA_GATEWAY, gateway.bytes());
    return;
  }
  // RFC 8950: an IPv4 prefix behind an IPv6 gateway. struct rtvia: family, address.
  const std::uint16_t family = family_code(gateway.family());
  std::vector<std::uint8_t> via(sizeof family);
  std::memcpy(via.data(), &family, sizeof family);
  via.insert(via.end(), gateway.bytes().begin(), gateway.bytes().end());
  put_attr(message, RTA_VIA, via);
}

void put_multipath(nlmsghdr* message, const RouteSpec& route) {
  nlattr* nest = mnl_attr_nest_start(message, RTA_MULTIPATH);
  for (const NextHop& hop : route.next_hops) {
    auto* entry = static_cast<rtnexthop*>(mnl_nlmsg_put_extra_header(message, sizeof(rtnexthop)));
    entry->rtnh_flags = hop.onlink ? RTNH_F_ONLINK : 0;
    entry->rtnh_hops = static_cast<std::uint8_t>(std::clamp<int>(hop.weight, 1, 256) - 1);
    entry->rtnh_ifindex = static_cast<int>(hop.ifindex.value());
    if (hop.gateway) {
      put_gateway(message, route.key.prefix.family(), *hop.gateway);
    }
    const auto* end = static_cast<const char*>(mnl_nlmsg_get_payload_tail(message));
    entry->rtnh_len = static_cast<std::uint16_t>(end - reinterpret_cast<const char*>(entry));
  }
  mnl_attr_nest_end(message, nest);
}

void put_next_hops(nlmsghdr* message, rtmsg* header, const RouteSpec& route) {
  if (route.next_hops.size() > 1) {
    put_multipath(message, route);
    return;
  }
  for (const NextHop& hop : route.next_hops) {
    header->rtm_flags |= hop.onlink ? static_cast<unsigned>(RTNH_F_ONLINK) : 0U;
    if (hop.ifindex.value() != 0) {
      mnl_attr_put_u32(message, RTA_OIF, hop.ifindex.value());
    }
    if (hop.gateway) {
      put_gateway(message, route.key.prefix.family(), *hop.gateway);
    }
  }
}

std::optional<IpAddr> addr_of(const nlattr* attr) {
  const auto addr = IpAddr::from_bytes(bytes_of(attr));
  return addr ? std::optional(*addr) : std::nullopt;
}
std::optional<IpAddr> via_of(const nlattr* attr) {
  const auto bytes = bytes_of(attr);
  constexpr std::size_t kFamilyBytes = sizeof(std::uint16_t);
  const auto addr = IpAddr::from_bytes(bytes.subspan(std::min(kFamilyBytes, bytes.size())));
  return addr ? std::optional(*addr) : std::nullopt;
}

std::vector<NextHop> multipath_of(const nlattr* attr) {
  std::vector<NextHop> hops;
  auto rest = bytes_of(attr);
  while (rest.size() >= sizeof(rtnexthop)) {
    const auto* entry = reinterpret_cast<const rtnexthop*>(rest.data());
    if (entry->rtnh_len < sizeof(rtnexthop) || entry->rtnh_len > rest.size()) {
      break;
    }
    NextHop hop;
    hop.ifindex = IfIndex(static_cast<std::uint32_t>(entry->rtnh_ifindex));
    hop.weight = static_cast<std::uint16_t>(entry->rtnh_hops + 1);
    hop.onlink = (entry->rtnh_flags & RTNH_F_ONLINK) != 0;
    for_each_attr(
        rest.data() + sizeof(rtnexthop), rest.data() + entry->rtnh_len, [&hop](const nlattr* part) {
          if (mnl_attr_get_type(part) == RTA_GATEWAY) {
            hop.gateway = addr_of(part);
          } else if (mnl_attr_get_type(part) == RTA_VIA) {
            hop.gateway = via_of(part);
          }
        });
    hops.push_back(std::move(hop));
    constexpr std::size_t kAlign = RTNH_ALIGNTO;
    const std::size_t taken = (entry->rtnh_len + kAlign - 1) / kAlign * kAlign;
    rest = rest.subspan(std::min(taken, rest.size()));
  }
  return hops;
}

// What the attributes of a route say.
struct Parsed {
  std::optional<IpAddr> destination;
  NextHop hop;
  bool has_hop = false;
  std::vector<NextHop> multipath;
  std::optional<IpAddr> source;
  std::uint32_t table = 0;
  std::uint32_t metric = 0;
};

void parse(const nlattr* attr, Parsed& into) {
  switch (mnl_attr_get_type(attr)) {
    case RTA_DST:
      into.destination = addr_of(attr);
      break;
    case RTA_OIF:
      into.hop.ifindex = IfIndex(u32_of(attr));
      into.has_hop = true;
      break;
    case RTA_GATEWAY:
      into.hop.gateway = addr_of(attr);
      into.has_hop = true;
      break;
    case RTA_VIA:
      into.hop.gateway = via_of(attr);
      into.has_hop = true;
      break;
    case RTA_MULTIPATH:
      into.multipath = multipath_of(attr);
      break;
    case RTA_PREFSRC:
      into.source = addr_of(attr);
      break;
    case RTA_TABLE:
      into.table = u32_of(attr);
      break;
    case RTA_PRIORITY:
      into.metric = u32_of(attr);
      break;
    default:
      break;
  }
}

}  // namespace

void encode_route_change(const RouteChange& change, RequestBatch& batch) {
  const RouteSpec& route = change.route;
  const bool remove = change.action == RouteAction::kRemove;
  std::uint16_t flags = 0;
  if (change.action == RouteAction::kCreate) {
    flags = NLM_F_CREATE | NLM_F_EXCL;
  } else if (change.action == RouteAction::kReplace) {
    flags = NLM_F_CREATE | NLM_F_REPLACE;
  }
  nlmsghdr* message = batch.begin(remove ? RTM_DELROUTE : RTM_NEWROUTE, flags);
  auto* header = static_cast<rtmsg*>(mnl_nlmsg_put_extra_header(message, sizeof(rtmsg)));
  header->rtm_family = family_code(route.key.prefix.family());
  header->rtm_dst_len = static_cast<std::uint8_t>(route.key.prefix.length());
  header->rtm_table = RT_TABLE_UNSPEC;
  header->rtm_protocol = route.protocol.value();
  header->rtm_scope = remove ? std::uint8_t{RT_SCOPE_NOWHERE} : scope_code(route.scope);
  header->rtm_type = remove ? std::uint8_t{RTN_UNSPEC} : type_code(route.type);
  put_attr(message, RTA_DST, route.key.prefix.addr().bytes());
  mnl_attr_put_u32(message, RTA_TABLE, route.key.table.value());
  if (route.key.metric != 0) {
    mnl_attr_put_u32(message, RTA_PRIORITY, route.key.metric);
  }
  if (!remove) {
    if (route.prefer_source) {
      put_attr(message, RTA_PREFSRC, route.prefer_source->bytes());
    }
    put_next_hops(message, header, route);
  }
  batch.end();
}

std::optional<RouteSpec> decode_route(const nlmsghdr* message) {
  const auto* header = header_of<rtmsg>(message);
  if (header == nullptr || (header->rtm_flags & RTM_F_CLONED) != 0 ||
      (header->rtm_family != AF_INET && header->rtm_family != AF_INET6)) {
    return std::nullopt;
  }
  Parsed parsed;
  parsed.table = header->rtm_table;
  for_each_attr(message, sizeof(rtmsg), [&parsed](const nlattr* attr) { parse(attr, parsed); });

  const bool v4 = header->rtm_family == AF_INET;
  const IpAddr any = v4 ? IpAddr() : IpAddr::v6({});
  const IpAddr destination = parsed.destination.value_or(any);
  if (header->rtm_dst_len > address_bits(destination.family()) || destination.is_v4() != v4) {
    return std::nullopt;
  }
  RouteSpec route;
  route.key.prefix = Prefix::masked(destination, header->rtm_dst_len);
  route.key.table = TableId(parsed.table);
  route.key.metric = parsed.metric;
  route.protocol = RouteProtocol(header->rtm_protocol);
  route.type = type_of(header->rtm_type);
  route.scope = scope_of(header->rtm_scope);
  route.prefer_source = parsed.source;
  if (route.type == RouteType::kUnicast || route.type == RouteType::kLocal ||
      route.type == RouteType::kOther) {
    // The kernel hangs other types on the loopback interface, which nobody asked for.
    route.next_hops = std::move(parsed.multipath);
    if (route.next_hops.empty() && parsed.has_hop) {
      parsed.hop.onlink = (header->rtm_flags & RTNH_F_ONLINK) != 0;
      route.next_hops.push_back(std::move(parsed.hop));
    }
  }
  return canonical(std::move(route));
}

}  // namespace margay
