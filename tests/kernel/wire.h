#pragma once
// A router with the interfaces of tests/flow/policy/random_world.h in a fresh network namespace,
// and raw packets on its wires: what comes in on one, and what comes out, or arrives at the router.

#include "base/ip_addr.h"
#include "kernel/netns.h"
#include "policy/evaluator.h"
#include "tests/kernel/kernel_lab.h"

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace margay::test {

// A packet that opens the flow: TCP SYN, UDP or ICMP echo. `id` is found again in it, 1 to 65535.
[[nodiscard]] std::vector<std::uint8_t> encode_packet(const policy::Flow& flow, std::uint16_t id);
// Of the IP packet; 0 when it is none of ours.
[[nodiscard]] std::uint16_t id_of(const std::vector<std::uint8_t>& packet);

class Wire {
 public:
  // Interfaces with the addresses that are routed to them; the first is the uplink with the
  // default routes and the router's own address.
  struct Interface {
    std::string name;
    std::vector<IpAddr> addresses;
  };
  Wire(const IpAddr& own, const std::vector<Interface>& interfaces);
  ~Wire();
  Wire(const Wire&) = delete;
  Wire& operator=(const Wire&) = delete;

  // As if the other end of the interface had sent it.
  void send_in(const std::string& interface, const std::vector<std::uint8_t>& packet);
  // As if a process of the router had sent it; IPv4.
  void send_from_router(const IpAddr& destination, const std::vector<std::uint8_t>& packet) const;

  // Whether the packet came out of some interface, or reached the router itself.
  [[nodiscard]] bool arrived(std::uint16_t id, std::chrono::milliseconds wait);

 private:
  void open_sockets();
  void drain();

  FreshNamespace router_;
  NetNs wires_;
  std::map<std::string, int> peers_;                       // interface -> index of its other end
  std::map<std::string, std::vector<std::uint8_t>> head_;  // Ethernet addresses towards it
  int wire_socket_ = -1;
  std::vector<int> router_sockets_;
  int send_socket_ = -1;
  std::set<std::uint16_t> seen_;
};

}  // namespace margay::test
