#include "kernel/route_kernel.h"

#include "kernel/netlink/attributes.h"
#include "kernel/netlink/request.h"
#include "kernel/netlink/route_codec.h"

#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace margay {
namespace {

constexpr std::size_t kPerSend = 512;  // requests in one system call
constexpr int kReceiveBuffer = 4 << 20;

std::string_view verb(RouteAction action) {
  switch (action) {
    case RouteAction::kCreate:
      return "add";
    case RouteAction::kReplace:
      return "replace";
    case RouteAction::kRemove:
      return "remove";
  }
  return "change";
}

Result<void> outcome_of(const RouteChange& change, int code) {
  if (code == 0) {
    return {};
  }
  // The kernel says "no such process" for a route that is not there.
  const int shown = code == ESRCH ? ENOENT : code;
  return fail_errno(shown, "{} route {}", verb(change.action), change.route.str());
}

class RealRouteKernel final : public RouteKernel {
 public:
  explicit RealRouteKernel(NetlinkSocket socket) : socket_(std::move(socket)) {}

  std::vector<Result<void>> apply(std::span<const RouteChange> changes) override {
    std::vector<Result<void>> outcomes;
    outcomes.reserve(changes.size());
    while (!changes.empty()) {
      const auto part = changes.first(std::min(kPerSend, changes.size()));
      apply_part(part, outcomes);
      changes = changes.subspan(part.size());
    }
    return outcomes;
  }

  Result<std::vector<RouteSpec>> dump(RouteProtocol protocol) override {
    std::vector<RouteSpec> routes;
    for (const std::uint8_t family : {std::uint8_t{AF_INET}, std::uint8_t{AF_INET6}}) {
      if (const auto done = dump_family(family, protocol, routes); !done) {
        return fail(done.error(), "list routes of protocol {}", protocol.value());
      }
    }
    return routes;
  }

  [[nodiscard]] std::uint32_t port() const override { return socket_.port(); }

  Result<NextHop> lookup(const IpAddr& destination) override {
    RequestBatch batch(socket_);
    nlmsghdr* message = batch.begin(RTM_GETROUTE, NLM_F_ACK);
    auto* header = static_cast<rtmsg*>(mnl_nlmsg_put_extra_header(message, sizeof(rtmsg)));
    header->rtm_family = destination.is_v4() ? AF_INET : AF_INET6;
    header->rtm_dst_len = static_cast<std::uint8_t>(address_bits(destination.family()));
    put_attr(message, RTA_DST, destination.bytes());
    batch.end();
    std::optional<NextHop> found;
    const auto done = socket_.dump(batch.bytes(), [&found](const nlmsghdr* answer) {
      NextHop hop;
      for_each_attr(answer, sizeof(rtmsg), [&hop](const nlattr* attr) {
        if (mnl_attr_get_type(attr) == RTA_OIF) {
          hop.ifindex = IfIndex(u32_of(attr));
        } else if (mnl_attr_get_type(attr) == RTA_GATEWAY) {
          const auto gateway = IpAddr::from_bytes(bytes_of(attr));
          hop.gateway = gateway ? std::optional(*gateway) : std::nullopt;
        }
      });
      found = hop;
    });
    if (!done) {
      return fail(done.error(), "look up the route to {}", destination.str());
    }
    if (!found) {
      return fail(Errc::kNotFound, "look up the route to {}: no answer", destination.str());
    }
    return *found;
  }

 private:
  void apply_part(std::span<const RouteChange> changes, std::vector<Result<void>>& outcomes) {
    RequestBatch batch(socket_);
    for (const RouteChange& change : changes) {
      encode_route_change(change, batch);
    }
    const auto codes = batch.run();
    for (std::size_t i = 0; i < changes.size(); ++i) {
      if (codes) {
        outcomes.push_back(outcome_of(changes[i], (*codes)[i]));
      } else {
        outcomes.emplace_back(fail(codes.error()));
      }
    }
  }

  // The kernel filters by protocol; an old one that does not is filtered here.
  Result<void> dump_family(std::uint8_t family,
                           RouteProtocol protocol,
                           std::vector<RouteSpec>& routes) {
    const std::size_t before = routes.size();
    Result<void> done;
    for (int attempt = 0; attempt < kDumpAttempts; ++attempt) {
      routes.resize(before);
      RequestBatch batch(socket_);
      nlmsghdr* message = batch.begin(RTM_GETROUTE, NLM_F_DUMP);
      auto* header = static_cast<rtmsg*>(mnl_nlmsg_put_extra_header(message, sizeof(rtmsg)));
      header->rtm_family = family;
      header->rtm_protocol = protocol.value();
      batch.end();
      done = socket_.dump(batch.bytes(), [&](const nlmsghdr* answer) {
        auto route = decode_route(answer);
        if (route && route->protocol == protocol) {
          routes.push_back(std::move(*route));
        }
      });
      if (done || done.error().sys_errno != EINTR) {
        break;
      }
    }
    // A kernel without IPv6 has no such routes.
    if (!done && done.error().sys_errno == EOPNOTSUPP && family == AF_INET6) {
      return {};
    }
    return done;
  }

  NetlinkSocket socket_;
};

}  // namespace

Result<std::unique_ptr<RouteKernel>> open_route_kernel() {
  auto socket = NetlinkSocket::open(NETLINK_ROUTE, kReceiveBuffer);
  if (!socket) {
    return fail(socket.error(), "routes");
  }
  return std::unique_ptr<RouteKernel>(std::make_unique<RealRouteKernel>(std::move(*socket)));
}

}  // namespace margay
