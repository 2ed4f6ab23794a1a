#include "kernel/conntrack_kernel.h"

#include "kernel/netlink/attributes.h"
#include "kernel/netlink/request.h"

#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/netlink.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>
#include <set>
#include <utility>

namespace margay {

namespace {

constexpr std::uint16_t conntrack_type(unsigned message) {
  return static_cast<std::uint16_t>((NFNL_SUBSYS_CTNETLINK << 8U) | message);
}

std::uint8_t kernel_family(Family family) {
  return family == Family::kIpv4 ? AF_INET : AF_INET6;
}

void put_family(nlmsghdr* message, std::uint8_t family) {
  auto* header = static_cast<nfgenmsg*>(mnl_nlmsg_put_extra_header(message, sizeof(nfgenmsg)));
  header->nfgen_family = family;
  header->version = NFNETLINK_V0;
  header->res_id = 0;
}

std::uint16_t port_of(const nlattr* attr) {
  return mnl_attr_get_payload_len(attr) >= sizeof(std::uint16_t) ? ntohs(mnl_attr_get_u16(attr))
                                                                 : std::uint16_t{0};
}
std::uint8_t byte_of(const nlattr* attr) {
  return mnl_attr_get_payload_len(attr) >= 1 ? mnl_attr_get_u8(attr) : std::uint8_t{0};
}

void decode_addresses(const nlattr* nest, ConnectionTuple& tuple) {
  for_each_nested(nest, [&tuple](const nlattr* attr) {
    const auto addr = IpAddr::from_bytes(bytes_of(attr));
    const std::uint16_t type = mnl_attr_get_type(attr);
    if (addr && (type == CTA_IP_V4_SRC || type == CTA_IP_V6_SRC)) {
      tuple.source = *addr;
    } else if (addr && (type == CTA_IP_V4_DST || type == CTA_IP_V6_DST)) {
      tuple.destination = *addr;
    }
  });
}

void decode_protocol(const nlattr* nest, ConnectionTuple& tuple) {
  for_each_nested(nest, [&tuple](const nlattr* attr) {
    switch (mnl_attr_get_type(attr)) {
      case CTA_PROTO_NUM:
        tuple.protocol = byte_of(attr);
        break;
      case CTA_PROTO_SRC_PORT:
        tuple.source_port = port_of(attr);
        break;
      case CTA_PROTO_DST_PORT:
        tuple.destination_port = port_of(attr);
        break;
      case CTA_PROTO_ICMP_ID:
      case CTA_PROTO_ICMPV6_ID:
        tuple.icmp_id = port_of(attr);
        break;
      case CTA_PROTO_ICMP_TYPE:
      case CTA_PROTO_ICMPV6_TYPE:
        tuple.icmp_type = byte_of(attr);
        break;
      case CTA_PROTO_ICMP_CODE:
      case CTA_PROTO_ICMPV6_CODE:
        tuple.icmp_code = byte_of(attr);
        break;
      default:
        break;
    }
  });
}

ConnectionTuple decode_tuple(const nlattr* nest) {
  ConnectionTuple tuple;
  for_each_nested(nest, [&tuple](const nlattr* attr) {
    if (mnl_attr_get_type(attr) == CTA_TUPLE_IP) {
      decode_addresses(attr, tuple);
    } else if (mnl_attr_get_type(attr) == CTA_TUPLE_PROTO) {
      decode_protocol(attr, tuple);
    }
  });
  return tuple;
}

std::optional<Connection> decode_connection(const nlmsghdr* message) {
  if (header_of<nfgenmsg>(message) == nullptr) {
    return std::nullopt;
  }
  Connection connection;
  for_each_attr(message, sizeof(nfgenmsg), [&connection](const nlattr* attr) {
    switch (mnl_attr_get_type(attr)) {
      case CTA_TUPLE_ORIG:
        connection.original = decode_tuple(attr);
        break;
      case CTA_TUPLE_REPLY:
        connection.reply = decode_tuple(attr);
        break;
      case CTA_ZONE:
        connection.zone = port_of(attr);
        break;
      case CTA_MARK:
        connection.mark = Mark(ntohl(u32_of(attr)));
        break;
      default:
        break;
    }
  });
  return connection;
}

void put_tuple(nlmsghdr* message, std::uint16_t type, const ConnectionTuple& tuple) {
  const bool v4 = tuple.source.is_v4();
  nlattr* nest = mnl_attr_nest_start(message, type);
  nlattr* addresses = mnl_attr_nest_start(message, CTA_TUPLE_IP);
  put_attr(message, v4 ? CTA_IP_V4_SRC : CTA_IP_V6_SRC, tuple.source.bytes());
  put_attr(message, v4 ? CTA_IP_V4_DST : CTA_IP_V6_DST, tuple.destination.bytes());
  mnl_attr_nest_end(message, addresses);
  nlattr* protocol = mnl_attr_nest_start(message, CTA_TUPLE_PROTO);
  mnl_attr_put_u8(message, CTA_PROTO_NUM, tuple.protocol);
  if (tuple.protocol == IPPROTO_ICMP || tuple.protocol == IPPROTO_ICMPV6) {
    mnl_attr_put_u16(message, v4 ? CTA_PROTO_ICMP_ID : CTA_PROTO_ICMPV6_ID, htons(tuple.icmp_id));
    mnl_attr_put_u8(message, v4 ? CTA_PROTO_ICMP_TYPE : CTA_PROTO_ICMPV6_TYPE, tuple.icmp_type);
    mnl_attr_put_u8(message, v4 ? CTA_PROTO_ICMP_CODE : CTA_PROTO_ICMPV6_CODE, tuple.icmp_code);
  } else {
    mnl_attr_put_u16(message, CTA_PROTO_SRC_PORT, htons(tuple.source_port));
    mnl_attr_put_u16(message, CTA_PROTO_DST_PORT, htons(tuple.destination_port));
  }
  mnl_attr_nest_end(message, protocol);
  mnl_attr_nest_end(message, nest);
}

class NetlinkConntrackKernel final : public ConntrackKernel {
 public:
  explicit NetlinkConntrackKernel(NetlinkSocket socket) : socket_(std::move(socket)) {}

