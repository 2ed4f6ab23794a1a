#include "kernel/netlink/link_codec.h"

#include "kernel/netlink/attributes.h"

#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/ip.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <sys/socket.h>

#include <algorithm>

namespace margay {
namespace {

std::uint8_t family_code(const IpAddr& addr) {
  return addr.is_v4() ? AF_INET : AF_INET6;
}

ifinfomsg* put_link_header(nlmsghdr* message, IfIndex index) {
  auto* header = static_cast<ifinfomsg*>(mnl_nlmsg_put_extra_header(message, sizeof(ifinfomsg)));
  header->ifi_family = AF_UNSPEC;
  header->ifi_index = static_cast<int>(index.value());
  return header;
}

void set_up(ifinfomsg* header) {
  header->ifi_flags = IFF_UP;
  header->ifi_change = IFF_UP;
}

struct VethEnd {
  const IfName& name;
  const MacAddr& mac;
  std::uint32_t mtu;
};
void put_end(nlmsghdr* message, const VethEnd& end) {
  put_text(message, IFLA_IFNAME, end.name.str());
  mnl_attr_put_u32(message, IFLA_MTU, end.mtu);
  put_attr(message, IFLA_ADDRESS, end.mac.bytes());
}

std::string kind_of(const nlattr* info) {
  std::string kind;
  for_each_nested(info, [&kind](const nlattr* attr) {
    if (mnl_attr_get_type(attr) == IFLA_INFO_KIND) {
      kind = text_of(attr);
    }
  });
  return kind;
}

void parse(const nlattr* attr, LinkState& link) {
  switch (mnl_attr_get_type(attr)) {
    case IFLA_IFNAME:
      link.name = text_of(attr);
      break;
    case IFLA_MTU:
      link.mtu = u32_of(attr);
      break;
    case IFLA_LINK:
      link.peer = IfIndex(u32_of(attr));
      break;
    case IFLA_ADDRESS: {
      const auto bytes = bytes_of(attr);
      std::array<std::uint8_t, 6> mac{};
      if (bytes.size() == mac.size()) {
        std::ranges::copy(bytes, mac.begin());
        link.mac = MacAddr(mac);
      }
      break;
    }
    case IFLA_LINKINFO:
      link.kind = kind_of(attr);
      break;
    default:
      break;
  }
}

}  // namespace

std::optional<LinkState> decode_link(const nlmsghdr* message) {
  const auto* header = header_of<ifinfomsg>(message);
  // A link that leaves a bridge is reported as a removal of that family.
  if (header == nullptr || header->ifi_family != AF_UNSPEC) {
    return std::nullopt;
  }
  LinkState link;
  link.index = IfIndex(static_cast<std::uint32_t>(header->ifi_index));
  link.up = (header->ifi_flags & IFF_UP) != 0;
  link.carrier = (header->ifi_flags & IFF_LOWER_UP) != 0;
  for_each_attr(message, sizeof(ifinfomsg), [&link](const nlattr* attr) { parse(attr, link); });
  return link;
}

std::optional<AddressSpec> decode_address(const nlmsghdr* message) {
  const auto* header = header_of<ifaddrmsg>(message);
  if (header == nullptr) {
    return std::nullopt;
  }
  std::optional<IpAddr> local;
  for_each_attr(message, sizeof(ifaddrmsg), [&local](const nlattr* attr) {
    // IFA_ADDRESS is the far end of a point-to-point link, and all there is for IPv6.
    const bool is_local = mnl_attr_get_type(attr) == IFA_LOCAL;
    if (is_local || (mnl_attr_get_type(attr) == IFA_ADDRESS && !local)) {
      const auto addr = IpAddr::from_bytes(bytes_of(attr));
      local = addr ? std::optional(*addr) : local;
    }
  });
  if (!local) {
    return std::nullopt;
  }
  return AddressSpec{IfIndex(header->ifa_index), InterfaceAddr{*local, header->ifa_prefixlen}};
}

void encode_veth(const VethSpec& veth, RequestBatch& batch) {
  nlmsghdr* message = batch.begin(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
  set_up(put_link_header(message, IfIndex()));
  put_end(message, {veth.host_name, veth.host_mac, veth.mtu});
  nlattr* info = mnl_attr_nest_start(message, IFLA_LINKINFO);
  put_text(message, IFLA_INFO_KIND, "veth");
  nlattr* data = mnl_attr_nest_start(message, IFLA_INFO_DATA);
  nlattr* peer = mnl_attr_nest_start(message, VETH_INFO_PEER);
  // Not up: veth_open() refuses an end that has no other end yet, and this one is made first.
  put_link_header(message, IfIndex());
  put_end(message, {veth.peer_name, veth.peer_mac, veth.mtu});
  mnl_attr_put_u32(message, IFLA_NET_NS_FD, static_cast<std::uint32_t>(veth.peer_netns_fd));
  mnl_attr_nest_end(message, peer);
  mnl_attr_nest_end(message, data);
  mnl_attr_nest_end(message, info);
  batch.end();
}

void encode_link_up(IfIndex link, RequestBatch& batch) {
  set_up(put_link_header(batch.begin(RTM_NEWLINK, 0), link));
  batch.end();
}

void encode_link_removal(IfIndex link, RequestBatch& batch) {
  put_link_header(batch.begin(RTM_DELLINK, 0), link);
  batch.end();
}

void encode_device_config(IfIndex link, const DeviceConfig& config, RequestBatch& batch) {
  nlmsghdr* message = batch.begin(RTM_SETLINK, 0);
  put_link_header(message, link);
  nlattr* families = mnl_attr_nest_start(message, IFLA_AF_SPEC);
  nlattr* inet = mnl_attr_nest_start(message, AF_INET);
  nlattr* values = mnl_attr_nest_start(message, IFLA_INET_CONF);
  const auto put = [message](std::uint16_t setting, std::optional<std::uint32_t> value) {
    if (value) {
      mnl_attr_put_u32(message, setting, *value);
    }
  };
  put(IPV4_DEVCONF_FORWARDING, config.ipv4_forwarding);
  put(IPV4_DEVCONF_PROXY_ARP, config.proxy_arp);
  put(IPV4_DEVCONF_RP_FILTER, config.rp_filter);
  put(IPV4_DEVCONF_ROUTE_LOCALNET, config.route_localnet);
  mnl_attr_nest_end(message, values);
  mnl_attr_nest_end(message, inet);
  mnl_attr_nest_end(message, families);
  batch.end();
}

void encode_address(const AddressSpec& address, RequestBatch& batch) {
  const IpAddr& addr = address.address.addr;
  nlmsghdr* message = batch.begin(RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE);
  auto* header = static_cast<ifaddrmsg*>(mnl_nlmsg_put_extra_header(message, sizeof(ifaddrmsg)));
  header->ifa_family = family_code(addr);
  header->ifa_prefixlen = static_cast<std::uint8_t>(address.address.length);
  header->ifa_index = address.link.value();
  put_attr(message, IFA_LOCAL, addr.bytes());
  put_attr(message, IFA_ADDRESS, addr.bytes());
  if (addr.is_v6()) {
    mnl_attr_put_u32(message, IFA_FLAGS, IFA_F_NODAD);
  }
  batch.end();
}

void encode_neighbour(const NeighbourSpec& neighbour, RequestBatch& batch) {
  nlmsghdr* message = batch.begin(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE);
  auto* header = static_cast<ndmsg*>(mnl_nlmsg_put_extra_header(message, sizeof(ndmsg)));
  header->ndm_family = family_code(neighbour.addr);
  header->ndm_ifindex = static_cast<int>(neighbour.link.value());
  header->ndm_state = NUD_PERMANENT;
  put_attr(message, NDA_DST, neighbour.addr.bytes());
  put_attr(message, NDA_LLADDR, neighbour.mac.bytes());
  batch.end();
}

}  // namespace margay
