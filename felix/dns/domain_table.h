#pragma once
// DomainTable: the addresses that names have led to, each until its time is over. Bounded: beyond
// kMaxEntries what would end first makes room. Pure; the time is passed in.

#include "felix/dns/dns_answer.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace margay::felix {

// The clock of the wall: times outlive the process.
using WallTime = std::chrono::system_clock::time_point;

// Some servers give no time at all: the connection that was asked for takes its moment, too.
inline constexpr std::chrono::seconds kShortestLife{5};
[[nodiscard]] inline std::chrono::seconds life(std::chrono::seconds ttl,
                                               std::chrono::seconds extra) {
  return std::max(ttl + extra, kShortestLife);
}

class DomainTable {
 public:
  static constexpr std::size_t kMaxEntries = 50'000;

  struct Entry {
    std::string name;
    IpAddr address;
    WallTime expires;
    bool operator==(const Entry&) const = default;
  };

  explicit DomainTable(std::size_t max_entries = kMaxEntries) : max_entries_(max_entries) {}

  // The latest end counts where an address is learnt again.
  void learn(const std::string& name, const IpAddr& address, WallTime expires);
  void expire(WallTime now);
  // Names whose addresses differ from what the last call told.
  [[nodiscard]] std::set<std::string> take_changed();

  [[nodiscard]] std::set<IpAddr> addresses(const std::string& name) const;
  [[nodiscard]] std::optional<WallTime> next_end() const;
  [[nodiscard]] std::vector<Entry> entries() const;  // by end

 private:
  using Order = std::tuple<WallTime, std::string, IpAddr>;
  void remove(const Order& entry);

  std::size_t max_entries_;
  std::map<std::string, std::map<IpAddr, WallTime>> by_name_;
  std::set<Order> order_;
  std::set<std::string> changed_;
};

}  // namespace margay::felix
