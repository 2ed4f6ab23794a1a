#include "kernel/netlink/socket.h"

#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <unistd.h>
#include <utility>

namespace margay {
namespace {

// A dump fills the buffer we offer up to 32 KiB; a notification of one transaction may be larger.
constexpr std::size_t kReceiveBytes = 262144;
constexpr timeval kAnswerTimeout{10, 0};

void set_option(int fd, int level, int option, int value) {
  setsockopt(fd, level, option, &value, sizeof value);
}

}  // namespace

Result<NetlinkSocket> NetlinkSocket::open(int protocol, int receive_buffer) {
  const int fd = ::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);
  if (fd < 0) {
    return fail_errno(errno, "open netlink socket of protocol {}", protocol);
  }
  NetlinkSocket socket(fd);
  set_option(fd, SOL_SOCKET, SO_RCVBUFFORCE, receive_buffer);
  set_option(fd, SOL_NETLINK, NETLINK_CAP_ACK, 1);
  set_option(fd, SOL_NETLINK, NETLINK_EXT_ACK, 1);
  set_option(fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, 1);
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &kAnswerTimeout, sizeof kAnswerTimeout);
  sockaddr_nl local{};
  local.nl_family = AF_NETLINK;
  if (::bind(fd, reinterpret_cast<const sockaddr*>(&local), sizeof local) != 0) {
    return fail_errno(errno, "bind netlink socket of protocol {}", protocol);
  }
  socklen_t length = sizeof local;
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&local), &length) != 0) {
    return fail_errno(errno, "read the port of a netlink socket");
  }
  socket.port_ = local.nl_pid;
  socket.buffer_ =
      std::make_unique_for_overwrite<std::uint8_t[]>(kReceiveBytes);  // NOLINT(*-avoid-c-arrays)
  return socket;
}

NetlinkSocket::NetlinkSocket(NetlinkSocket&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)),
      port_(other.port_),
      sequence_(other.sequence_),
      buffer_(std::move(other.buffer_)) {}

NetlinkSocket& NetlinkSocket::operator=(NetlinkSocket&& other) noexcept {
  std::swap(fd_, other.fd_);
  std::swap(port_, other.port_);
  std::swap(sequence_, other.sequence_);
  std::swap(buffer_, other.buffer_);
  return *this;
}

NetlinkSocket::~NetlinkSocket() {
  if (fd_ >= 0) {
    ::close(fd_);
  }
}

Result<void> NetlinkSocket::join(int group) const {
  if (setsockopt(fd_, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof group) != 0) {
    return fail_errno(errno, "join netlink group {}", group);
  }
  return {};
}

Result<void> NetlinkSocket::ignore_port(std::uint32_t port) const {
  // nlmsg_pid of a notification is the port of the request that caused it; the filter loads it in
  // network order.
  constexpr std::uint32_t kPidOffset = offsetof(nlmsghdr, nlmsg_pid);
  std::array<sock_filter, 4> code{{
      {BPF_LD | BPF_W | BPF_ABS, 0, 0, kPidOffset},
      {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, htonl(port)},
      {BPF_RET | BPF_K, 0, 0, 0},
      {BPF_RET | BPF_K, 0, 0, 0xffffffffU},
  }};
  const sock_fprog program{code.size(), code.data()};
  if (setsockopt(fd_, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) != 0) {
    return fail_errno(errno, "attach a filter to a netlink socket");
  }
  return {};
}

Result<void> NetlinkSocket::send(std::span<const std::uint8_t> bytes) const {
  constexpr std::size_t kSendSlack = 4096;
  set_option(fd_, SOL_SOCKET, SO_SNDBUFFORCE, static_cast<int>(bytes.size() + kSendSlack));
  sockaddr_nl kernel{};
  kernel.nl_family = AF_NETLINK;
  const auto sent = ::sendto(fd_,
                             bytes.data(),
                             bytes.size(),
                             0,
                             reinterpret_cast<const sockaddr*>(&kernel),
                             sizeof kernel);
  if (sent < 0) {
    return fail_errno(errno, "send {} bytes to the kernel", bytes.size());
  }
  return {};
}

Result<std::optional<std::span<const std::uint8_t>>> NetlinkSocket::receive(bool wait) {
  while (true) {
    sockaddr_nl from{};
    iovec piece{buffer_.get(), kReceiveBytes};
    msghdr message{};
    message.msg_name = &from;
    message.msg_namelen = sizeof from;
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    const auto received = ::recvmsg(fd_, &message, wait ? 0 : MSG_DONTWAIT);
    if (received < 0) {
      if (errno == EINTR) {
        continue;
      }
      if (!wait && (errno == EAGAIN || errno == EWOULDBLOCK)) {
        return std::optional<std::span<const std::uint8_t>>();
      }
      return fail_errno(errno, "receive from the kernel");
    }
    if (from.nl_pid != 0) {
      continue;  // only the kernel is believed
    }
    if ((message.msg_flags & MSG_TRUNC) != 0) {
      return fail_errno(ENOBUFS, "receive from the kernel: message above {} bytes", kReceiveBytes);
    }
    return std::optional(
        std::span<const std::uint8_t>(buffer_.get(), static_cast<std::size_t>(received)));
  }
}

Result<void> NetlinkSocket::dump(std::span<const std::uint8_t> request,
                                 const std::function<void(const nlmsghdr*)>& on_message) {
  const auto* header = reinterpret_cast<const nlmsghdr*>(request.data());
  const std::uint32_t sequence = header->nlmsg_seq;
  if (const auto sent = send(request); !sent) {
    return fail(sent.error());
  }
  bool done = false;
  int failed = 0;
  while (!done) {
    const auto datagram = receive(true);
    if (!datagram) {
      return fail(datagram.error());
    }
    for_each_message(**datagram, [&](const nlmsghdr* message) {
      if (message->nlmsg_seq != sequence) {
        return true;  // left over from a request that was given up
      }
      if ((message->nlmsg_flags & NLM_F_DUMP_INTR) != 0) {
        failed = EINTR;
      }
      if (const auto error = error_of(message)) {
        failed = *error != 0 ? *error : failed;
        done = true;
      } else if (message->nlmsg_type == NLMSG_DONE) {
        done = true;
      } else {
        on_message(message);
      }
      return !done;
    });
  }
  if (failed != 0) {
    return fail_errno(failed, "dump");
  }
  return {};
}

void for_each_message(std::span<const std::uint8_t> datagram,
                      const std::function<bool(const nlmsghdr*)>& on_message) {
  while (datagram.size() >= sizeof(nlmsghdr)) {
    const auto* message = reinterpret_cast<const nlmsghdr*>(datagram.data());
    if (message->nlmsg_len < sizeof(nlmsghdr) || message->nlmsg_len > datagram.size()) {
      return;
    }
    if (!on_message(message)) {
      return;
    }
    datagram =
        datagram.subspan(std::min<std::size_t>(NLMSG_ALIGN(message->nlmsg_len), datagram.size()));
  }
}

std::optional<int> error_of(const nlmsghdr* message) {
  if (message->nlmsg_type != NLMSG_ERROR || message->nlmsg_len < NLMSG_LENGTH(sizeof(nlmsgerr))) {
    return std::nullopt;
  }
  return -static_cast<const nlmsgerr*>(mnl_nlmsg_get_payload(message))->error;
}

}  // namespace margay
