#include "kernel/wiring.h"

#include "base/scope_exit.h"
#include "kernel/link_kernel.h"
#include "kernel/netns.h"
#include "kernel/route_kernel.h"
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

// FNV-1a, 64 bits: the same on every machine and in every version.
std::uint64_t stable_hash(std::string_view text, std::uint64_t hash = 0xcbf29ce484222325U) {
  constexpr std::uint64_t kPrime = 0x100000001b3U;
  for (const char byte : text) {
    hash = (hash ^ static_cast<unsigned char>(byte)) * kPrime;
  }
  return hash;
}

// Locally administered, unicast, and the same for the same link.
MacAddr derived_mac(const IfName& host_name) {
  const std::uint64_t hash = stable_hash(host_name.str());
  std::array<std::uint8_t, 6> bytes{};
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    bytes.at(i) = static_cast<std::uint8_t>(hash >> (8 * i));
  }
  bytes[0] = static_cast<std::uint8_t>((bytes[0] & 0xfcU) | 0x02U);
  return MacAddr(bytes);
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

// The link route to the gateway, then the default route through it.
std::vector<RouteChange> container_routes(IfIndex link, const std::vector<IpAddr>& addresses) {
  std::vector<RouteChange> changes;
  for (const Family family : {Family::kIpv4, Family::kIpv6}) {
    if (!has_family(addresses, family)) {
      continue;
    }
    constexpr RouteProtocol kBoot{3};  // RTPROT_BOOT, as `ip route add` in a container
    const IpAddr gateway = gateway_of(family);
    RouteSpec to_gateway;
    to_gateway.key.prefix = Prefix::host(gateway);
    to_gateway.protocol = kBoot;
    to_gateway.scope = RouteScope::kLink;
    NextHop direct;
    direct.ifindex = link;
    to_gateway.next_hops = {direct};
    RouteSpec everything;
    everything.key.prefix = Prefix::masked(family == Family::kIpv4 ? IpAddr() : IpAddr::v6({}), 0);
    everything.protocol = kBoot;
    NextHop through = direct;
    through.gateway = gateway;
    everything.next_hops = {through};
    changes.push_back({RouteAction::kReplace, canonical(std::move(to_gateway))});
    changes.push_back({RouteAction::kReplace, canonical(std::move(everything))});
  }
  return changes;
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
Result<void> set_up_container(const WiringRequest& request) {
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
  for (auto& outcome : (*routes)->apply(container_routes(link->index, request.addresses))) {
    if (!outcome) {
      return std::move(outcome);
    }
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

// A device of another kind under the name is somebody else's.
Result<void> remove_link(LinkKernel& links, const IfName& name) {
  const auto link = links.link(name);
  if (!link) {
    return link.error().code == Errc::kNotFound ? Result<void>() : fail(link.error());
  }
  if (link->kind != "veth") {
    return fail(Errc::kExists,
                "interface {} is there and is no veth ({})",
                link->name,
                link->kind.empty() ? "of no kind" : link->kind);
  }
  const std::array<IfIndex, 1> gone{link->index};
  return links.remove(gone);
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
  std::uint64_t hash = stable_hash(container_id);
  hash = stable_hash(interface_name, stable_hash("/", hash));
  hash ^= hash >> 44U;  // the upper bits count too
  const auto name = IfName::parse(fmt::format("mgy{:011x}", hash & kElevenDigits));
  MARGAY_ASSERT(name.has_value());
  return *name;
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
  pass(at_step, Step::kHostEndSet);
  const auto inside = netns->run([&request] { return set_up_container(request); });
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

// Runs inside the container's namespace.
Result<void> check_inside(const WiringRequest& request) {
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
  const auto addresses = (*links)->addresses();
  if (!addresses) {
    return fail(addresses.error());
  }
  for (const IpAddr& addr : request.addresses) {
    const AddressSpec wanted{link->index, {addr, address_bits(addr.family())}};
    if (std::ranges::find(*addresses, wanted) == addresses->end()) {
      return fail(Errc::kConflict, "address {} is missing on {}", addr.str(), link->name);
    }
    // Any address that is not on the link shows where the default route leads.
    const bool v4 = addr.is_v4();
    const auto hop = (*routes)->lookup(fixed_addr(v4 ? "192.0.2.1" : "2001:db8::1"));
    if (!hop || hop->gateway != gateway_of(addr.family()) || hop->ifindex != link->index) {
      return fail(Errc::kConflict,
                  "the default route does not lead through {} on {}",
                  gateway_of(addr.family()).str(),
                  link->name);
    }
  }
  return {};
}

}  // namespace

Result<void> check_container(const WiringRequest& request) {
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
  const auto netns = NetNs::open(request.netns_path);
  if (!netns) {
    return fail(netns.error());
  }
  if (const auto inside = netns->run([&request] { return check_inside(request); }); !inside) {
    return fail(inside.error(), "container");
  }
  return {};
}

}  // namespace margay
