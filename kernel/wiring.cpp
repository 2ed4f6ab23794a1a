#include "kernel/wiring.h"

#include "base/scope_exit.h"
#include "base/stable_hash.h"
#include "kernel/limits.h"
#include "kernel/link_kernel.h"
#include "kernel/netns.h"
#include "kernel/route_kernel.h"
#include "kernel/source_rules.h"
#include "kernel/sysctl.h"

#include <algorithm>
#include <array>
#include <utility>

namespace margay {
namespace {

constexpr std::uint32_t kDefaultMtu = 1500;

IpAddr fixed_addr(std::string_view text) {
  const auto addr = IpAddr::parse(text);
  MARGAY_ASSERT(addr.has_value());
  return *addr;
}
MacAddr host_mac() {
  const auto mac = MacAddr::parse(kHostMac);
  MARGAY_ASSERT(mac.has_value());
  return *mac;
}
IpAddr gateway_of(Family family) {
  return fixed_addr(family == Family::kIpv4 ? kGatewayV4 : kGatewayV6);
}

bool has_family(const std::vector<IpAddr>& addresses, Family family) {
  return std::ranges::any_of(addresses,
                             [family](const IpAddr& addr) { return addr.family() == family; });
}

// That of the link which leads to the fabric: a packet that fits there needs no fragments.
std::uint32_t mtu_for(const WiringRequest& request, LinkKernel& links) {
  if (request.mtu) {
    return *request.mtu;
  }
  const auto routes = open_route_kernel();
  if (!request.fabric || !routes) {
    return kDefaultMtu;
  }
  const auto hop = (*routes)->lookup(*request.fabric);
  const auto all = links.links();
  if (!hop || !all) {
    return kDefaultMtu;
  }
  const auto out = std::ranges::find(*all, hop->ifindex, &LinkState::index);
  // Loopback, where the address is our own, has an MTU that nothing else has.
  const bool usable = out != all->end() && out->name != "lo" && out->mtu != 0;
  return usable ? out->mtu : kDefaultMtu;
}

constexpr RouteProtocol kBoot{3};  // RTPROT_BOOT, as `ip route add` in a container

// Any address that is not on a link shows where the default route leads.
IpAddr somewhere(Family family) {
  return fixed_addr(family == Family::kIpv4 ? "192.0.2.1" : "2001:db8::1");
}

// The families whose default route leads through another interface already.
std::map<Family, TableId> own_tables(RouteKernel& routes,
                                     const LinkState& link,
                                     const std::vector<IpAddr>& addresses) {
  std::map<Family, TableId> tables;
  const auto name = IfName::parse(link.name);
  for (const Family family : {Family::kIpv4, Family::kIpv6}) {
    if (!name || !has_family(addresses, family)) {
      continue;
    }
    const auto hop = routes.lookup(somewhere(family));
    if (hop && hop->ifindex != link.index) {
      tables.emplace(family, table_of_interface(*name));
    }
  }
  return tables;
}

// The link route to the gateway, then the default route through it.
std::vector<RouteChange> container_routes(IfIndex link,
                                          const std::vector<IpAddr>& addresses,
                                          const std::map<Family, TableId>& tables) {
  std::vector<RouteChange> changes;
  for (const Family family : {Family::kIpv4, Family::kIpv6}) {
    if (!has_family(addresses, family)) {
      continue;
    }
    const auto table = tables.find(family);
    const IpAddr gateway = gateway_of(family);
    RouteSpec to_gateway;
    to_gateway.key.prefix = Prefix::host(gateway);
    to_gateway.key.table = table == tables.end() ? kTableMain : table->second;
    to_gateway.protocol = kBoot;
    to_gateway.scope = RouteScope::kLink;
    NextHop direct;
    direct.ifindex = link;
    to_gateway.next_hops = {direct};
    RouteSpec everything;
    everything.key.prefix = Prefix::masked(family == Family::kIpv4 ? IpAddr() : IpAddr::v6({}), 0);
    everything.key.table = to_gateway.key.table;
    everything.protocol = kBoot;
    NextHop through = direct;
    through.gateway = gateway;
    // The gateway's route stands in a table that nobody asks about gateways.
    through.onlink = table != tables.end();
    everything.next_hops = {through};
    changes.push_back({RouteAction::kReplace, canonical(std::move(to_gateway))});
    changes.push_back({RouteAction::kReplace, canonical(std::move(everything))});
  }
  return changes;
}

// Routes, and the rules of those that stand in a table of their own.
Result<void> set_up_routes(RouteKernel& routes,
                           const LinkState& link,
                           const std::vector<IpAddr>& addresses,
                           std::map<Family, TableId>& tables) {
  tables = own_tables(routes, link, addresses);
  for (auto& outcome : routes.apply(container_routes(link.index, addresses, tables))) {
    if (!outcome) {
      return std::move(outcome);
    }
  }
  if (tables.empty()) {
    return {};
  }
  std::vector<IpAddr> sources;
  std::ranges::copy_if(addresses, std::back_inserter(sources), [&tables](const IpAddr& addr) {
    return tables.contains(addr.family());
  });
  return set_source_rules(sources, tables.begin()->second);
}

Result<void> bring_up_loopback(LinkKernel& links) {
  const auto name = IfName::parse("lo");
  const auto loopback = links.link(*name);
  if (!loopback) {
    return fail(loopback.error());
  }
  return loopback->up ? Result<void>() : links.set_up(loopback->index);
}

// Runs inside the container's namespace.
Result<void> set_up_container(const WiringRequest& request, std::map<Family, TableId>& tables) {
  const auto links = open_link_kernel();
  const auto routes = open_route_kernel();
  if (!links || !routes) {
    return fail(links ? routes.error() : links.error());
  }
  if (auto up = bring_up_loopback(**links); !up) {
    return up;
  }
  const auto link = (*links)->link(request.container_name);
  if (!link) {
    return fail(link.error());
  }
  if (has_family(request.addresses, Family::kIpv6)) {
    // Some runtimes switch IPv6 off in new namespaces; without it the address is refused.
    DeviceConfig config;
    config.ipv6_disabled = false;
    config.accept_ra = std::uint8_t{0};
    if (auto done = (*links)->configure(link->index, config); !done) {
      return done;
    }
  }
  if (auto up = (*links)->set_up(link->index); !up) {
    return up;
  }
  std::vector<AddressSpec> addresses;
  std::vector<NeighbourSpec> neighbours;
  for (const IpAddr& addr : request.addresses) {
    addresses.push_back({link->index, {addr, address_bits(addr.family())}});
    neighbours.push_back({link->index, gateway_of(addr.family()), host_mac()});
  }
  if (auto done = (*links)->add_addresses(addresses); !done) {
    return done;
  }
  if (auto done = set_up_routes(**routes, *link, request.addresses, tables); !done) {
    return done;
  }
  return (*links)->set_neighbours(neighbours);
}

Result<void> set_up_host_end(LinkKernel& links,
                             IfIndex host,
                             const WiringRequest& request,
                             const MacAddr& container_mac) {
  DeviceConfig config;
  config.ipv4_forwarding = true;
  config.proxy_arp = true;
  // Loose: the table knows each interface's sources, also those beside its addresses.
  config.rp_filter = std::uint8_t{2};
  config.route_localnet = request.route_localnet;
  if (has_family(request.addresses, Family::kIpv6)) {
    config.ipv6_disabled = false;
    config.ipv6_forwarding = true;
  }
  if (auto done = links.configure(host, config); !done) {
    return done;
  }
  std::vector<NeighbourSpec> neighbours;
  for (const IpAddr& addr : request.addresses) {
    neighbours.push_back({host, addr, container_mac});
  }
  return links.set_neighbours(neighbours);
}

// The host end and the device that limits it, in one batch. A device of another kind under the name
// is somebody else's.
Result<void> remove_link(LinkKernel& links, const IfName& name) {
  std::vector<IfIndex> gone;
  const auto host_end = links.link(name);
  if (host_end && host_end->kind != "veth") {
    return fail(Errc::kExists,
                "interface {} is there and is no veth ({})",
                host_end->name,
                host_end->kind.empty() ? "of no kind" : host_end->kind);
  }
  const auto limiter = links.link(limiter_name(name));
  for (const auto* link : {&host_end, &limiter}) {
    if (*link && (*link)->kind == (link == &limiter ? "ifb" : "veth")) {
      gone.push_back((*link)->index);
    } else if (!*link && link->error().code != Errc::kNotFound) {
      return fail(link->error());
    }
  }
  return gone.empty() ? Result<void>() : links.remove(gone);
}

Result<void> validate(const WiringRequest& request) {
  if (request.addresses.empty()) {
    return fail(Errc::kInvalid, "no address given");
  }
  if (has_family(request.addresses, Family::kIpv6) && !has_ipv6()) {
    return fail(Errc::kInvalid, "an IPv6 address is asked for, but this kernel has IPv6 disabled");
  }
  return {};
}

}  // namespace

IfName host_interface_name(std::string_view container_id, std::string_view interface_name) {
  constexpr std::uint64_t kElevenDigits = (1ULL << 44U) - 1;
  const std::uint64_t hash = stable_hash(fmt::format("{}/{}", container_id, interface_name));
  const auto name = IfName::parse(fmt::format("mgy{:011x}", hash & kElevenDigits));
  MARGAY_ASSERT(name.has_value());
  return *name;
}

MacAddr derived_mac(const IfName& host_name) {
  const std::uint64_t hash = stable_hash(host_name.str());
  std::array<std::uint8_t, 6> bytes{};
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    bytes.at(i) = static_cast<std::uint8_t>(hash >> (8 * i));
  }
  bytes[0] = static_cast<std::uint8_t>((bytes[0] & 0xfcU) | 0x02U);
  return MacAddr(bytes);
}