  Result<std::vector<Connection>> dump() override {
    std::vector<Connection> out;
    for (const Family family : {Family::kIpv4, Family::kIpv6}) {
      const auto add = [&out](const Connection& connection) { out.push_back(connection); };
      if (auto done = dump_one(family, nullptr, add); !done) {
        return fail(done.error());
      }
    }
    return out;
  }

  Result<std::size_t> set_mark(std::span<const Connection> connections,
                               Mark value,
                               Mark mask) override {
    return change(connections, "mark", [&](RequestBatch& request, const Connection& connection) {
      put_mark(request, connection, value, mask);
    });
  }

  Result<std::size_t> remove(std::span<const IpAddr> addresses) override {
    std::set<Connection> found;  // one that is between two of the addresses is found twice
    for (const IpAddr& addr : addresses) {
      for (const AddressFilter& filter : {AddressFilter{CTA_TUPLE_ORIG, true, addr},
                                          AddressFilter{CTA_TUPLE_ORIG, false, addr},
                                          AddressFilter{CTA_TUPLE_REPLY, true, addr},
                                          AddressFilter{CTA_TUPLE_REPLY, false, addr}}) {
        // Kernels before 5.8 do not filter.
        const auto add = [&found, &addr](const Connection& connection) {
          if (concerns(connection.original, addr) || concerns(connection.reply, addr)) {
            found.insert(connection);
          }
        };
        if (auto done = dump_one(addr.family(), &filter, add); !done) {
          return fail(done.error());
        }
      }
    }
    return remove(std::vector<Connection>(found.begin(), found.end()));
  }
  Result<std::size_t> remove(std::span<const Connection> connections) override {
    return change(connections, "remove", put_removal);
  }

 private:
  struct AddressFilter {
    std::uint16_t tuple = 0;  // CTA_TUPLE_ORIG or CTA_TUPLE_REPLY
    bool source = false;
    IpAddr addr;
  };

  static bool concerns(const ConnectionTuple& tuple, const IpAddr& addr) {
    return tuple.source == addr || tuple.destination == addr;
  }

  template <typename Use>
  Result<void> dump_one(Family family, const AddressFilter* filter, Use use) {
    RequestBatch request(socket_);
    nlmsghdr* message = request.begin(conntrack_type(IPCTNL_MSG_CT_GET), NLM_F_DUMP);
    put_family(message, kernel_family(family));
    if (filter != nullptr) {
      put_filter(message, *filter);
    }
    request.end();
    const auto done = socket_.dump(request.bytes(), [&use](const nlmsghdr* answer) {
      if (auto connection = decode_connection(answer)) {
        use(*connection);
      }
    });
    return done ? Result<void>() : Result<void>(fail(done.error(), "read the tracked connections"));
  }

