#pragma once
// OutgoingNat: whose packets are masqueraded when they leave the cluster (IPPool natOutgoing), and
// where to they never are: to any pool and to any node. Pure.

#include "api/network.h"
#include "base/ip_addr.h"
#include "policy/world.h"

#include <map>
#include <string>
#include <vector>

namespace margay::felix {

// Prefixes sorted, none inside another.
struct NatRules {
  std::vector<Prefix> sources;  // empty: nothing is masqueraded
  std::vector<Prefix> exempt;   // destinations
  bool operator==(const NatRules&) const = default;
};

class OutgoingNat {
 public:
  void set_pool(const std::string& name, const api::IPPool& pool);
  void remove_pool(const std::string& name);
  void set_node(const std::string& name, const api::Node& node);
  void remove_node(const std::string& name);

  // `exempt_hosts`: nodes are exempt, too. Nothing while nobody masquerades.
  [[nodiscard]] NatRules rules(bool exempt_hosts) const;
  // Something changed since the last time this was asked.
  [[nodiscard]] bool take_changed();

 private:
  struct Pool {
    Prefix cidr;
    bool outgoing = false;
    bool operator==(const Pool&) const = default;
  };
  std::map<std::string, Pool> pools_;
  std::map<std::string, std::vector<IpAddr>> nodes_;
  bool changed_ = false;
};

}  // namespace margay::felix
