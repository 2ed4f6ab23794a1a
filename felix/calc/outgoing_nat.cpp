#include "felix/calc/outgoing_nat.h"

#include <algorithm>
#include <utility>

namespace margay::felix {

namespace {

template <typename Map, typename Value>
bool put(Map& map, const std::string& name, Value value) {
  const auto found = map.find(name);
  if (found != map.end() && found->second == value) {
    return false;
  }
  map.insert_or_assign(name, std::move(value));
  return true;
}

}  // namespace

void OutgoingNat::set_pool(const std::string& name, const api::IPPool& pool) {
  changed_ = put(pools_, name, Pool{pool.cidr, pool.nat_outgoing}) || changed_;
}
void OutgoingNat::remove_pool(const std::string& name) {
  changed_ = pools_.erase(name) == 1 || changed_;
}
void OutgoingNat::set_node(const std::string& name, const api::Node& node) {
  changed_ = put(nodes_, name, policy::node_addresses(node)) || changed_;
}
void OutgoingNat::remove_node(const std::string& name) {
  changed_ = nodes_.erase(name) == 1 || changed_;
}

bool OutgoingNat::take_changed() {
  return std::exchange(changed_, false);
}

NatRules OutgoingNat::rules(bool exempt_hosts) const {
  NatRules rules;
  for (const auto& [name, pool] : pools_) {
    if (pool.outgoing) {
      rules.sources.push_back(pool.cidr);
    }
    rules.exempt.push_back(pool.cidr);
  }
  if (rules.sources.empty()) {
    return {};
  }
  for (const auto& [name, addresses] : nodes_) {
    for (const IpAddr& address : exempt_hosts ? addresses : std::vector<IpAddr>()) {
      rules.exempt.push_back(Prefix::host(address));
    }
  }
  rules.sources = without_nested(std::move(rules.sources));
  rules.exempt = without_nested(std::move(rules.exempt));
  return rules;
}

}  // namespace margay::felix