Result<WiringResult> wire_container(const WiringRequest& request, const AtStep& at_step) {
  if (const auto valid = validate(request); !valid) {
    return fail(valid.error(), "wire {}", request.host_name.str());
  }
  const auto netns = NetNs::open(request.netns_path);
  if (!netns) {
    return fail(netns.error());
  }
  const auto links = open_link_kernel();
  if (!links) {
    return fail(links.error());
  }
  if (const auto cleared = remove_link(**links, request.host_name); !cleared) {
    return fail(cleared.error(), "replace {}", request.host_name.str());
  }
  WiringResult result;
  result.mtu = mtu_for(request, **links);
  result.host_mac = host_mac();
  result.container_mac = request.container_mac.value_or(derived_mac(request.host_name));
  const auto made = (*links)->create_veth({.host_name = request.host_name,
                                           .peer_name = request.container_name,
                                           .host_mac = result.host_mac,
                                           .peer_mac = result.container_mac,
                                           .mtu = result.mtu,
                                           .peer_netns_fd = netns->fd()});
  if (!made) {
    return fail(made.error());
  }
  pass(at_step, Step::kLinkMade);
  result.host_index = *made;
  ScopeExit undo([&links, &request] {
    // Best effort: the failure that is reported is the first one.
    (void)remove_link(**links, request.host_name);
  });
  if (const auto done = set_up_host_end(**links, result.host_index, request, result.container_mac);
      !done) {
    return fail(done.error(), "wire {}", request.host_name.str());
  }
  LinkState host_end;
  host_end.index = result.host_index;
  host_end.name = request.host_name.str();
  host_end.mtu = result.mtu;
  if (const auto limited = set_limits(host_end, request.bandwidth); !limited) {
    return fail(limited.error(), "wire {}", request.host_name.str());
  }
  pass(at_step, Step::kHostEndSet);
  const auto inside =
      netns->run([&request, &result] { return set_up_container(request, result.tables); });
  if (!inside) {
    return fail(inside.error(), "wire {}", request.container_name.str());
  }
  pass(at_step, Step::kContainerSet);
  undo.dismiss();
  return result;
}