  // linux/netfilter/nfnetlink_conntrack.h CTA_FILTER: which parts of the tuple count.
  static void put_filter(nlmsghdr* message, const AddressFilter& filter) {
    constexpr std::uint32_t kSourceAddress = 1U << 0U;
    constexpr std::uint32_t kDestinationAddress = 1U << 1U;
    const bool v4 = filter.addr.is_v4();
    nlattr* tuple = mnl_attr_nest_start(message, filter.tuple);
    nlattr* addresses = mnl_attr_nest_start(message, CTA_TUPLE_IP);
    put_attr(
        message,
        filter.source ? (v4 ? CTA_IP_V4_SRC : CTA_IP_V6_SRC) : (v4 ? CTA_IP_V4_DST : CTA_IP_V6_DST),
        filter.addr.bytes());
    mnl_attr_nest_end(message, addresses);
    mnl_attr_nest_end(message, tuple);
    const bool original = filter.tuple == CTA_TUPLE_ORIG;
    const std::uint32_t flags = filter.source ? kSourceAddress : kDestinationAddress;
    nlattr* nest = mnl_attr_nest_start(message, CTA_FILTER);
    mnl_attr_put_u32(message, CTA_FILTER_ORIG_FLAGS, original ? flags : 0);
    mnl_attr_put_u32(message, CTA_FILTER_REPLY_FLAGS, original ? 0 : flags);
    mnl_attr_nest_end(message, nest);
  }

  // One request for each connection; how many of them were there.
  template <typename Put>
  Result<std::size_t> change(std::span<const Connection> connections, const char* what, Put put) {
    constexpr std::size_t kBatch = 200;
    std::size_t changed = 0;
    std::optional<Error> first;
    for (std::size_t at = 0; at < connections.size(); at += kBatch) {
      const auto part = connections.subspan(at, std::min(kBatch, connections.size() - at));
      RequestBatch request(socket_);
      for (const Connection& connection : part) {
        put(request, connection);
      }
      const auto outcome = request.run();
      if (!outcome) {
        return fail(outcome.error(), "{} tracked connections", what);
      }
      for (const int code : *outcome) {
        changed += code == 0 ? 1 : 0;
        if (code != 0 && code != ENOENT && !first) {
          first = fail_errno(code, "{} a tracked connection", what).error;
        }
      }
    }
    return first ? Result<std::size_t>(fail(*first)) : Result<std::size_t>(changed);
  }

  static void put_removal(RequestBatch& request, const Connection& connection) {
    nlmsghdr* message = request.begin(conntrack_type(IPCTNL_MSG_CT_DELETE), 0);
    put_family(message, kernel_family(connection.original.source.family()));
    put_tuple(message, CTA_TUPLE_ORIG, connection.original);
    if (connection.zone != 0) {
      mnl_attr_put_u16(message, CTA_ZONE, htons(connection.zone));
    }
    request.end();
  }

  static void put_mark(RequestBatch& request, const Connection& connection, Mark value, Mark mask) {
    // Without NLM_F_CREATE: an entry that is gone is not made again.
    nlmsghdr* message = request.begin(conntrack_type(IPCTNL_MSG_CT_NEW), 0);
    put_family(message, kernel_family(connection.original.source.family()));
    put_tuple(message, CTA_TUPLE_ORIG, connection.original);
    if (connection.zone != 0) {
      mnl_attr_put_u16(message, CTA_ZONE, htons(connection.zone));
    }
    mnl_attr_put_u32(message, CTA_MARK, htonl(value.value()));
    mnl_attr_put_u32(message, CTA_MARK_MASK, htonl(mask.value()));
    request.end();
  }

  NetlinkSocket socket_;
};

}  // namespace

Result<std::unique_ptr<ConntrackKernel>> open_conntrack_kernel() {
  constexpr int kReceiveBuffer = 4 << 20;
  auto socket = NetlinkSocket::open(NETLINK_NETFILTER, kReceiveBuffer);
  if (!socket) {
    return fail(socket.error(), "open nfnetlink socket");
  }
  return std::unique_ptr<ConntrackKernel>(
      std::make_unique<NetlinkConntrackKernel>(std::move(*socket)));
}

}  // namespace margay
