#pragma once
// Transport: listening and connecting sockets of a speaker, on the loop of an io_context.
//
// TCP_NODELAY always; TCP MD5 (RFC 2385), GTSM (RFC 5082) and the source address per peer. The
// backlog is the system's largest: a whole rack may connect at the same moment.

#include "base/result.h"
#include "bgp/net/connection.h"

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace boost::asio {
class io_context;
}

namespace margay::bgp {

// What a connection to or from one peer needs.
struct SocketOptions {
  std::string password;                // empty: none
  std::uint8_t ttl = 0;                // of packets sent, 0 = the system's
  std::uint8_t ttl_security_hops = 0;  // packets that came over more hops are dropped, 0 = off
  bool operator==(const SocketOptions&) const = default;
};

struct ConnectRequest {
  IpAddr address;
  IfIndex link = {};  // of a link-local address
  std::uint16_t port = 0;
  std::optional<IpAddr> local_address;
  SocketOptions options;
};

// Cancels the attempt when it goes away.
class Connecting {
 public:
  virtual ~Connecting() = default;
};

class Transport {
 public:
  using OnAccept = std::function<void(std::shared_ptr<Connection>)>;
  using OnConnect = std::function<void(Result<std::shared_ptr<Connection>>)>;

  explicit Transport(boost::asio::io_context& loop);
  ~Transport();
  Transport(const Transport&) = delete;
  Transport& operator=(const Transport&) = delete;

  // Replaces the listeners. Empty: any address of both families (IPv4 alone where there is no
  // IPv6). On a failure nothing listens.
  [[nodiscard]] Result<void> listen(const std::vector<IpAddr>& addresses,
                                    std::uint16_t port,
                                    OnAccept on_accept);
  // Beside the listeners, until listen() replaces them: on an address that may still have to come,
  // or on a link-local one. Nothing to do where any address is listened on. The port is that of
  // listen().
  [[nodiscard]] Result<void> listen_also(const IpAddr& address, IfIndex link = {});
  // The password that connections from these addresses must be signed with; empty: none. The
  // longest prefix counts.
  [[nodiscard]] Result<void> set_password(const Prefix& peers, const std::string& password);
  // For accepted connections, once it is known whose they are.
  [[nodiscard]] static Result<void> apply(const SocketOptions& options, Connection& connection);
  [[nodiscard]] std::unique_ptr<Connecting> connect(const ConnectRequest& request,
                                                    OnConnect on_connect);

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace margay::bgp