Result<void> unwire_container(const IfName& host_name) {
  const auto links = open_link_kernel();
  if (!links) {
    return fail(links.error());
  }
  if (const auto removed = remove_link(**links, host_name); !removed) {
    return fail(removed.error(), "unwire {}", host_name.str());
  }
  return {};
}

namespace {

// The table in which the interface has its default route, when it is one of its own.
Result<std::optional<TableId>> own_table(RouteKernel& routes,
                                         const LinkState& link,
                                         Family family) {
  const auto name = IfName::parse(link.name);
  const auto all = routes.dump(kBoot);
  if (!name || !all) {
    return name ? fail(all.error()) : fail(name.error());
  }
  const TableId table = table_of_interface(*name);
  const bool there = std::ranges::any_of(*all, [&](const RouteSpec& route) {
    return route.key.table == table && route.key.prefix.length() == 0 &&
           route.key.prefix.family() == family && !route.next_hops.empty() &&
           route.next_hops.front().ifindex == link.index &&
           route.next_hops.front().gateway == gateway_of(family);
  });
  return there ? std::optional(table) : std::optional<TableId>();
}

Result<void> check_default_route(RouteKernel& routes,
                                 const LinkState& link,
                                 Family family,
                                 WiringResult& seen) {
  const auto hop = routes.lookup(somewhere(family));
  if (hop && hop->gateway == gateway_of(family) && hop->ifindex == link.index) {
    return {};
  }
  const auto table = own_table(routes, link, family);
  if (!table) {
    return fail(table.error());
  }
  if (!*table) {
    return fail(Errc::kConflict,
                "the default route does not lead through {} on {}",
                gateway_of(family).str(),
                link.name);
  }
  seen.tables.emplace(family, **table);
  return {};
}

// Runs inside the container's namespace.
Result<void> check_inside(const WiringRequest& request, WiringResult& seen) {
  const auto links = open_link_kernel();
  const auto routes = open_route_kernel();
  if (!links || !routes) {
    return fail(links ? routes.error() : links.error());
  }
  const auto link = (*links)->link(request.container_name);
  if (!link) {
    return fail(link.error());
  }
  if (!link->up) {
    return fail(Errc::kConflict, "link {} is down", link->name);
  }
  seen.container_mac = link->mac;
  const auto addresses = (*links)->addresses();
  if (!addresses) {
    return fail(addresses.error());
  }
  for (const IpAddr& addr : request.addresses) {
    const AddressSpec wanted{link->index, {addr, address_bits(addr.family())}};
    if (std::ranges::find(*addresses, wanted) == addresses->end()) {
      return fail(Errc::kConflict, "address {} is missing on {}", addr.str(), link->name);
    }
    if (auto right = check_default_route(**routes, *link, addr.family(), seen); !right) {
      return right;
    }
  }
  return {};
}

}  // namespace

