#include "bench/agent/nft_events.h"

#include <libmnl/libmnl.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <poll.h>

namespace margay::bench {

namespace {

constexpr std::chrono::seconds kPatience{5};

}  // namespace

void NftEvents::Close::operator()(mnl_socket* socket) const {
  mnl_socket_close(socket);
}

Result<NftEvents> NftEvents::open() {
  NftEvents events;
  events.socket_.reset(mnl_socket_open(NETLINK_NETFILTER));
  int group = NFNLGRP_NFTABLES;
  // A large transaction is thousands of messages.
  const int room = 64 << 20;
  if (!events.socket_ || mnl_socket_bind(events.socket_.get(), 0, MNL_SOCKET_AUTOPID) != 0 ||
      ::setsockopt(mnl_socket_get_fd(events.socket_.get()),
                   SOL_SOCKET,
                   SO_RCVBUFFORCE,
                   &room,
                   sizeof(room)) != 0 ||
      mnl_socket_setsockopt(events.socket_.get(), NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) !=
          0) {
    return fail_errno(errno, "listen to nftables events");
  }
  return events;
}

Result<std::vector<int>> NftEvents::take(std::chrono::milliseconds patience) {
  std::vector<int> types;
  pollfd ready{mnl_socket_get_fd(socket_.get()), POLLIN, 0};
  if (::poll(&ready, 1, static_cast<int>(patience.count())) != 1) {
    return types;
  }
  const auto received = mnl_socket_recvfrom(socket_.get(), buffer_.data(), buffer_.size());
  if (received < 0) {
    return fail_errno(errno, "read nftables events");
  }
  int left = static_cast<int>(received);
  const void* at = buffer_.data();
  for (const auto* message = static_cast<const nlmsghdr*>(at); mnl_nlmsg_ok(message, left);
       message = mnl_nlmsg_next(message, &left)) {
    types.push_back(NFNL_MSG_TYPE(message->nlmsg_type));
  }
  return types;
}

Result<void> NftEvents::wait_for_element() {
  while (true) {
    const auto types = take(kPatience);
    if (!types) {
      return fail(types.error());
    }
    if (types->empty()) {
      return fail(Errc::kTimeout, "no set element changed");
    }
    if (std::ranges::any_of(*types, [](int type) {
          return type == NFT_MSG_NEWSETELEM || type == NFT_MSG_DELSETELEM;
        })) {
      return {};
    }
  }
}

Result<NftEvents::Clock::time_point> NftEvents::last_transaction(std::chrono::milliseconds quiet) {
  std::optional<Clock::time_point> last;
  while (true) {
    const auto types = take(last ? quiet : kPatience);
    if (!types) {
      return fail(types.error());
    }
    if (types->empty()) {
      return last ? Result<Clock::time_point>(*last)
                  : fail(Errc::kTimeout, "no transaction went in");
    }
    if (std::ranges::find(*types, NFT_MSG_NEWGEN) != types->end()) {
      last = Clock::now();
    }
  }
}

}  // namespace margay::bench
