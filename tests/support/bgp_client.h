#pragma once
// BgpClient: the other end of a BGP session for tests, over a real TCP connection and with every
// byte under the test's control. It keeps what it was told in a table, as an observer would.
// Blocking, with a deadline on every call; single-threaded. Works in the network namespace of its
// thread.

#include "bgp/wire/message.h"

#include <chrono>
#include <map>
#include <optional>
#include <vector>

namespace margay::bgp::test {

class BgpClient {
 public:
  using Clock = std::chrono::steady_clock;
  struct Options {
    IpAddr local;
    IpAddr remote;
    std::uint16_t port = 179;
    Asn remote_asn;
    Open open;  // hold time 0 spares the test from keepalives
  };
  struct Route {
    AttributeSet attributes;
    unsigned times = 0;  // how often it was announced
  };

  // Tries to connect and establish until the deadline.
  static Result<BgpClient> establish(const Options& options, std::chrono::milliseconds timeout);
  // Only the connection: what is said on it is the test's business.
  static Result<BgpClient> connect(const Options& options);
  ~BgpClient();
  BgpClient(BgpClient&& other) noexcept;
  BgpClient& operator=(BgpClient&& other) noexcept;
  BgpClient(const BgpClient&) = delete;
  BgpClient& operator=(const BgpClient&) = delete;

  Result<void> send(Bytes bytes);
  // The next message but KEEPALIVE; UPDATEs are also put into the table. kTimeout when none comes,
  // kUnavailable when the connection has ended.
  Result<Message> receive(std::chrono::milliseconds timeout);
  // Reads until the condition holds; false at the deadline or when the connection ends.
  template <typename Condition>
  bool receive_until(Condition condition, std::chrono::milliseconds timeout) {
    const auto end = Clock::now() + timeout;
    while (!condition()) {
      const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - Clock::now());
      if (left.count() <= 0) {
        return false;
      }
      if (auto message = receive(left); !message && message.error().code != Errc::kTimeout) {
        return condition();
      }
    }
    return true;
  }

  [[nodiscard]] const std::map<Prefix, Route>& routes() const { return routes_; }
  [[nodiscard]] const Route* route(const Prefix& prefix) const;
  [[nodiscard]] bool end_of_rib(AfiSafi family) const;
  [[nodiscard]] const std::optional<Notification>& notification() const { return notification_; }
  [[nodiscard]] const CodecContext& context() const { return context_; }
  [[nodiscard]] const Open& peer_open() const { return peer_open_; }
  // The longest time in which nothing came, KEEPALIVEs counted; as exact as the calls are frequent.
  [[nodiscard]] Clock::duration longest_silence() const;
  [[nodiscard]] int descriptor() const { return fd_; }

 private:
  BgpClient() = default;
  static Result<BgpClient> try_once(const Options& options, Clock::time_point end);
  Result<void> handshake(const Options& options, Clock::time_point end);
  Result<Message> read_message(Clock::time_point end);
  void apply(const Update& update);

  int fd_ = -1;
  std::vector<std::uint8_t> buffer_;
  CodecContext context_;
  Open peer_open_;
  std::map<Prefix, Route> routes_;
  std::vector<AfiSafi> ended_;
  std::optional<Notification> notification_;
  Clock::time_point last_heard_;
  Clock::duration longest_silence_{};
};

}  // namespace margay::bgp::test