Result<WiringResult> look_at_container(const WiringRequest& request) {
  const auto links = open_link_kernel();
  if (!links) {
    return fail(links.error());
  }
  const auto host = (*links)->link(request.host_name);
  if (!host) {
    return fail(host.error(), "host end");
  }
  if (!host->up || !host->carrier) {
    return fail(Errc::kConflict, "link {} is down", host->name);
  }
  if (host->mac != host_mac()) {
    return fail(Errc::kConflict,
                "link {} has address {} instead of {}",
                host->name,
                host->mac.str(),
                kHostMac);
  }
  if (auto limited = check_limits(*host, request.bandwidth); !limited) {
    return fail(limited.error());
  }
  WiringResult seen{.host_index = host->index,
                    .host_mac = host->mac,
                    .container_mac = {},
                    .mtu = host->mtu,
                    .tables = {}};
  const auto netns = NetNs::open(request.netns_path);
  if (!netns) {
    return fail(netns.error());
  }
  const auto inside = netns->run([&request, &seen] { return check_inside(request, seen); });
  if (!inside) {
    return fail(inside.error(), "container");
  }
  return seen;
}

Result<void> check_container(const WiringRequest& request) {
  const auto seen = look_at_container(request);
  return seen ? Result<void>() : fail(seen.error());
}

}  // namespace margay
