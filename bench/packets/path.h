#pragma once
// A routed path of three network namespaces: a client and a server on either side of a node, each
// by a veth pair. Packets are sent by the client and handled to the end, up to the server's socket,
// on the sender's processor, so that the time of sending is the time of the whole path.

#include "base/ip_addr.h"
#include "base/result.h"
#include "kernel/netns.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace margay::bench {

class Path {
 public:
  static constexpr std::uint16_t kPort = 5000;

  static Result<std::unique_ptr<Path>> create();
  ~Path();
  Path(const Path&) = delete;
  Path& operator=(const Path&) = delete;

  // Interfaces of the node.
  static constexpr const char* kClientSide = "mgya";
  static constexpr const char* kServerSide = "mgyb";
  static IpAddr client() { return IpAddr::v4(0x0a400001U); }
  static IpAddr server() { return IpAddr::v4(0x0a400002U); }

  // Inside the node.
  Result<void> in_node(const std::function<Result<void>()>& function) const {
    return node_.run(function);
  }
  // Nanoseconds for each of `count` packets of one established flow; of as many new flows, at most
  // 60,000. An error when the server got none of them: the layout drops them.
  Result<double> established(unsigned count);
  Result<double> new_flows(unsigned count);

 private:
  Path(NetNs client, NetNs node, NetNs server)
      : client_(std::move(client)), node_(std::move(node)), server_(std::move(server)) {}
  Result<void> connect();
  Result<void> open_sockets();
  Result<void> exchange() const;
  [[nodiscard]] std::uint64_t arrived() const;

  NetNs client_;
  NetNs node_;
  NetNs server_;
  int flow_ = -1;  // the client's socket of the established flow
  int raw_ = -1;   // the client's packets with a header of their own
  int sink_ = -1;  // the server's socket
};

}  // namespace margay::bench
