#include "kernel/monitor.h"

#include "kernel/netlink/link_codec.h"
#include "kernel/netlink/route_codec.h"

#include <linux/rtnetlink.h>

#include <array>
#include <cerrno>
#include <utility>

namespace margay {
namespace {

constexpr std::size_t kMaxEvents = 4096;  // per call of take()

void take_link(const nlmsghdr* message, std::vector<KernelEvent>& events) {
  auto link = decode_link(message);
  if (!link) {
    return;
  }
  if (message->nlmsg_type == RTM_DELLINK) {
    events.emplace_back(LinkRemoved{link->index, std::move(link->name)});
  } else {
    events.emplace_back(LinkChanged{std::move(*link)});
  }
}

void take_message(const nlmsghdr* message, std::vector<KernelEvent>& events) {
  switch (message->nlmsg_type) {
    case RTM_NEWLINK:
    case RTM_DELLINK:
      take_link(message, events);
      return;
    case RTM_NEWROUTE:
      if (auto route = decode_route(message)) {
        const bool replaced = (message->nlmsg_flags & NLM_F_REPLACE) != 0;
        events.emplace_back(RouteChanged{std::move(*route), replaced});
      }
      return;
    case RTM_DELROUTE:
      if (auto route = decode_route(message)) {
        events.emplace_back(RouteRemoved{std::move(*route)});
      }
      return;
    case RTM_NEWADDR:
    case RTM_DELADDR:
      if (auto address = decode_address(message)) {
        events.emplace_back(AddressChanged{*address, message->nlmsg_type == RTM_DELADDR});
      }
      return;
    case RTM_DELNEXTHOP:
      events.emplace_back(NextHopRemoved{});
      return;
    default:
      return;
  }
}

class RealMonitor final : public KernelMonitor {
 public:
  explicit RealMonitor(NetlinkSocket socket) : socket_(std::move(socket)) {}

  [[nodiscard]] int descriptor() const override { return socket_.fd(); }

  std::vector<KernelEvent> take() override {
    std::vector<KernelEvent> events;
    bool overrun = false;
    while (events.size() < kMaxEvents) {
      const auto datagram = socket_.receive(false);
      if (!datagram) {
        overrun = true;
        if (datagram.error().sys_errno != ENOBUFS) {
          break;
        }
        continue;  // what is queued behind the gap is taken too
      }
      if (!datagram->has_value()) {
        break;
      }
      for_each_message(**datagram, [&events](const nlmsghdr* message) {
        take_message(message, events);
        return true;
      });
    }
    if (overrun) {
      events.emplace_back(Overrun{});
    }
    return events;
  }

 private:
  NetlinkSocket socket_;
};

}  // namespace

Result<std::unique_ptr<KernelMonitor>> open_kernel_monitor(const MonitorScope& scope) {
  auto socket = NetlinkSocket::open(NETLINK_ROUTE, scope.receive_buffer);
  if (!socket) {
    return fail(socket.error(), "kernel monitor");
  }
  if (scope.ignore_port != 0) {
    if (const auto filtered = socket->ignore_port(scope.ignore_port); !filtered) {
      return fail(filtered.error(), "kernel monitor");
    }
  }
  struct Group {
    bool wanted;
    int number;
  };
  const auto groups = std::to_array<Group>({
      {scope.links, RTNLGRP_LINK},
      {scope.addresses, RTNLGRP_IPV4_IFADDR},
      {scope.addresses, RTNLGRP_IPV6_IFADDR},
      {scope.routes, RTNLGRP_IPV4_ROUTE},
      {scope.routes, RTNLGRP_IPV6_ROUTE},
      {scope.routes, RTNLGRP_NEXTHOP},
  });
  for (const Group& group : groups) {
    if (!group.wanted) {
      continue;
    }
    if (const auto joined = socket->join(group.number); !joined) {
      return fail(joined.error(), "kernel monitor");
    }
  }
  return std::unique_ptr<KernelMonitor>(std::make_unique<RealMonitor>(std::move(*socket)));
}

}  // namespace margay
