#pragma once
// A netlink socket: opened in the calling thread's network namespace, closed with the object.
//
// The kernel handles a request inside the send call, so all answers of a batch are queued when
// send() returns; receive() waits at most a few seconds for those of a dump.

#include "base/result.h"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

struct nlmsghdr;

namespace margay {

// A dump that a change interrupted (NLM_F_DUMP_INTR) is read again, at most so often.
inline constexpr int kDumpAttempts = 10;

class NetlinkSocket {
 public:
  // protocol: NETLINK_ROUTE, NETLINK_NETFILTER. receive_buffer in bytes.
  static Result<NetlinkSocket> open(int protocol, int receive_buffer = 1 << 20);

  NetlinkSocket(NetlinkSocket&& other) noexcept;
  NetlinkSocket& operator=(NetlinkSocket&& other) noexcept;
  NetlinkSocket(const NetlinkSocket&) = delete;
  NetlinkSocket& operator=(const NetlinkSocket&) = delete;
  ~NetlinkSocket();

  [[nodiscard]] int fd() const { return fd_; }
  [[nodiscard]] std::uint32_t port() const { return port_; }
  [[nodiscard]] std::uint32_t next_sequence() { return ++sequence_; }

  Result<void> join(int group) const;
  // The kernel drops notifications caused by requests of this port before they are queued.
  Result<void> ignore_port(std::uint32_t port) const;
  Result<void> send(std::span<const std::uint8_t> bytes) const;
  // One datagram, in a buffer that the next call overwrites; nothing when `wait` is false and none
  // is queued. An overrun is an error with sys_errno ENOBUFS.
  Result<std::optional<std::span<const std::uint8_t>>> receive(bool wait);

  // Sends a dump request and hands each answer to the function. An interrupted dump is an error
  // with sys_errno EINTR: ask again.
  Result<void> dump(std::span<const std::uint8_t> request,
                    const std::function<void(const nlmsghdr*)>& on_message);

 private:
  explicit NetlinkSocket(int fd) : fd_(fd) {}

  int fd_ = -1;
  std::uint32_t port_ = 0;
  std::uint32_t sequence_ = 0;
  std::unique_ptr<std::uint8_t[]> buffer_;  // NOLINT(*-avoid-c-arrays): pages that nothing reached
                                            // stay without memory
};

// Calls the function for each message of a datagram; it returns false to stop.
void for_each_message(std::span<const std::uint8_t> datagram,
                      const std::function<bool(const nlmsghdr*)>& on_message);
// errno of an NLMSG_ERROR message (0 for an acknowledgement); nothing for any other message.
[[nodiscard]] std::optional<int> error_of(const nlmsghdr* message);

}  // namespace margay
