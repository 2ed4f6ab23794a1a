#include "felix/dns/domain_table.h"

namespace margay::felix {

void DomainTable::learn(const std::string& name, const IpAddr& address, WallTime expires) {
  const auto [place, fresh] = by_name_[name].try_emplace(address, expires);
  if (fresh) {
    changed_.insert(name);
  } else if (expires > place->second) {
    order_.erase({place->second, name, address});
    place->second = expires;
  } else {
    return;
  }
  order_.insert({expires, name, address});
  if (order_.size() > max_entries_) {
    remove(Order(*order_.begin()));
  }
}

void DomainTable::expire(WallTime now) {
  while (!order_.empty() && std::get<WallTime>(*order_.begin()) <= now) {
    remove(Order(*order_.begin()));
  }
}

void DomainTable::remove(const Order& entry) {
  const auto& [expires, name, address] = entry;
  const auto found = by_name_.find(name);
  found->second.erase(address);
  if (found->second.empty()) {
    by_name_.erase(found);
  }
  changed_.insert(name);
  order_.erase(entry);
}

std::set<std::string> DomainTable::take_changed() {
  return std::exchange(changed_, {});
}

std::set<IpAddr> DomainTable::addresses(const std::string& name) const {
  std::set<IpAddr> out;
  if (const auto found = by_name_.find(name); found != by_name_.end()) {
    for (const auto& [address, expires] : found->second) {
      out.insert(address);
    }
  }
  return out;
}

std::optional<WallTime> DomainTable::next_end() const {
  return order_.empty() ? std::nullopt : std::optional(std::get<WallTime>(*order_.begin()));
}

std::vector<DomainTable::Entry> DomainTable::entries() const {
  std::vector<Entry> out;
  out.reserve(order_.size());
  for (const auto& [expires, name, address] : order_) {
    out.push_back({name, address, expires});
  }
  return out;
}

}  // namespace margay::felix
