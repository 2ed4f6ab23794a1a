#pragma once
// LinkNeighbors: who is at the other end of a link, for peers that are named by an interface.
//
// Routers on a link tell each other their link-local addresses by router advertisements (RFC 4861);
// unnumbered BGP of FRR, BIRD's radv and this one send and take them. Only the address counts: ours
// make nobody a default router, theirs change no route. Messages that crossed a router are dropped
// (hop limit 255). Interfaces may come and go. Lives on the loop of its io_context.

#include "base/ip_addr.h"
#include "base/result.h"
#include "base/strong.h"

#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>

namespace boost::asio {
class io_context;
}

namespace margay::bgp {

struct LinkNeighbor {
  IfIndex index;                // 0: the interface is not there, or down
  std::optional<IpAddr> own;    // our link-local address, once it can be used
  std::optional<IpAddr> other;  // the router that was heard last
  bool operator==(const LinkNeighbor&) const = default;
};

class LinkNeighbors {
 public:
  struct Callbacks {
    std::function<void(const std::string& interface, const LinkNeighbor& link)> on_change;
    std::function<void(const Error& error)> on_error;  // a socket that cannot be had
  };

  LinkNeighbors(boost::asio::io_context& loop, Callbacks callbacks);
  ~LinkNeighbors();
  LinkNeighbors(const LinkNeighbors&) = delete;
  LinkNeighbors& operator=(const LinkNeighbors&) = delete;

  // These interfaces from now on. What is known of each is told by on_change, also within this
  // call.
  void watch(const std::set<std::string>& interfaces);
  [[nodiscard]] LinkNeighbor link(const std::string& interface) const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace margay::bgp
